"""A gateway on this machine: no proxy sees its key, and its answers lead to no other port."""

from __future__ import annotations

import base64
import json
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pytest_socket import enable_socket, socket_allow_hosts

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    DownloadError,
    InvalidRequestError,
    MemoryJournal,
    NebulaVideoClient,
    NebulaVideoError,
    RequestError,
    Video,
    quote,
)
from tests.conftest import jpeg, settle
from tests.gateways import ASK, HurriedClock
from tests.storage import MOVIE, Answer, Storage, serving

KINDS: list[Any] = [NebulaVideoClient, AsyncNebulaVideoClient]


class Listener(socketserver.ThreadingTCPServer):
    """Takes down what comes, and answers that it refuses."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Listening)
        self.heard: list[bytes] = []


class _Listening(socketserver.BaseRequestHandler):
    server: Listener

    def handle(self) -> None:
        self.server.heard.append(self.request.recv(10_000))
        self.request.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@contextmanager
def listening() -> Iterator[Listener]:
    with Listener() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def _all_of_loopback(_loopback_only: None) -> None:
    enable_socket()
    names = ["127.0.0.1", "127.0.0.2", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::ffff:7f00:1"]
    socket_allow_hosts(names, allow_unix_socket=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.2", "localhost", "localhost.", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]"]
)
async def test_no_proxy_sees_the_key_of_a_gateway_on_this_machine(
    kind: Any, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening() as proxy, listening() as gateway:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_address[1]}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        address = f"http://{host}:{gateway.server_address[1]}"
        client = kind(base_url=address, api_key="sk-secret-secret", clock=HurriedClock(), timeout=20)
        with pytest.raises(NebulaVideoError):
            await settle(client.submit(**ASK))
        with pytest.raises(NebulaVideoError):
            await settle(client.fetch("task-1"))
    assert proxy.heard == []


# --- other ports ---


def video_at(url: str) -> Video:
    return Video.model_validate(
        {
            "task_id": "task-1",
            "gateway": "nebula",
            "model": "wan2.5-i2v-preview",
            "url": url,
            "expires_at": "2099-01-01T00:00:00Z",
            "cost": quote(),
            "submitted_at": "2026-01-01T00:00:00Z",
            "finished_at": "2026-01-01T00:01:00Z",
        }
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_an_answer_of_a_gateway_on_this_machine_leads_to_no_other_port_of_it(kind: Any, tmp_path: Path) -> None:
    """Neither by its URL, nor by a redirect of the gateway, nor as the storage for an upload."""
    with serving(Storage()) as gateway, serving(Storage()) as other:
        client = kind(base_url=gateway.url, api_key="sk-x", clock=HurriedClock())
        assert (await settle(client.download(video_at(f"{gateway.url}/v.mp4"), tmp_path / "own"))).path
        with pytest.raises(DownloadError, match="not on the public internet") as caught:
            await settle(client.download(video_at(f"{other.url}/admin/restart"), tmp_path))
        assert "download_hosts" in caught.value.hint
        gateway.answers = [Answer(302, body=b"", headers={"Location": f"{other.url}/admin/restart"})]
        with pytest.raises(DownloadError, match="not on the public internet"):
            await settle(client.download(video_at(f"{gateway.url}/v.mp4"), tmp_path))
        policy = {
            "policy": "eyJ9",
            "signature": "c2ln",
            "upload_dir": "x",
            "upload_host": other.url,
            "oss_access_key_id": "L",
            "x_oss_object_acl": "private",
            "x_oss_forbid_overwrite": "true",
        }
        gateway.content = json.dumps({"data": policy}).encode()
        storing = kind(gateway="dashscope", base_url=gateway.url, api_key="sk-x", clock=HurriedClock())
        with pytest.raises(InvalidRequestError, match="not on the public internet"):
            await settle(storing.submit(prompt="x", image=jpeg(640, 480)))
        assert other.requests == []
        widened = kind(base_url=gateway.url, api_key="sk-x", clock=HurriedClock(), download_hosts=["127.0.0.1"])
        await settle(widened.download(video_at(f"{other.url}/v.mp4"), tmp_path / "widened"))
        assert len(other.requests) == 1


# --- videos within answers ---


def answered(size: int) -> bytes:
    """A finished task whose URL is a video of that size itself."""
    movie = MOVIE[:32] + (8 + size).to_bytes(4, "big") + b"mdat" + bytes(size)
    uri = "data:video/mp4;base64," + base64.b64encode(movie).decode()
    return json.dumps({"task_id": "task-1", "status": "succeeded", "url": uri}).encode()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_video_of_26_mb_within_the_answer_is_had_and_saved(kind: Any, tmp_path: Path) -> None:
    with serving(Storage(answered(26_000_000))) as gateway:
        client = kind(base_url=gateway.url, api_key="sk-x", clock=HurriedClock(), save_to=tmp_path)
        video = await settle(client.wait("task-1"))
    assert Path(video.path).stat().st_size > 26_000_000


@pytest.mark.parametrize("kind", KINDS)
async def test_an_answer_that_stays_too_large_ends_the_wait_and_says_what_may_be_paid_for(kind: Any) -> None:
    with serving(Storage(b'{"task_id": "task-1", "url": "' + b"A" * 70_000_000)) as gateway:
        client = kind(base_url=gateway.url, api_key="sk-x", clock=HurriedClock(), journal=MemoryJournal())
        began = time.monotonic()
        with pytest.raises(RequestError, match=r"larger than 64 MB.*holds the video itself") as caught:
            await settle(client.wait("task-1", timeout=100_000))
    assert time.monotonic() - began < 60
    assert len(gateway.requests) == 3
    assert (caught.value.task_id, caught.value.spent) == ("task-1", None)
    assert "do not submit again" in str(caught.value)
