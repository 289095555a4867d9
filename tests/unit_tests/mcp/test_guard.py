"""The door of the HTTP server: names, pages and the token, before anything else reads a request."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from langchain_nebula_video.mcp.guard import OriginGuard, TokenGuard
from tests.tables import each_row

TOKEN = "t0ken-t0ken-t0ken"


async def inner(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def status(app: Any, *headers: tuple[str, str], kind: str = "http") -> int:
    """What the app answers to a request with these headers."""
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.disconnect"}

    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    await app({"type": kind, "headers": raw}, receive, send)
    return int(sent[0]["status"])


GUARDED = OriginGuard(inner, hosts=["127.0.0.1", "videos.corp"], origins=["https://desk.corp"])


@each_row(
    ("host", "expected"),
    [
        ("localhost", 200),
        ("LOCALHOST.:8789", 200),
        ("127.0.0.1:8789", 200),
        ("192.168.1.7:8789", 200),
        ("[::1]:8789", 200),
        ("videos.corp", 200),
        ("videos.corp:443", 200),
        ("evil.example", 421),
        ("evil.example:8789", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example:80", 421),
        ("videos.corp@evil.example", 421),
        ("localhost, evil.example", 421),
        ("::1", 421),
        ("", 421),
    ],
)
async def test_a_name_that_is_not_this_server_s_is_refused(host: str, expected: int) -> None:
    """DNS rebinding needs a name: an address in digits is always the server's own."""
    assert await status(GUARDED, ("host", host)) == expected


@each_row(
    ("origin", "expected"),
    [
        ("https://desk.corp", 200),
        ("https://desk.corp/", 200),
        ("https://evil.example", 403),
        ("http://desk.corp", 403),
        ("https://desk.corp.evil.example", 403),
        ("http://localhost:3000", 403),
        ("http://127.0.0.1:8789", 403),
        ("null", 403),
        ("", 403),
    ],
)
async def test_a_page_is_refused_unless_it_is_allowed(origin: str, expected: int) -> None:
    assert await status(GUARDED, ("host", "localhost"), ("origin", origin)) == expected


async def test_a_request_without_an_origin_is_no_page_s() -> None:
    assert await status(GUARDED, ("host", "localhost")) == 200


async def test_a_header_that_is_sent_twice_is_no_way_in() -> None:
    pages = ("origin", "https://desk.corp"), ("origin", "https://evil.example")
    assert await status(GUARDED, ("host", "localhost"), *pages) == 403
    assert await status(GUARDED, ("host", "localhost"), ("host", "evil.example")) == 421


@each_row(
    ("given", "expected"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN} ", 200),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        ("Bearer tökén", 401),
        (None, 401),
    ],
)
async def test_only_the_whole_token_opens(given: str | None, expected: int) -> None:
    headers = [] if given is None else [("Authorization", given)]
    assert await status(TokenGuard(inner, TOKEN), *headers) == expected
