#!/usr/bin/env bash
# openai 3.57.0: `videos.create_and_poll` sends the caller's extra headers and query with the submit alone.
#
# The method takes `extra_headers` and `extra_query`, as every other does. It passes both on to `create` alone. A server
# that tells its tenants apart by a header starts the paid video, and then does not find it for the looks without the
# header. The call raises, though `create` and `retrieve` with the same header do well. The server on loopback is such
# a one; each video is completed at its first look.
#
# Seen:
#   blocking, create_and_poll: NotFoundError; POST with header and query; GET without header, without query
#   blocking, create and retrieve: completed; POST with header and query; GET with header and query
#   async, create_and_poll: NotFoundError; POST with header and query; GET without header, without query
#   async, create and retrieve: completed; POST with header and query; GET with header and query
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet openai==3.57.0

NO_PROXY='*' "$work/venv/bin/python" -I -W ignore::DeprecationWarning - <<'EOF'
import asyncio
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from openai import AsyncOpenAI, NotFoundError, OpenAI

requests = []


class Api(BaseHTTPRequestHandler):
    """Has one video, for the tenant that the header names."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.note()
        self.answer(200, self.video("queued", 0))

    def do_GET(self):
        self.note()
        if self.headers["X-Tenant"] == "blue":
            self.answer(200, self.video("completed", 100))
        else:
            self.answer(404, {"error": {"message": "No such video", "type": "invalid_request_error"}})

    def note(self):
        header, query = self.headers["X-Tenant"] == "blue", urlsplit(self.path).query == "region=eu"
        requests.append((self.command, header, query))

    def video(self, status, progress):
        return {
            "id": "video_1",
            "object": "video",
            "model": "sora-2",
            "status": status,
            "progress": progress,
            "created_at": 1795651200,
            "size": "1280x720",
            "seconds": "4",
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


def told(request):
    command, header, query = request
    words = {(True, True): "with header and query", (False, False): "without header, without query"}
    return f"{command} {words.get((header, query), f'header {header}, query {query}')}"


async def wait_for(made):
    return await made if asyncio.iscoroutine(made) else made


async def together(videos):
    return await wait_for(videos.create_and_poll(model="sora-2", prompt="x", **extra))


async def apart(videos):
    video = await wait_for(videos.create(model="sora-2", prompt="x", **extra))
    return await wait_for(videos.retrieve(video.id, **extra))


async def outcome(name, client, way):
    requests.clear()
    try:
        video = await way(client.videos)
        seen = video.status
    except NotFoundError as error:
        seen = type(error).__name__
    print("; ".join((f"{name}: {seen}", *map(told, requests))))
    return seen, list(requests)


async def main():
    options = {"api_key": "test", "base_url": f"http://127.0.0.1:{server.server_port}/v1"}
    lost = ("NotFoundError", [("POST", True, True), ("GET", False, False)])
    found = ("completed", [("POST", True, True), ("GET", True, True)])
    for interface, kind in ("blocking", OpenAI), ("async", AsyncOpenAI):
        client = kind(**options)
        seen = await outcome(f"{interface}, create_and_poll", client, together)
        seen = seen, await outcome(f"{interface}, create and retrieve", client, apart)
        if seen != (lost, found):
            sys.exit("The behaviour changed: create_and_poll should look without the headers and the query.")


extra = {"extra_headers": {"X-Tenant": "blue"}, "extra_query": {"region": "eu"}}
server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
asyncio.run(main())
EOF
