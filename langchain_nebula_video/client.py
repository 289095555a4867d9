"""The blocking and the async client: thin wrappers around the lifecycle."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack, cast

from langchain_nebula_video.catalog.gateways import find_gateway
from langchain_nebula_video.catalog.offers import build_request, find_offer, parse_prices
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.lifecycle.factory import LifecycleOptions
from langchain_nebula_video.lifecycle.options import ClientOptions
from langchain_nebula_video.schema import (
    Cost,
    OnProgress,
    Reconciliation,
    RequestFields,
    Task,
    Video,
    VideoFields,
    VideoProgress,
    VideoRequest,
)
from langchain_nebula_video.transport import iterate, iterate_async, run_sync

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
    """Return what a video will cost, according to the price table. Needs no network and no key.

    Args:
        request: The request, as `VideoRequest` or dict. Prompt and images may be missing: they do not affect the cost.
        gateway: A key of `GATEWAYS`.
        model: The model, unless the request names one. `None`: the gateway's default.
        prices: Your own prices, as in `Options`.
        group_ratio: The price multiplier of your account's group.
        fields: Fields of the request, such as `duration=10, resolution="1080p"`. They override `request`.

    Returns:
        An estimate in US dollars and yuan. `basis` is `"unknown"` if no price is known.

    Raises:
        InvalidRequestError: the model cannot generate such a video.
    """
    video_request = build_request(request, fields)
    row = find_gateway(gateway)
    offer = find_offer(video_request.model or model or row.default_model, row, parse_prices(prices))
    return offer.quote(video_request, _parse_group_ratio(group_ratio))


def _parse_group_ratio(value: Decimal | int | str) -> Decimal:
    try:
        ratio = Decimal(str(value))
    except InvalidOperation:
        ratio = Decimal(0)
    if not ratio.is_finite() or not 0 < ratio < 1_000_000:
        raise InvalidRequestError(f"group_ratio is {value!r}.", hint="Give a number above 0; 1 for most accounts.")
    return ratio


class NebulaVideoClient:
    """Generates videos from images and blocks the calling thread. Thread-safe.

    Args:
        options: See `Options` for each keyword: `api_key`, `gateway`, `base_url`, `model`, `prices`, `poll_interval`,
            `timeout`, `refusal_timeout`, `budget`, `journal`, `save_to`, `image_folder`, `download_hosts`,
            `group_ratio`, `sole_account`, `repeat_window`, `rate_limiter`, `http_client`, `http_async_client`, `clock`.

    Raises:
        InvalidRequestError: an option is invalid, or there is no key.

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
        """Submit a task, wait for it and return the video. Pays for at most one video.

        Args:
            request: The request, as `VideoRequest` or dict.
            key: Your idempotency key for this video. The same key never pays twice: if the journal has the key,
                the call resumes that task.
            on_progress: Called with a `VideoProgress` after each fetch of the task.
            fields: Fields of `VideoRequest`. They override `request`.

        Raises:
            InvalidRequestError, BudgetExceededError, NotSentError, RefusedError: nothing was spent.
            SubmissionUnconfirmedError: the task may have been accepted and billed.
            TaskFailedError, TaskCanceledError: nothing was billed.
            TaskTimeoutError: the task is still running. Pass `error.task` to `wait`.
            DownloadError: the video exists, but could not be saved.
        """
        video_request = build_request(request, fields)
        return run_sync(self._lifecycle.generate(video_request, key=key, on_progress=on_progress))

    def stream(
        self,
        request: VideoRequest | Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        **fields: Unpack[RequestFields],
    ) -> Generator[VideoProgress | Video, None, None]:
        """Do what `generate` does, and iterate over its progress; the last item is the video.

        Nothing is sent before the first item is asked for. If the iterator is closed early, the task goes on: it is in
        the journal, and a warning names it. Pass its id to `watch` or `wait`.
        """
        video_request = build_request(request, fields)
        return iterate(
            lambda report: self._lifecycle.generate(video_request, key=key, on_progress=report), level=logging.WARNING
        )

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
        """Fetch a task once.

        Raises:
            TaskNotFoundError: the gateway does not know the task, or no longer.
            RequestError: there was no usable response. The task itself continues.
        """
        return run_sync(self._lifecycle.fetch(task_id))

    def wait(self, task: Task | str, *, timeout: float | None = None, on_progress: OnProgress | None = None) -> Video:
        """Poll a task until it is finished and return the video. Costs nothing more.

        Args:
            task: A task or its id, from this process or any other.
            timeout: Seconds. `None`: the client's `timeout`.
            on_progress: As for `generate`.
        """
        return run_sync(self._lifecycle.wait(task, timeout=timeout, on_progress=on_progress))

    def watch(self, task: Task | str, *, timeout: float | None = None) -> Generator[VideoProgress | Video, None, None]:
        """Do what `wait` does, and iterate over its progress; the last item is the video. Costs nothing more."""
        return iterate(
            lambda report: self._lifecycle.wait(task, timeout=timeout, on_progress=report), level=logging.INFO
        )

    def cancel(self, task: Task | str) -> Task:
        """Cancel a task, if the gateway can.

        Raises:
            InvalidRequestError: the gateway documents no way to cancel. Only DashScope itself does.
            RefusedError: the task is no longer queued. Only queued tasks can be canceled.
        """
        return run_sync(self._lifecycle.cancel(task))

    def download(self, video: Video, path: str | Path, *, on_progress: OnProgress | None = None) -> Video:
        """Save a video and return it with its `path`, and with a new `url` if the old one had expired.

        Args:
            video: A video from this gateway.
            path: A folder, a file name that ends in `.mp4`, or an fsspec URL of either. Placeholders such as `{date}`
                and `{model}` are replaced. A different video at that path is never overwritten.
            on_progress: As for `generate`.

        Raises:
            DownloadError: the video could not be saved. It is still at its URL.
        """
        return run_sync(self._lifecycle.download(video, path, on_progress=on_progress))

    def resume(self) -> list[Task]:
        """Return the unfinished tasks of this gateway that no process is working on. Pass each to `wait`.

        It also cleans up submits of processes that died. A submit that was not sent is deleted from the journal.
        An unconfirmed one is looked up in the gateway's task list, if there is one; otherwise it stays and is logged.
        """
        return run_sync(self._lifecycle.resume())

    def reconcile(self, *, key_in_address: bool = False, take: Sequence[str] = ()) -> Reconciliation:
        """Compare the journal with the log of the key at the gateway. Costs nothing.

        The log has the bill of each task of this key that has succeeded, and the tasks of lost submits among them. A
        lost submit takes the only task that has its prompt and its moment, if `sole_account` is set. Otherwise a
        person decides: the result names the tasks, and `take` takes one.

        Args:
            key_in_address: Whether the key may be sent as a part of an address, which servers on the way may log.
                Nebula reads it there only. Otherwise it is sent as a header alone, as newer gateways of its kind
                take it.
            take: Ids of tasks that you have recognized as those of lost submits.

        Raises:
            InvalidRequestError: the gateway documents no log, or a task cannot be taken.
            RequestError: the log cannot be read.
        """
        return run_sync(self._lifecycle.reconcile(key_in_address=key_in_address, take=take))

    def drain(self, grace: float = 30.0) -> bool:
        """Prepare for the end of the process: refuse new submits, and give running ones `grace` seconds.

        Returns:
            Whether every running submit got its response. All tasks are in the journal, for another process to finish.
        """
        return run_sync(self._lifecycle.drain(grace))

    def budget_left(self) -> Decimal | None:
        """Return what the budget still allows, in US dollars, never less than 0; `None`: there is no budget.

        Nothing is sent. Videos under way count with their estimated cost. Other clients of the journal count too.

        Raises:
            JournalError: the journal cannot be read.
        """
        return run_sync(self._lifecycle.budget_left())

    def spent(self) -> Decimal:
        """Return what counts against the budget, in US dollars: within its window, if it has one. Nothing is sent.

        Without a budget, it is everything that the journal holds.

        Raises:
            JournalError: the journal cannot be read.
        """
        return run_sync(self._lifecycle.spent())

    def quote(self, request: VideoRequest | Mapping[str, Any] | None = None, **fields: Unpack[RequestFields]) -> Cost:
        """Return what a video will cost with this client's model and gateway. Nothing is sent."""
        video_request = build_request(request, fields)
        return self._options.offer(video_request.model).quote(video_request, self._options.group_ratio)

    def __enter__(self) -> Self:
        self._session = self._lifecycle.runtime.session()
        run_sync(self._session.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        run_sync(self._session.__aexit__(kind, error, traceback))


class AsyncNebulaVideoClient:
    """Generates videos from images on the running event loop. The async version of `NebulaVideoClient`.

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
        """See `NebulaVideoClient.generate`. If canceled during the submit, it first records the response."""
        generating = self._lifecycle.generate(build_request(request, fields), key=key, on_progress=on_progress)
        del request, fields  # nobody needs the images while the task is waited for
        return await generating

    def stream(
        self,
        request: VideoRequest | Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        **fields: Unpack[RequestFields],
    ) -> AsyncGenerator[VideoProgress | Video, None]:
        """See `NebulaVideoClient.stream`. Close it with `contextlib.aclosing` if you leave the loop early."""
        video_request = build_request(request, fields)
        return iterate_async(
            lambda report: self._lifecycle.generate(video_request, key=key, on_progress=report), level=logging.WARNING
        )

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

    def watch(self, task: Task | str, *, timeout: float | None = None) -> AsyncGenerator[VideoProgress | Video, None]:
        """See `NebulaVideoClient.watch`."""
        return iterate_async(
            lambda report: self._lifecycle.wait(task, timeout=timeout, on_progress=report), level=logging.INFO
        )

    async def cancel(self, task: Task | str) -> Task:
        """See `NebulaVideoClient.cancel`."""
        return await self._lifecycle.cancel(task)

    async def download(self, video: Video, path: str | Path, *, on_progress: OnProgress | None = None) -> Video:
        """See `NebulaVideoClient.download`."""
        return await self._lifecycle.download(video, path, on_progress=on_progress)

    async def resume(self) -> list[Task]:
        """See `NebulaVideoClient.resume`."""
        return await self._lifecycle.resume()

    async def reconcile(self, *, key_in_address: bool = False, take: Sequence[str] = ()) -> Reconciliation:
        """See `NebulaVideoClient.reconcile`."""
        return await self._lifecycle.reconcile(key_in_address=key_in_address, take=take)

    async def drain(self, grace: float = 30.0) -> bool:
        """See `NebulaVideoClient.drain`."""
        return await self._lifecycle.drain(grace)

    async def budget_left(self) -> Decimal | None:
        """See `NebulaVideoClient.budget_left`."""
        return await self._lifecycle.budget_left()

    async def spent(self) -> Decimal:
        """See `NebulaVideoClient.spent`."""
        return await self._lifecycle.spent()

    def quote(self, request: VideoRequest | Mapping[str, Any] | None = None, **fields: Unpack[RequestFields]) -> Cost:
        """See `NebulaVideoClient.quote`."""
        video_request = build_request(request, fields)
        return self._options.offer(video_request.model).quote(video_request, self._options.group_ratio)

    async def __aenter__(self) -> Self:
        self._session = self._lifecycle.runtime.session()
        await self._session.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.__aexit__(kind, error, traceback)
