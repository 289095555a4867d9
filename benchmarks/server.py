"""A small gateway for measurements: it speaks the interfaces of `dialects.py`, and costs little itself.

`python benchmarks/server.py --median 20 --spread 0.2` prints its port and serves until its input ends. The finishing
times of the tasks follow a lognormal distribution with a fixed seed, in the order of the submits: two clients that are
measured one after the other wait for the same tasks. `GET /stats` tells what was asked. `GET /fault/lost/1` makes the
next submit lose its answer; `Tasks.answer` has the other faults.

It is no emulator: it checks nothing, and it answers from `bytes` that it has built once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sys
import time
from dataclasses import dataclass, field

from dialects import Dialect, dialect_of

TASK = re.compile(rb"task-\d+")
OK = b"200 OK"
REFUSAL = b'{"request_id":"r","code":"%(code)s","message":"%(code)s","error":{"code":"%(code)s","message":"%(code)s"}}'
NGINX = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    b"<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
FAULTS = {
    "500": (b"500 Internal Server Error", REFUSAL % {b"code": b"InternalError"}),
    "429": (b"429 Too Many Requests\r\nRetry-After: 1", REFUSAL % {b"code": b"Throttling"}),
    "look-502": (b"502 Bad Gateway", NGINX),
}
"""Those that are answers. A 429 accepts nothing; `lost` and `look-lost` close the connection instead of an answer."""


@dataclass(slots=True)
class Tasks:
    """The tasks that were submitted, and what was asked of them."""

    median: float
    spread: float
    base: bytes = b""
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    ends: dict[bytes, float] = field(default_factory=dict)
    known: dict[bytes, float] = field(default_factory=dict)
    """Seconds from a task's end to the look that saw it."""
    posts: int = 0
    looks: int = 0
    connections: int = 0
    fault: str = ""
    times: int = 0
    """How often the fault still happens."""

    def answer(self, method: bytes, path: bytes) -> tuple[bytes, bytes] | None:
        """Return the status and the body of an answer; `None` if the connection ends without one."""
        dialect = dialect_of(path)
        if dialect is None:
            return OK, self._control(path)
        if method == b"POST":
            return self._submit(dialect)
        found = TASK.search(path)
        if found is None:
            return b"404 Not Found", b"{}"
        return self._look(dialect, path, found.group())

    def _submit(self, dialect: Dialect) -> tuple[bytes, bytes] | None:
        self.posts += 1
        fault = self._strikes("429", "500", "lost")
        if fault == "429":
            return FAULTS[fault]
        task = b"task-%06d" % len(self.ends)
        self.ends[task] = time.monotonic() + self.median * self.chance.lognormvariate(0.0, self.spread)
        if fault == "lost":
            return None
        return FAULTS[fault] if fault else (OK, dialect.submitted % {b"task": task, b"base": self.base})

    def _look(self, dialect: Dialect, path: bytes, task: bytes) -> tuple[bytes, bytes] | None:
        late = time.monotonic() - self.ends[task]
        if path.endswith(dialect.look):
            self.looks += 1
            fault = self._strikes("look-502", "look-lost")
            if fault:
                return FAULTS.get(fault)
            if late >= 0:
                self.known.setdefault(task, late)
        return OK, (dialect.succeeded if late >= 0 else dialect.running) % {b"task": task, b"base": self.base}

    def _strikes(self, *faults: str) -> str:
        """Return the fault that happens now, if any."""
        if self.fault not in faults or self.times < 1:
            return ""
        self.times -= 1
        return self.fault

    def _control(self, path: bytes) -> bytes:
        _, name, *rest = path.decode().split("/")
        if name == "fault":
            self.fault, self.times = rest[0], int(rest[1])
        return self._stats()

    def _stats(self) -> bytes:
        lags = sorted(self.known.values())
        found = {
            "tasks": len(self.ends),
            "finished": len(lags),
            "posts": self.posts,
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
            answer = self._tasks.answer(method, target.partition(b"?")[0])
            if answer is None:
                self._transport.close()
                return
            status, body = answer
            kind = b"text/html" if body is NGINX else b"application/json"
            head = b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (status, kind, len(body))
            if self._delay:
                asyncio.get_running_loop().call_later(self._delay, self._transport.write, head + body)
            else:
                self._transport.write(head + body)


async def serve(median: float, spread: float, delay: float) -> None:
    """Serve until the input ends."""
    tasks, loop = Tasks(median, spread), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(tasks, delay), "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    tasks.base = b"http://127.0.0.1:%d" % port
    print(port, flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--median", type=float, default=20.0, help="seconds")
    parser.add_argument("--spread", type=float, default=0.2, help="standard deviation of the logarithm")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds until an answer")
    options = parser.parse_args()
    asyncio.run(serve(options.median, options.spread, options.delay))
