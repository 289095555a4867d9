"""Conversations with a picture in them, by the packages that make such conversations: their models, their tools.

Each takes the picture and an https address that leads to it, and hands over the messages. Models answer from recorded
shapes of their providers' HTTP interfaces; nothing opens a socket.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import httpx2
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from mcp.types import CallToolResult, ImageContent
from PIL import Image

Make = Callable[[bytes, str], list[Any]]


@dataclass(frozen=True)
class Producer:
    """Somebody who puts a picture into a conversation."""

    name: str
    make: Make
    made_by: str
    by_address: bool = False
    """Whether the conversation holds the address, not the picture."""
    rendered: bool = False
    """Whether the picture was taken apart and encoded anew."""
    claimed: bool = False
    """Whether only an assistant's words speak of it: whoever wants it animated names it."""

    def __repr__(self) -> str:
        return self.name


PRODUCERS: list[Producer] = []
Decorator = Callable[[Make], Make]


def producer(made_by: str, *, by_address: bool = False, rendered: bool = False, claimed: bool = False) -> Decorator:
    def add(make: Make) -> Make:
        PRODUCERS.append(Producer(make.__name__, make, made_by, by_address, rendered, claimed))
        return make

    return add


def encoded(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def called(one: BaseTool, **args: Any) -> list[Any]:
    """The model's call and the tool's answer, as an agent would have them."""
    call = {"type": "tool_call", "id": f"call_{one.name}", "name": one.name, "args": args}
    return [AIMessage("", tool_calls=[call]), one.invoke(call)]


# --- OpenAI's built-in image_generation ---


def _openai_reply(picture: bytes) -> dict[str, Any]:
    image = {
        "type": "image_generation_call",
        "id": "ig_1",
        "status": "completed",
        "result": encoded(picture),
        "action": "generate",
        "background": "opaque",
        "output_format": "png",
        "quality": "low",
        "revised_prompt": "A cat, like https://example.com/other.png",
        "size": "1024x1024",
    }
    text = {"type": "output_text", "text": "Here it is.", "annotations": []}
    message = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [text]}
    return {
        "id": f"resp_{hashlib.sha256(picture).hexdigest()[:16]}",  # LangGraph keeps one message of each id
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "gpt-5",
        "output": [image, message],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [{"type": "image_generation"}],
        "metadata": {},
        "temperature": 1,
        "top_p": 1,
    }


def _openai(answer: httpx2.Response, output_version: str) -> Any:
    from langchain_openai import ChatOpenAI

    client = httpx2.Client(transport=httpx2.MockTransport(lambda _: answer))
    unused = httpx2.AsyncClient(transport=httpx2.MockTransport(lambda _: answer))  # one of its own would read all roots
    options: Any = {
        "api_key": "x", "http_client": client, "http_async_client": unused, "output_version": output_version,
    }  # fmt: skip
    model = ChatOpenAI(model="gpt-5", use_responses_api=True, **options)
    return model.bind_tools([{"type": "image_generation"}])


def openai_answer(picture: bytes, output_version: str) -> AIMessage:
    answer: AIMessage = _openai(httpx2.Response(200, json=_openai_reply(picture)), output_version).invoke("Draw")
    return answer


@producer("the assistant")
def openai_v0(picture: bytes, address: str) -> list[Any]:
    """The picture is in `additional_kwargs["tool_outputs"]`."""
    return [openai_answer(picture, "v0")]


@producer("the assistant")
def openai_responses_v1(picture: bytes, address: str) -> list[Any]:
    """The picture is a raw `image_generation_call` in the content."""
    return [openai_answer(picture, "responses/v1")]


@producer("the assistant")
def openai_v1(picture: bytes, address: str) -> list[Any]:
    """The picture is a standard block."""
    return [openai_answer(picture, "v1")]


@producer("the assistant")
def openai_streamed(picture: bytes, address: str) -> list[Any]:
    reply = _openai_reply(picture)
    image = reply["output"][0]
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**reply, "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**image, "result": None}},
        {
            "type": "response.image_generation_call.partial_image",
            "item_id": "ig_1",
            "output_index": 0,
            "partial_image_b64": encoded(picture),
            "partial_image_index": 0,
        },
        {"type": "response.output_item.done", "output_index": 0, "item": image},
        {"type": "response.completed", "response": reply},
    ]
    numbered = [{**event, "sequence_number": at} for at, event in enumerate(events)]
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in numbered)
    answer = httpx2.Response(200, text=body, headers={"content-type": "text/event-stream"})
    return [_joined(_openai(answer, "v0").stream("Draw"))]


def _joined(chunks: Any) -> AIMessageChunk:
    first, *others = chunks
    whole: AIMessageChunk = sum(others, first)
    return whole


# --- Gemini's image models ---


def _gemini(picture: bytes, output_version: str) -> Any:
    from langchain_google_genai import ChatGoogleGenerativeAI

    parts = [{"text": "Here it is."}, {"inlineData": {"mimeType": "image/png", "data": encoded(picture)}}]
    reply = {
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
        "modelVersion": "gemini-2.5-flash-image",
    }

    def answer(request: httpx.Request) -> httpx.Response:
        if "stream" in request.url.path:
            return httpx.Response(200, text=f"data: {json.dumps(reply)}\n\n")
        return httpx.Response(200, json=reply)

    return ChatGoogleGenerativeAI(
        model="gemini-2.5-flash-image",
        api_key="x",
        client_args={"transport": httpx.MockTransport(answer)},
        output_version=output_version,
    )


@producer("the assistant")
def gemini_v0(picture: bytes, address: str) -> list[Any]:
    """The picture is an `image_url` with a data: URI."""
    return [_gemini(picture, "v0").invoke("Draw")]


@producer("the assistant")
def gemini_v1(picture: bytes, address: str) -> list[Any]:
    return [_gemini(picture, "v1").invoke("Draw")]


@producer("the assistant")
def gemini_streamed(picture: bytes, address: str) -> list[Any]:
    return [_joined(_gemini(picture, "v0").stream("Draw"))]


# --- what a user gives ---


def _user(*blocks: Any) -> list[Any]:
    return [HumanMessage([{"type": "text", "text": "Animate this."}, *blocks])]


def _anthropic_form(block: dict[str, Any]) -> dict[str, Any]:
    """The message as langchain-anthropic writes it for Anthropic: images have a `source`."""
    from langchain_anthropic.chat_models import _format_messages

    _, (message,) = _format_messages(_user(block), model="claude-sonnet-4-5")
    assert "source" in message["content"][-1]
    return dict(message)


@producer("the user")
def anthropic_base64(picture: bytes, address: str) -> list[Any]:
    block = {"type": "image", "base64": encoded(picture), "mime_type": "image/png"}
    return [HumanMessage(_anthropic_form(block)["content"])]


@producer("the user", by_address=True)
def anthropic_url(picture: bytes, address: str) -> list[Any]:
    return [HumanMessage(_anthropic_form({"type": "image", "url": address})["content"])]


@producer("the user", by_address=True)
def anthropic_message_as_a_dict(picture: bytes, address: str) -> list[Any]:
    return [_anthropic_form({"type": "image", "url": address})]


@producer("the user")
def user_block(picture: bytes, address: str) -> list[Any]:
    return _user({"type": "image", "base64": encoded(picture), "mime_type": "image/png"})


@producer("the user", by_address=True)
def user_block_with_an_address(picture: bytes, address: str) -> list[Any]:
    return _user({"type": "image", "url": address, "mime_type": "image/png"})


@producer("the user")
def user_image_url(picture: bytes, address: str) -> list[Any]:
    return _user({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded(picture)}"}})


@producer("the user", by_address=True)
def user_image_url_as_a_bare_string(picture: bytes, address: str) -> list[Any]:
    return _user({"type": "image_url", "image_url": address})


@producer("the user")
def user_input_image(picture: bytes, address: str) -> list[Any]:
    return _user({"type": "input_image", "image_url": f"data:image/png;base64,{encoded(picture)}", "detail": "auto"})


@producer("the user")
def user_file_that_is_an_image(picture: bytes, address: str) -> list[Any]:
    return _user({"type": "media", "mime_type": "image/png", "data": encoded(picture)})


@producer("the user")
def user_dict(picture: bytes, address: str) -> list[Any]:
    block = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded(picture)}"}}
    return [{"role": "user", "content": [{"type": "text", "text": "Animate this."}, block]}]


@producer("the user", by_address=True)
def user_prose(picture: bytes, address: str) -> list[Any]:
    return [HumanMessage(f"Please animate my cat ({address}), slowly.")]


@producer("the user", by_address=True)
def user_markdown(picture: bytes, address: str) -> list[Any]:
    return [HumanMessage(f"Animate ![my cat]({address.removesuffix('.png')}).")]


@producer("the assistant", by_address=True, claimed=True)
def assistant_markdown(picture: bytes, address: str) -> list[Any]:
    return [AIMessage(f"I found this one: ![a cat]({address})\nShall I animate it?")]


# --- tools that answer with addresses ---


def dalle(*addresses: str, separator: str = "\n") -> BaseTool:
    """langchain-community's tool, OpenAI's client and a mocked OpenAI."""
    import openai

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # langchain-community is being sunset, it says
        from langchain_community.tools.openai_dalle_image_generation import OpenAIDALLEImageGenerationTool
        from langchain_community.utilities.dalle_image_generator import DallEAPIWrapper

    reply = {"created": 1, "data": [{"url": address} for address in addresses]}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=reply))
    images = openai.OpenAI(api_key="x", http_client=httpx2.Client(transport=transport)).images
    wrapper: Any = DallEAPIWrapper
    return OpenAIDALLEImageGenerationTool(api_wrapper=wrapper(api_key="x", client=images, separator=separator))


@producer("tool openai_dalle", by_address=True)
def dalle_tool(picture: bytes, address: str) -> list[Any]:
    return called(dalle(address), query="A cat")


@producer("tool openai_dalle", by_address=True)
def dalle_tool_whose_address_has_no_suffix(picture: bytes, address: str) -> list[Any]:
    return called(dalle(address.removesuffix(".png")), query="A cat")


def answering(answer: Any, artifact: Any = None) -> list[Any]:
    """A call of a tool that gives this; LangChain writes its content."""

    @tool(response_format="content_and_artifact")
    def draw(what: str) -> tuple[Any, Any]:
        """Draw something."""
        return answer, artifact

    return called(draw, what="a cat")


@producer("tool draw", by_address=True)
def tool_with_an_image_url(picture: bytes, address: str) -> list[Any]:
    return answering({"image_url": address.removesuffix(".png"), "seed": 7, "prompt": "https://example.com/other.png"})


@producer("tool draw", by_address=True)
def tool_with_an_url(picture: bytes, address: str) -> list[Any]:
    return answering(json.dumps({"url": address.removesuffix(".png")}))


@producer("tool draw", by_address=True)
def tool_with_images(picture: bytes, address: str) -> list[Any]:
    images = [{"url": address.removesuffix(".png"), "width": 64, "content_type": "image/png"}]
    return answering({"images": images, "timings": {"inference": 1.2}, "seed": 1, "has_nsfw_concepts": [False]})


@producer("tool draw", by_address=True)
def tool_with_prose(picture: bytes, address: str) -> list[Any]:
    return answering(f"Image generated successfully. URL: {address}.")


# --- tools that answer with the picture, or hide it in the artifact ---


@producer("tool draw")
def tool_with_a_block(picture: bytes, address: str) -> list[Any]:
    block = {"type": "image", "base64": encoded(picture), "mime_type": "image/png"}
    return answering([{"type": "text", "text": "Done."}, block], {"images": [block]})


@producer("tool draw")
def tool_with_base64(picture: bytes, address: str) -> list[Any]:
    return answering(encoded(picture))


@producer("tool draw")
def artifact_of_bytes(picture: bytes, address: str) -> list[Any]:
    return answering("Done.", picture)


@producer("tool draw", rendered=True)
def artifact_of_a_pil_image(picture: bytes, address: str) -> list[Any]:
    return answering("Done.", {"image": Image.open(io.BytesIO(picture))})


@producer("tool draw")
def artifact_of_base64(picture: bytes, address: str) -> list[Any]:
    return answering("Done.", {"created": 1, "data": [{"b64_json": encoded(picture), "url": None}]})


@producer("tool draw")
def artifact_of_openai_s_client(picture: bytes, address: str) -> list[Any]:
    from openai.types import Image as OpenAIImage
    from openai.types import ImagesResponse

    return answering("Done.", ImagesResponse(created=1, data=[OpenAIImage(b64_json=encoded(picture))]))


@producer("tool draw")
def artifact_of_google_s_client(picture: bytes, address: str) -> list[Any]:
    from google.genai.types import GeneratedImage, GenerateImagesResponse
    from google.genai.types import Image as GoogleImage

    image = GoogleImage(image_bytes=picture, mime_type="image/png")
    return answering("Done.", GenerateImagesResponse(generated_images=[GeneratedImage(image=image)]))


@producer("tool draw")
def artifact_of_mcp_content(picture: bytes, address: str) -> list[Any]:
    content = ImageContent(type="image", data=encoded(picture), mimeType="image/png")
    return answering("Done.", CallToolResult(content=[content]))


@producer("tool draw")
def artifact_beside_an_address(picture: bytes, address: str) -> list[Any]:
    """One picture in two forms."""
    return answering("https://elsewhere.example.com/view/1", picture)


# --- MCP servers ---


def _mcp(answer: Any, returns: Any = None) -> list[Any]:
    """What langchain-mcp-adapters makes of a real server's answer."""
    from langchain_mcp_adapters.tools import load_mcp_tools
    from mcp.server.fastmcp import FastMCP
    from mcp.shared.memory import create_connected_server_and_client_session as connected

    server = FastMCP("pictures", log_level="ERROR")

    def draw():  # type: ignore[no-untyped-def] # noqa: ANN202 what a function is said to return shapes the answer
        """Draw something."""
        return answer

    if returns is not None:
        draw.__annotations__["return"] = returns
    server.tool()(draw)

    async def call() -> ToolMessage:
        async with connected(server._mcp_server) as session:
            (one,) = await load_mcp_tools(session)
            message: ToolMessage = await one.ainvoke({"type": "tool_call", "id": "1", "name": one.name, "args": {}})
            return message

    return [asyncio.run(call())]


@producer("tool draw")
def mcp_image(picture: bytes, address: str) -> list[Any]:
    from mcp.server.fastmcp import Image as McpImage

    return _mcp(["Here it is.", McpImage(data=picture, format="png")])


@producer("tool draw", by_address=True)
def mcp_link(picture: bytes, address: str) -> list[Any]:
    from mcp.types import ResourceLink

    return _mcp([ResourceLink(type="resource_link", uri=address, name="cat", mimeType="image/png")], list[Any])  # type: ignore[arg-type]


@producer("tool draw", by_address=True)
def mcp_json(picture: bytes, address: str) -> list[Any]:
    return _mcp({"image_url": address}, dict[str, Any])


@producer("tool draw", by_address=True)
def mcp_text(picture: bytes, address: str) -> list[Any]:
    """The address is in the text, and in the artifact's `structured_content` once more."""
    return _mcp(address.removesuffix(".png"), str)
