"""LangGraph nodes that submit, wait and save, and a graph of them. Needs the extra `langgraph`.

```text
START ─► approve ─► submit ─► wait ─► save ─► END
            └─ declined ─────────────────────► END
```

| node      | pays    | when it is replayed or retried                                             |
|-----------|---------|----------------------------------------------------------------------------|
| `approve` | nothing | asks again; nothing was sent                                               |
| `submit`  | a video | resumes its task, by the approval, else by the key of the node             |
| `wait`    | nothing | fetches again                                                              |
| `save`    | nothing | saves again, or finds the file                                             |

Compile with a checkpointer and run with `durability="sync"`, which stores the result of `submit` before `wait` begins.
With a `SqlJournal` the process may die anywhere, even in `submit`: the resumed run pays once. The state is plain data,
so every checkpointer can store it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, cast

from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from typing_extensions import TypedDict  # of Python's own before 3.12, a server can make no schema

from langchain_nebula_video.catalog.offers import build_request
from langchain_nebula_video.client import AsyncNebulaVideoClient, NebulaVideoClient
from langchain_nebula_video.errors import (
    DownloadError,
    InvalidRequestError,
    NebulaVideoError,
    NotSentError,
    RefusedError,
    RequestError,
    SubmissionUnconfirmedError,
)
from langchain_nebula_video.langchain.graph_schemas import check_input_schema, row_schemas
from langchain_nebula_video.langchain.image_preview import (
    describe_fields,
    given_images,
    image_facts,
    image_line,
    price_text,
)
from langchain_nebula_video.langchain.plain_state import check_plain, to_plain
from langchain_nebula_video.langchain.progress import heard_progress, heard_progress_async
from langchain_nebula_video.langchain.replay import count_for_thread, node_key
from langchain_nebula_video.langchain.tracing import annotate_run, redact, track_costs
from langchain_nebula_video.lifecycle.options import Options
from langchain_nebula_video.lifecycle.orders import Order, order_for
from langchain_nebula_video.schema import Task, Video, VideoRequest

try:
    from langgraph.channels import EphemeralValue
    from langgraph.graph import END, START, StateGraph
    from langgraph.types import Command, RetryPolicy, interrupt

    from langchain_nebula_video.langchain.video_cache import VideoCache
except ImportError as error:  # pragma: no cover - the extra is there in every test environment
    raise ImportError('This wants LangGraph: pip install "langchain-nebula-video[langgraph]"') from error
try:  # the newest streams (`stream_events(version="v3")`) have progress only if a graph is compiled with this
    from langgraph.stream.transformers import CustomTransformer
except ImportError:  # an older LangGraph, which has no such streams
    _SHOWS_PROGRESS: dict[str, Any] = {}
else:
    _SHOWS_PROGRESS = {"transformers": [CustomTransformer]}

__all__ = ["VideoCache", "VideoState", "approval_node", "save_node", "submit_node", "video_graph", "wait_node"]

Client = NebulaVideoClient | AsyncNebulaVideoClient
Node = Runnable[Any, dict[str, Any]]
_UNCLEAR_APPROVALS = frozenset({"", "true", "yes", "y", "ok", "okay", "approve", "approved"})
"""Texts that may mean yes. They neither spend money nor decline: the question is asked again."""


class VideoState(TypedDict, total=False):
    """What the nodes read and write, as plain data."""

    request: dict[str, Any]
    """Fields of a `VideoRequest`, with images as URLs, `data:` URIs, bytes or content blocks. As the input of
    `video_graph` also a `VideoRequest`, and paths, open files and PIL images: they are read at once."""
    key: str
    """Your own name for the video; the default is the key of the node. It stays in the thread's state, so give another
    one with the next request."""
    task: dict[str, Any]
    """Fields of a `Task`; `submit` writes it."""
    video: dict[str, Any]
    """Fields of a `Video`; `wait` writes it, and `save` adds `path`."""
    declined: str
    """Why a person declined."""


class _NodeState(VideoState, total=False):
    """The state with its private key. LangGraph adds the keys that a node's first parameter names to any graph."""

    nebula_video_approval: str
    """The key of the video that `approve` let through: one approval pays for one video, however often the answer
    arrives. Each answer ends `approve` in a checkpoint of its own, so the key of the node `submit` differs."""


class _SubmitNode(RunnableLambda[Any, dict[str, Any]]):
    """A runnable that tells LangGraph, by the annotation below, which keys of the state it reads."""

    def __call__(self, state: _NodeState) -> dict[str, Any]:
        return self.invoke(state)


def submit_node(client: Client, *, save_to: Any = None) -> Node:
    """A node that submits `state["request"]` and writes `task`. It sends at most one paid POST.

    After `approval_node` the approval names the video: answers that arrive twice, or at the same time, pay once.

    Args:
        client: A blocking or an async one. The node works in `invoke` and in `ainvoke` with either.
        save_to: Where a later `save_node` saves the video. It is tried before paying.
    """
    options = client._options  # noqa: SLF001 of this package

    def submit(state: _NodeState) -> dict[str, Any]:
        with _explain_second_answer(state), count_for_thread():
            task = options.run_blocking("submit", _request_in(state), save_to=save_to, **_key_arguments(state))
        return _task_update(state, task)

    async def asubmit(state: _NodeState) -> dict[str, Any]:
        with _explain_second_answer(state), count_for_thread():
            task = await options.async_lifecycle().submit(_request_in(state), save_to=save_to, **_key_arguments(state))
        return _task_update(state, task)

    return _SubmitNode(submit, asubmit, name="nebula_submit")


def wait_node(client: Client) -> Node:
    """A node that waits for `state["task"]` and writes `video`. It costs nothing.

    Progress goes to the graph's custom stream and to callbacks.
    """
    options = client._options  # noqa: SLF001

    def wait(state: VideoState, config: RunnableConfig) -> dict[str, Any]:
        with track_costs():
            return _video_update(options.run_blocking("wait", _task_in(state), on_progress=heard_progress(config)))

    async def await_(state: VideoState, config: RunnableConfig) -> dict[str, Any]:
        lifecycle = options.async_lifecycle()
        with track_costs():
            return _video_update(await lifecycle.wait(_task_in(state), on_progress=heard_progress_async(config)))

    return RunnableLambda(wait, await_, name="nebula_wait")


def save_node(client: Client, save_to: Any) -> Node:
    """A node that saves `state["video"]` and adds its `path`. `save_to` is as for a client."""
    options = client._options  # noqa: SLF001

    def save(state: VideoState, config: RunnableConfig) -> dict[str, Any]:
        report = heard_progress(config)
        return {"video": _dump_video(options.run_blocking("download", _video_in(state), save_to, on_progress=report))}

    async def asave(state: VideoState, config: RunnableConfig) -> dict[str, Any]:
        report, lifecycle = heard_progress_async(config), options.async_lifecycle()
        return {"video": _dump_video(await lifecycle.download(_video_in(state), save_to, on_progress=report))}

    return RunnableLambda(save, asave, name="nebula_save")


def approval_node(client: Client, *, over_usd: Decimal | float | str = 0) -> Any:
    """A node that asks a person before anything is spent, with `interrupt`. Then it goes to `submit` or to the end.

    A request that cannot work is refused before anybody is asked: its images are read and checked as before paying.
    The person gets a dict of plain data:

    | key           | value                                                                                |
    |---------------|--------------------------------------------------------------------------------------|
    | `type`        | `"nebula_video_approval"`                                                            |
    | `question`    | one line with the price                                                              |
    | `cost_usd`    | the price as a float; `None` if it is unknown                                        |
    | `images`      | for each image its `field`, and `url` without the signature, or `name`, `format`,    |
    |               | `bytes`, `width`, `height` and `thumbnail`: a JPEG of at most 160 pixels a side as a |
    |               | `data:` URI of at most 10,000 characters; without one, `note` says why               |
    | `description` | all of this as text: the question, the images, then one line for each field          |
    | `request`     | the request, with the size of images instead of their data                           |
    | `error`       | why the last answer could not be followed                                            |

    | answer with `Command(resume=…)`                    | meaning                                     |
    |----------------------------------------------------|---------------------------------------------|
    | `True`                                             | approved                                    |
    | a dict of fields, such as `{"resolution": "480p"}` | approved with these changes                 |
    | `False`                                            | declined                                    |
    | a text that says why not                           | declined, with this reason                  |
    | anything else                                      | asks again, with an `error` that says why   |

    Args:
        client: Its prices count.
        over_usd: Ask only if the video costs more than this, by the configured prices and `group_ratio`: the decision
            must not change while the run is paused. The price that is shown is by the ratio that the gateway reported.
            An unknown price is always asked about.

    Raises:
        InvalidRequestError: In a run: the request cannot work; or an image in the state is a path, an open file or a
            PIL image, which a checkpointer may not keep. Give its bytes.
    """
    limit = Decimal(str(over_usd))
    options = client._options  # noqa: SLF001

    def approve(state: _NodeState) -> Command[Any]:
        request = _request_in(state)
        check_plain(request, options)
        order = order_for(options, request)
        asked_about = client.quote(request).usd  # by the configured prices: these do not change while the run is paused
        if asked_about is not None and asked_about <= limit:
            return _approve()
        question = _question(state, order, options.group_ratio)
        while True:  # LangGraph replays every earlier answer, so an invalid one needs another `interrupt`
            answer = interrupt(question)
            if answer is True:
                return _approve()
            if answer is False or (isinstance(answer, str) and answer.strip().lower() not in _UNCLEAR_APPROVALS):
                why = answer or "declined"
                return Command(goto=END, update={**_clear_results(state), "declined": why})
            try:
                changed = _apply_changes(options, state["request"], answer)
            except NebulaVideoError as error:
                question = {**question, "error": str(error)}
            else:
                return _approve(request=changed)

    return approve


def _question(state: _NodeState, order: Order, configured_ratio: Decimal) -> dict[str, Any]:
    """What a person is asked, as plain data."""
    asked = f"Make this video for {price_text(order.cost, configured_ratio)}?"
    wires = [image for images in order.images.values() for image in images]
    given = given_images(order.request)
    pictures = [
        image_facts(name, image, wire, thumbnail=True) for (name, image), wire in zip(given, wires, strict=True)
    ]
    fields = {name: value for name, value in order.request if value not in (None, False)}
    parts = [asked], [image_line(facts) for facts in pictures], describe_fields(fields)
    return {
        "type": "nebula_video_approval",
        "question": asked,
        "cost_usd": None if order.cost.usd is None else float(order.cost.usd),
        "images": pictures,
        "description": "\n\n".join("\n".join(lines) for lines in parts if lines),
        "request": redact(state["request"]),
    }


def _approve(**changes: Any) -> Command[Any]:
    """Go to `submit` with the key of this approval: the task of its node is the same in every resumption."""
    return Command(goto="submit", update={**changes, "nebula_video_approval": node_key()})


def video_graph(
    client: Client,
    *,
    save_to: Any = None,
    approve_over_usd: Decimal | float | str | None = None,
    wait_timeout: Any = None,
    checkpointer: Any = None,
    name: str = "nebula_video",
    description: str | None = None,
    input_schema: Any = None,
) -> Any:
    """Return a compiled graph that submits, waits and saves. It runs alone or as a node of another graph.

    Args:
        client: Its budget, journal and model apply.
        save_to: As for a client; `None`: the video is not saved. Give it here rather than to the client.
        approve_over_usd: Ask a person before a video that costs more; `None`: never ask. Needs a checkpointer. One
            approval pays for one video, however often its answer arrives. To go back to a checkpoint before the answer
            is to ask again: a new answer pays for another video.
        wait_timeout: A LangGraph `TimeoutPolicy` for the node that waits. LangGraph supports it in async runs only.
        checkpointer: As for `StateGraph.compile`. Leave it out inside another graph.
        name: In traces, and as a node of another graph. A LangGraph server calls its assistant and MCP tool so: give
            each graph of a server another name.
        description: What the graph is for. It stands in the JSON schema of the input.
        input_schema: A `TypedDict` with `request`, and `key` if you like. `None`: the request has the fields, choices
            and limits of the client's model. It is told to Studio and to MCP clients; the request is checked as ever.

    Only the nodes that cost nothing are retried. A run that failed in `wait` continues there when you resume it.

    Raises:
        InvalidRequestError: The `input_schema` is none with which the graph can work.
    """
    given, returned = row_schemas(client._options.offer(None), description)  # noqa: SLF001
    if input_schema is not None:
        given = check_input_schema(input_schema)
    graph = StateGraph(VideoState, input_schema=given, output_schema=returned)
    if approve_over_usd is not None:
        graph.add_node("approve", approval_node(client, over_usd=approve_over_usd), destinations=("submit", END))
    graph.add_edge(START, "submit" if approve_over_usd is None else "approve")
    submit = submit_node(client, save_to=save_to)
    if wait_timeout is not None:
        submit = _SubmitNode(_refuse_sync_run, submit.ainvoke, name="nebula_submit")
    graph.add_node("submit", cast("Any", submit))
    again = RetryPolicy(max_attempts=3, retry_on=_is_safe_to_retry)
    more = {} if wait_timeout is None else {"timeout": wait_timeout}
    graph.add_node("wait", cast("Any", wait_node(client)), retry_policy=again, **more)
    graph.add_edge("submit", "wait")
    if save_to is not None:
        graph.add_node("save", cast("Any", save_node(client, save_to)), retry_policy=again)
        graph.add_edge("wait", "save")
    graph.add_edge("wait" if save_to is None else "save", END)
    compiled = graph.compile(checkpointer=checkpointer, name=name, **_SHOWS_PROGRESS)
    compiled.channels[START] = _plain_input(client._options)  # noqa: SLF001
    return compiled


def _plain_input(options: Options) -> EphemeralValue[Any]:
    """The channel of the graph's input, which makes the request plain data before a checkpointer stores it."""

    class PlainInput(EphemeralValue[Any]):
        def update(self, values: Sequence[Any]) -> bool:
            return super().update([_with_plain_request(value, options) for value in values])

    return PlainInput(VideoState)


def _with_plain_request(state: Any, options: Options) -> Any:
    if not isinstance(state, Mapping) or "request" not in state:
        return state
    return {**state, "request": to_plain(state["request"], options)}


def _refuse_sync_run(_: VideoState) -> dict[str, Any]:
    raise InvalidRequestError("wait_timeout bounds async runs only.", hint="Use ainvoke, or leave it out.")


def _is_safe_to_retry(error: Exception) -> bool:
    """Whether an error of a node that pays nothing may be temporary."""
    if isinstance(error, DownloadError | NotSentError):
        return True
    return isinstance(error, RequestError) and not isinstance(error, RefusedError | SubmissionUnconfirmedError)


def _apply_changes(options: Options, request: Mapping[str, Any], answer: object) -> dict[str, Any]:
    """The request with a person's changes, if such a video can be made."""
    if not isinstance(answer, Mapping):
        raise InvalidRequestError(
            f"{answer!r:.80} is no answer.", hint="Answer True, False, why not, or a dict of fields to change."
        )
    changed: dict[str, Any] = to_plain({**request, **answer}, options)
    order_for(options, build_request(changed, {}))
    return changed


# --- state ---


def _request_in(state: VideoState) -> VideoRequest:
    if not state.get("request"):
        raise InvalidRequestError(
            "The state has no request.", hint='Give {"request": {"prompt": "…", "image": "https://…"}}.'
        )
    return build_request(state["request"], {})


def _key_arguments(state: _NodeState) -> dict[str, Any]:
    if key := state.get("key"):
        return {"key": key}
    if approval := state.get("nebula_video_approval"):
        return {"key": approval, "adopt": True, "exact_key": True}
    return {"key": node_key(), "adopt": True}


@contextmanager
def _explain_second_answer(state: _NodeState) -> Iterator[None]:
    """Say it if another answer to the same question has been followed already."""
    try:
        yield
    except InvalidRequestError as error:
        if error.task_id is None or state.get("key") or not state.get("nebula_video_approval"):
            raise
        raise InvalidRequestError(
            f"This approval was answered twice, and task {error.task_id} follows the other answer. One approval pays "
            "for one video.",
            money=error.money,
            hint="Use that task's video, or start a new run for another one.",
            task_id=error.task_id,
        ) from error


def _task_update(state: _NodeState, task: Task) -> dict[str, Any]:
    annotate_run(task)
    return {**_clear_results(state), "task": task.model_dump(mode="json", exclude={"raw"})}


def _clear_results(state: _NodeState) -> dict[str, Any]:
    """Clear what an earlier run on the thread left in the state, so that it is not taken for this run's."""
    names = ("task", "video", "declined", "nebula_video_approval")
    return {name: None for name in names if state.get(name) is not None}


def _video_update(video: Video) -> dict[str, Any]:
    annotate_run(video)
    return {"video": _dump_video(video)}


def _dump_video(video: Video) -> dict[str, Any]:
    return video.model_dump(mode="json", exclude={"raw"})


def _task_in(state: VideoState) -> Task:
    if not state.get("task"):
        raise InvalidRequestError("The state has no task.", hint="Let submit_node write it first.")
    return Task.model_validate(state["task"])


def _video_in(state: VideoState) -> Video:
    if not state.get("video"):
        raise InvalidRequestError("The state has no video.", hint="Let wait_node write it first.")
    return Video.model_validate(state["video"])
