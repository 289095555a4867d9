"""The short path of an async client: looks go by httpcore, or by aiohttp with the extra `fast`, submits by httpcore."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from pytest_socket import enable_socket, socket_allow_hosts

from langchain_nebula_video import AsyncNebulaVideoClient, NotSentError, RequestError, SubmissionUnconfirmedError
from langchain_nebula_video.protocols import WireRequest
from langchain_nebula_video.transport import AsyncRuntime, Endpoint, SendWindow, SystemClock
from langchain_nebula_video.transport.exchange import Connections, Exchange
from langchain_nebula_video.transport.fast import AiohttpSession
from langchain_nebula_video.transport.senders import HttpcoreConnection
from langchain_nebula_video.transport.short_path import ShortPath
from tests.conftest import KEY
from tests.tables import each_row

GATEWAY = "https://gateway.example.com"
LOOK, SUBMIT = WireRequest("GET", "/v1/videos/t"), WireRequest("POST", "/v1/videos", json={}, paid=True)
Answer = Callable[[bytes], bytes]


def looks(base_url: str = GATEWAY, *, http2: bool = False, client: object | None = None) -> ShortPath:
    return ShortPath(Exchange(Endpoint(base_url, SecretStr(KEY), "test", http2=http2), client, SystemClock()))


@pytest.fixture(params=["httpcore", "aiohttp"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What looks go by."""
    installed = request.param == "aiohttp"
    monkeypatch.setattr("langchain_nebula_video.transport.short_path.is_installed", lambda: installed)
    return str(request.param)


async def test_with_the_extra_looks_go_by_aiohttp(path: str) -> None:
    connections = Connections()
    sender = looks().sender(connections, 0)
    assert type(sender) is {"aiohttp": AiohttpSession, "httpcore": HttpcoreConnection}[path]
    assert looks().sender(connections, 0) is sender
    await sender.aclose()


@each_row(
    "request_",
    [
        WireRequest("POST", "/v1/videos/t/cancel"),
        WireRequest("POST", "/v1/videos", json={}),
        WireRequest("POST", "/v1/videos", form={}, paid=True),
        WireRequest("GET", "/v1/videos/t", paid=True),
        WireRequest("GET", "https://files.example.com/a.mp4"),
        WireRequest("GET", f"{GATEWAY}/v1/videos/t/content", with_key=True),
        WireRequest("GET", "/api/log/token", key_parameter="key"),
        WireRequest("GET", "/v1/videos/猫"),
        WireRequest("GET", "/v1/videos/a b"),
        WireRequest("GET", "/v1/videos/a\r\nX: y"),
    ],
)
def test_forms_files_and_odd_addresses_go_by_httpx(request_: WireRequest) -> None:
    assert looks().takes(LOOK)
    assert looks().takes(SUBMIT)
    assert not looks().takes(request_)


def test_so_does_what_goes_through_a_proxy_with_http2_or_with_a_client_of_the_callers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for request in (LOOK, SUBMIT):
        assert not looks(http2=True).takes(request)
        assert not looks(client=httpx.AsyncClient()).takes(request)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    assert not looks().takes(LOOK)
    assert not looks().takes(SUBMIT)


class Server:
    """Answers each request as it is told, and keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.connections = 0
        self.answer: Answer = lambda _: b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Id: "A"\r\n\r\n{}'
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                outer.connections += 1
                while asked := self.request.recv(65536):
                    while b"POST " in asked and not asked.endswith(b"}"):  # head and body may come one by one
                        asked += self.request.recv(65536)
                    outer.asked.append(asked)
                    answer = outer.answer(asked)
                    self.request.sendall(answer)
                    if not answer or b"Connection: close" in answer:
                        return

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    enable_socket()
    socket_allow_hosts(["127.0.0.1"])
    made = Server()
    yield made
    made.close()


def runtime(server: Server) -> AsyncRuntime:
    return AsyncRuntime(Endpoint(f"{server.url}/proxied", SecretStr(KEY), "test/1"))


async def test_a_look_has_the_key_and_asks_for_a_plain_body(path: str, server: Server) -> None:
    request = WireRequest("GET", "/v1/videos/t?page=1", headers={"X-DashScope-Async": "enable"})
    reply = await runtime(server).send(request, timeout=30)
    assert (reply.status, reply.body, reply.headers["x-id"]) == (200, b"{}", '"A"')
    first, *headers = server.asked[0].decode().rstrip().split("\r\n")
    assert first == "GET /proxied/v1/videos/t?page=1 HTTP/1.1"
    sent = {name.lower(): value for name, _, value in (line.partition(": ") for line in headers)}
    assert len(sent) == len(headers)
    assert sent == {
        "host": server.url.removeprefix("http://"),
        "accept": "*/*",
        "accept-encoding": "identity",
        "connection": "keep-alive",
        "user-agent": "test/1",
        "x-dashscope-async": "enable",
        "authorization": f"Bearer {KEY}",
    }


@pytest.mark.parametrize("segment", ["%2E%2E", "%2e", "a%2Fb", "%E7%8C%AB"])
async def test_an_escaped_id_is_sent_as_it_is(path: str, server: Server, segment: str) -> None:
    await runtime(server).send(WireRequest("GET", f"/v1/videos/{segment}"), timeout=30)
    assert server.asked[0].startswith(f"GET /proxied/v1/videos/{segment} HTTP/1.1\r\n".encode())


async def test_looks_one_after_the_other_share_a_connection_and_at_once_they_do_not(path: str, server: Server) -> None:
    client = runtime(server)
    async with client.session():
        for _ in range(3):
            await client.send(LOOK, timeout=30)
        assert server.connections == 1
        barrier = threading.Barrier(3)

        def answer_together(_: bytes) -> bytes:
            barrier.wait(30)
            return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

        server.answer = answer_together
        await asyncio.gather(*(client.send(LOOK, timeout=30) for _ in range(3)))
    assert server.connections == 3


async def test_a_connection_that_the_server_has_closed_is_opened_anew(path: str, server: Server) -> None:
    server.answer = lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    client = runtime(server)
    async with client.session():
        for _ in range(3):
            assert (await client.send(LOOK, timeout=30)).body == b"{}"
    assert server.connections == 3


async def test_a_look_that_was_given_up_leaves_no_answer_for_the_next_one(path: str, server: Server) -> None:
    release = threading.Event()

    def answer_late(asked: bytes) -> bytes:
        late = b"/late " in asked
        if late:
            release.wait(30)
        return b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + (b"L" if late else b"N")

    server.answer = answer_late
    client = runtime(server)
    async with client.session():
        with pytest.raises(RequestError, match="no whole answer"):
            await client.send(WireRequest("GET", "/late"), timeout=0.2)
        release.set()
        assert (await client.send(LOOK, timeout=30)).body == b"N"


async def test_what_comes_after_an_answer_is_not_the_answer_to_the_next_look(path: str, server: Server) -> None:
    """That one is about another task. A cache that answers twice, or a body after 204, would shift all later ones."""
    server.answer = lambda _: 2 * b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nA"
    client = runtime(server)
    async with client.session():
        assert (await client.send(LOOK, timeout=30)).body == b"A"
        server.answer = lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nB"
        assert (await client.send(LOOK, timeout=30)).body == b"B"
        assert (await client.send(LOOK, timeout=30)).body == b"B"
    assert server.connections == 2


@each_row(
    "headers",
    [
        b"Content-Length: 2\r\nContent-Security-Policy: " + 20_000 * b"a",
        b"Content-Length: 2\r\nContent-Length: 2",
        b"Content-Length: 2" + b"".join(b"\r\nX-%d: a" % number for number in range(200)),
    ],
)
async def test_what_httpx_reads_is_read_with_the_extra_too(path: str, server: Server, headers: bytes) -> None:
    """At the second look at the latest: a look may fail, and is repeated."""
    server.answer = lambda _: b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n\r\n{}"
    client = runtime(server)
    async with client.session():
        with contextlib.suppress(RequestError):
            await client.send(LOOK, timeout=30)
        for _ in range(2):
            assert (await client.send(LOOK, timeout=30)).body == b"{}"


async def test_a_packed_answer_is_unpacked_and_an_answer_without_an_end_is_lost(path: str, server: Server) -> None:
    server.answer = lambda _: (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: 10\r\n\r\nx\x9c\xab\xae\x05\x00\x01u\x00\xf9"
    )
    assert (await runtime(server).send(LOOK, timeout=30)).body == b"{}"
    server.answer = lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\nConnection: close\r\n\r\n{}"
    with pytest.raises(RequestError, match="was sent, and no whole answer came"):
        await runtime(server).send(LOOK, timeout=30)


async def test_a_look_whose_answer_is_lost_is_not_told_as_not_sent(path: str, server: Server, clock: Any) -> None:
    server.answer = lambda _: b""
    client = AsyncNebulaVideoClient(api_key=KEY, base_url=server.url, clock=clock)
    with pytest.raises(RequestError) as lost:
        await client.fetch("task-1")
    assert not isinstance(lost.value, NotSentError)
    assert "was sent, and no whole answer came" in str(lost.value)


async def test_a_look_at_a_closed_port_is_told_as_not_sent(path: str, server: Server) -> None:
    server.close()
    with pytest.raises(NotSentError, match="did not open"):
        await runtime(server).send(LOOK, timeout=30)


async def test_a_look_is_logged_as_httpx_logs_requests(
    path: str, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "httpx"):
        await runtime(server).send(LOOK, timeout=30)
    assert caplog.messages == [f'HTTP Request: GET {server.url}/proxied/v1/videos/t "HTTP/1.1 200"']


# --- submits ---


def window(seconds: float) -> SendWindow:
    """The time in which a submit may leave."""
    return SendWindow(time.monotonic() + seconds, datetime.now(UTC) + timedelta(seconds=60))


async def test_a_submit_is_sent_once_over_a_connection_of_its_own_that_is_closed_then(
    path: str, server: Server
) -> None:
    client = runtime(server)
    submit = WireRequest("POST", "/v1/videos", json={"prompt": "猫 blinks", "seed": 7}, paid=True)
    async with client.session():
        await client.send(LOOK, timeout=30)
        for _ in range(2):
            reply = await client.send(submit, timeout=30, window=window(30))
            assert (reply.status, reply.body) == (200, b"{}")
        await client.send(LOOK, timeout=30)
    assert server.connections == 3
    head, _, body = server.asked[1].partition(b"\r\n\r\n")
    first, *headers = head.decode().split("\r\n")
    assert first == "POST /proxied/v1/videos HTTP/1.1"
    sent = {name.lower(): value for name, _, value in (line.partition(": ") for line in headers)}
    assert sent["authorization"] == f"Bearer {KEY}"
    assert sent["content-type"] == "application/json"
    assert sent["content-length"] == str(len(body))
    assert json.loads(body) == {"prompt": "猫 blinks", "seed": 7}


async def test_a_submit_whose_answer_is_lost_is_unconfirmed(path: str, server: Server) -> None:
    server.answer = lambda _: b""
    with pytest.raises(SubmissionUnconfirmedError, match="was sent, and no whole answer came"):
        await runtime(server).send(SUBMIT, timeout=30, window=window(30))


async def test_a_submit_whose_answer_breaks_off_is_unconfirmed(path: str, server: Server) -> None:
    server.answer = lambda _: b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\nConnection: close\r\n\r\n{"task_id"'
    with pytest.raises(SubmissionUnconfirmedError):
        await runtime(server).send(SUBMIT, timeout=30, window=window(30))


async def test_a_submit_to_a_closed_port_was_not_sent(path: str, server: Server) -> None:
    server.close()
    with pytest.raises(NotSentError, match="did not open"):
        await runtime(server).send(SUBMIT, timeout=30, window=window(30))


async def test_a_submit_that_may_not_leave_any_more_does_not(path: str, server: Server) -> None:
    with pytest.raises(NotSentError, match="its time was over"):
        await runtime(server).send(SUBMIT, timeout=30, window=window(-1))
    assert server.asked == []


async def test_a_submit_that_is_no_json_is_not_sent(path: str, server: Server) -> None:
    with pytest.raises(NotSentError, match="cannot be set up"):
        await runtime(server).send(
            WireRequest("POST", "/v1/videos", json={"seed": float("nan")}, paid=True), timeout=30
        )
    assert server.asked == []
