"""Which addresses are this machine itself."""

from __future__ import annotations

from langchain_nebula_video import InvalidRequestError, NebulaVideoClient
from langchain_nebula_video.media.urls import is_loopback
from tests.tables import each_row

HERE = [
    *("localhost", "LOCALHOST", "localhost.", "127.0.0.1", "127.0.0.2", "127.255.255.254"),
    *("::1", "[::1]", "0:0:0:0:0:0:0:1", "0000::0001", "::ffff:127.0.0.1", "::ffff:7f00:2", "0:0:0:0:0:ffff:127.9.9.9"),
]
ELSEWHERE = [
    *(None, "", ".", "localhost.example.com", "127.0.0.1.example.com", "128.0.0.1", "::2", "::", "0.0.0.0"),
    *("::ffff:10.0.0.1", "2002:7f00:1::", "10.0.0.1", "my.localhost.test"),
]


@each_row("host", HERE)
def test_a_loopback_address_is_known_in_every_spelling(host: str) -> None:
    assert is_loopback(host)


@each_row("host", ELSEWHERE)
def test_and_nothing_else_is_taken_for_one(host: str | None) -> None:
    assert not is_loopback(host)


def test_plain_http_is_allowed_for_exactly_these() -> None:
    for host in HERE:
        written = f"[{host}]" if ":" in host and "[" not in host else host
        NebulaVideoClient(api_key="sk-x", base_url=f"http://{written}:8080")
    for other in ("128.0.0.1", "[::2]", "localhost.example.com"):
        try:
            NebulaVideoClient(api_key="sk-x", base_url=f"http://{other}:8080")
        except InvalidRequestError as error:
            assert "plain http" in str(error)
        else:
            raise AssertionError(other)
