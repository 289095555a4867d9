"""Read format and sides of an image, and check that its file is whole, without decoding its pixels."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.media.formats import MIME_TYPES, detect_format, unsupported_error
from langchain_nebula_video.media.refusals import unusable

__all__ = ["ImageInfo", "inspect_image"]


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """The format and dimensions of an image, read from its bytes."""

    format: str
    """`"JPEG"`, `"PNG"`, `"BMP"` or `"WEBP"`."""
    width: int
    """As stored: an Exif orientation is not applied."""
    height: int
    alpha: bool = False
    """Whether a PNG has an alpha channel or a transparent colour. Always false for other formats."""
    is_wide: bool = False
    """Whether it is a grey PNG of 16 bits, which Pillow's `convert` makes white."""
    is_animated: bool = False

    @property
    def cautions(self) -> tuple[str, ...]:
        """What decoders may read otherwise than people do, in words."""
        animated = "animated: a gateway takes its first picture, or refuses it"
        wide = "grey of 16 bits: a gateway that reads it with Pillow shows it all white"
        return tuple(text for text, holds in ((animated, self.is_animated), (wide, self.is_wide)) if holds)


def inspect_image(data: bytes, formats: tuple[str, ...] = tuple(MIME_TYPES)) -> ImageInfo:
    """Read format and dimensions of an image, and check its structure as far as the format allows.

    Raises:
        InvalidRequestError: the format is not one of `formats`, or the file is damaged.
    """
    name = detect_format(data)
    if name is None or name not in formats:
        raise unsupported_error(name, formats)
    try:
        info = _INSPECTORS[name](data)
    except (struct.error, IndexError):
        raise _damaged_error("it ends too early") from None
    if info.format != name:
        raise unsupported_error(info.format, formats)
    return info


def _damaged_error(why: str) -> InvalidRequestError:
    return unusable(f"The image is damaged: {why}.", "Save or download it again.")


def _make_info(name: str, width: int, height: int) -> ImageInfo:
    if width <= 0 or height <= 0:
        raise _damaged_error("it has no pixels")
    return ImageInfo(name, width, height)


# Channels and allowed bits of each colour type (PNG specification, table 11.1).
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PNG_DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
_PALETTE = 3
_MAX_PNG_SIDE = 2**31 - 1
_MAX_INFLATION = 1032
"""A byte of a deflate stream becomes at most that many (zlib's own figure)."""


def _inspect_png(data: bytes) -> ImageInfo:
    """Check that the chunks belong together (PNG specification, sections 5 and 11)."""
    chunks = _png_chunks(data)
    kind, body = next(chunks)
    if kind != b"IHDR":
        raise _damaged_error("it does not begin with its header")
    info, bits = _png_header(body)
    parts = dict.fromkeys((b"PLTE", b"IDAT"), 0)
    start = b""
    for kind, body in chunks:
        if kind == b"IDAT" and len(start) < 2:
            start += body[:2]
        elif not parts[b"IDAT"]:  # behind the pixels they have no effect
            info = replace(info, alpha=info.alpha or kind == b"tRNS", is_animated=info.is_animated or kind == b"acTL")
        parts[kind] = parts.get(kind, 0) + len(body)
    if not parts[b"IDAT"]:
        raise _damaged_error("it has no pixels")
    if bits < 0 and not parts[b"PLTE"]:
        raise _damaged_error("it has no palette")
    most = parts[b"IDAT"] * _MAX_INFLATION
    if not _is_zlib_start(start) or info.width * info.height * abs(bits) // 8 > most:
        raise _damaged_error(f"what it holds are not its {info.width} x {info.height} pixels")
    return info


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and body of each chunk to IEND, and check each CRC."""
    offset, kind = 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, offset)
        body = data[offset + 8 : offset + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, offset + 8 + length)
        if not kind.isalpha():
            raise _damaged_error("a part does not begin where it should")
        if zlib.crc32(body, zlib.crc32(kind)) != checksum:
            raise _damaged_error(f"the checksum of its {kind.decode()} part is wrong")
        yield kind, body
        offset += 12 + length


def _png_header(body: bytes) -> tuple[ImageInfo, int]:
    """Return what the header tells, and the bits of a pixel: negative if they count in a palette."""
    width, height, depth, colour = struct.unpack_from(">IIBB", body)
    info = _make_info("PNG", width, height)
    if depth not in _PNG_DEPTHS.get(colour, ()) or max(width, height) > _MAX_PNG_SIDE:
        raise _damaged_error("its header says what no PNG can be")
    info = replace(info, alpha=colour in {4, 6}, is_wide=(colour, depth) == (0, 16))
    bits = depth * _PNG_CHANNELS[colour]
    return info, -bits if colour == _PALETTE else bits


def _is_zlib_start(head: bytes) -> bool:
    """Whether two bytes are the head of a zlib stream (RFC 1950, section 2.2)."""
    return len(head) > 1 and head[0] & 15 == 8 and int.from_bytes(head[:2]) % 31 == 0


_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START, _END, _SCAN, _LOSSLESS_FRAME = 0xD8, 0xD9, 0xDA, 0xF7
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")
"""A marker with something to read behind it. In front of it may be anything: decoders skip to the next one."""


def _inspect_jpeg(data: bytes) -> ImageInfo:
    """Walk the segments and scans to the end marker of the first picture (ITU T.81, annex B)."""
    info: ImageInfo | None = None
    has_scan = False
    offset = 2
    while match := _MARKER.search(data, offset):
        marker, offset = match[1][0], match.end()
        if marker == _END and has_scan and info:
            return info
        if marker == _START:  # of a thumbnail, of a gain map, of a second picture
            raise _damaged_error("it is cut off, and another picture begins in it")
        if marker == _LOSSLESS_FRAME:
            return ImageInfo("JPEG-LS", 0, 0)
        if marker in _FRAME_HEADERS and info is None:
            height, width = struct.unpack_from(">HH", data, offset + 3)
            info = _make_info("JPEG", width, height)
        if marker == _SCAN and info is None:
            raise _damaged_error("it has no frame header")
        has_scan = has_scan or marker == _SCAN
        offset += max(2, struct.unpack_from(">H", data, offset)[0])
    raise _damaged_error("it ends too early")


_UNCOMPRESSED = frozenset({0, 3, 6})  # BI_RGB, BI_BITFIELDS, BI_ALPHABITFIELDS
_BIT_DEPTHS = frozenset({1, 2, 4, 8, 16, 24, 32})


def _inspect_bmp(data: bytes) -> ImageInfo:
    """Read the headers, then compute the bytes that the rows need (Microsoft's reference of Windows GDI).

    The headers are BITMAPFILEHEADER, then BITMAPCOREHEADER or BITMAPINFOHEADER; all later headers extend the last.
    The file size in the header is ignored: many writers leave it 0.
    """
    offset, header = struct.unpack_from("<II", data, 10)
    if header == 12:
        width, height, _, bits = struct.unpack_from("<4H", data, 18)
        compression = 0
    elif header >= 40:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    else:
        raise _damaged_error("its header is of no known kind")
    info = _make_info("BMP", width, abs(height))  # negative height: rows are stored top-down
    needed = 2  # run-length encoded: at least the end marker
    if compression in _UNCOMPRESSED:
        if bits not in _BIT_DEPTHS:
            raise _damaged_error(f"its pixels have {bits} bits")
        needed = (width * bits + 31) // 32 * 4 * info.height  # rows are padded to four bytes
    if len(data) < max(offset, 14 + header) + needed:
        raise _damaged_error("it ends too early")
    return info


def _inspect_webp(data: bytes) -> ImageInfo:
    """Walk the chunks to the first one with pixels. The file must have its declared length (RFC 9649, section 2)."""
    end = 8 + struct.unpack_from("<I", data, 4)[0]
    if len(data) < end:
        raise _damaged_error("it ends too early")
    canvas: ImageInfo | None = None
    offset = 12
    while offset < end:
        kind, length = struct.unpack_from("<4sI", data, offset)
        if offset + 8 + length > end:
            raise _damaged_error("it ends too early")
        header = data[offset + 8 : offset + 8 + min(length, 16)]
        if kind == b"VP8X":
            width, upper_width, height, upper_height = struct.unpack_from("<4xHBHB", header)
            canvas = ImageInfo("WEBP", 1 + width + (upper_width << 16), 1 + height + (upper_height << 16))
        elif kind == b"ANMF" and canvas:
            return replace(canvas, is_animated=True)  # its frames may be smaller
        elif kind in {b"VP8 ", b"VP8L"}:
            image = _make_info("WEBP", *(_vp8_size(header) if kind == b"VP8 " else _vp8l_size(header)))
            if canvas and canvas != image:
                raise _damaged_error("its parts do not agree on its size")
            return image
        offset += 8 + length + length % 2
    raise _damaged_error("it has no pixels")


def _vp8_size(head: bytes) -> tuple[int, int]:
    """Return width and height from a key frame's header (RFC 6386, section 9.1). The upper bits are for scaling."""
    if head[0] & 1 or head[3:6] != b"\x9d\x01\x2a":
        raise _damaged_error("its pixels do not begin where they should")
    width, height = struct.unpack_from("<HH", head, 6)
    return width & 0x3FFF, height & 0x3FFF


def _vp8l_size(head: bytes) -> tuple[int, int]:
    """Return width and height from a lossless header (RFC 9649, section 3). Higher bits: alpha, and version 0."""
    signature, bits = struct.unpack_from("<BI", head)
    if signature != 0x2F or bits >> 29:
        raise _damaged_error("its pixels do not begin where they should")
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


_INSPECTORS = {"JPEG": _inspect_jpeg, "PNG": _inspect_png, "BMP": _inspect_bmp, "WEBP": _inspect_webp}
