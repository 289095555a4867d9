"""A small gateway for measurements: it speaks Nebula's and DashScope's submit and look, and costs little itself.

`python benchmarks/server.py --median 20 --spread 0.2` prints its port and serves until its input ends. The finishing
times of the tasks follow a lognormal distribution with a fixed seed, in the order of the submits: two clients that are
measured one after the other wait for the same tasks. `GET /stats` tells
what was asked.

It is no emulator: it checks nothing, and it answers from `bytes` that it has built once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from dataclasses import dataclass, field

RUNNING = (
    b'{"task_id":"%s","status":"in_progress","format":"mp4",'
    b'"metadata":{"request_id":"r-%s","output":{"task_id":"%s","task_status":"RUNNING"}}}'
)
SUCCEEDED = (
    b'{"task_id":"%s","status":"succeeded","format":"mp4","url":"https://results.example.com/%s.mp4?Expires=1999999999",'
    b'"metadata":{"billing_pending":false,"group_ratio":1,"model_price":0.0738,"request_id":"r-%s",'
    b'"usage":{"video_count":1,"duration":5,"resolution":"720p"},'
    b'"output":{"task_id":"%s","task_status":"SUCCEEDED","video_url":"https://results.example.com/%s.mp4"}}}'
)
SUBMITTED = (
    b'{"task_id":"%s","status":"submitted","format":"mp4","metadata":{"model_price":0.0738,"requested_seconds":5,'
    b'"billing_pending":true,"group_ratio":1,"output":{"task_id":"%s","task_status":"PENDING"}}}'
)
DASH = b'{"request_id":"r-%s","output":{"task_id":"%s","task_status":"%s","video_url":"%s"}}'
RESULT = b"https://results.example.com/%s.mp4?Expires=1999999999"


@dataclass(slots=True)
class Tasks:
    """The tasks that were submitted, and what was asked of them."""

    median: float
    spread: float
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    ends: dict[bytes, float] = field(default_factory=dict)
    known: dict[bytes, float] = field(default_factory=dict)
    """Seconds from a task's end to the look that saw it."""
    looks: int = 0
    connections: int = 0

    def submit(self) -> bytes:
        """Return the id of a new task."""
        task = b"task-%06d" % len(self.ends)
        self.ends[task] = time.monotonic() + self.median * self.chance.lognormvariate(0.0, self.spread)
        return task

    def is_finished(self, task: bytes) -> bool:
        """Look at a task."""
        self.looks += 1
        late = time.monotonic() - self.ends[task]
        if late >= 0:
            self.known.setdefault(task, late)
        return late >= 0

    def stats(self) -> bytes:
        """Return what was asked, as JSON."""
        lags = sorted(self.known.values())
        found = {
            "tasks": len(self.ends),
            "finished": len(lags),
            "looks": self.looks,
            "connections": self.connections,
            "mean_lag": sum(lags) / len(lags) if lags else None,
            "server_cpu": time.process_time(),
        }
        return json.dumps(found).encode()


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection, kept alive."""

    def __init__(self, tasks: Tasks, delay: float) -> None:
        self._tasks = tasks
        self._delay = delay
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._tasks.connections += 1

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            lower = head.lower()
            at = lower.find(b"content-length:")
            length = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._received) < end + 4 + length:
                return
            self._received = self._received[end + 4 + length :]
            method, target, _ = head.split(b"\r\n", 1)[0].split(b" ", 2)
            body = self._answer(method, target.partition(b"?")[0])
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            if self._delay:
                asyncio.get_running_loop().call_later(self._delay, self._transport.write, head + body)
            else:
                self._transport.write(head + body)

    def _answer(self, method: bytes, path: bytes) -> bytes:
        tasks, last = self._tasks, path.rstrip(b"/").rpartition(b"/")[2]
        if path == b"/stats":
            return tasks.stats()
        if method == b"POST":
            task = tasks.submit()
            if path.startswith(b"/v1/"):
                return SUBMITTED % (task, task)
            return DASH % (task, task, b"PENDING", b"")
        finished = tasks.is_finished(last)
        if path.startswith(b"/v1/"):
            return SUCCEEDED % ((last,) * 5) if finished else RUNNING % ((last,) * 3)
        return DASH % (last, last, b"SUCCEEDED" if finished else b"RUNNING", RESULT % last if finished else b"")


async def serve(median: float, spread: float, delay: float) -> None:
    """Serve until the input ends."""
    tasks, loop = Tasks(median, spread), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(tasks, delay), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--median", type=float, default=20.0, help="seconds")
    parser.add_argument("--spread", type=float, default=0.2, help="standard deviation of the logarithm")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds until an answer")
    options = parser.parse_args()
    asyncio.run(serve(options.median, options.spread, options.delay))
