#!/usr/bin/env bash
# fal-client 1.0.3: one submit whose answers are lost is sent ten times, and nothing marks the ten as one call.
#
# After a connection error, `submit` sends the POST that starts a paid job again, up to ten times in all. It does so
# also if the server had read the whole request. The ten have the same headers and the same body, without an
# idempotency key, so a server cannot tell them from ten calls. The caller gets an httpx error that has no job's id.
# A 500 is not repeated at all. The server on loopback takes each job, and closes the connection instead of an answer.
# The client makes its address with https only, so a constant of its module is replaced. The waits take 15 to 45 s.
#
# Seen:
#   answers lost: 1 call, 10 jobs made, 1 different request, keys: none; RemoteProtocolError
#   answered 500: 1 call, 1 job made, 1 different request, keys: none; FalClientHTTPError
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet fal-client==1.0.3

NO_PROXY='*' "$work/venv/bin/python" -I - <<'EOF'
import asyncio
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fal_client.client

jobs = []


class Queue(BaseHTTPRequestHandler):
    """Takes every job. It answers those under /lost/ by closing the connection, and the others with a 500."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = sorted((name.lower(), value) for name, value in self.headers.items())
        jobs.append((self.path, tuple(headers), body))
        if self.path.startswith("/lost/"):
            self.close_connection = True
            return
        self.send_response(500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


async def submit(case, folder):
    jobs.clear()
    fal_client.client.QUEUE_URL_FORMAT = f"http://127.0.0.1:{server.server_port}/{folder}/"
    client = fal_client.AsyncClient(key="test")
    try:
        await client.submit("wan/image-to-video", {"prompt": "x", "image_url": "https://example.com/cat.jpg"})
        outcome = "a handle"
    except Exception as error:
        outcome = type(error).__name__
    names = {name for _, headers, _ in jobs for name, _ in headers}
    keys = sorted(name for name in names if "idempotency" in name or "request-id" in name)
    different = len(set(jobs))
    made = f"{len(jobs)} job{'s' * (len(jobs) > 1)} made"
    print(f"{case}: 1 call, {made}, {different} different request, keys: {', '.join(keys) or 'none'}; {outcome}")
    return len(jobs), different, keys, outcome


server = ThreadingHTTPServer(("127.0.0.1", 0), Queue)
threading.Thread(target=server.serve_forever, daemon=True).start()
lost = asyncio.run(submit("answers lost", "lost"))
failed = asyncio.run(submit("answered 500", "failed"))
if (lost, failed) != ((10, 1, [], "RemoteProtocolError"), (1, 1, [], "FalClientHTTPError")):
    sys.exit("The behaviour changed: a submit should be sent ten times if its answers are lost, and once after a 500.")
EOF
