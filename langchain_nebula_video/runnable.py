"""A link of a chain: an image in, a finished video out."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from pydantic import ConfigDict

from langchain_nebula_video._doors import LifecycleOptions
from langchain_nebula_video._offers import as_request
from langchain_nebula_video._options import ClientOptions
from langchain_nebula_video._replay import key_of_node
from langchain_nebula_video._tracing import counting, noted, redacted
from langchain_nebula_video.conversation import IMAGE_BLOCKS, newest_image
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.progress import progress_to, progress_to_async
from langchain_nebula_video.schema import Video, VideoRequest

__all__ = ["NebulaVideoRunnable"]

_DEFAULT_CONCURRENCY = 4


class RunnableOptions(ClientOptions, total=False):
    """The keywords of the runnable: those of the clients, and the defaults of a request."""

    name: str | None
    prompt: str | None
    duration: int | None
    resolution: str | None
    smart_rewrite: bool | None
    generate_audio: bool | None
    audio_url: str | None
    seed: int | None
    negative_prompt: str | None
    template: str | None
    watermark: bool | None
    aspect_ratio: str | None


class NebulaVideoRunnable(LifecycleOptions, RunnableSerializable[Any, Video]):
    """Takes an image, waits for the video, gives a `Video`.

    The input is a dict of `VideoRequest` fields, a `VideoRequest`, an image in any form that the client takes,
    or a message (or a list of them) that carries one: the newest image counts. What the input does not say
    comes from the fields given here; a message's own text is the prompt where there is no other.

    Example:
        ```python
        from langchain_nebula_video import NebulaVideoRunnable

        animate = NebulaVideoRunnable(prompt="The camera slowly moves in", duration=5)
        video = animate.invoke("https://example.com/cat.jpg")
        chain = draw_a_picture | animate
        ```

    `invoke(input, config, key="…")`: the same key never pays twice. Without one, the very same request after an error
    goes on with the task of the first, so that neither `with_retry` nor a node's retry policy pays again.

    `batch` and `abatch` run at most
    `max_concurrency` (4) at once; when one fails the others run to their end, and the error that is raised
    carries all results in `error.results`. Arguments are those of `Options`, and the defaults of a request.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True, defer_build=True)

    prompt: str | None = None
    duration: int | None = None
    resolution: str | None = None
    smart_rewrite: bool | None = None
    generate_audio: bool | None = None
    audio_url: str | None = None
    seed: int | None = None
    negative_prompt: str | None = None
    template: str | None = None
    watermark: bool | None = None
    aspect_ratio: str | None = None

    if TYPE_CHECKING:
        # By its fields a type checker would let through only what they hold in the end: no key that is a plain text.
        def __init__(self, **options: Unpack[RunnableOptions]) -> None: ...

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """It can be written by `langchain_core.load.dumps` and read back by `loads`; the key goes as a secret."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The key is never written, only the name of its variable."""
        return {"api_key": self.gateway_row.key_variable}

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """What JSON has no form for, in one that the constructor takes back."""
        plain: dict[str, Any] = {"group_ratio": str(self.group_ratio)}
        if self.prices is not None:
            plain["prices"] = {
                name: {tier: str(price) for tier, price in table.items()} for name, table in self.prices.items()
            }
        if self.budget is not None:
            plain["budget"] = self.budget.as_dict()
        for name in ("save_to", "image_folder"):
            if getattr(self, name) is not None:
                plain[name] = os.fspath(getattr(self, name))
        return plain

    def invoke(
        self, input: Any, config: RunnableConfig | None = None, *, key: str | None = None, **kwargs: Any
    ) -> Video:
        """The finished video. Errors as for `NebulaVideoClient.generate`.

        Args:
            input: What to animate; see the class.
            config: LangChain's configuration.
            key: Your own name for this video; the same key never pays twice.
            kwargs: Fields of `VideoRequest`, over all else.
        """

        def run(_: Any, run_manager: Any, config: RunnableConfig) -> Video:  # noqa: ARG001 LangChain's signature
            request = self._request(input, kwargs)
            with counting():
                return _noted(self.now("generate", request, **_named(key), on_progress=progress_to(config)))

        return self._call_with_config(run, redacted(input), config, run_type="tool")

    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, *, key: str | None = None, **kwargs: Any
    ) -> Video:
        """The async twin of `invoke`."""

        async def run(_: Any, run_manager: Any, config: RunnableConfig) -> Video:  # noqa: ARG001 LangChain's signature
            request = self._request(input, kwargs)
            tell = progress_to_async(config)
            with counting():
                return _noted(await self.async_lifecycle().generate(request, **_named(key), on_progress=tell))

        return await self._acall_with_config(run, redacted(input), config, run_type="tool")

    def batch(
        self,
        inputs: list[Any],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Video]:
        """Several videos, at most `max_concurrency` (4) at once; none is lost when another fails."""
        results = super().batch(inputs, _bounded(config), return_exceptions=True, **kwargs)
        return _all_or_error(results, return_exceptions=return_exceptions)

    async def abatch(
        self,
        inputs: list[Any],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Video]:
        """The async twin of `batch`."""
        results = await super().abatch(inputs, _bounded(config), return_exceptions=True, **kwargs)
        return _all_or_error(results, return_exceptions=return_exceptions)

    def _request(self, given: Any, fields: Mapping[str, Any]) -> VideoRequest:
        """The defaults, then the input, then the keywords of the call."""
        defaults = {
            name: getattr(self, name)
            for name in VideoRequest.model_fields
            if name in type(self).model_fields and name != "model" and getattr(self, name) is not None
        }
        offer = self.offer(fields.get("model"))
        imageless = not offer.requires("image") and not offer.requires("reference_images")
        given = _fields_of(given, defaults, imageless=imageless)
        model = fields.get("model") or given.get("model")
        if "image" in given and "reference_images" not in given and self.offer(model).requires("reference_images"):
            given["reference_images"] = (given.pop("image"),)  # a link before this one made one picture
        return as_request({**defaults, **given}, fields)


def _named(key: str | None) -> dict[str, Any]:
    """The caller's key; inside a graph's node the node's, so that one that runs again does not pay again."""
    if key is not None:
        return {"key": key}
    return {"key": key_of_node(), "adopt": True}


def _noted(video: Video) -> Video:
    noted(video)
    return video


def _fields_of(given: Any, defaults: Mapping[str, Any], *, imageless: bool) -> dict[str, Any]:
    if isinstance(given, VideoRequest):
        return {name: getattr(given, name) for name in given.model_fields_set}
    if isinstance(given, BaseMessage):
        return _from_messages([given], defaults, imageless=imageless)
    if isinstance(given, Sequence) and given and all(isinstance(item, BaseMessage) for item in given):
        return _from_messages(list(given), defaults, imageless=imageless)
    if hasattr(given, "to_messages"):  # a prompt template's value
        return _from_messages(given.to_messages(), defaults, imageless=imageless)
    if isinstance(given, Mapping) and given.get("type") not in IMAGE_BLOCKS:
        return dict(given)
    return {"image": given}


def _from_messages(messages: list[BaseMessage], defaults: Mapping[str, Any], *, imageless: bool) -> dict[str, Any]:
    image = newest_image(messages)
    if image is None and not imageless:
        raise InvalidRequestError(
            "The message carries no image.",
            hint="Give a message with an image block, or an image's URL in a dict.",
        )
    text = "" if "prompt" in defaults else messages[-1].text.strip()
    found = {"image": image, "prompt": text or None}
    return {name: value for name, value in found.items() if value is not None}


def _bounded(config: RunnableConfig | list[RunnableConfig] | None) -> RunnableConfig | list[RunnableConfig]:
    """The config with a bound on what runs at once: each of them is paid for."""
    if isinstance(config, list):
        return [{"max_concurrency": _DEFAULT_CONCURRENCY, **item} for item in config]
    return {"max_concurrency": _DEFAULT_CONCURRENCY, **(config or {})}


def _all_or_error(results: list[Any], *, return_exceptions: bool) -> list[Video]:
    failed = [result for result in results if isinstance(result, Exception)]
    if failed and not return_exceptions:
        error = failed[0]
        error.results = results  # type: ignore[attr-defined]
        made = sum(isinstance(result, Video) for result in results)
        error.add_note(f"{made} of {len(results)} videos were made; error.results holds them and every error.")
        raise error
    return results
