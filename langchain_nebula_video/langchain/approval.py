"""Ask a person before a video is paid for, with its price and its images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from pydantic import ValidationError

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.langchain.conversation import images
from langchain_nebula_video.langchain.image_preview import (
    describe_fields,
    given_images,
    image_facts,
    image_line,
    one_line,
    price_text,
)
from langchain_nebula_video.langchain.image_values import describe_source, is_url
from langchain_nebula_video.langchain.tool_calls import (
    Tools,
    default_paying_tools,
    paying_tools,
    quote_call,
    unanswered_calls,
)
from langchain_nebula_video.langchain.tool_context import IMAGE_FIELDS, messages_in
from langchain_nebula_video.langchain.tools import RequestTool
from langchain_nebula_video.lifecycle.orders import order_for
from langchain_nebula_video.media.images import prepare_image
from langchain_nebula_video.schema import VideoRequest

__all__ = ["spend_approval"]


def spend_approval(tools: Tools | None = None, *, over_usd: Decimal | float | str = 0) -> dict[str, Any]:
    """The `interrupt_on` of `HumanInTheLoopMiddleware`, to ask a person before a video is paid for.

    The person reads the price, the images, and then what the model wrote: one line for each argument, with control
    characters escaped and cuts marked. They may approve, edit (to a shorter video, for example) or reject. Nothing is
    sent before that. Nobody is asked about a call that a `VideoBudgetMiddleware` refused, or that the tool is certain
    to refuse: an argument or an image that cannot work.

    Args:
        tools: The agent's tools, or its tool or toolkit. Their names, gateways, models and prices count. `None`: the
            tools with default options; then calls that a tool would refuse are asked about too.
        over_usd: Ask only about videos that cost more, by the configured prices and `group_ratio`: the decision to ask
            must not change while the run is paused. An unknown price is always asked about.

    Raises:
        InvalidRequestError: none of the tools pays for videos.

    Example:
        ```python
        from langchain.agents.middleware import HumanInTheLoopMiddleware
        from langchain_nebula_video import NebulaVideoTool
        from langchain_nebula_video.middleware import spend_approval

        tool = NebulaVideoTool()
        asks = HumanInTheLoopMiddleware(interrupt_on=spend_approval(tool, over_usd="0.50"))
        ```
    """
    limit = Decimal(str(over_usd))
    tools_by_name = default_paying_tools() if tools is None else paying_tools(tools)

    def describe(tool_call: Mapping[str, Any], state: Any, runtime: object) -> str:  # noqa: ARG001 LangChain's
        tool, args = tools_by_name[tool_call["name"]], tool_call["args"]
        cost = quote_call(tool, args, tool.current_group_ratio())
        price = (
            "an unknown price" if cost is None or cost.usd is None else f"about {price_text(cost, tool.group_ratio)}"
        )
        first = f"{tool.name} makes a video for {price}."
        fields = ["Written by the model:", *describe_fields(args)]
        return "\n\n".join(
            "\n".join(part) for part in ([first], [*_describe_images(tool, args, state)], fields) if part
        )

    def needs_approval(request: Any) -> bool:
        call = request.tool_call
        waiting = unanswered_calls(request.state)
        if all(call["id"] != other["id"] for other in waiting):
            return False
        tool = tools_by_name[call["name"]]
        if tools is not None and _is_certain_to_be_refused(tool, call["args"], request.state, alone=len(waiting) == 1):
            return False
        cost = quote_call(tool, call["args"], tool.group_ratio)
        return cost is None or cost.usd is None or cost.usd > limit

    entry = {"allowed_decisions": ["approve", "edit", "reject"], "description": describe, "when": needs_approval}
    return {name: dict(entry) for name in tools_by_name}


def _is_certain_to_be_refused(tool: RequestTool, args: Mapping[str, Any], state: Any, *, alone: bool) -> bool:
    """Whether the tool will refuse the call, whatever happens until then: only such a call may run unasked.

    A file may appear meanwhile, and the answer to another call of the turn may bring an image.
    """
    try:
        request = _request_of(tool, args, state)
    except ValidationError:
        return True
    except InvalidRequestError:
        return alone
    offer = tool.offer(request.model)
    try:
        offer.complete(request)
    except InvalidRequestError:
        return True
    if any(_is_file(tool, image) for _, image in given_images(request)):
        return False
    try:
        order_for(tool, request)
    except InvalidRequestError:
        return alone
    return False


def _request_of(tool: RequestTool, args: Mapping[str, Any], state: Any) -> VideoRequest:
    """The request that the tool will make of these arguments, by its own means."""
    schema: Any = tool.args_schema
    parsed = schema.model_validate(dict(args))
    fields = {name: getattr(parsed, name) for name in parsed.model_fields_set if name != "runtime"}
    return tool.request_from_call(fields, SimpleNamespace(state=state))


def _is_file(tool: RequestTool, image: Any) -> bool:
    return tool.image_folder is not None and isinstance(image, str) and not is_url(image)


def _describe_images(tool: RequestTool, args: Mapping[str, Any], state: Any) -> Iterator[str]:
    """One line for each image that a call would use. The tool chooses them, as it will when called."""
    try:
        request = _request_of(tool, args, state)
    except (ValidationError, InvalidRequestError) as error:
        given = [f"{name}: {one_line(args[name])}" for name in IMAGE_FIELDS if args.get(name) is not None]
        yield from given
        yield one_line(f"The tool will refuse this call: {getattr(error, 'what', 'the arguments are not valid.')}")
        return
    available = images(messages_in(SimpleNamespace(state=state)) or ())
    limits = tool.offer(request.model).images
    for name, source in given_images(request):
        numbered = next((image for image in available if image.source == source), None)
        before = f"number {numbered.handle}: " if numbered else ""
        after = f", by {numbered.made_by}" if numbered else ", chosen by the model"
        try:
            facts = image_facts(
                name, source, prepare_image(source, limits, folder=tool.image_folder, fit=tool.fit), thumbnail=False
            )
        except InvalidRequestError as error:
            text = source if isinstance(source, str) and not is_url(source) else describe_source(source)
            yield one_line(f"{name}: {before}{text}{after}. The tool will refuse it: {error.what}")
        else:
            yield image_line(facts, before, after)
