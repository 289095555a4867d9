"""A link of a chain: an image in, a finished video out."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack

from langchain_core.messages import BaseMessage, HumanMessage, convert_to_messages
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from pydantic import ConfigDict

from langchain_nebula_video.catalog.offers import build_request
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.langchain.conversation import newest_image
from langchain_nebula_video.langchain.image_search import text_without_images
from langchain_nebula_video.langchain.image_values import IMAGE_BLOCKS, is_url, truncate
from langchain_nebula_video.langchain.progress import progress_to, progress_to_async
from langchain_nebula_video.langchain.replay import node_key
from langchain_nebula_video.langchain.tracing import annotate_run, redact, track_costs
from langchain_nebula_video.lifecycle.factory import LifecycleOptions
from langchain_nebula_video.lifecycle.options import ClientOptions
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
    or a message that carries one, or several: as a list, as dicts with `role` and `content`, under `messages` in a
    dict. The newest image counts. What the input does not say comes from the fields given here. Where there is no
    other prompt, it is what the user said last, without addresses of images; what a model or a tool says is none.

    Example:
        ```python
        from langchain_nebula_video import NebulaVideoRunnable

        animate = NebulaVideoRunnable(prompt="The camera slowly moves in", duration=5)
        video = animate.invoke("https://example.com/cat.jpg")
        chain = draw_a_picture | animate
        ```

    `invoke(input, config, key="…")`: the same key never pays twice. Without one, the very same request after an error
    goes on with the task of the first, so that neither `with_retry` nor a node's retry policy pays again.

    `batch` and `abatch` run at most `max_concurrency` (4) at once; when one fails the others run to their end, and
    the error that is raised carries all results in `error.results`. It cannot behind `with_retry`, which repeats what
    failed and hands on the last error alone: call `with_retry().batch(inputs, return_exceptions=True)`, and nothing
    that was paid is missing.

    Arguments are those of `Options`, and the defaults of a request.

    `langchain_core.load.dumps` writes it, without its key; `loads` reads it where it is told to:

        ```python
        loads(
            text,
            allowed_objects=[NebulaVideoRunnable],
            valid_namespaces=["langchain_nebula_video"],
            secrets_map={"NEBULA_API_KEY": key},
        )
        ```
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
        """It can be written by `dumps` and read back by `loads`, as the class says; the key goes as a secret."""
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
            with track_costs():
                video: Video = self.run_blocking(
                    "generate", request, **_key_arguments(key), on_progress=progress_to(config)
                )
                annotate_run(video)
            return video

        return self._call_with_config(run, redact(input), config, run_type="tool")

    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, *, key: str | None = None, **kwargs: Any
    ) -> Video:
        """The async twin of `invoke`."""

        async def run(_: Any, run_manager: Any, config: RunnableConfig) -> Video:  # noqa: ARG001 LangChain's signature
            request = self._request(input, kwargs)
            lifecycle, report = self.async_lifecycle(), progress_to_async(config)
            with track_costs():
                video = await lifecycle.generate(request, **_key_arguments(key), on_progress=report)
                annotate_run(video)
            return video

        return await self._acall_with_config(run, redact(input), config, run_type="tool")

    def batch(
        self,
        inputs: list[Any],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Video]:
        """Several videos, at most `max_concurrency` (4) at once; none is lost when another fails."""
        results = super().batch(inputs, _limit_concurrency(config), return_exceptions=True, **kwargs)
        return _results_or_error(results, return_exceptions=return_exceptions)

    async def abatch(
        self,
        inputs: list[Any],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Video]:
        """The async twin of `batch`."""
        results = await super().abatch(inputs, _limit_concurrency(config), return_exceptions=True, **kwargs)
        return _results_or_error(results, return_exceptions=return_exceptions)

    def _request(self, given: Any, fields: Mapping[str, Any]) -> VideoRequest:
        """The defaults, then the input, then the keywords of the call."""
        defaults = {
            name: getattr(self, name)
            for name in VideoRequest.model_fields
            if name in type(self).model_fields and name != "model" and getattr(self, name) is not None
        }
        given = self._read_input(given, {**defaults, **fields})
        model = fields.get("model") or given.get("model")
        if "image" in given and "reference_images" not in given and self.offer(model).requires("reference_images"):
            given["reference_images"] = (given.pop("image"),)  # a link before this one made one picture
        return build_request({**defaults, **given}, fields)

    def _read_input(self, given: Any, known: Mapping[str, Any]) -> dict[str, Any]:
        """What the input says, as fields of a request; `known` is said already."""
        if isinstance(given, VideoRequest):
            return {name: getattr(given, name) for name in given.model_fields_set}
        if isinstance(given, Mapping) and "messages" in given:
            rest = {name: value for name, value in given.items() if name != "messages"}
            return {**self._read_conversation(_convert_messages(given["messages"]), {**known, **rest}), **rest}
        messages = _as_conversation(given)
        if messages is not None:
            return self._read_conversation(messages, known)
        if isinstance(given, Mapping) and given.get("type") not in IMAGE_BLOCKS:
            return dict(given)
        if isinstance(given, str) and self.image_folder is None and not is_url(given):
            raise InvalidRequestError(
                f"The input {truncate(given)!r} is a text, and neither the address nor the data: URI of an image.",
                hint='Give the image as the input, or both in a dict: {"image": …, "prompt": …}.',
            )
        return {"image": given}

    def _read_conversation(self, messages: list[BaseMessage], known: Mapping[str, Any]) -> dict[str, Any]:
        """The newest image of a conversation, and what its user wants done with it."""
        offer = self.offer(known.get("model"))
        image = newest_image(messages)
        if image is None and (offer.requires("image") or offer.requires("reference_images")):
            raise InvalidRequestError(
                "The message carries no image.",
                hint="Give a message with an image block, or an image's URL in a dict.",
            )
        found = {} if image is None else {"image": image}
        if known.get("prompt") or known.get("template"):
            return found
        said = [text_without_images(message.text) for message in messages if isinstance(message, HumanMessage)]
        if not said:
            raise InvalidRequestError(
                "There is no prompt: none is given, and no message is the user's.",
                hint="Give prompt= to the runnable or with the call; what a model or a tool says is taken for none.",
            )
        return {**found, "prompt": next(filter(None, reversed(said)), "")}


def _key_arguments(key: str | None) -> dict[str, Any]:
    """The caller's key; inside a graph's node the node's, so that one that runs again does not pay again."""
    if key is not None:
        return {"key": key}
    return {"key": node_key(), "adopt": True}


def _as_conversation(given: Any) -> list[BaseMessage] | None:
    """The messages that an input is; `None` if it is none."""
    if hasattr(given, "to_messages"):  # a prompt template's value
        return list(given.to_messages())
    some = [given] if _is_message(given) else given
    if not isinstance(some, list | tuple) or not some or not all(map(_is_message, some)):
        return None
    return _convert_messages(some)


def _is_message(item: object) -> bool:
    return isinstance(item, BaseMessage) or (isinstance(item, Mapping) and {"role", "content"} <= item.keys())


def _convert_messages(given: Any) -> list[BaseMessage]:
    """Whatever LangChain takes as messages, as such."""
    try:
        return convert_to_messages(given if isinstance(given, list | tuple) else [given])
    except (ValueError, TypeError, KeyError, NotImplementedError) as error:  # the last: of what is no message at all
        raise InvalidRequestError(
            f"The messages cannot be read: {truncate(str(error))}", hint="Give LangChain messages, or dicts of them."
        ) from None


def _limit_concurrency(config: RunnableConfig | list[RunnableConfig] | None) -> RunnableConfig | list[RunnableConfig]:
    """The config with a bound on what runs at once: each of them is paid for."""
    if isinstance(config, list):
        return [{"max_concurrency": _DEFAULT_CONCURRENCY, **item} for item in config]
    return {"max_concurrency": _DEFAULT_CONCURRENCY, **(config or {})}


def _results_or_error(results: list[Any], *, return_exceptions: bool) -> list[Video]:
    failed = [result for result in results if isinstance(result, Exception)]
    if failed and not return_exceptions:
        error = failed[0]
        error.results = results  # type: ignore[attr-defined]
        made = sum(isinstance(result, Video) for result in results)
        error.add_note(f"{made} of {len(results)} videos were made; error.results holds them and every error.")
        raise error
    return results
