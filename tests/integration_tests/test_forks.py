"""Forks while a client is open: each process has connections and places of its own."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from langchain_nebula_video import AsyncNebulaVideoClient, NebulaVideoClient
from tests.conftest import jpeg


class _Handler(BaseHTTPRequestHandler):
    """A gateway that tells on which connection it was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        task_id = self.path.rpartition("/")[2]
        body = json.dumps({"task_id": task_id, "status": "in_progress", "port": self.client_address[1]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the base's name
        pass


@contextmanager
def gateway() -> Iterator[dict[str, Any]]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield {"base_url": f"http://127.0.0.1:{server.server_address[1]}", "api_key": "sk-x"}
        server.shutdown()


def in_a_child(work: Callable[[], object]) -> Any:
    """What some work returns in a forked process."""
    heard, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(told, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(told)
    with os.fdopen(heard, "rb") as pipe:
        found = pipe.read()
    os.waitpid(child, 0)
    return json.loads(found)


def test_children_of_an_open_client_ask_on_connections_of_their_own() -> None:
    """On a shared one over plain http, each would read the answers of the others."""
    with gateway() as options, NebulaVideoClient(**options) as client:

        def look(task_id: str) -> list[Any]:
            task = client.fetch(task_id)
            return [task.task_id, task.raw["port"]]

        (_, own), (_, again) = look("parent"), look("parent")
        assert own == again, "the parent keeps its connection"
        for _ in range(3):
            name, port = in_a_child(lambda: look("child"))
            assert name == "child"
            assert port != own
        assert look("parent") == ["parent", own], "no child has closed it"


def test_so_do_those_of_an_async_client() -> None:
    with gateway() as options:
        client = AsyncNebulaVideoClient(**options)
        loop = asyncio.new_event_loop()

        async def look(task_id: str) -> list[Any]:
            task = await client.fetch(task_id)
            return [task.task_id, task.raw["port"]]

        loop.run_until_complete(client.__aenter__())
        own = loop.run_until_complete(look("parent"))
        for work in (lambda: asyncio.run(look("child")), lambda: loop.run_until_complete(look("child"))):
            name, port = in_a_child(work)
            assert name == "child"
            assert port != own[1]
        loop.run_until_complete(client.__aexit__(None, None, None))
        loop.close()


@pytest.mark.parametrize("slots", [4])
def test_a_fork_while_submits_are_under_way_leaves_the_child_all_its_slots(
    options: dict[str, Any], emulator: Any, slots: int
) -> None:
    """And no upload, and no submit of its parent's, to wait for."""
    emulator.faults.add("submit", "late", times=slots, seconds=1.5)
    client = NebulaVideoClient(**options, timeout=60)
    ask: dict[str, Any] = {"image": jpeg(), "resolution": "480p"}
    threads = [threading.Thread(target=client.submit, kwargs={"prompt": f"p{n}", **ask}) for n in range(slots)]
    for thread in threads:
        thread.start()
    while emulator.peaks.submits < slots:
        pass

    def drained() -> bool:
        return client.drain(grace=0)

    assert in_a_child(drained) is True
    assert client.drain(grace=0) is False
    for thread in threads:
        thread.join()
