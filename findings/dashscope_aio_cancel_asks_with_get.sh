#!/usr/bin/env bash
# dashscope 1.25.15: `AioVideoSynthesis.cancel` sends GET, where the blocking class sends POST.
#
# The vendor's page on managing tasks cancels with `POST /api/v1/tasks/{task_id}/cancel`. The asyncio class asks that
# path with GET, which is not on the page. Neither class raises: only the status code tells that nothing was cancelled.
# The server is on loopback and cancels with POST alone. In 2.0.2 both classes send POST.
#
# Seen:
#   blocking: POST /api/v1/tasks/task-1/cancel, status 200, cancelled
#   asyncio: GET /api/v1/tasks/task-1/cancel/, status 405, runs on
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet dashscope==1.25.15

NO_PROXY='*' "$work/venv/bin/python" -I - <<'EOF'
import asyncio
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dashscope
from dashscope.aigc.video_synthesis import AioVideoSynthesis, VideoSynthesis

requests = []


class Vendor(BaseHTTPRequestHandler):
    """Cancels the task when it is asked with POST."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.answer(200, {"request_id": "request"})

    def do_GET(self):
        self.answer(405, {"request_id": "request", "code": "MethodNotAllowed", "message": "Use POST."})

    def answer(self, status, content):
        requests.append((self.command, self.path))
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def report(interface, answer):
    (method, path), status = requests.pop(), int(answer.status_code)
    print(f"{interface}: {method} {path}, status {status}, {'cancelled' if method == 'POST' else 'runs on'}")
    return method, path, status


server = ThreadingHTTPServer(("127.0.0.1", 0), Vendor)
threading.Thread(target=server.serve_forever, daemon=True).start()
dashscope.base_http_api_url = f"http://127.0.0.1:{server.server_port}/api/v1"
blocking = report("blocking", VideoSynthesis.cancel("task-1", api_key="sk-test"))
asynchronous = report("asyncio", asyncio.run(AioVideoSynthesis.cancel("task-1", api_key="sk-test")))
path = "/api/v1/tasks/task-1/cancel"
if (blocking, asynchronous) != (("POST", path, 200), ("GET", f"{path}/", 405)):
    sys.exit("The behaviour changed: POST was expected of the blocking class, and GET of the asyncio class.")
EOF
