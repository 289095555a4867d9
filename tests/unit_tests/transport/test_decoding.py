"""Packed answers, which no request asks for and some fronts send: read whole, in bounded pieces, or told rightly."""

from __future__ import annotations

import gzip
import importlib
import random
import zlib
from collections.abc import Callable

import brotli
import httpx
import pytest

from langchain_nebula_video.errors import RequestError, SubmissionUnconfirmedError
from langchain_nebula_video.protocols import WireRequest
from langchain_nebula_video.transport import decoding
from tests.conftest import Gateway, MakeClient, settle, submitted
from tests.tables import each_row

SUBMIT, LOOK = WireRequest("POST", "/v1/videos", paid=True), WireRequest("GET", "/v1/videos/1")
TEXT = b"".join(b"%x" % number for number in range(60_000))
zstd = importlib.import_module(decoding._ZSTD)

Pack = Callable[[bytes], bytes]


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKINGS: dict[str, tuple[str, Pack]] = {
    "gzip": ("gzip", gzip.compress),
    "two members": ("x-gzip", lambda data: gzip.compress(data[:99]) + gzip.compress(data[99:])),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "brotli": ("br", brotli.compress),
    "zstd": ("zstd", zstd.compress),
    "two frames": ("zstd", lambda data: zstd.compress(data[:99]) + zstd.compress(data[99:])),
}


def unpack(coding: str, body: bytes, size: int, request: WireRequest = SUBMIT) -> list[bytes]:
    decoder = decoding.body_decoder(coding, request)
    found = [chunk for start in range(0, len(body), size) for chunk in decoder.decode(body[start : start + size])]
    decoder.flush()
    return found


@each_row(("coding", "pack"), PACKINGS.values(), ids=PACKINGS)
def test_a_packed_body_is_read_whatever_the_pieces_it_comes_in(coding: str, pack: Pack) -> None:
    packed = pack(TEXT)
    for size in (1, 7, 4096, len(packed)):
        assert b"".join(unpack(coding, packed, size)) == TEXT


@pytest.mark.parametrize("over", [1, 258])
def test_a_body_without_a_checksum_is_read_to_its_end_if_all_input_is_used_up_before(over: int) -> None:
    data = (b"ab" * 40_000)[: 64 * 1024 + over]
    packed = raw_deflate(data)
    assert b"".join(unpack("deflate", packed, len(packed))) == data


def test_an_encoding_without_a_body_is_an_empty_body() -> None:
    """A front's refusal may have no body; its status alone says that nothing was accepted."""
    assert unpack("gzip", b"", 1) == []


@each_row(("coding", "pack"), PACKINGS.values(), ids=PACKINGS)
def test_ten_megabytes_from_a_few_bytes_come_in_bounded_chunks(coding: str, pack: Pack) -> None:
    packed = pack(bytes(10_000_000))
    chunks = unpack(coding, packed, len(packed))
    assert sum(map(len, chunks)) == 10_000_000
    assert max(map(len, chunks)) <= 128 * 1024


@each_row(("coding", "pack"), PACKINGS.values(), ids=PACKINGS)
def test_a_body_that_is_cut_off_or_damaged_leaves_a_submit_unconfirmed(coding: str, pack: Pack) -> None:
    packed, noise = pack(TEXT), random.Random(1).randbytes(2000)
    for body in (packed[: len(packed) // 2], packed[:-1], noise, packed + noise):
        with pytest.raises(SubmissionUnconfirmedError, match="The answer is packed, and"):
            unpack(coding, body, 4096)


def test_a_window_that_is_too_large_is_not_allotted() -> None:
    """A frame may ask for 2 GB of memory (RFC 8878); HTTP allows 8 MB (RFC 9659)."""
    large = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    packer = zstd.ZstdCompressor(options=large)
    with pytest.raises(RequestError, match="packed, and broken"):
        unpack("zstd", packer.compress(TEXT) + packer.flush(), 4096, LOOK)


@each_row("coding", ["br", "zstd"])
def test_without_its_package_an_encoding_names_the_extra(coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    with monkeypatch.context() as environment:
        environment.setattr(importlib, "import_module", missing)
        with pytest.raises(SubmissionUnconfirmedError) as caught:
            unpack(coding, b"", 1)
    assert f"packed with '{coding}', which was not asked for" in caught.value.what
    assert 'pip install "langchain-nebula-video[compression]"' in caught.value.hint
    assert "Do not simply repeat it" in caught.value.hint


async def test_a_submit_asks_for_no_packing_and_its_packed_answer_names_the_task(
    make_client: MakeClient, gateway: Gateway
) -> None:
    body = brotli.compress(httpx.Response(200, json=submitted()).content)
    gateway.submits = [lambda _: httpx.Response(200, headers={"content-encoding": "br"}, content=body)]
    task = await settle(make_client().submit(prompt="x", image="https://example.com/cat.jpg"))
    assert task.task_id == "task-1"
    assert {request.headers["accept-encoding"] for request in gateway.requests} == {"identity"}
