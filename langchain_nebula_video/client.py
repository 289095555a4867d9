"""The two clients: thin doors onto the lifecycle, one blocking and one async."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack, cast

from langchain_nebula_video.catalog.gateways import find_gateway
from langchain_nebula_video.catalog.offers import build_request, find_offer, parse_prices
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.lifecycle.factory import LifecycleOptions
from langchain_nebula_video.lifecycle.options import ClientOptions
from langchain_nebula_video.schema import Cost, OnProgress, RequestFields, Task, Video, VideoFields, VideoRequest
from langchain_nebula_video.transport import run_sync

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["AsyncNebulaVideoClient", "NebulaVideoClient", "quote"]


def quote(
    request: VideoRequest | Mapping[str, Any] | None = None,
    *,
    gateway: str = "nebula",
    model: str | None = None,
    prices: Mapping[str, Any] | None = None,
    group_ratio: Decimal | int | str = 1,
    **fields: Unpack[VideoFields],
) -> Cost:
    """What a video will cost, by the price table. Needs neither network nor key.

    Args:
        request: The request, as `VideoRequest` or dict. Prompt and images may be left out: they cost nothing.
        gateway: The row of `GATEWAYS`.
        model: The model, unless the request names one; `None`: the gateway's.
        prices: Your own prices, as for `Options`.
        group_ratio: What your account's group multiplies prices by.
        fields: Fields of the request, such as `duration=10, resolution="1080p"`.

    Returns:
        An estimate, in US dollars and yuan; `basis` is `"unknown"` where no price is known.

    Raises:
        InvalidRequestError: the model does not make such a video.
    """
    asked = build_request(request, fields)
    row = find_gateway(gateway)
    offer = find_offer(asked.model or model or row.default_model, row, parse_prices(prices))
    return offer.quote(asked, _ratio(group_ratio))


def _ratio(value: Decimal | int | str) -> Decimal:
    try:
        ratio = Decimal(str(value))
    except InvalidOperation:
        ratio = Decimal(0)
    if not ratio.is_finite() or not 0 < ratio < 1_000_000:
        raise InvalidRequestError(f"group_ratio is {value!r}.", hint="Give a number above 0; 1 for most accounts.")
    return ratio


class NebulaVideoClient:
    """Makes videos of images, blocking the calling thread. Safe to use from many threads at once.

    Args:
        options: See `Options` for each keyword: `api_key`, `gateway`, `base_url`, `model`, `prices`, `poll_interval`,
            `timeout`, `budget`, `journal`, `save_to`, `image_folder`, `download_hosts`, `group_ratio`,
            `rate_limiter`, `http_client`, `http_async_client`, `clock`.

    Raises:
        InvalidRequestError: an option cannot work, or there is no key.

    Example:
        ```python
        from langchain_nebula_video import NebulaVideoClient

        with NebulaVideoClient() as client:
            video = client.generate(prompt="The cat opens its eyes", image="https://example.com/cat.jpg")
        print(video.url, video.cost)
        ```
    """

    def __init__(self, **options: Unpack[ClientOptions]) -> None:
        self._options = LifecycleOptions(**cast("dict[str, Any]", options))
        self._lifecycle = self._options.blocking_lifecycle()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(gateway={self._options.gateway!r}, model={self._options.model!r})"

    def generate(
        self,
        request: VideoRequest | Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        on_progress: OnProgress | None = None,
        **fields: Unpack[RequestFields],
    ) -> Video:
        """Submit and wait: the finished video. Pays for one video at most.

        Args:
            request: What to make, as `VideoRequest` or dict; `fields` are laid over it.
            key: Your own name for this video. The same key never pays twice: a call with a key that the
                journal knows goes on with that task.
            on_progress: Called with a `VideoProgress` at each look at the task.
            fields: Fields of `VideoRequest`.

        Raises:
            InvalidRequestError, BudgetExceededError, NotSentError, RefusedError: nothing was spent.
            SubmissionUnconfirmedError: the task may have been accepted and billed.
            TaskFailedError, TaskCanceledError: nothing was billed.
            TaskTimeoutError: the task is still running; `error.task` goes into `wait`.
            DownloadError: the video is there and could not be saved.
        """
        asked = build_request(request, fields)
        return run_sync(self._lifecycle.generate(asked, key=key, on_progress=on_progress))

    def submit(
        self,
        request: VideoRequest | Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        **fields: Unpack[RequestFields],
    ) -> Task:
        """Send one paid POST and return the task at once. Arguments and errors as for `generate`."""
        return run_sync(self._lifecycle.submit(build_request(request, fields), key=key))

    def fetch(self, task_id: str) -> Task:
        """Look at a task once.

        Raises:
            TaskNotFoundError: the gateway does not know it (any more).
            RequestError: no usable answer came; the task goes on all the same.
        """
        return run_sync(self._lifecycle.fetch(task_id))

    def wait(self, task: Task | str, *, timeout: float | None = None, on_progress: OnProgress | None = None) -> Video:
        """Look at a task until it is finished: the video. Costs nothing more.

        Args:
            task: A task, or its id, from this process or any other.
            timeout: Seconds; `None`: the client's.
            on_progress: As for `generate`.
        """
        return run_sync(self._lifecycle.wait(task, timeout=timeout, on_progress=on_progress))

    def cancel(self, task: Task | str) -> Task:
        """Take a task back, where the gateway can.

        Raises:
            InvalidRequestError: the gateway documents no way to; only DashScope itself does.
            RefusedError: the task is no longer waiting in the queue, which is when it can be taken back.
        """
        return run_sync(self._lifecycle.cancel(task))

    def download(self, video: Video, path: str | Path) -> Video:
        """Save a video; the video with its `path`, and with a new `url` if the old one had expired.

        Args:
            video: From this gateway.
            path: A folder, a file's name that ends in `.mp4`, or an fsspec URL of either; `{date}`, `{model}` and
                others in braces are filled in. Another video that is there is never overwritten.

        Raises:
            DownloadError: it could not be saved; it is still at its URL.
        """
        return run_sync(self._lifecycle.download(video, path))

    def resume(self) -> list[Task]:
        """The tasks of this gateway that the journal holds unfinished and nobody works on; each goes into `wait`.

        Submits that were under way in a process that died are seen to: what was not sent is forgotten; what is
        unconfirmed is looked for where the gateway lists its tasks, else it stays in the journal and is logged.
        """
        return run_sync(self._lifecycle.resume())

    def drain(self, grace: float = 30.0) -> bool:
        """Before the process ends: no submit of this client begins any more; those under way have `grace` seconds.

        Returns:
            Whether each of them has had its answer. All tasks are in the journal; another process finishes them.
        """
        return run_sync(self._lifecycle.drain(grace))

    def quote(self, request: VideoRequest | Mapping[str, Any] | None = None, **fields: Unpack[RequestFields]) -> Cost:
        """What a video will cost with this client's model and gateway; nothing is sent."""
        asked = build_request(request, fields)
        return self._options.offer(asked.model).quote(asked, self._options.group_ratio)

    def __enter__(self) -> Self:
        self._session = self._lifecycle.runtime.session()
        run_sync(self._session.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        run_sync(self._session.__aexit__(kind, error, traceback))


class AsyncNebulaVideoClient:
    """Makes videos of images on the running event loop. The async twin of `NebulaVideoClient`.

    Args:
        options: As for `NebulaVideoClient`.

    Example:
        ```python
        from langchain_nebula_video import AsyncNebulaVideoClient

        async with AsyncNebulaVideoClient() as client:
            video = await client.generate(prompt="The cat opens its eyes", image="https://example.com/cat.jpg")
        ```
    """

    def __init__(self, **options: Unpack[ClientOptions]) -> None:
        self._options = LifecycleOptions(**cast("dict[str, Any]", options))
        self._lifecycle = self._options.async_lifecycle()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(gateway={self._options.gateway!r}, model={self._options.model!r})"

    async def generate(
        self,
        request: VideoRequest | Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        on_progress: OnProgress | None = None,
        **fields: Unpack[RequestFields],
    ) -> Video:
        """See `NebulaVideoClient.generate`. Cancelled in mid-submit, it ends once the answer is on record."""
        return await self._lifecycle.generate(build_request(request, fields), key=key, on_progress=on_progress)

    async def submit(
        self,
        request: VideoRequest | Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        **fields: Unpack[RequestFields],
    ) -> Task:
        """See `NebulaVideoClient.submit`."""
        return await self._lifecycle.submit(build_request(request, fields), key=key)

    async def fetch(self, task_id: str) -> Task:
        """See `NebulaVideoClient.fetch`."""
        return await self._lifecycle.fetch(task_id)

    async def wait(
        self, task: Task | str, *, timeout: float | None = None, on_progress: OnProgress | None = None
    ) -> Video:
        """See `NebulaVideoClient.wait`."""
        return await self._lifecycle.wait(task, timeout=timeout, on_progress=on_progress)

    async def cancel(self, task: Task | str) -> Task:
        """See `NebulaVideoClient.cancel`."""
        return await self._lifecycle.cancel(task)

    async def download(self, video: Video, path: str | Path) -> Video:
        """See `NebulaVideoClient.download`."""
        return await self._lifecycle.download(video, path)

    async def resume(self) -> list[Task]:
        """See `NebulaVideoClient.resume`."""
        return await self._lifecycle.resume()

    async def drain(self, grace: float = 30.0) -> bool:
        """See `NebulaVideoClient.drain`."""
        return await self._lifecycle.drain(grace)

    def quote(self, request: VideoRequest | Mapping[str, Any] | None = None, **fields: Unpack[RequestFields]) -> Cost:
        """See `NebulaVideoClient.quote`."""
        asked = build_request(request, fields)
        return self._options.offer(asked.model).quote(asked, self._options.group_ratio)

    async def __aenter__(self) -> Self:
        self._session = self._lifecycle.runtime.session()
        await self._session.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.__aexit__(kind, error, traceback)
