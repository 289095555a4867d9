"""Paid requests, looks and downloads do not wait for each other, and no wait outlives its deadline."""

from __future__ import annotations

import asyncio
import os
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
import trustme

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    MemoryJournal,
    NebulaVideoClient,
    NotSentError,
    SqlJournal,
    TaskTimeoutError,
    Video,
)
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.lifecycle.lease import is_dead, new_holder
from tests.conftest import settle
from tests.gateways import ASK
from tests.storage import MOVIE

PLACES, LOOKS = 32, 100
"""How many downloads, and how many looks, one client has under way at once."""


class Held(socketserver.ThreadingTCPServer):
    """A storage that gives the first bytes of each video, and the rest when it is let go."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _HeldVideo)
        self.begun = threading.Semaphore(0)
        self.let_go = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _HeldVideo(socketserver.StreamRequestHandler):
    server: Held

    def handle(self) -> None:
        while self.rfile.readline().strip():
            pass
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(MOVIE) + MOVIE[:9])
        self.server.begun.release()
        self.server.let_go.wait(60)
        self.wfile.write(MOVIE[9:])


@contextmanager
def held_videos() -> Iterator[Held]:
    with Held() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield server
        finally:
            server.let_go.set()
            server.shutdown()


@contextmanager
def blocking_downloads(client: NebulaVideoClient, video: Video, server: Held, folder: Path) -> Iterator[None]:
    """As many downloads under way as there are places."""
    threads = [threading.Thread(target=client.download, args=(video, folder / f"{n}.mp4")) for n in range(PLACES)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert server.begun.acquire(timeout=30)
    try:
        yield
    finally:
        server.let_go.set()
        for thread in threads:
            thread.join(30)


@pytest.mark.parametrize("emulator", [1000], indirect=True)
def test_a_submit_and_its_looks_do_not_wait_for_slow_downloads(
    options: dict[str, Any], emulator: Emulator, tmp_path: Path
) -> None:
    """Another process asks for the same key meanwhile: it joins, and nothing is paid twice."""
    journal = f"sqlite:///{tmp_path / 'journal.db'}"
    with NebulaVideoClient(**options, journal=SqlJournal(journal), download_hosts=["127.0.0.1"]) as client:
        video = client.generate(**ASK)
        with held_videos() as server:
            there = video.model_copy(update={"url": f"{server.url}/video.mp4"})
            with blocking_downloads(client, there, server, tmp_path):
                began = time.monotonic()
                first = client.generate(**{**ASK, "prompt": "Another"}, key="k")
                second = NebulaVideoClient(**options, journal=SqlJournal(journal)).generate(
                    **{**ASK, "prompt": "Another"}, key="k"
                )
                assert time.monotonic() - began < 20
    assert first.task_id == second.task_id
    assert len(emulator.tasks) == 2
    assert len(list(tmp_path.glob("*.mp4"))) == PLACES


async def test_nor_do_they_in_an_async_client(options: dict[str, Any], emulator: Emulator, tmp_path: Path) -> None:
    async with AsyncNebulaVideoClient(**options, download_hosts=["127.0.0.1"]) as client:
        video = await client.generate(**ASK)
        with held_videos() as server:
            there = video.model_copy(update={"url": f"{server.url}/video.mp4"})
            downloads = [asyncio.create_task(client.download(there, tmp_path / f"{n}.mp4")) for n in range(PLACES)]
            for _ in downloads:
                assert await asyncio.to_thread(server.begun.acquire, timeout=30)
            async with asyncio.timeout(20):
                await client.generate(**{**ASK, "prompt": "Another"})
            server.let_go.set()
            await asyncio.gather(*downloads)
    assert len(emulator.tasks) == 2


def test_a_download_that_gets_no_place_ends_in_time(
    options: dict[str, Any], emulator: Emulator, tmp_path: Path
) -> None:
    """A look that needs one of its own is not held up: the address has expired, so it is asked for again."""
    client = NebulaVideoClient(**options, download_hosts=["127.0.0.1"])
    video = client.generate(**ASK)
    with held_videos() as server:
        there = video.model_copy(update={"url": f"{server.url}/video.mp4"})
        with blocking_downloads(client, there, server, tmp_path):
            assert client.fetch(video.task_id).url
            late = threading.Thread(target=client.download, args=(there, tmp_path / "late.mp4"))
            late.start()
            assert not server.begun.acquire(timeout=0.5)
        late.join(30)
    assert (tmp_path / "late.mp4").stat().st_size == len(MOVIE)


class HeldLooks(socketserver.ThreadingTCPServer):
    """A gateway that accepts each submit, and answers no look until it is let go."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _HeldLook)
        self.looks = threading.Semaphore(0)
        self.let_go = threading.Event()


class _HeldLook(socketserver.StreamRequestHandler):
    server: HeldLooks

    def handle(self) -> None:
        method = self.rfile.readline()[:4]
        length = 0
        while line := self.rfile.readline().strip().lower():
            length = int(line.partition(b":")[2]) if line.startswith(b"content-length") else length
        self.rfile.read(length)
        if method == b"GET ":
            self.server.looks.release()
            self.server.let_go.wait(60)
        body = b'{"task_id": "task-1", "status": "in_progress"}'
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)


@pytest.mark.parametrize("kind", [NebulaVideoClient, AsyncNebulaVideoClient])
async def test_a_submit_does_not_wait_for_looks_and_a_wait_that_gets_no_look_ends_at_its_deadline(kind: Any) -> None:
    with HeldLooks() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        client = kind(base_url=address, api_key="sk-x", poll_interval=0.1, timeout=20)
        pool = ThreadPoolExecutor(LOOKS)
        loop = asyncio.get_running_loop()

        async def look() -> None:
            await (client.fetch("task-1") if kind is AsyncNebulaVideoClient else loop.run_in_executor(pool, look_now))

        def look_now() -> None:
            client.fetch("task-1")

        looks = [asyncio.create_task(look()) for _ in range(LOOKS)]
        for _ in looks:
            assert await asyncio.to_thread(server.looks.acquire, timeout=30)
        assert (await settle(client.submit(**ASK))).task_id == "task-1"
        began = time.monotonic()
        with pytest.raises(TaskTimeoutError, match="No place was free"):
            await settle(client.wait("task-1", timeout=1.5))
        assert time.monotonic() - began < 2.5
        server.let_go.set()
        await asyncio.gather(*looks)
        pool.shutdown()
        server.shutdown()


@pytest.mark.parametrize("kind", [NebulaVideoClient, AsyncNebulaVideoClient])
async def test_a_submit_that_gets_no_turn_ends_at_its_deadline(
    options: dict[str, Any], emulator: Emulator, kind: Any
) -> None:
    emulator.faults.add("submit", "late", times=4, seconds=4.5)
    journal = MemoryJournal()
    client = kind(**options, journal=journal, timeout=6)

    async def submit(number: int) -> None:
        ask = {**ASK, "prompt": f"p{number}"}
        await (client.submit(**ask) if kind is AsyncNebulaVideoClient else asyncio.to_thread(client.submit, **ask))

    others = [asyncio.create_task(submit(number)) for number in range(4)]
    async with asyncio.timeout(20):
        while emulator.peaks.submits < 4:  # noqa: ASYNC110 another thread counts
            await asyncio.sleep(0.02)
    began = time.monotonic()
    with pytest.raises(NotSentError, match=r"before it was this submit's turn.*Nothing was sent and nothing was spent"):
        await settle(client.submit(**ASK, key="k"))
    assert time.monotonic() - began < 4.5
    await asyncio.gather(*others)
    assert len(emulator.tasks) == 4
    assert journal.find(key="k") is None


# --- the first byte ---


class HeldHandshake(socketserver.ThreadingTCPServer):
    """A gateway whose TLS handshakes take so many seconds, and which keeps what comes afterwards."""

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext, seconds: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handshake)
        self.tls = tls
        self.seconds = seconds
        self.connected = threading.Semaphore(0)
        self.received: list[bytes] = []


class _Handshake(socketserver.BaseRequestHandler):
    server: HeldHandshake

    def handle(self) -> None:
        self.server.connected.release()
        time.sleep(self.server.seconds)
        try:
            with self.server.tls.wrap_socket(self.request, server_side=True) as tls:
                self.server.received.append(tls.recv(1000))
        except OSError:
            pass


class JumpingClock:
    """The machine's clock, until it jumps."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def utcnow(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.ahead)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


_OWN = {
    "ours": None,
    "httpx": (httpx.Client, httpx.AsyncClient),
    "httpx2": (httpx2.Client, httpx2.AsyncClient),
}


@pytest.mark.parametrize("blocking", [True, False], ids=["sync", "async"])
@pytest.mark.parametrize("own", _OWN)
async def test_a_post_whose_time_is_over_during_the_handshake_is_broken_off(
    own: str, blocking: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A container that was frozen meanwhile: not a byte of the request arrives, with a client of the caller too."""
    authority = trustme.CA()
    tls, trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.configure_trust(trust)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    clock, journal = JumpingClock(), MemoryJournal()
    with HeldHandshake(tls, 0.4) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        given: dict[str, Any] = {"base_url": f"https://127.0.0.1:{server.server_address[1]}", "api_key": "sk-x"}
        if (kinds := _OWN[own]) is not None:
            name = "http_client" if blocking else "http_async_client"
            given[name] = kinds[0 if blocking else 1](verify=trust)
        kind: Any = NebulaVideoClient if blocking else AsyncNebulaVideoClient
        client = kind(**given, clock=clock, journal=journal, timeout=60)

        def freeze() -> None:
            server.connected.acquire(timeout=20)
            clock.ahead = 3600.0

        frozen = threading.Thread(target=freeze)
        frozen.start()
        with pytest.raises(NotSentError, match=r"broken off.*Nothing was sent and nothing was spent") as caught:
            await settle(client.submit(**ASK, key="k"))
        frozen.join()
        server.shutdown()
    assert caught.value.spent is False
    assert b"".join(server.received) == b""
    assert journal.entries() == []


# --- what a living process holds ---


def _row(name: str, holder: str, **fields: Any) -> Entry:
    now = datetime.now(UTC)
    given: dict[str, Any] = {"gateway": "nebula", "model": "wan2.5-i2v-preview", "request": {}, "created_at": now}
    return Entry(id=name, holder=holder, held_until=now - timedelta(seconds=5), **{**given, **fields})


def test_resume_leaves_what_a_living_process_of_this_machine_holds(options: dict[str, Any], tmp_path: Path) -> None:
    """Its lease has run out because it was held up, by a locked journal or in a debugger. Its end frees the entry."""
    journal = SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}")
    code = "from langchain_nebula_video.lifecycle.lease import new_holder; print(new_holder(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        holder = process.stdout.readline().strip()
        journal.reserve(_row("unsent", holder), None)
        journal.reserve(_row("sent", holder, sent_at=datetime.now(UTC)), None)
        journal.reserve(_row("old", holder), None)
        journal.update("old", held_until=datetime.now(UTC) - timedelta(hours=2))
        client = NebulaVideoClient(**options, journal=journal)
        assert client.resume() == []
        assert {entry.id: entry.state for entry in journal.entries()} == dict.fromkeys(
            ("unsent", "sent"), EntryState.SUBMITTING
        )
        process.communicate("\n")
    assert client.resume() == []
    assert [(entry.id, entry.state) for entry in journal.entries()] == [("sent", EntryState.UNCONFIRMED)]


def test_resume_frees_what_a_call_of_this_very_process_left(options: dict[str, Any]) -> None:
    journal = MemoryJournal()
    journal.reserve(_row("left", new_holder()), None)
    NebulaVideoClient(**options, journal=journal).resume()
    assert journal.entries() == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_number_that_was_given_again_is_another_process() -> None:
    """A container that restarts has the same numbers."""
    scope, process, call = new_holder().rsplit(":", 2)
    started, _, name = call.rpartition("-")
    assert not is_dead(f"{scope}:{process}:{call}")
    assert is_dead(f"{scope}:{process}:{int(started) - 1}-{name}")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_process_is_dead_although_its_parent_has_not_asked_for_its_exit_code() -> None:
    """Many a supervisor asks late, and the first process of a container may never ask."""
    code = "from langchain_nebula_video.lifecycle.lease import new_holder; print(new_holder(), flush=True); input()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        holder = process.stdout.readline().strip()
        assert not is_dead(holder)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert is_dead(holder)
