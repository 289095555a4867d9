#!/usr/bin/env bash
# dashscope 2.0.2: `Client().videos.jobs.list()` counts the tasks and returns none of them.
#
# The vendor's page on managing tasks answers `GET /api/v1/tasks` with the tasks under `data`. The new client reads them
# from `tasks`, which that answer does not have. It raises nothing: the page and the total are right, and the list is
# empty. The interface of 1.x in the same release hands `data` on. The server is on loopback.
#
# Seen:
#   new client: total 2, page 1, 0 tasks
#   asyncio client: total 2, page 1, 0 tasks
#   interface of 1.x: total 2, page 1, 2 tasks
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
from dashscope import AsyncClient, Client
from dashscope.aigc.video_synthesis import VideoSynthesis

TASK = {"api_key_id": "1", "region": "cn-beijing", "model_name": "wan2.5-i2v-preview", "gmt_create": 1795780800000}
ANSWER = {
    "request_id": "request",
    "total": 2,
    "total_page": 1,
    "page_no": 1,
    "page_size": 10,
    "data": [
        {"task_id": "task-1", "status": "SUCCEEDED", **TASK},
        {"task_id": "task-2", "status": "RUNNING", **TASK},
    ],
}


class Vendor(BaseHTTPRequestHandler):
    """Lists two tasks, in the form of the vendor's page."""

    def do_GET(self):
        assert self.path.split("?")[0].rstrip("/") == "/api/v1/tasks", self.path
        body = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def report(interface, total, page, tasks):
    print(f"{interface}: total {total}, page {page}, {len(tasks)} tasks")
    return total, page, len(tasks)


async def list_async(base):
    async with AsyncClient(api_key="sk-test", base_url=base) as client:
        return await client.videos.jobs.list()


server = ThreadingHTTPServer(("127.0.0.1", 0), Vendor)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_port}/api/v1"
dashscope.base_http_api_url = base
new = Client(api_key="sk-test", base_url=base).videos.jobs.list()
asynchronous = asyncio.run(list_async(base))
old = VideoSynthesis.list(api_key="sk-test").output
seen = [
    report("new client", new.total, new.page_no, new.tasks),
    report("asyncio client", asynchronous.total, asynchronous.page_no, asynchronous.tasks),
    report("interface of 1.x", old["total"], old["page_no"], old["data"]),
]
if seen != [(2, 1, 0), (2, 1, 0), (2, 1, 2)]:
    sys.exit("The behaviour changed: the new clients should count two tasks and return none.")
EOF
