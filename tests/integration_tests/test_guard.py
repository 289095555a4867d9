"""The guard around fetching, with real connections: what must not be reached sees nothing of us."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
import trustme

from langchain_nebula_video import (
    DownloadError,
    InvalidRequestError,
    RequestError,
    Video,
)
from langchain_nebula_video.emulator import Emulator
from tests.conftest import jpeg, settle
from tests.gateways import ASK, Make
from tests.storage import MOVIE, Answer, Storage, serving

POLICY = {
    "policy": "eyJ9",
    "signature": "c2ln",
    "upload_dir": "dashscope-instant/x",
    "oss_access_key_id": "LTAI",
    "x_oss_object_acl": "private",
    "x_oss_forbid_overwrite": "true",
}


@pytest.fixture(autouse=True)
def _all_of_loopback(_loopback_only: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_socket import socket_allow_hosts

    socket_allow_hosts(["127.0.0.1", "127.0.0.2", "::1"], allow_unix_socket=True)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def inside() -> Iterator[Storage]:
    """What only this machine can see, at an address that is not the gateway's."""
    with serving(Storage(), host="127.0.0.2") as running:
        yield running


@pytest.fixture
async def video(make: Make) -> Video:
    made: Video = await settle(make().generate(**ASK))
    return made


def names(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Name servers that say these addresses, one question after the other; the questions."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if not str(host).endswith(".test"):
            return real(host, port, *args, **kwargs)
        asked.append(host)
        return real(answers[min(len(asked), len(answers)) - 1], port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


async def test_an_answer_s_address_on_this_machine_is_not_fetched(
    make: Make, video: Video, inside: Storage, tmp_path: Path
) -> None:
    url = f"{inside.url}/admin?token=1"
    with pytest.raises(DownloadError, match="not on the public internet") as caught:
        await settle(make().download(video.model_copy(update={"url": url}), tmp_path))
    assert inside.requests == []
    assert "download_hosts" in caught.value.hint


async def test_a_redirect_to_this_machine_is_not_followed(
    make: Make, video: Video, inside: Storage, tmp_path: Path
) -> None:
    with serving(Storage()) as outside:
        outside.answers = [Answer(302, body=b"", headers={"Location": f"{inside.url}/admin"})]
        with pytest.raises(DownloadError, match="not on the public internet"):
            await settle(make().download(video.model_copy(update={"url": f"{outside.url}/x.mp4"}), tmp_path))
    assert len(outside.requests) == 1
    assert inside.requests == []


async def test_a_name_that_changes_its_mind_leads_nowhere_else(
    make: Make, video: Video, inside: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer is an allowed address on which nothing listens; any later one would be the inside."""
    port = inside.url.rpartition(":")[2]
    asked = names(monkeypatch, "127.0.0.1", "127.0.0.2")
    client = make(download_hosts=["127.0.0.1/32"])
    url = f"http://files.test:{port}/x.mp4"
    with pytest.raises(DownloadError):
        await settle(client.download(video.model_copy(update={"url": url}), tmp_path))
    assert asked[:1] == ["files.test"]
    assert inside.requests == []


async def test_an_image_is_not_uploaded_to_where_it_must_not_go(make: Make, inside: Storage) -> None:
    """The gateway names its storage; this one names the inside."""
    gateway = Storage(json.dumps({"data": POLICY | {"upload_host": inside.url}}).encode())
    with serving(gateway):
        client = make(gateway="dashscope", base_url=gateway.url)
        with pytest.raises(InvalidRequestError, match="not on the public internet") as caught:
            await settle(client.submit(prompt="x", image=jpeg(640, 480)))
    assert caught.value.spent is False
    assert [path.partition("?")[0] for path, _ in gateway.requests] == ["/api/v1/uploads"]
    assert inside.requests == []


# --- pinned, and yet the same host ---


@pytest.fixture
def files_test(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Storage]:
    """https://files.test, whose name leads to this machine and whose certificate is trusted."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("files.test").configure_cert(tls)
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    names(monkeypatch, "127.0.0.1")
    with serving(Storage(), tls=tls) as running:
        yield running


def _own(kind: str, library: Any) -> dict[str, Any]:
    client = library.Client() if kind == "sync" else library.AsyncClient()
    return {"http_client" if kind == "sync" else "http_async_client": client}


@pytest.mark.parametrize("library", [None, httpx, httpx2], ids=["ours", "own httpx", "own httpx2"])
async def test_the_address_is_pinned_and_the_name_still_counts(
    make: Make,
    request: pytest.FixtureRequest,
    video: Video,
    files_test: Storage,
    tmp_path: Path,
    library: Any,
) -> None:
    """The request names the host, and the certificate is held against it."""
    port = files_test.url.rpartition(":")[2]
    own = _own(request.node.callspec.params["make"], library) if library else {}
    client = make(download_hosts=["127.0.0.1"], **own)
    url = f"https://files.test:{port}/video.mp4?Signature=a%2Bb%2F"
    saved = await settle(client.download(video.model_copy(update={"url": url}), tmp_path / "videos"))
    assert Path(saved.path).read_bytes() == MOVIE
    ((path, headers),) = files_test.requests
    assert path == "/video.mp4?Signature=a%2Bb%2F"
    assert headers["host"] == f"files.test:{port}"
    assert headers["connection"] == "close"
    assert "authorization" not in headers
    assert saved.url == url


async def test_a_certificate_for_another_name_is_not_taken(
    make: Make, video: Video, files_test: Storage, tmp_path: Path
) -> None:
    port = files_test.url.rpartition(":")[2]
    client = make(download_hosts=["127.0.0.1"])
    url = f"https://other.test:{port}/video.mp4"
    with pytest.raises(DownloadError, match="did not open"):
        await settle(client.download(video.model_copy(update={"url": url}), tmp_path / "videos"))
    assert files_test.requests == []


async def test_a_redirect_never_leaves_https(
    make: Make, video: Video, files: Storage, files_test: Storage, tmp_path: Path
) -> None:
    """What is asked for in the open can be read, and changed, by anybody on the way."""
    files_test.answers = [Answer(302, body=b"", headers={"Location": f"{files.url}/video.mp4"})]
    client = make(download_hosts=["127.0.0.1"])
    url = f"https://files.test:{files_test.url.rpartition(':')[2]}/video.mp4"
    with pytest.raises(DownloadError, match="from https to http"):
        await settle(client.download(video.model_copy(update={"url": url}), tmp_path / "videos"))
    assert files.requests == []


@pytest.mark.parametrize("url", ["ftp://files.test/x.mp4", "file:///etc/passwd", "nonsense", "https://"])
async def test_only_web_addresses_are_fetched(make: Make, video: Video, tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="web address"):
        await settle(make().download(video.model_copy(update={"url": url}), tmp_path))
    assert list(tmp_path.iterdir()) == []


# --- proxies ---


@contextmanager
def proxy(to: int) -> Iterator[tuple[str, list[str]]]:
    """A proxy that connects everybody to one port of this machine; its address, and what it was asked."""
    asked: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline().decode().strip())
            while self.rfile.readline().strip():
                pass
            with socket.create_connection(("127.0.0.1", to)) as there:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_pump, args=(there, self.connection), daemon=True)
                back.start()
                _pump(self.connection, there)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()


def _pump(here: socket.socket, there: socket.socket) -> None:
    try:
        while piece := here.recv(65536):
            there.sendall(piece)
        there.shutdown(socket.SHUT_WR)
    except OSError:
        pass


async def test_behind_a_proxy_the_name_is_the_proxy_s_to_resolve(
    make: Make, video: Video, files_test: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(files_test.url.rpartition(":")[2])
    with proxy(port) as (address, asked):
        monkeypatch.setenv("https_proxy", address)
        url = f"https://files.test:{port}/video.mp4"
        saved = await settle(make().download(video.model_copy(update={"url": url}), tmp_path / "videos"))
    assert Path(saved.path).read_bytes() == MOVIE
    assert asked == [f"CONNECT files.test:{port} HTTP/1.1"]


# --- what is unpacked ---


async def test_a_packed_answer_of_the_gateway_is_bounded_too(make: Make, emulator: Emulator) -> None:
    """100 MB of blanks, packed into 100 kB: it is given up at 64 MB, and the task is asked for again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join([*(packer.compress(b" " * 10_000_000) for _ in range(10)), packer.flush()])
    task = await settle(make().submit(**ASK))
    gateway = Storage()
    gateway.answers = [Answer(200, body=bomb, headers={"Content-Encoding": "gzip"})] * 20
    with serving(gateway), pytest.raises(RequestError, match="larger than 64 MB"):
        await settle(make(base_url=gateway.url, timeout=1000).fetch(task.task_id))
