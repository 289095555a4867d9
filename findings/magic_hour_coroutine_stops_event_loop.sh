#!/usr/bin/env bash
# magic_hour 0.90.0, langchain-magic-hour 0.1.0: the coroutine waits for its video with `time.sleep`.
#
# After each look at a video, `AsyncClient` sleeps half a second in the event loop's own thread. Everything else on that
# loop stands still meanwhile, and the pauses of several videos add up: six at once take six times as long as one.
# The LangChain tool's `ainvoke` uses that client. The server on loopback finishes a video at its fourth look; the
# client pauses after each but the first. Another task of the loop beats every 0.05 s, and notes beats 0.4 s late.
#
# Seen (the last digits vary):
#   1 video at once: 1.6 s in all, and the loop stood still for 1.5 s of them
#   6 videos at once: 9.2 s in all, and the loop stood still for 9.1 s of them
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet magic-hour==0.90.0 langchain-magic-hour==0.1.0

NO_PROXY='*' "$work/venv/bin/python" -I - <<'EOF'
import asyncio
import itertools
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from langchain_magic_hour import MagicHourTextToVideoTool
from magic_hour import AsyncClient

looks, numbers = {}, itertools.count(1)


class Api(BaseHTTPRequestHandler):
    """Makes videos that are complete at their fourth look."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        name = f"video-{next(numbers)}"
        looks[name] = 0
        self.answer({"id": name, "credits_charged": 120, "estimated_frame_cost": 120, "frame_cost": 120})

    def do_GET(self):
        name = self.path.rpartition("/")[2]
        looks[name] += 1
        complete = looks[name] == 4
        video = {"url": "https://example.com/v.mp4", "expires_at": "2026-11-28T00:00:00Z"}
        self.answer({
            "id": name,
            "name": "cat",
            "status": "complete" if complete else "rendering",
            "type": "TEXT_TO_VIDEO",
            "created_at": "2026-11-27T00:00:00Z",
            "enabled": True,
            "credits_charged": 120,
            "total_frame_cost": 120,
            "start_seconds": 0.0,
            "end_seconds": 5.0,
            "fps": 24.0,
            "width": 854,
            "height": 480,
            "download": None,
            "downloads": [video] if complete else [],
            "error": None,
        })

    def answer(self, content):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


async def beat(stops):
    while True:
        before = time.monotonic()
        await asyncio.sleep(0.05)
        if time.monotonic() - before >= 0.45:
            stops.append(time.monotonic() - before)


async def make(count):
    looks.clear()
    stops = []
    client = AsyncClient(token="test", base_url=f"http://127.0.0.1:{server.server_port}")
    tool = MagicHourTextToVideoTool(api_key="test", async_client=client)
    heart = asyncio.create_task(beat(stops))
    began = time.monotonic()
    answers = await asyncio.gather(*(tool.ainvoke({"prompt": f"cat {number}"}) for number in range(count)))
    took = time.monotonic() - began
    await asyncio.sleep(0.1)  # lets the last beat end
    heart.cancel()
    if not all("https://example.com/v.mp4" in answer for answer in answers):
        sys.exit(f"The server and the client do not understand each other: {answers}")
    number = f"{count} video{'s' * (count > 1)} at once"
    print(f"{number}: {took:.1f} s in all, and the loop stood still for {sum(stops):.1f} s of them")
    return took, sum(stops)


server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
for count in 1, 6:
    took, still = asyncio.run(make(count))
    if took < 1.4 * count or still < 1.4 * count:
        sys.exit("The behaviour changed: the loop should stand still in each pause, and the pauses should add up.")
EOF
