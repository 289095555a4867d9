#!/usr/bin/env bash
# langchain-mcp-adapters 0.3.2 with langchain-openai 1.7.4: a tool that links to its video ends the conversation.
#
# The adapter makes a `file` block of an MCP `resource_link` that is not an image. OpenAI's chat completions cannot
# carry the URL of a file, so the model's class raises before it sends anything (the error is langchain-core's, 1.8.3).
# The tool did its work, and the model never reads its text. The message stays in the history, so later turns fail too.
# The MCP server is a child on stdio, the model a small server on loopback that counts requests.
#
# Seen:
#   the link became: {'type': 'file', 'url': 'https://example.com/cat.mp4', 'mime_type': 'video/mp4'}
#   text and link: ValueError: OpenAI Chat Completions does not support file URLs., 0 requests
#   text alone: Here is your video., 1 requests
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
packages=(langchain-mcp-adapters==0.3.2 langchain-openai==1.7.4 langchain-core==1.8.3 mcp==1.30.0)
"$work/venv/bin/pip" install --quiet "${packages[@]}"

cat >"$work/server.py" <<'EOF'
from mcp.server.fastmcp import FastMCP
from mcp.types import CallToolResult, ResourceLink, TextContent

server = FastMCP("server", log_level="ERROR")


@server.tool()
def video() -> CallToolResult:
    """Make a video."""
    link = ResourceLink(type="resource_link", name="cat.mp4", uri="https://example.com/cat.mp4", mimeType="video/mp4")
    return CallToolResult(content=[TextContent(type="text", text="The video is ready."), link])


server.run()
EOF

NO_PROXY='*' "$work/venv/bin/python" -I - "$work/server.py" <<'EOF'
import asyncio
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_openai import ChatOpenAI

requests = []


class Model(BaseHTTPRequestHandler):
    """Answers each chat completion."""

    def do_POST(self):
        requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        message = {"role": "assistant", "content": "Here is your video."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = {"id": "1", "object": "chat.completion", "created": 1, "model": "model", "choices": [choice]}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def tell(model, content):
    """What comes of the turn in which the model reads the tool's answer."""
    requests.clear()
    call = {"name": "video", "args": {}, "id": "call-1", "type": "tool_call"}
    turn = [HumanMessage("A cat."), AIMessage("", tool_calls=[call]), ToolMessage(content, tool_call_id="call-1")]
    try:
        outcome = model.invoke(turn).text
    except ValueError as error:
        outcome = f"ValueError: {error}"
    return outcome, len(requests)


async def call_tool():
    """The content of the tool's message, as the adapter makes it."""
    server = {"command": sys.executable, "args": [sys.argv[1]], "transport": "stdio"}
    [tool] = await MultiServerMCPClient({"server": server}).get_tools()
    message = await tool.ainvoke({"name": "video", "args": {}, "id": "call-1", "type": "tool_call"})
    return message.content


server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
threading.Thread(target=server.serve_forever, daemon=True).start()
model = ChatOpenAI(model="model", base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="sk-test")
content = asyncio.run(call_tool())
link = {name: value for name, value in content[1].items() if name in ("type", "url", "mime_type")}
print("the link became:", link)
both, alone = tell(model, content), tell(model, content[:1])
print(f"text and link: {both[0]}, {both[1]} requests")
print(f"text alone: {alone[0]}, {alone[1]} requests")
expected_link = {"type": "file", "url": "https://example.com/cat.mp4", "mime_type": "video/mp4"}
error = "ValueError: OpenAI Chat Completions does not support file URLs."
if (link, both, alone) != (expected_link, (error, 0), ("Here is your video.", 1)):
    sys.exit("The behaviour changed: the link should be a file block, which the model's class refuses unsent.")
EOF
