#!/usr/bin/env bash
# runwayml 5.24.0: the blocking wait looks past a cancelled task until its timeout; the async wait raises at once.
#
# `wait_for_task_output` promises TaskFailedError for a failed or cancelled task. The blocking version checks FAILED
# only. It polls a cancelled task until the timeout, ten minutes by default, and forever with `timeout=None`.
# Then it reports a timeout. The server on loopback answers every look with CANCELLED; the timeout is 12 seconds,
# and the SDK looks about every six.
#
# Seen (2 or 3 looks, as the interval is random):
#   blocking: TaskTimeoutError for a task that is CANCELLED, after 2 looks
#   async: TaskFailedError for a task that is CANCELLED, after 1 looks
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet runwayml==5.24.0

NO_PROXY='*' "$work/venv/bin/python" -I - <<'EOF'
import asyncio
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from runwayml import AsyncRunwayML, RunwayML, TaskFailedError, TaskTimeoutError

TASK = "17f20503-6c24-4c16-946b-35dbbce2af2f"
looks = []


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        looks.append(self.path)
        body = json.dumps({"id": TASK, "createdAt": "2026-01-01T00:00:00Z", "status": "CANCELLED"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def blocking(options):
    with RunwayML(**options) as client:
        task = client.tasks.retrieve(TASK)
        looks.clear()
        task.wait_for_task_output(timeout=12)


async def asynchronous(options):
    async with AsyncRunwayML(**options) as client:
        task = await client.tasks.retrieve(TASK)
        looks.clear()
        await task.wait_for_task_output(timeout=12)


def outcome(interface, call):
    try:
        call()
    except (TaskFailedError, TaskTimeoutError) as error:
        name, status = type(error).__name__, error.task_details.status
        print(f"{interface}: {name} for a task that is {status}, after {len(looks)} looks")
        return name, len(looks) > 1
    return "no error", len(looks) > 1


server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
options = {"api_key": "test", "base_url": f"http://127.0.0.1:{server.server_port}"}
seen = outcome("blocking", lambda: blocking(options)), outcome("async", lambda: asyncio.run(asynchronous(options)))
if seen != (("TaskTimeoutError", True), ("TaskFailedError", False)):
    sys.exit("The behaviour changed: only the blocking wait should go on to its timeout.")
EOF
