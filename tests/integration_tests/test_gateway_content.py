"""A video that lies on the gateway itself, over HTTP: with its key, in whole, with patience, and once."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    DownloadError,
    NebulaVideoClient,
    SqlJournal,
    TaskTimeoutError,
)
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.lifecycle import lease
from langchain_nebula_video.saving import download
from langchain_nebula_video.transport import SystemClock
from tests.conftest import settle
from tests.gateways import ASK, INTERVAL, SPEED, Make, reached
from tests.storage import MOVIE, Answer, Storage

NO_RIGHT: dict[str, Any] = {"code": 403, "body": "distributor", "error_code": "", "message": "该令牌无权访问模型 "}


@pytest.fixture
def silent(emulator: Emulator) -> Emulator:
    """A gateway that names no address of a finished video."""
    emulator.faults.add("query", "no_url", times=None)
    return emulator


def points(emulator: Emulator) -> list[str]:
    return [request.point for request in emulator.requests]


# --- looks ---


async def test_a_key_that_may_not_look_is_told_so_and_not_that_money_is_missing(make: Make, emulator: Emulator) -> None:
    """A key that is limited to certain models. It may pay, and not look."""
    emulator.faults.add("query", "status", times=None, **NO_RIGHT)
    client = make(timeout=150)
    with pytest.raises(TaskTimeoutError, match="HTTP 403") as caught:
        await settle(client.generate(**ASK))
    assert caught.value.task_id == emulator.tasks[0].id
    assert caught.value.spent is None
    assert len(emulator.tasks) == 1
    paths = {request.path.rpartition("/")[0] for request in emulator.requests if request.point == "query"}
    assert paths == {"/v1/video/generations", "/v1/videos"}
    emulator.faults.clear()
    assert (await settle(client.wait(caught.value.task))).task_id == caught.value.task_id


async def test_looks_that_are_refused_for_a_while_cost_nothing_and_lose_nothing(
    make: Make, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.faults.add("query", "status", times=5, **NO_RIGHT)
    with caplog.at_level(logging.WARNING, logger="langchain_nebula_video"):
        assert (await settle(make().generate(**ASK))).url
    assert len(emulator.tasks) == 1
    assert "a look is repeated: The gateway answered HTTP 403" in caplog.text


# --- the video ---


async def test_a_finished_video_without_an_address_is_saved_from_the_gateway(
    make: Make, silent: Emulator, tmp_path: Path
) -> None:
    video = await settle(make(save_to=tmp_path).generate(**ASK))
    assert video.url == f"{silent.url}/v1/videos/{video.task_id}/content"
    assert video.url_needs_key
    assert Path(video.path).stat().st_size > 10_000
    assert points(silent)[-1] == "content"
    assert silent.violations == ()
    assert (await asyncio.to_thread(httpx.get, video.url)).status_code == 401


def test_so_it_is_on_uniall(silent: Emulator, tmp_path: Path) -> None:
    client = NebulaVideoClient(**reached(silent, "uniall"), model="viduq3t-540p", save_to=tmp_path)
    assert client.generate(prompt="A boat", image=ASK["image"], duration=1, seed=1).path


@pytest.mark.parametrize(
    ("code", "words"),
    [(404, "Task not found"), (202, "processing"), (400, "Video is still processing (status: RUNNING)")],
)
async def test_a_video_that_is_not_there_yet_is_waited_for(
    make: Make, silent: Emulator, tmp_path: Path, code: int, words: str
) -> None:
    """By its status, or in the gateway's words."""
    silent.faults.add("content", "answer", code=code, body={"error": {"message": words}})
    video = await settle(make(save_to=tmp_path, clock=SystemClock()).generate(**ASK))
    assert Path(video.path).stat().st_size > 10_000
    assert points(silent).count("content") == 2


async def test_a_gateway_that_asks_for_patience_gets_it(make: Make, silent: Emulator, tmp_path: Path) -> None:
    """As LiteLLM does for five seconds, to looks and to downloads, after its vendor has refused something."""
    words: dict[str, Any] = {"code": 429, "error_code": "all_deployments_in_cooldown", "retry_after": 5}
    silent.faults.add("content", "status", times=2, body="distributor", **words)
    began = time.monotonic()
    video = await settle(make(save_to=tmp_path).generate(**ASK))
    assert Path(video.path).stat().st_size > 10_000
    assert time.monotonic() - began >= 2 * 5 / 50  # the clock is fifty times as fast


async def test_a_video_of_a_gateway_that_has_moved_is_asked_for_anew(
    make: Make, silent: Emulator, tmp_path: Path
) -> None:
    video = await settle(make().generate(**ASK))
    before = video.model_copy(update={"url": f"https://old.example.com/v1/videos/{video.task_id}/content"})
    saved = await settle(make().download(before, tmp_path))
    assert saved.url == video.url
    assert saved.path is not None


async def test_a_path_that_is_not_there_ends_with_the_gateway_s_words_and_the_money_is_spent(
    make: Make, silent: Emulator, tmp_path: Path
) -> None:
    silent.faults.add("content", "status", times=None, code=405, body="distributor", message="No such method")
    with pytest.raises(DownloadError, match="HTTP 405: No such method") as caught:
        await settle(make(save_to=tmp_path).generate(**ASK))
    assert caught.value.spent is True
    assert "which opens with your key only" in caught.value.hint
    assert caught.value.video is not None
    silent.faults.clear()
    assert (await settle(make().download(caught.value.video, tmp_path))).path


async def test_the_gateway_s_words_never_hold_the_key(make: Make, silent: Emulator, tmp_path: Path) -> None:
    key = "sk-of-somebody-0123456789"
    silent.add_account(key)
    words = {"error": {"message": f"Bearer {key} may not do this"}}
    silent.faults.add("content", "answer", times=None, code=403, body=words)
    with pytest.raises(DownloadError, match=r"Bearer \[key\] may not") as caught:
        await settle(make(save_to=tmp_path, api_key=key).generate(**ASK))
    assert key not in str(caught.value)


async def test_a_download_that_breaks_off_starts_again_and_asks_for_no_range(
    make: Make, silent: Emulator, tmp_path: Path
) -> None:
    silent.faults.add("content", "cut", at=5000)
    silent.faults.add("content", "cut", at=9000, reset=True)
    video = await settle(make(save_to=tmp_path).generate(**ASK))
    assert Path(video.path).stat().st_size > 10_000
    asked = [request for request in silent.requests if request.point == "content"]
    assert len(asked) == 3
    assert not any("range" in request.headers for request in asked)


async def test_an_answer_of_another_kind_is_no_video(make: Make, silent: Emulator, tmp_path: Path) -> None:
    silent.faults.add("content", "answer", times=None, body={"error": {"message": "later"}})
    with pytest.raises(DownloadError, match="no MP4"):
        await settle(make(save_to=tmp_path).generate(**ASK))
    assert list(tmp_path.iterdir()) == []


async def test_a_redirect_to_a_storage_is_followed_without_the_key(
    make: Make, silent: Emulator, files: Storage, tmp_path: Path
) -> None:
    silent.faults.add("content", "redirect", to=f"{files.url}/video.mp4?Signature=x")
    video = await settle(make(save_to=tmp_path).generate(**ASK))
    assert Path(video.path).read_bytes() == MOVIE
    assert [headers.get("authorization") for _, headers in files.requests] == [None]


async def test_another_port_of_the_same_host_never_gets_the_key(
    make: Make, silent: Emulator, files: Storage, tmp_path: Path
) -> None:
    client = make()
    video = await settle(client.generate(**ASK))
    url = f"{files.url}/v1/videos/{video.task_id}/content"
    there = video.model_copy(update={"url": url, "url_needs_key": False})
    await settle(client.download(there, tmp_path))
    assert [headers.get("authorization") for _, headers in files.requests] == [None]


async def test_over_plain_http_no_proxy_gets_to_see_the_key(
    make: Make, silent: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing listens where the proxies of the environment are: a request that went there would fail."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    real = socket.getaddrinfo

    def resolve(host: Any, *args: Any, **kwargs: Any) -> Any:
        return real("127.0.0.1" if host in {"gateway.test", b"gateway.test"} else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    url = f"http://gateway.test:{silent.url.rpartition(':')[2]}"
    video = await settle(make(base_url=url, allow_http=True, save_to=tmp_path).generate(**ASK))
    assert video.url.startswith(url)
    assert Path(video.path).stat().st_size > 10_000


# --- a gateway that fetches the whole file first ---


class _Slow(socketserver.StreamRequestHandler):
    """Accepts each submit, has each task done, and gives the first byte of a video after a while."""

    seconds = 2.0

    def handle(self) -> None:
        line = self.rfile.readline().decode()
        length = 0
        while header := self.rfile.readline().strip().lower():
            length = int(header.partition(b":")[2]) if header.startswith(b"content-length") else length
        self.rfile.read(length)
        body = json.dumps({"id": "task-1", "status": "queued" if line.startswith("POST") else "completed"}).encode()
        if line.split()[1].endswith("/content"):
            time.sleep(self.seconds)
            body = MOVIE
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)


@contextmanager
def slow_gateway() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Slow) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("kind", [NebulaVideoClient, AsyncNebulaVideoClient])
async def test_the_first_byte_may_take_long_and_the_lease_is_kept_meanwhile(
    kind: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Longer than a storage may take, and longer than a lease lasts."""
    monkeypatch.setattr(download, "_STALL_SECONDS", 0.5)
    monkeypatch.setattr(lease, "LEASE_DURATION", timedelta(seconds=1))
    journal = SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}")
    with slow_gateway() as url:
        client = kind(base_url=url, api_key="sk-x", poll_interval=0.05, journal=journal, save_to=tmp_path / "videos")
        holders: set[str | None] = set()
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.1):
                for entry in journal.entries():
                    if entry.held_until is not None and entry.task_id:
                        holders.add(entry.held_until.isoformat())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            video = await settle(client.generate(**ASK))
        finally:
            ended.set()
            watcher.join()
    assert Path(video.path).read_bytes() == MOVIE
    assert len(holders) >= 3
    journal.close()


# --- a storage ---


async def test_a_fresh_video_that_the_storage_does_not_have_yet_is_waited_for(
    make: Make, files: Storage, video: Any, tmp_path: Path
) -> None:
    files.answers = [Answer(404, body=b"")]
    assert Path((await settle(make(clock=SystemClock()).download(video, tmp_path))).path).read_bytes() == MOVIE
    assert len(files.requests) == 2


async def test_an_old_one_that_is_not_there_is_gone(make: Make, files: Storage, video: Any, tmp_path: Path) -> None:
    ended = video.finished_at - timedelta(minutes=2)
    old = video.model_copy(update={"finished_at": ended, "gateway": "uniall"})  # which this client cannot ask
    files.answers = [Answer(404, body=b"")]
    with pytest.raises(DownloadError, match="HTTP 404"):
        await settle(make().download(old, tmp_path))
    assert len(files.requests) == 1


def test_a_storage_at_the_gateway_s_own_port_gets_no_key(tmp_path: Path) -> None:
    """The signature is the permission there; two are one too many for some."""
    with Emulator(speed=SPEED) as emulator:
        client = NebulaVideoClient(
            base_url=emulator.url, api_key=emulator.api_key, poll_interval=INTERVAL, save_to=tmp_path
        )
        assert not client.generate(**ASK).url_needs_key
        assert emulator.violations == ()
