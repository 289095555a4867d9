"""Detect the format of image files and check that they are complete, without decoding them."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.media.refusals import join_or, pillow_snippet, unusable

__all__ = ["MIME_TYPES", "ImageInfo", "detect_format", "inspect_image"]

MIME_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "BMP": "image/bmp", "WEBP": "image/webp"}


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """The format and dimensions of an image, read from its bytes."""

    format: str
    """`"JPEG"`, `"PNG"`, `"BMP"` or `"WEBP"`."""
    width: int
    height: int
    alpha: bool = False
    """Whether a PNG has transparency. Always false for other formats."""


def inspect_image(data: bytes, formats: tuple[str, ...] = tuple(MIME_TYPES)) -> ImageInfo:
    """Read format and dimensions of an image, and check its structure as far as the format allows.

    Raises:
        InvalidRequestError: the format is not one of `formats`, or the file is damaged.
    """
    name = detect_format(data)
    if name is None:
        raise unusable(
            "The bytes are no image that is known here.",
            f"Give {join_or(formats)}; the name does not matter, the content does.",
            use=f"a {join_or(formats)} image",
        )
    if name not in formats:
        snippet = "" if name in _UNSUPPORTED_BY_PILLOW else f", {pillow_snippet(formats[0])}"
        raise unusable(
            f"The image is {name}; the model reads {join_or(formats)}.",
            f"Convert it to {join_or(formats)}{snippet or '.'}",
            fit_helps=name not in _NOT_CONVERTED,
        )
    try:
        return _INSPECTORS[name](data)
    except (struct.error, IndexError):
        raise _damaged_error("it ends too early") from None


# Also common formats that no gateway accepts, so that the error message can name them.
_SIGNATURES = ((b"\xff\xd8\xff", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"), (b"BM", "BMP"),
          (b"GIF8", "GIF"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"%PDF", "PDF"))  # fmt: skip
_MARKUP_SIGNATURES = ((b"<svg", "SVG"), (b"<?xml", "SVG"), (b"<!doc", "HTML"), (b"<html", "HTML"))
# Major brands of ISO media files, from the specifications of AVIF and HEIF (ISO/IEC 23008-12).
_ISO_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", **dict.fromkeys((b"mif1", b"msf1"), "HEIF"),
           **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "HEIC")}  # fmt: skip
_NOT_CONVERTED = frozenset({"SVG", "PDF", "HTML"})
_UNSUPPORTED_BY_PILLOW = _NOT_CONVERTED | {"HEIC", "HEIF"}


def detect_format(data: bytes) -> str | None:
    """Detect a file's format from its first 64 bytes. `None`: unknown."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return _ISO_BRANDS.get(data[8:12])
    text = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n").lower()  # a byte order mark may precede the tags
    names = [name for signature, name in _SIGNATURES if data.startswith(signature)]
    names += [name for signature, name in _MARKUP_SIGNATURES if text.startswith(signature)]
    return names[0] if names else None


def _damaged_error(why: str) -> InvalidRequestError:
    return unusable(f"The image is damaged: {why}.", "Save or download it again.")


def _make_info(name: str, width: int, height: int, *, alpha: bool = False) -> ImageInfo:
    if width <= 0 or height <= 0:
        raise _damaged_error("it has no pixels")
    return ImageInfo(name, width, height, alpha)


def _inspect_png(data: bytes) -> ImageInfo:
    """Walk the chunks from IHDR to IEND and check each CRC (PNG specification, sections 5 and 11)."""
    info: ImageInfo | None = None
    offset, has_pixels = 8, False
    while True:
        length, kind = struct.unpack_from(">I4s", data, offset)
        body = data[offset + 8 : offset + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, offset + 8 + length)
        if not kind.isalpha():
            raise _damaged_error("a part does not begin where it should")
        if zlib.crc32(body, zlib.crc32(kind)) != checksum:
            raise _damaged_error(f"the checksum of its {kind.decode()} part is wrong")
        if info is None:
            if kind != b"IHDR":
                raise _damaged_error("it does not begin with its header")
            width, height, _, color_type = struct.unpack_from(">IIBB", body)
            info = _make_info("PNG", width, height, alpha=color_type in {4, 6})
        if kind == b"tRNS" and not has_pixels:  # after IDAT it has no effect
            info = replace(info, alpha=True)
        has_pixels = has_pixels or kind == b"IDAT"
        if kind == b"IEND":
            break
        offset += 12 + length
    if not has_pixels:
        raise _damaged_error("it has no pixels")
    return info


_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def _inspect_jpeg(data: bytes) -> ImageInfo:
    """Walk the segments to the first scan, then find the end marker (ITU T.81, annex B)."""
    info: ImageInfo | None = None
    offset = 2
    while True:
        if data[offset] != 0xFF:
            raise _damaged_error("a segment does not begin where it should")
        marker = data[offset + 1]
        if marker == 0xFF:  # fill byte
            offset += 1
            continue
        if marker in _FRAME_HEADERS:
            height, width = struct.unpack_from(">HH", data, offset + 5)
            info = _make_info("JPEG", width, height)
        if marker == 0xDA:
            break
        offset += 2 if marker == 0x01 or 0xD0 <= marker <= 0xD8 else 2 + struct.unpack_from(">H", data, offset + 2)[0]
    if info is None:
        raise _damaged_error("it has no frame header")
    if data.find(b"\xff\xd9", offset) < 0:
        raise _damaged_error("it ends too early")
    return info


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
            return canvas  # an animation frame may be smaller
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
