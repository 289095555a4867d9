"""What is cut out of answers and logs: the key, however it is spelled, and the signatures of videos."""

from __future__ import annotations

import html
import json
import logging
import urllib.parse
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_nebula_video import AsyncNebulaVideoClient, NebulaVideoClient, RefusedError
from langchain_nebula_video.transport.redaction import KeyRedactor
from tests.conftest import MOCKED, FakeClock, Gateway, settle, submitted, succeeded
from tests.storage import MOVIE

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}
KEY = "sk-ab/cd+ef=5ecret5ecret"
keys = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=12, max_size=40)


def escaped(key: str) -> list[str]:
    """Ways in which a gateway may write a key that it repeats."""
    every = "".join(f"\\u{ord(char):04x}" for char in key)
    return [
        key,
        json.dumps(key)[1:-1],
        json.dumps(json.dumps(key)[1:-1])[1:-1],
        json.dumps(key)[1:-1].replace("/", "\\/"),
        json.dumps(json.dumps(key)[1:-1].replace("/", "\\/"))[1:-1],
        every,
        every.upper().replace("\\U", "\\u"),
        urllib.parse.quote(key, safe=""),
        urllib.parse.quote(urllib.parse.quote(key, safe=""), safe=""),
        urllib.parse.quote(key, safe="").lower() if key.lower() == key else key,
        html.escape(key),
        "".join(f"&#{ord(char)};" for char in key),
        "".join(f"&#x{ord(char):X};" for char in key),
    ]


@given(keys)
def test_a_key_is_cut_out_in_every_spelling_that_decodes_to_it(key: str) -> None:
    redactor = KeyRedactor(key)
    for spelling in escaped(key):
        assert redactor.redact(f'{{"message": "no {spelling}."}}'.encode()) == b'{"message": "no [key]."}'


@given(st.binary(max_size=200))
def test_what_has_no_key_in_it_is_left_as_it_is(text: bytes) -> None:
    assert KeyRedactor(KEY).redact(text) == text
    assert KeyRedactor("short").redact(text + b"short") == text + b"short"


@pytest.mark.parametrize("kind", [NebulaVideoClient, AsyncNebulaVideoClient])
async def test_no_error_has_a_key_that_the_gateway_repeats_escaped(kind: Any) -> None:
    for spelling in escaped(KEY):
        content = f'{{"error": {{"message": "Incorrect key: {spelling}", "code": "invalid_api_key"}}}}'.encode()
        transport = httpx.MockTransport(lambda _, content=content: httpx.Response(401, content=content))
        own: dict[str, Any] = {
            "http_client": httpx.Client(transport=transport),
            "http_async_client": httpx.AsyncClient(transport=transport),
        }
        with pytest.raises(RefusedError) as caught:
            await settle(kind(api_key=KEY, clock=FakeClock(), **own).submit(**ASK))
        everything = str(caught.value) + repr(caught.value.__dict__)
        assert KEY not in everything
        assert "Incorrect key" in everything
        assert KEY not in html.unescape(urllib.parse.unquote(urllib.parse.unquote(everything)))


# --- the HTTP library's log ---


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize("kind", [NebulaVideoClient, AsyncNebulaVideoClient])
async def test_a_signed_address_is_in_no_log(
    kind: Any, library: Any, gateway: Gateway, clock: FakeClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def handle(request: Any) -> Any:
        if request.url.host == "results.example.com":
            return library.Response(200, content=MOVIE)
        return library.Response(200, json=submitted() if request.method == "POST" else succeeded())

    transport = library.MockTransport(handle)
    own: dict[str, Any] = {
        "http_client": library.Client(transport=transport),
        "http_async_client": library.AsyncClient(transport=transport),
    }
    client = kind(api_key=KEY, clock=clock, download_hosts=MOCKED, save_to=tmp_path, **own)
    with caplog.at_level(logging.INFO):
        await settle(client.generate(**ASK))
        library.Client(transport=transport).get("https://results.example.com/own.mp4?mine=1")
    lines = [record.getMessage() for record in caplog.records if record.name == library.__name__]
    assert "Signature" not in caplog.text
    assert any("results.example.com/video.mp4?[redacted]" in line for line in lines)
    assert any("/v1/video/generations/task-1 " in line for line in lines), "the gateway's own are as they were"
    assert any("own.mp4?mine=1" in line for line in lines), "so are those of other programs"
