#!/usr/bin/env bash
# dashscope 2.0.2: a submit whose answer is lost is sent a second time, and both tasks run.
#
# The SDK repeats a request once when the connection ends before an answer, also the POST that starts a paid task.
# It assumes an idle connection from its pool, which the server had closed before the request came. But the connection
# here is new, and the server reads the whole request before it closes. The caller never learns of the first task.
# The blocking and the asyncio interface do the same. The server is on loopback.
#
# Seen:
#   blocking: 1 call, 2 tasks made, the caller knows task-2; 2 connections
#   asyncio: 1 call, 2 tasks made, the caller knows task-2; 2 connections
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet dashscope==2.0.2

NO_PROXY='*' "$work/venv/bin/python" -I - <<'EOF'
import asyncio
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dashscope
from dashscope.aigc.video_synthesis import AioVideoSynthesis, VideoSynthesis
from dashscope.api_entities.aio_session import close_shared_aio_session

tasks, connections = [], set()


class Gateway(BaseHTTPRequestHandler):
    """Takes every task, and closes the connection instead of the first answer."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        connections.add(self.client_address)
        tasks.append(f"task-{len(tasks) + 1}")
        if len(tasks) == 1:
            self.close_connection = True
            return
        answer = {"request_id": "request", "output": {"task_id": tasks[-1], "task_status": "PENDING"}}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def report(interface, answer):
    known = answer.output["task_id"]
    print(f"{interface}: 1 call, {len(tasks)} tasks made, the caller knows {known}; {len(connections)} connections")
    seen = (tuple(tasks), known, len(connections))
    tasks.clear()
    connections.clear()
    return seen


async def submit_async():
    answer = await AioVideoSynthesis.async_call(**request)
    await close_shared_aio_session()
    return answer


server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
threading.Thread(target=server.serve_forever, daemon=True).start()
dashscope.base_http_api_url = f"http://127.0.0.1:{server.server_port}/api/v1"
request = {
    "model": "wan2.5-i2v-preview",
    "prompt": "The cat blinks",
    "img_url": "https://example.com/cat.jpg",
    "api_key": "sk-test",
}
expected = (("task-1", "task-2"), "task-2", 2)
blocking = report("blocking", VideoSynthesis.async_call(**request))
asynchronous = report("asyncio", asyncio.run(submit_async()))
if (blocking, asynchronous) != (expected, expected):
    sys.exit("The behaviour changed: each call should make two tasks on two connections.")
EOF
