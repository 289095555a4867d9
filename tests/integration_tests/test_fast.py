"""The extra `fast`: looks go by aiohttp, and whatever costs money does not."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from httpx_aiohttp import AiohttpTransport
from pydantic import SecretStr
from pytest_socket import enable_socket, socket_allow_hosts

from langchain_nebula_video import AsyncNebulaVideoClient, NotSentError, RequestError
from langchain_nebula_video.protocols import WireRequest
from langchain_nebula_video.transport import Endpoint, SystemClock
from langchain_nebula_video.transport.exchange import Connections, Exchange
from langchain_nebula_video.transport.guard import Destination
from tests.conftest import KEY

GATEWAY = "https://gateway.example.com"
LOOK, SUBMIT = WireRequest("GET", "/v1/videos/t"), WireRequest("POST", "/v1/videos", json={}, paid=True)


async def sender(kind: str, request: WireRequest, url: str = GATEWAY, *, to_gateway: bool = True) -> type:
    """The transport that a request would take."""
    exchange = Exchange(Endpoint(GATEWAY, SecretStr(KEY), "test"), None, SystemClock())
    destination = Destination(url + request.target, to_gateway=to_gateway)
    client, *_ = exchange.prepare(kind, Connections(), request, destination, 5.0)
    return type(client._transport)


async def test_looks_of_an_async_client_go_by_aiohttp_and_paid_requests_never() -> None:
    assert issubclass(await sender("AsyncClient", LOOK), AiohttpTransport)
    assert await sender("AsyncClient", SUBMIT) is httpx.AsyncHTTPTransport
    assert await sender("Client", LOOK) is httpx.HTTPTransport


async def test_what_is_outside_the_gateway_goes_where_addresses_are_pinned() -> None:
    file = WireRequest("GET", "https://files.example.com/a.mp4")
    assert await sender("AsyncClient", file, "", to_gateway=False) is httpx.AsyncHTTPTransport


@pytest.mark.parametrize("segment", ["%2E%2E", "%2e"])
async def test_an_id_that_aiohttp_would_take_for_another_path_goes_by_httpx(segment: str) -> None:
    look = WireRequest("GET", f"/v1/videos/{segment}")
    assert await sender("AsyncClient", look) is httpx.AsyncHTTPTransport


@pytest.fixture
def hanging_up() -> Iterator[str]:
    """A server that reads each request and hangs up."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)

    enable_socket()
    socket_allow_hosts(["127.0.0.1"])
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


async def test_a_look_whose_answer_is_lost_is_not_told_as_not_sent(hanging_up: str, clock: Any) -> None:
    client = AsyncNebulaVideoClient(api_key=KEY, base_url=hanging_up, clock=clock)
    with pytest.raises(RequestError) as lost:
        await client.fetch("task-1")
    assert not isinstance(lost.value, NotSentError)
    assert "was sent, and no whole answer came" in str(lost.value)
