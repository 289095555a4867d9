"""The FastMCP server: tools, resources, consent and progress in MCP's words."""

from __future__ import annotations

import asyncio
import logging
import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from typing import Any

import mcp_types
from fastmcp import Context, FastMCP
from fastmcp.dependencies import CurrentContext
from fastmcp.exceptions import ResourceError
from fastmcp.resources import Resource, ResourceContent, ResourceResult
from fastmcp.server.dependencies import get_context
from fastmcp.server.middleware import Middleware
from fastmcp.server.providers import Provider
from fastmcp.tools.base import InputRequiredToolResult, Tool, ToolResult
from fastmcp.utilities.tasks import TaskConfig
from fastmcp_tasks import TasksExtension
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from langchain_nebula_video.errors import InvalidRequestError, NebulaVideoError
from langchain_nebula_video.langchain.tool_description import description, submit_description
from langchain_nebula_video.lifecycle.factory import LifecycleOptions
from langchain_nebula_video.lifecycle.orders import Order
from langchain_nebula_video.mcp import arguments
from langchain_nebula_video.mcp.consent import CONSENT_SCHEMA, Ask, Tickets, check_answer, must_ask, question
from langchain_nebula_video.mcp.files import VIDEOS, ImageFolder
from langchain_nebula_video.mcp.progress import ProgressFeed
from langchain_nebula_video.mcp.service import ANIMATE, GET, LIST, QUOTE, SUBMIT, Answer, VideoService, error_answer
from langchain_nebula_video.mcp.settings import ServerSettings

__all__ = ["build_server"]

logger = logging.getLogger("langchain_nebula_video")

_ANSWER_SECONDS = 900.0
"""How long a person may think. Nothing is sent meanwhile."""
_DRAIN_SECONDS = 10.0
_MAX_VIDEO_BYTES = 64 * 1024 * 1024
_NAMELESS = frozenset({"", "mcp"})
"""What clients are called that did not say: the SDK's default."""
_MAX_TASKS = 64
"""They only wait. How many requests run at once is decided elsewhere."""
_PAY = "pay"
_NOTES = "_client"

_GET_TEXT = (
    "Gets a video that was started before, by its task_id. Returns JSON: status queued, running, succeeded (with url), "
    "failed or canceled (with reason; nothing was billed). With wait_seconds it waits until the video is ready or the "
    "time is over. It costs nothing, and may be called again at any time within a day: also for a fresh url of a "
    "finished video."
)
_QUOTE_TEXT = (
    "Tells what a video would cost, in US dollars, and how much of the budget is left, if there is one. It costs "
    "nothing. Call it when the user asks for the price, or when several lengths or resolutions are possible."
)
_LIST_TEXT = (
    "Lists the videos that this server has started: those that are unfinished, and the newest finished ones, with "
    "their task_id, cost, path and url. It costs nothing. Call it to find a video whose call was cut off."
)
_INSTRUCTIONS = (
    f"Videos cost money. If a call of {ANIMATE} is cut off, nothing is lost: the same call again goes on with the same "
    f"video and is not paid for again, and {LIST} shows it. For another take of the same video, give another seed."
)

Call = Callable[..., Awaitable[Answer]]


class _InputRequired(Exception):  # noqa: N818 no error: the call is answered with a question
    """The client has to ask a person, and to repeat the call with the answer."""

    def __init__(self, result: Any) -> None:
        self.result = result


@dataclass(frozen=True, slots=True)
class _Row:
    """A tool."""

    name: str
    text: str
    schema: dict[str, Any]
    call: Call
    pays: bool = False
    waits: bool = False


class VideoTool(Tool):
    """A tool whose arguments are checked by the service, whose messages say what to do about them."""

    async def run(self, arguments: dict[str, Any], context: Any = CurrentContext()) -> Any:  # noqa: B008 for tasks
        """Run the tool. A task's worker passes the context; a plain call has it in the environment."""
        context = context if isinstance(context, Context) else get_context()
        return await self._body(arguments, context)

    _body: Any = None


def build_server(options: LifecycleOptions, settings: ServerSettings) -> Any:
    """Return the server."""
    service = VideoService(options, settings)
    tickets = Tickets()

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        async with service.lifecycle.runtime.session():
            try:
                yield
            finally:
                await service.lifecycle.drain(_DRAIN_SECONDS)

    server = FastMCP(
        "nebula-video",
        instructions=_INSTRUCTIONS,
        version=version("langchain-nebula-video"),
        website_url="https://github.com/langchain-nebula-video/langchain-nebula-video",
        lifespan=lifespan,
        middleware=[ClientNotes()],
    )
    longest = options.timeout or service.offer.model.timeout
    # A worker that is at work longer than this counts as dead, and the task is run again.
    tasks = TasksExtension(url="memory://", concurrency=_MAX_TASKS, redelivery_timeout=timedelta(seconds=2 * longest))
    server.add_extension(tasks)
    for row in _rows(service):
        server.add_tool(_tool(row, service, tickets))
    _add_resources(server, service)
    return server


def _rows(service: VideoService) -> list[_Row]:
    offer, ratio = service.offer, service.options.group_ratio
    video = arguments.video_schema(offer, files=service.options.image_folder is not None)
    return [
        _Row(
            ANIMATE,
            description(offer, ratio, GET, conversation=False),
            video,
            service.animate,
            pays=True,
            waits=True,
        ),
        _Row(SUBMIT, submit_description(offer, ratio, GET, conversation=False), video, service.submit, pays=True),
        _Row(GET, _GET_TEXT, arguments.json_schema(arguments.GetArguments), service.get, waits=True),
        _Row(QUOTE, _QUOTE_TEXT, arguments.json_schema(service.quote_arguments), service.quote),
        _Row(LIST, _LIST_TEXT, arguments.json_schema(arguments.ListArguments), service.list_videos),
    ]


def _tool(row: _Row, service: VideoService, tickets: Tickets) -> Any:
    saves = row.waits and service.options.save_to is not None
    tool = VideoTool(
        name=row.name,
        description=row.text,
        parameters=row.schema,
        output_schema={"type": "object", "additionalProperties": True},
        annotations=mcp_types.ToolAnnotations(
            read_only_hint=not (row.pays or saves),
            destructive_hint=False,
            open_world_hint=row.name not in {QUOTE, LIST},
        ),
        task_config=TaskConfig(mode="optional" if row.waits else "forbidden", poll_interval=timedelta(seconds=2)),
    )
    object.__setattr__(tool, "_body", partial(_run, row, service, tickets))
    return tool


async def _run(row: _Row, service: VideoService, tickets: Tickets, given: dict[str, Any], context: Any) -> Any:
    notes = given.get(_NOTES, {})
    fields = {name: value for name, value in given.items() if name != _NOTES}
    feed = ProgressFeed(context.report_progress) if row.waits else None
    try:
        answer = await row.call(fields, _asker(service, tickets, context, can_ask=notes.get("asks", False)), feed)
    except _InputRequired as required:
        return InputRequiredToolResult(required.result)
    except NebulaVideoError as error:
        answer = error_answer(error)
    content: list[Any] = [mcp_types.TextContent(type="text", text=answer.text)]
    links = service.settings.links
    if answer.link is not None and (links == "always" or (links == "auto" and notes.get("named", False))):
        task_id = answer.facts["task_id"]
        content.append(
            mcp_types.ResourceLink(
                type="resource_link",
                uri=answer.link,
                name=f"{task_id}.mp4",
                description="The video",
                mime_type="video/mp4",
            )
        )
    return ToolResult(content=content, structured_content=answer.facts, is_error=answer.is_error)


# --- what the client can do ---


class ClientNotes(Middleware):
    """Writes what the client can do among the arguments of a call: a task's worker has no connection to look at."""

    async def on_call_tool(self, context: Any, call_next: Any) -> Any:
        """See fastmcp. What a client writes there itself is replaced."""
        session = context.fastmcp_context.session
        notes = {"asks": _can_ask(session.client_capabilities), "named": _is_named(session.client_params)}
        given = {**(context.message.arguments or {}), _NOTES: notes}
        return await call_next(context.copy(message=context.message.model_copy(update={"arguments": given})))


def _is_named(client: Any) -> bool:
    return client is not None and client.client_info.name not in _NAMELESS


def _can_ask(capabilities: Any) -> bool:
    """Return whether the client has forms. A client of 2025 that only says `elicitation` has them."""
    found = getattr(capabilities, "elicitation", None)
    return found is not None and (found.form is not None or found.url is None)


def _asker(service: VideoService, tickets: Tickets, context: Any, *, can_ask: bool) -> Ask:
    async def ask(order: Order) -> None:
        has_budget = service.options.budget is not None
        if not must_ask(service.settings.confirm, can_ask=can_ask, has_budget=has_budget):
            return
        request = context.request_context
        if context.is_background_task or (request is not None and request.protocol_version in MODERN_PROTOCOL_VERSIONS):
            _ask_by_repetition(order, tickets, context)
        else:
            await _ask_at_once(order, context)

    return ask


def _ask_by_repetition(order: Order, tickets: Tickets, context: Any) -> None:
    """Ask as the protocol of 2026-07-28 does: the call ends with a question, and is repeated with the answer."""
    answers = context.input_responses or {}
    if _PAY in answers and tickets.redeem(context.request_state, order):
        answer = answers[_PAY]
        check_answer(answer.action, answer.content, order)
        return
    params = mcp_types.ElicitRequestFormParams(message=question(order), requested_schema=CONSENT_SCHEMA)
    asked = {_PAY: mcp_types.ElicitRequest(params=params)}
    raise _InputRequired(mcp_types.InputRequiredResult(input_requests=asked, request_state=tickets.issue(order)))


async def _ask_at_once(order: Order, context: Any) -> None:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            answer = await context.session.elicit(
                message=question(order), requested_schema=CONSENT_SCHEMA, related_request_id=context.request_id
            )
    except TimeoutError:
        raise InvalidRequestError(
            f"The user was asked for consent, and did not answer for {_ANSWER_SECONDS / 60:.0f} minutes.",
            hint="Ask for this video again when the user is there.",
        ) from None
    check_answer(answer.action, answer.content, order)


# --- resources ---


class ImageProvider(Provider):
    """The images of the folder, as they are at each call."""

    def __init__(self, folder: ImageFolder) -> None:
        super().__init__()
        self._folder = folder

    async def _list_resources(self) -> Sequence[Any]:
        names = await asyncio.to_thread(self._folder.names)
        return [self._resource(name) for name in names]

    def _resource(self, name: str) -> Any:
        async def read() -> Any:
            return await _contents(self._folder.read, name)

        mime = mimetypes.guess_type(name)[0] or "image/jpeg"
        return Resource.from_function(read, uri=self._folder.uri(name), name=name, mime_type=mime)


def _add_resources(server: Any, service: VideoService) -> None:
    if service.options.image_folder is not None:
        server.add_provider(ImageProvider(ImageFolder(service.options.image_folder)))

    @server.resource(VIDEOS + "{task_id}", name="video", description="A saved video.", mime_type="video/mp4")  # type: ignore[untyped-decorator]
    async def video(task_id: str) -> Any:
        return await _contents(_read_video, service, task_id)


async def _read_video(service: VideoService, task_id: str) -> tuple[bytes, str]:
    path = await service.saved_video(task_id)
    if path.stat().st_size > _MAX_VIDEO_BYTES:
        raise InvalidRequestError(f"The video is too large to be sent: {path}.", hint="Open the file.")
    return await asyncio.to_thread(path.read_bytes), "video/mp4"


async def _contents(read: Callable[..., Any], *args: Any) -> Any:
    try:
        found = read(*args)
        data, mime = await found if asyncio.iscoroutine(found) else found
    except NebulaVideoError as error:
        raise ResourceError(str(error), log_level=logging.INFO) from None
    return ResourceResult([ResourceContent(data, mime_type=mime)])
