"""Tell what a file is by its first bytes, and what to do with what no gateway reads.

Sources of the signatures: each format's own specification; brands of ISO media files: the registry at mp4ra.org,
2026-11, and ISO/IEC 23008-12 (HEIF), 23000-22 (MIAF).
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.media.refusals import join_or, unusable

__all__ = [
    "KINDS",
    "MIME_TYPES",
    "FileKind",
    "detect_format",
    "unsupported_error",
]

MIME_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "BMP": "image/bmp", "WEBP": "image/webp"}


@dataclass(frozen=True, slots=True)
class FileKind:
    """What is known of a kind of file."""

    opener: str | None = None
    """Pillow's name of the format, if it can read it."""
    remedy: str | None = None
    """What to do with it. `None`: `fit=True` converts it."""
    is_image: bool = True


_SAVE_ANEW = "Save it as JPEG with the program that wrote it."
_UNPACK = "Unpack it, and give the image in it."
KINDS = {
    "JPEG": FileKind("JPEG"),
    "PNG": FileKind("PNG"),
    "BMP": FileKind("BMP"),
    "WEBP": FileKind("WEBP"),
    "GIF": FileKind("GIF"),
    "TIFF": FileKind("TIFF"),
    "AVIF": FileKind("AVIF"),
    "HEIC": FileKind("HEIF"),
    "HEIF": FileKind("HEIF"),
    "JPEG 2000": FileKind("JPEG2000"),
    "ICO": FileKind("ICO"),
    "PSD": FileKind("PSD"),
    "Netpbm": FileKind("PPM"),
    "QOI": FileKind("QOI"),
    "JPEG XL": FileKind("JXL", "Convert it, for example: djxl image.jxl image.png."),
    "JPEG XR": FileKind(None, _SAVE_ANEW),
    "JPEG-LS": FileKind(None, _SAVE_ANEW),
    "a raw photo": FileKind(
        None, "Export it as JPEG with the camera maker's program, or with darktable or RawTherapee."
    ),
    "a PNG of an iPhone app (CgBI)": FileKind(
        None, "Turn it back: xcrun pngcrush -revert-iphone-optimizations image.png plain.png."
    ),
    "SVG": FileKind(None, "Draw it as PNG, for example: rsvg-convert -w 1280 image.svg -o image.png."),
    "PDF": FileKind(None, "Draw a page of it, for example: pdftoppm -jpeg -singlefile file.pdf image."),
    "a web page (HTML)": FileKind(
        None,
        "The address leads to a page, not to the image: give the image's own address, or its file.",
        is_image=False,
    ),
    "XML": FileKind(None, "Look at what it says: storages answer so when they refuse.", is_image=False),
    "JSON": FileKind(None, "Look at what it says: it may be a refusal, or hold the image in it.", is_image=False),
    "a video": FileKind(
        None, "Take a picture out of it, for example: ffmpeg -i video.mp4 -frames:v 1 image.jpeg.", is_image=False
    ),
    "a pointer of Git LFS": FileKind(None, "Get the image itself: git lfs pull.", is_image=False),
    "a gzip archive": FileKind(None, _UNPACK, is_image=False),
    "a ZIP archive": FileKind(None, _UNPACK, is_image=False),
    "base64 text": FileKind(None, "Decode it: base64.b64decode(data).", is_image=False),
    "a data: URI": FileKind(None, "Give it as a str, not as bytes.", is_image=False),
    "text": FileKind(None, "Give the image itself.", is_image=False),
}
"""The kinds of files that are known here, by the names that messages use."""

_SIGNATURES = (
    (b"\xff\xd8\xff\xf7", "JPEG-LS"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n\0\0\0\4CgBI", "a PNG of an iPhone app (CgBI)"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"II*\0\x10\0\0\0CR", "a raw photo"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0\x08\0\0\0", "TIFF"),  # BigTIFF
    (b"MM\0+\0\x08\0\0", "TIFF"),
    (b"II\xbc", "JPEG XR"),
    (b"%PDF", "PDF"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\1\0", "ICO"),
    (b"8BPS", "PSD"),
    (b"qoif\0", "QOI"),  # no image is wider than 24 bits can tell
    (b"\x1a\x45\xdf\xa3", "a video"),
    (b"PK\3\4", "a ZIP archive"),
    (b"version https://git-lfs.github.com/", "a pointer of Git LFS"),
    (b"data:", "a data: URI"),
)
_FILM_BOXES = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
"""What a QuickTime file may begin with instead of `ftyp`."""
_AVIF_BRANDS = frozenset({b"avif", b"avis", b"avio", b"MA1A", b"MA1B"})
_HEIC_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"MiHB", b"MiHA", b"MiHE"}
)
_HEIF_BRANDS = frozenset({b"mif1", b"mif2", b"mif3", b"msf1", b"miaf", b"MiPr", b"MiAn", b"MiBu", b"MiCm", b"MiAC",
                          b"avci", b"avcs", b"vvic", b"vvis", b"jpeg", b"jpgs", b"j2ki", b"j2is", b"tmap"})  # fmt: skip
_MARKUP = ((b"<!doctype html", "a web page (HTML)"), (b"<html", "a web page (HTML)"), (b"<head", "a web page (HTML)"),
           (b"<svg", "SVG"), (b"<!doctype svg", "SVG"), (b"<?xml", "XML"))  # fmt: skip
_MAX_BMP_HEADER = 1024
"""Of all that were ever defined, the longest has 124 bytes."""
_NETPBM = re.compile(rb"P[1-6]\s(\s*#[^\n]*\n)*\s*[1-9]")
_BEGINNING = 1024
"""Bytes that are looked at."""


def detect_format(data: bytes) -> str | None:
    """Return what a file is by its first kilobyte, a key of `KINDS`. `None`: unknown."""
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return name
    if data[:4] == b"RIFF":
        return {b"WEBP": "WEBP", b"AVI ": "a video"}.get(data[8:12])
    if data[4:8] == b"ftyp":
        return _iso_format(data)
    if data[4:8] in _FILM_BOXES:
        return "a video"
    if data[:2] == b"BM" and len(data) > 18 and int.from_bytes(data[14:18], "little") < _MAX_BMP_HEADER:
        return "BMP"
    if data[:2] == b"\x1f\x8b":
        return "SVG" if _gunzips_to_svg(data) else "a gzip archive"
    if _NETPBM.match(data[:_BEGINNING]):
        return "Netpbm"
    return _text_format(data[:_BEGINNING])


def _iso_format(data: bytes) -> str:
    """Tell pictures from films by their brands: the major one, and those that the file agrees with."""
    end = min(int.from_bytes(data[:4]), len(data), _BEGINNING)
    major, others = data[8:12], {data[at : at + 4] for at in range(16, end - 3, 4)}
    if major == b"crx ":
        return "a raw photo"
    if major not in _AVIF_BRANDS | _HEIC_BRANDS | _HEIF_BRANDS:
        return "a video"
    for brands in ({major}, others):
        if brands & _AVIF_BRANDS:
            return "AVIF"
        if brands & _HEIC_BRANDS:
            return "HEIC"
    return "HEIF"


def _gunzips_to_svg(data: bytes) -> bool:
    import zlib  # noqa: PLC0415 seldom needed

    try:
        start = zlib.decompressobj(wbits=31).decompress(data[:_BEGINNING], _BEGINNING)
    except zlib.error:
        return False
    return _text_format(start) == "SVG"


_COMMENT = re.compile(rb"<!--.*?(-->|$)|<\?xml.*?(\?>|$)|<!doctype svg.*?(>|$)|\s+", re.DOTALL)
_JSON = re.compile(rb"[\[{]\s*([\"\[{\]}\d]|$)")
_BASE64_TEXT = re.compile(rb"[A-Za-z0-9+/_-]{40,}={0,2}")


def _text_format(start: bytes) -> str | None:
    text = start.removeprefix(b"\xef\xbb\xbf").strip().lower()
    if text.startswith(b"<"):
        body = text
        while match := _COMMENT.match(body):  # a comment or a declaration may stand before the drawing
            body = body[match.end() :]
        for tag, name in _MARKUP:
            if body.startswith(tag) or (not body and text.startswith(tag)):
                return name
        return "XML" if text.startswith(b"<?xml") else None
    if not text or not _is_text(start):
        return None
    if _JSON.match(text):
        return "JSON"
    return "base64 text" if _BASE64_TEXT.fullmatch(b"".join(start.split())) and _holds_image(start) else "text"


def _is_text(start: bytes) -> bool:
    try:
        words = start[: len(start) - 3].decode() if len(start) >= _BEGINNING else start.decode()
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char in "\t\r\n" for char in words)


def _holds_image(text: bytes) -> bool:
    head = b"".join(text.split())[:64].translate(bytes.maketrans(b"-_", b"+/"))
    head = head[: len(head) // 4 * 4]
    return KINDS[detect_format(base64.b64decode(head)) or "text"].is_image


def unsupported_error(name: str | None, formats: tuple[str, ...]) -> InvalidRequestError:
    """Return the error for a file of a kind that the gateway does not read, with its remedy.

    Args:
        name: A key of `KINDS`; `None`: unknown.
        formats: What the gateway reads.
    """
    wanted = join_or(formats)
    if name is None:
        return unusable(
            "The bytes are no image that is known here.",
            f"Give {wanted}; the name does not matter, the content does.",
            use=f"a {wanted} image",
        )
    kind = KINDS[name]
    what = "The image is" if kind.is_image else "This is no image but"
    return unusable(f"{what} {name}; the model reads {wanted}.", kind.remedy or "", fit_helps=kind.remedy is None)
