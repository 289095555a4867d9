#!/usr/bin/env bash
# replicate 1.0.7: one 502 on a look ends the wait with an error, where a 503 is asked again; the prediction goes on.
#
# `wait` looks at the prediction twice a second. After a 503 the client asks again by itself. After a 502 it raises at
# once, though a front sends that too when it cannot reach its server for a moment. The prediction runs on and succeeds,
# and the same object can wait for it again. The server on loopback answers the second look with that status, once.
#
# Seen:
#   blocking, 503: succeeded
#   blocking, 502: ReplicateError with status 502, prediction is processing; waited again: succeeded
#   async, 503: succeeded
#   async, 502: ReplicateError with status 502, prediction is processing; waited again: succeeded
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet replicate==1.0.7

NO_PROXY='*' "$work/venv/bin/python" -I - <<'EOF'
import asyncio
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import replicate
from replicate.exceptions import ReplicateError

state = {"looks": 0, "fault": 0}


class Api(BaseHTTPRequestHandler):
    """Makes a prediction that has succeeded at the fourth look. The second look gets the fault."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        state["looks"] = 0
        self.answer(201, self.prediction("starting"))

    def do_GET(self):
        state["looks"] += 1
        if state["looks"] == 2:
            self.answer(state["fault"], {"title": "The upstream is away", "status": state["fault"]})
        else:
            self.answer(200, self.prediction("succeeded" if state["looks"] >= 4 else "processing"))

    def prediction(self, status):
        return {
            "id": "prediction-1",
            "model": "wan/i2v",
            "version": "hidden",
            "status": status,
            "input": {"prompt": "x"},
            "output": "https://example.com/video.mp4" if status == "succeeded" else None,
            "created_at": "2026-11-27T00:00:00Z",
            "urls": {"get": "https://example.com/", "cancel": "https://example.com/"},
        }

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


async def make(interface, fault):
    state["fault"] = fault
    client = replicate.Client(api_token="test", base_url=f"http://127.0.0.1:{server.server_port}")
    prediction = client.models.predictions.create(model=("wan", "i2v"), input={"prompt": "x"})

    async def wait():
        if interface == "async":
            await prediction.async_wait()
        else:
            prediction.wait()

    try:
        await wait()
        seen = prediction.status
    except ReplicateError as error:
        seen = f"{type(error).__name__} with status {error.status}, prediction is {prediction.status}"
        await wait()
        seen += f"; waited again: {prediction.status}"
    print(f"{interface}, {fault}: {seen}")
    return seen


server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
ended = "ReplicateError with status 502, prediction is processing; waited again: succeeded"
for interface in "blocking", "async":
    if [asyncio.run(make(interface, fault)) for fault in (503, 502)] != ["succeeded", ended]:
        sys.exit("The behaviour changed: one 503 should be repeated, and one 502 should end the wait.")
EOF
