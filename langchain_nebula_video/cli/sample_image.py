"""A small picture to try a gateway with: the sun above a hill."""

from __future__ import annotations

import math
import struct
import zlib

__all__ = ["make_sample_image"]

_WIDTH, _HEIGHT = 640, 480  # every gateway takes sides of 360 to 2000 pixels
_SUN_X, _SUN_Y, _SUN_RADIUS = 440, 170, 60
_HILL_X, _HILL_Y = 200, 300
_GOLD = (250, 210, 80)


def make_sample_image() -> bytes:
    """Return the picture as a PNG of some kilobytes."""
    rows = b"".join(b"\0" + _row(y) for y in range(_HEIGHT))
    header = struct.pack(">IIBBBBB", _WIDTH, _HEIGHT, 8, 2, 0, 0, 0)  # 8 bits each of red, green and blue
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _row(y: int) -> bytes:
    """Return the sky of a row, with the sun and the hill in front of it."""
    row = bytearray(bytes((110 + y // 5, 160 + y // 8, 230)) * _WIDTH)
    _paint(row, _SUN_X, math.isqrt(max(0, _SUN_RADIUS**2 - (y - _SUN_Y) ** 2)), _GOLD)
    _paint(row, _HILL_X, math.isqrt(600 * max(0, y - _HILL_Y)), (60, 160 - y // 6, 50))
    return bytes(row)


def _paint(row: bytearray, middle: int, reach: int, color: tuple[int, int, int]) -> None:
    start, end = max(0, middle - reach), min(_WIDTH, middle + reach)
    row[3 * start : 3 * end] = bytes(color) * max(0, end - start)
