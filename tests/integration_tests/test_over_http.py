"""What only a real server can do: trickle, redirect, expire, break off in the middle."""

from __future__ import annotations

import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
import trustme

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    AuthenticationError,
    DownloadError,
    InvalidInputError,
    ModerationError,
    NebulaVideoClient,
    NotSentError,
    QuotaError,
    RefusedError,
    SubmissionUnconfirmedError,
    TaskFailedError,
    TaskTimeoutError,
)
from langchain_nebula_video.emulator import Emulator
from tests.conftest import jpeg, settle
from tests.gateways import ASK, BOTH, HurriedClock


@pytest.fixture(params=["sync", "async", "async without aiohttp"])
def make(
    request: pytest.FixtureRequest, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Either client at the emulator. Another emulator is another service of this machine."""
    if request.param == "async without aiohttp":
        monkeypatch.setattr("langchain_nebula_video.transport.short_path.is_installed", lambda: False)
    kind: Any = NebulaVideoClient if request.param == "sync" else AsyncNebulaVideoClient
    return lambda **more: kind(**{**options, "download_hosts": ["127.0.0.1"], **more})


# --- the gateway's refusals, by the emulator's reading of the page ---


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"api_key": "sk-wrong"}, AuthenticationError, "Check the key"),
        ({"prompt": "something forbidden"}, ModerationError, "Change the image or the prompt"),
    ],
)
async def test_refusals_are_told_apart_and_free(
    make: Callable[..., Any], emulator: Emulator, change: dict[str, Any], error: type[RefusedError], says: str
) -> None:
    ask = {**ASK, **{name: value for name, value in change.items() if name in ASK}}
    client = make(**{name: value for name, value in change.items() if name not in ASK})
    with pytest.raises(error, match=says) as caught:
        await settle(client.generate(**ask))
    assert caught.value.request_id
    assert caught.value.spent is False
    assert emulator.tasks == ()


@BOTH
async def test_an_empty_account_is_a_quota_error(make: Callable[..., Any], emulator: Emulator) -> None:
    emulator.add_account("sk-poor", balance=Decimal("0.10"))
    with pytest.raises(QuotaError, match="Top up"):
        await settle(make(api_key="sk-poor").generate(**ASK))


@BOTH
async def test_an_image_that_the_gateway_cannot_read_fails_the_task_for_free(
    make: Callable[..., Any], emulator: Emulator
) -> None:
    url = emulator.host_image(b"GIF89a" + bytes(50))
    with pytest.raises((TaskFailedError, InvalidInputError)) as caught:
        await settle(make().generate(**{**ASK, "image": url}))
    assert caught.value.spent is False
    assert emulator.bill.usd == 0


# --- answers that do not end ---


async def test_a_poll_that_trickles_is_bounded_by_the_deadline(make: Callable[..., Any], emulator: Emulator) -> None:
    emulator.faults.add("query", "trickle", times=None, delay=0.3)
    started = time.monotonic()
    with pytest.raises(TaskTimeoutError, match="wait"):
        await settle(make(timeout=1.5).generate(**ASK))
    assert time.monotonic() - started < 20


async def test_a_poll_that_stalls_is_bounded_and_the_task_found_again(
    make: Callable[..., Any], emulator: Emulator
) -> None:
    emulator.faults.add("query", "stall_after", seconds=20)
    client = make(timeout=1.5)
    with pytest.raises(TaskTimeoutError) as caught:
        await settle(client.generate(**ASK))
    assert (await settle(client.wait(caught.value.task))).url
    assert len(emulator.tasks) == 1


async def test_an_answer_of_100_mb_is_not_read_to_its_end(make: Callable[..., Any], emulator: Emulator) -> None:
    emulator.faults.add("query", "huge", megabytes=100)
    assert (await settle(make().generate(**ASK))).url


async def test_a_poll_that_redirects_is_not_followed(make: Callable[..., Any], emulator: Emulator) -> None:
    with Emulator() as other:
        task = await settle(make().submit(**ASK))
        emulator.faults.add("query", "redirect", times=2, to=f"{other.url}/v1/video/generations/x")
        with pytest.raises(RefusedError, match="never sent along") as caught:
            await settle(make().fetch(task.task_id))
        assert (await settle(make().wait(task))).task_id == task.task_id
        assert other.requests == ()
    assert caught.value.task_id == task.task_id


# --- downloads ---


@BOTH
async def test_a_video_is_saved_whole_and_plays(make: Callable[..., Any], emulator: Emulator, tmp_path: Path) -> None:
    video = await settle(make(save_to=tmp_path / "new" / "folder").generate(**{**ASK, "image": jpeg(640, 360)}))
    assert video.path == str(tmp_path / "new" / "folder" / f"{video.task_id}.mp4")
    with av.open(video.path) as movie:
        assert movie.streams.video[0].frames == 120
    assert [path.name for path in Path(video.path).parent.iterdir()] == [Path(video.path).name]
    assert emulator.violations == ()


@BOTH
async def test_a_download_that_breaks_off_is_begun_again(
    make: Callable[..., Any], emulator: Emulator, tmp_path: Path
) -> None:
    emulator.faults.add("download", "cut", at=5000)
    emulator.faults.add("download", "cut", at=5000, reset=True)
    video = await settle(make(save_to=tmp_path / "cat.mp4", clock=HurriedClock()).generate(**ASK))
    with av.open(str(tmp_path / "cat.mp4")) as movie:
        assert movie.streams.video[0].frames == 120
    assert video.path == str(tmp_path / "cat.mp4")


async def test_a_redirected_download_is_followed_without_the_key(
    make: Callable[..., Any], emulator: Emulator, tmp_path: Path
) -> None:
    client = make()
    video = await settle(client.generate(**ASK))
    with Emulator() as other:
        other.faults.add("download", "redirect", to=video.url, code=302)
        elsewhere = video.model_copy(update={"url": video.url.replace(emulator.url, other.url)})
        saved = await settle(client.download(elsewhere, tmp_path))
        assert other.violations == ()
    assert Path(saved.path).stat().st_size > 10_000
    assert emulator.violations == ()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"kind": "status", "code": 403}, "expired"),
        ({"kind": "html"}, "no MP4, but a web page"),
        ({"kind": "status", "code": 500}, "HTTP 500"),
    ],
)
async def test_a_download_that_does_not_work_says_where_the_video_is(
    make: Callable[..., Any], emulator: Emulator, tmp_path: Path, fault: dict[str, Any], says: str
) -> None:
    emulator.faults.add("download", times=None, **fault)
    client = make(save_to=tmp_path, clock=HurriedClock())
    with pytest.raises(DownloadError, match=says) as caught:
        await settle(client.generate(**ASK, key="a"))
    assert caught.value.spent is True
    assert caught.value.task_id == emulator.tasks[0].id
    assert list(tmp_path.iterdir()) == []
    emulator.faults.clear()
    assert Path((await settle(client.generate(**ASK, key="a"))).path).exists()
    assert len(emulator.tasks) == 1


async def test_a_folder_that_cannot_be_written_loses_nothing(
    make: Callable[..., Any], emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    client = make()
    video = await settle(client.generate(**ASK))
    with pytest.raises(DownloadError, match="cannot be written") as caught:
        await settle(client.download(video, tmp_path / "file" / "folder"))
    assert caught.value.url == video.url
    assert caught.value.video == video


# --- TLS ---


class _Trickle(socketserver.StreamRequestHandler):
    """Answers one byte every 0.2 s, for as long as anybody reads."""

    def handle(self) -> None:
        self.rfile.readline()
        for _ in range(100):
            try:
                self.wfile.write(b"H" if _ == 0 else b"T")
            except OSError:
                return
            time.sleep(0.2)


class _Mute(socketserver.BaseRequestHandler):
    """Takes what comes and says nothing."""

    def handle(self) -> None:
        while self.request.recv(1000):
            pass


@pytest.fixture
def trickling_tls() -> Iterator[tuple[str, ssl.SSLContext]]:
    """A gateway behind TLS that trickles the head of its answer; and the trust in it."""
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def get_request(self) -> Any:
            plain, address = super().get_request()
            return server_side.wrap_socket(plain, server_side=True), address

    with Server(("127.0.0.1", 0), _Trickle) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_address[1]}", trust
        server.shutdown()


async def test_a_head_that_trickles_over_tls_is_bounded_too(
    trickling_tls: tuple[str, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url, trust = trickling_tls
    bundle = tmp_path / "ca.pem"
    bundle.write_text("\n".join(ssl.DER_cert_to_PEM_cert(der) for der in trust.get_ca_certs(binary_form=True)[-1:]))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    for kind in (NebulaVideoClient, AsyncNebulaVideoClient):
        started = time.monotonic()
        with pytest.raises(SubmissionUnconfirmedError, match="none within 1 s"):
            await settle(kind(base_url=url, api_key="sk-x", timeout=1).generate(**ASK))
        assert time.monotonic() - started < 20


async def test_a_handshake_that_hangs_was_not_sent(make: Callable[..., Any]) -> None:
    """TCP is there and TLS is not: no byte of the request has left."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Mute) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        client = make(base_url=f"https://127.0.0.1:{server.server_address[1]}", timeout=1.5, clock=HurriedClock())
        with pytest.raises(NotSentError, match="Nothing was sent"):
            await settle(client.generate(**ASK))
        assert await settle(client.resume()) == []
        server.shutdown()


def test_a_client_of_ones_own_is_left_open(options: dict[str, Any]) -> None:
    with httpx.Client(limits=httpx.Limits(max_keepalive_connections=0)) as own:
        NebulaVideoClient(**options, http_client=own).generate(**ASK)
        assert not own.is_closed


async def test_loopback_never_goes_through_a_proxy(make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert (await settle(make().generate(**ASK))).url
