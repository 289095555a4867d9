"""`NebulaVideoRunnable`: a link of a chain that takes an image and returns the finished video."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack

from langchain_core.runnables import RunnableConfig, RunnableSerializable
from pydantic import ConfigDict

from langchain_nebula_video.langchain.progress import heard_progress, heard_progress_async
from langchain_nebula_video.langchain.replay import count_for_thread, node_key
from langchain_nebula_video.langchain.runnable_input import InputReader, split_key
from langchain_nebula_video.langchain.tracing import annotate_run, redact, track_costs
from langchain_nebula_video.lifecycle.factory import LifecycleOptions
from langchain_nebula_video.lifecycle.options import ClientOptions
from langchain_nebula_video.saving.secrets import redact as redact_url
from langchain_nebula_video.schema import Video, VideoRequest

__all__ = ["NebulaVideoRunnable"]

_DEFAULT_CONCURRENCY = 4


class RunnableOptions(ClientOptions, total=False):
    """The keywords of the runnable: those of the clients, and defaults for requests."""

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
    """Takes an image, waits for the video, and returns a `Video`.

    Setup:
        ```bash
        pip install langchain-nebula-video
        export NEBULA_API_KEY="sk-…"
        ```

    Instantiation:
        ```python
        from langchain_nebula_video import NebulaVideoRunnable

        animate = NebulaVideoRunnable(prompt="The camera slowly moves in", duration=5)
        ```

    Invocation:
        ```python
        video = animate.invoke("https://example.com/cat.jpg")
        chain = draw_a_picture | animate
        ```

    The arguments are those of `Options`, and the defaults of a request.

    The input is one of:

    - a dict with fields of `VideoRequest`, and `key` if you like; or a `VideoRequest`;
    - an image in any form that the client takes;
    - a message with an image, a list of messages, or dicts with `role` and `content`;
    - a dict with messages under `messages`, and fields of `VideoRequest` or `key` beside them.

    From messages it takes the newest image. If there is no other prompt, the prompt is the user's last words, without
    image URLs. Words of models and tools are never the prompt.

    With `invoke(input, config, key="…")`, or with `key` in a dict, the same key never pays twice. Without a key, the
    same request after an error resumes the first task. So neither `with_retry` nor a node's retry policy pays again.

    `batch` and `abatch` run at most `max_concurrency` videos at once; the default is 4. If one fails, the others still
    run to their end, and the error that is raised has all results in `error.results`. `with_retry` repeats only what
    failed and raises the last error alone, without these results. So call
    `with_retry().batch(inputs, return_exceptions=True)` to keep every paid video.

    `langchain_core.load.dumps` writes the runnable without its key. `loads` reads it if you allow the class:

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
        # The fields have the types after validation. The constructor takes more: a key as plain text, for example.
        def __init__(self, **options: Unpack[RunnableOptions]) -> None: ...

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Whether `dumps` and `loads` work: yes, with the key as a secret."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """`dumps` writes the name of the key's environment variable instead of the key."""
        return {"api_key": self.gateway_row.key_variable}

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """Options that JSON cannot hold, in a form that the constructor accepts."""
        passed = "group_ratio" in self.model_fields_set  # then it counts as known
        plain: dict[str, Any] = {"group_ratio": str(self.group_ratio) if passed else None}
        if self.prices is not None:
            plain["prices"] = {
                name: {tier: str(price) for tier, price in table.items()} for name, table in self.prices.items()
            }
        if self.budget is not None:
            plain["budget"] = self.budget.as_dict()
        for name in ("save_to", "image_folder"):
            if getattr(self, name) is not None:
                path = os.fspath(getattr(self, name))
                plain[name] = redact_url(path, path)
        return plain

    def invoke(
        self, input: Any, config: RunnableConfig | None = None, *, key: str | None = None, **kwargs: Any
    ) -> Video:
        """Return the finished video. Errors are those of `NebulaVideoClient.generate`.

        Args:
            input: What to animate; see the class.
            config: LangChain's configuration.
            key: Your own name for this video. The same key never pays twice. It wins over a `key` in the input.
            kwargs: Fields of `VideoRequest`. They win over the input and over the defaults.
        """

        def run(_: Any, run_manager: Any, config: RunnableConfig) -> Video:  # noqa: ARG001 LangChain's signature
            request, own_key = self._read(input, kwargs)
            with track_costs(), count_for_thread(config):
                video: Video = self.run_blocking(
                    "generate",
                    request,
                    **_key_arguments(own_key if key is None else key),
                    on_progress=heard_progress(config),
                )
                annotate_run(video)
            return video

        return self._call_with_config(run, redact(input), config, run_type="tool")

    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, *, key: str | None = None, **kwargs: Any
    ) -> Video:
        """The async twin of `invoke`."""

        async def run(_: Any, run_manager: Any, config: RunnableConfig) -> Video:  # noqa: ARG001 LangChain's signature
            request, own_key = self._read(input, kwargs)
            lifecycle, report = self.async_lifecycle(), heard_progress_async(config)
            with track_costs(), count_for_thread(config):
                video = await lifecycle.generate(
                    request, **_key_arguments(own_key if key is None else key), on_progress=report
                )
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
        """Make several videos, at most `max_concurrency` (4) at once. If one fails, none of the others is lost.

        Two equal inputs are two videos: outside of graphs, and in a node if each has a `key` of its own.
        """
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

    def _read(self, given: Any, overrides: Mapping[str, Any]) -> tuple[VideoRequest, str | None]:
        """The request of an input, and its key."""
        given, key = split_key(given)
        defaults = {name: value for name in _DEFAULTS if (value := getattr(self, name)) is not None}
        reader = InputReader(self.offer, defaults, files_allowed=self.image_folder is not None)
        return reader.request(given, overrides), key


_DEFAULTS = [name for name in VideoRequest.model_fields if name in NebulaVideoRunnable.model_fields and name != "model"]
"""The fields of a request that the runnable has too. `model` is an option of every client."""


def _key_arguments(key: str | None) -> dict[str, Any]:
    """The caller's key. Without one: the key of the graph's node, so that a node that runs again does not pay again."""
    if key is not None:
        return {"key": key}
    return {"key": node_key(), "adopt": True}


def _limit_concurrency(config: RunnableConfig | list[RunnableConfig] | None) -> RunnableConfig | list[RunnableConfig]:
    """The config with a default `max_concurrency`, because each run pays."""
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
