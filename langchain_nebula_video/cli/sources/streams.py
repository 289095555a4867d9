"""Streams: the text of a table from a file, standard input or a store, unpacked on the way."""

from __future__ import annotations

import codecs
import gzip
import importlib
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, TextIO

from langchain_nebula_video.cli.sources.tables import NOT_UTF_8
from langchain_nebula_video.errors import InvalidRequestError

__all__ = ["open_text"]

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"  # RFC 1952, 2.3.1; RFC 8878, 3.1.1
_BUFFER_BYTES = 1 << 16
_BLANK = codecs.BOM_UTF8 + b" \t\r\n"


@contextmanager
def open_text(raw: BinaryIO | io.RawIOBase, name: str) -> Iterator[tuple[TextIO, bool]]:
    """Yield the text of a table, and whether it looks like JSONL. Nothing but a part of it is in memory.

    Packed tables are known by their first bytes. Bytes that are not UTF-8 become half surrogates (PEP 383).

    Args:
        raw: The bytes. They are left open.
        name: The table's name, for messages.

    Raises:
        InvalidRequestError: it cannot be read or unpacked, or is UTF-16.
    """
    # A second buffer would wait for more than the first one has: rows on standard input are read as they come.
    layers: list[Any] = [raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(raw, _BUFFER_BYTES)]
    damage: list[type[Exception]] = [OSError, EOFError, zlib.error]
    try:
        packed = layers[0].peek(len(_ZSTD))
        if packed.startswith(_GZIP):
            layers.append(io.BufferedReader(gzip.GzipFile(fileobj=layers[0])))
        elif packed.startswith(_ZSTD):
            zstd = _load_zstd(name)
            damage.append(zstd.ZstdError)
            layers.append(io.BufferedReader(zstd.ZstdFile(layers[0])))
        head = layers[-1].peek(1)
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise InvalidRequestError(f"{name}, line 1: it is not UTF-8.", hint=NOT_UTF_8)
        text = io.TextIOWrapper(layers[-1], encoding="utf-8-sig", errors="surrogateescape")
        layers.append(text)
        yield text, head.lstrip(_BLANK).startswith(b"{")
    except tuple(damage) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InvalidRequestError(f"{name} cannot be read: {why.rstrip('.')}.", hint="") from None
    finally:
        for layer in reversed(layers):  # else the end of a layer would close the bytes, and those may be standard input
            if layer is not raw:
                layer.detach()


def _load_zstd(name: str) -> Any:
    module = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InvalidRequestError(
            f"{name} is packed with zstd.", hint='pip install "langchain-nebula-video[compression]" reads it.'
        ) from None
