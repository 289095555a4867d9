"""Pictures of every kind that programs write, made here, and what each looks like upright.

All show one scene, and none was downloaded. So what a picture shows is known without asking the code under test.
"""

from __future__ import annotations

import functools
import io
import itertools
import struct
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageOps
from pillow_heif import register_heif_opener

__all__ = ["MAKERS", "Sample", "difference", "made", "open_upright", "shipped"]

Transform = Image.Transpose
SIZE = (96, 64)
# Four corners that differ in colour and in brightness.
_CORNERS = {(0, 0): (250, 225, 70), (1, 0): (235, 125, 115), (0, 1): (40, 90, 200), (1, 1): (20, 40, 30)}
_TURNS: dict[int, Transform | None] = {
    1: None,
    2: Transform.FLIP_LEFT_RIGHT,
    3: Transform.ROTATE_180,
    4: Transform.FLIP_TOP_BOTTOM,
    5: Transform.TRANSPOSE,
    6: Transform.ROTATE_90,
    7: Transform.TRANSVERSE,
    8: Transform.ROTATE_270,
}
"""How the upright scene is stored for each Exif orientation: the inverse of what a reader has to do."""
_ORIENTATION = 0x0112
_HIDDEN = (255, 0, 255)
_GRID = (8, 8)
_SHIPPED = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff"}


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture file."""

    name: str
    data: bytes
    upright: Image.Image
    """What a person sees: RGB, on white."""


@functools.cache
def scene(size: tuple[int, int] = SIZE) -> Image.Image:
    """The scene: four coloured quarters."""
    image = Image.new("RGB", size)
    width, height = size
    for (right, below), colour in _CORNERS.items():
        image.paste(colour, (width // 2 * right, height // 2 * below, width, height))
    return image


@functools.cache
def window(size: tuple[int, int] = SIZE) -> Image.Image:
    """The scene with a transparent stripe, in which another colour hides."""
    image = scene(size).convert("RGBA")
    image.paste((*_HIDDEN, 0), (0, size[1] // 4, size[0], size[1] // 2))
    return image


def on_white(image: Image.Image) -> Image.Image:
    """An image as RGB on white, by a way of its own."""
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    white.alpha_composite(layer)
    return white.convert("RGB")


def difference(one: Image.Image, other: Image.Image) -> float:
    """The largest difference of a channel, 0 to 255, between two pictures seen from afar."""
    grids = [image.convert("RGB").resize(_GRID, Image.Resampling.BOX).tobytes() for image in (one, other)]
    return float(max(abs(a - b) for a, b in zip(*grids, strict=True)))


def write(image: Image.Image, form: str, **options: Any) -> bytes:
    """What Pillow writes."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def stored(image: Image.Image, orientation: int) -> tuple[Image.Image, bytes]:
    """An upright image as it is stored for an orientation, with the tag."""
    turn, exif = _TURNS[orientation], Image.Exif()
    exif[_ORIENTATION] = orientation
    # As bytes: pillow-heif 1.8.1 loses the orientation of an Image.Exif.
    return (image if turn is None else image.transpose(turn)), exif.tobytes()


def pictures(mode: str, size: tuple[int, int] = SIZE) -> tuple[Image.Image, Image.Image]:
    """The scene in a mode, and what it shows."""
    source = window(size) if mode in {"RGBA", "LA", "PA", "La", "RGBa"} else scene(size)
    if mode == "P":
        image = source.convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
    elif mode == "PA":
        image = source.convert("P", palette=Image.Palette.ADAPTIVE).convert("PA")
        image.putalpha(source.getchannel("A"))
    elif mode.startswith("I;16"):
        image = source.convert("L").convert("I").point(lambda value: value * 257).convert(mode)
    elif mode == "I":
        image = source.convert("L").convert("I").point(lambda value: value * 257)
    elif mode == "F":
        image = source.convert("L").convert("F").point(lambda value: value / 255 + 0)
    else:
        image = source.convert(mode)
    grey = mode in {"1", "L", "LA", "I", "F"} or mode.startswith("I;16")
    seen = on_white(source.convert("LA" if source.mode == "RGBA" else "L") if grey else source)
    return image, seen


Row = tuple[str, bytes, Image.Image]


def jpegs() -> Iterator[Row]:
    """Modes, processes, qualities, orientations, and what phones put into and behind them."""
    for mode, progressive, quality in itertools.product(("L", "RGB", "CMYK"), (False, True), (40, 95)):
        image, seen = pictures(mode)
        yield f"{mode} {progressive=} {quality=}", write(image, "JPEG", progressive=progressive, quality=quality), seen
    for mode, orientation, progressive in itertools.product(("L", "RGB"), _TURNS, (False, True)):
        image, seen = pictures(mode)
        turned, exif = stored(image, orientation)
        data = write(turned, "JPEG", progressive=progressive, exif=exif, quality=90)
        yield f"{mode} {orientation=} {progressive=}", data, seen
    plain = scene()
    for sampling, restart, tables in itertools.product((0, 1, 2), (0, 1, 5), ("optimal", "standard")):
        options: dict[str, Any] = {"restart_marker_blocks": restart} if restart else {}
        data = write(plain, "JPEG", subsampling=sampling, optimize=tables == "optimal", **options)
        yield f"{sampling=} {restart=} {tables}", data, plain
    data = write(plain, "JPEG", quality=90)
    yield "RGB without a transform", write(plain, "JPEG", keep_rgb=True), plain
    yield "with a comment that holds an end mark", write(plain, "JPEG", comment=b"\xff\xd9"), plain
    thumbnail = write(plain.resize((24, 16)), "JPEG")
    preview = b"\xff\xe1" + struct.pack(">H", 2 + len(thumbnail)) + thumbnail
    yield "with a thumbnail", data[:2] + preview + data[2:], plain
    yield "with another picture behind it", data + write(plain.transpose(Transform.ROTATE_180), "JPEG"), plain
    other = plain.transpose(Transform.ROTATE_180)
    yield "MPO", write(plain, "MPO", save_all=True, append_images=[other]), plain
    yield "with a film behind it", data + b"\0\0\0\x18ftypmp42" + bytes(500), plain
    for name, junk in {"zeros": b"\0\0", "a short length": b"\xff\xe1\0\4ABmore", "fill bytes": b"\xff\xff"}.items():
        yield f"with {name} between segments", data[:20] + junk + data[20:], plain


def pngs() -> Iterator[Row]:
    """Modes, depths, orders of rows, transparency, orientations, animation."""
    for mode, level in itertools.product(("1", "L", "LA", "P", "RGB", "RGBA", "I;16"), (0, 6)):
        image, seen = pictures(mode)
        yield f"{mode} {level=}", write(image, "PNG", compress_level=level), seen
    for mode, orientation in itertools.product(("L", "RGB", "RGBA", "P"), _TURNS):
        image, seen = pictures(mode)
        turned, exif = stored(image, orientation)
        yield f"{mode} {orientation=}", write(turned, "PNG", exif=exif), seen
    for bits in (1, 2, 4, 8):
        image = scene().convert("P", palette=Image.Palette.ADAPTIVE, colors=min(4, 2**bits))
        yield f"palette of {bits=}", write(image, "PNG", bits=bits), image.convert("RGB")
    for form, interlaced in itertools.product(
        ("gray", "ya8", "rgb24", "rgba", "gray16be", "rgb48be", "rgba64be"), (0, 1)
    ):
        yield f"{form} {interlaced=}", *_written_by_ffmpeg(form, interlaced=bool(interlaced))
    plain = scene()
    yield "with a transparent colour", write(plain, "PNG", transparency=_CORNERS[0, 0]), _without_corner()
    palette = plain.convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    yield "with a transparent colour of its palette", *_clear_palette(palette)
    opaque = plain.convert("RGBA")
    yield "alpha that is opaque everywhere", write(opaque, "PNG"), plain
    yield "animated", write(plain, "PNG", save_all=True, append_images=[plain.transpose(Transform.ROTATE_180)]), plain
    yield "with data behind it", write(plain, "PNG") + b"\r\nmore", plain


def webps() -> Iterator[Row]:
    """Lossy and lossless, with and without alpha, orientations, animation."""
    for mode, lossless, method in itertools.product(("L", "RGB", "RGBA"), (False, True), (0, 4)):
        image, seen = pictures(mode)
        data = write(image, "WEBP", lossless=lossless, method=method, quality=90, exact=True)
        yield f"{mode} {lossless=} {method=}", data, seen
    for mode, orientation in itertools.product(("RGB", "RGBA"), _TURNS):
        image, seen = pictures(mode)
        turned, exif = stored(image, orientation)
        yield f"{mode} {orientation=}", write(turned, "WEBP", exif=exif, quality=90), seen
    plain = scene()
    other = plain.transpose(Transform.ROTATE_180)
    for lossless in (False, True):
        data = write(plain, "WEBP", save_all=True, append_images=[other], lossless=lossless, quality=90)
        yield f"animated {lossless=}", data, plain


def bmps() -> Iterator[Row]:
    """Depths, both orders of rows, the oldest header, run lengths."""
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        image, seen = pictures(mode)
        # Without masks the fourth byte of a pixel means nothing, so nothing is hidden (Microsoft, BITMAPINFOHEADER).
        yield mode, write(image, "BMP"), window().convert("RGB") if mode == "RGBA" else seen
    plain = scene()
    width, height = SIZE
    rows = [plain.crop((0, y, width, y + 1)).tobytes("raw", "BGR") for y in range(height)]
    core = b"BM" + struct.pack("<IHHIIHHHH", 0, 0, 0, 26, 12, width, height, 1, 24)
    yield "of OS/2", core + b"".join(reversed(rows)), plain
    info = b"BM" + struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 54, 40, width, -height, 1, 24, 0, 0, 0, 0, 0, 0)
    yield "top down", info + b"".join(rows), plain
    for bits, stride in ((16, 2), (32, 4)):
        pixels = _bmp_pixels(plain, bits)
        info = struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 54, 40, width, height, 1, bits, 0, 0, 0, 0, 0, 0)
        assert len(pixels) == width * height * stride
        yield f"of {bits} bits without alpha", b"BM" + info + pixels, plain


def others() -> Iterator[Row]:
    """What no gateway reads, and `fit` converts."""
    for mode, interlace in itertools.product(("1", "L", "P", "RGB"), (0, 1)):
        image, seen = pictures(mode)
        yield f"GIF {mode} {interlace=}", write(image, "GIF", interlace=interlace), seen
    plain = scene()
    turned_round = plain.transpose(Transform.ROTATE_180)
    yield "GIF animated", write(plain, "GIF", save_all=True, append_images=[turned_round]), plain
    yield "GIF with alpha", write(window(), "GIF"), on_white(window())
    for mode, packing in itertools.product(
        ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I;16B", "I", "F"),
        ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"),
    ):
        image, seen = pictures(mode)
        yield f"TIFF {mode} {packing}", write(image, "TIFF", compression=None if packing == "raw" else packing), seen
    yield "TIFF group4", write(plain.convert("1"), "TIFF", compression="group4"), plain.convert("L").convert("RGB")
    yield "TIFF jpeg", write(plain, "TIFF", compression="jpeg", quality=95), plain
    yield "TIFF of two pages", write(plain, "TIFF", save_all=True, append_images=[turned_round]), plain
    for orientation in _TURNS:
        turned, exif = stored(plain, orientation)
        yield f"TIFF {orientation=}", write(turned, "TIFF", exif=exif), plain
        yield f"AVIF {orientation=}", write(turned, "AVIF", exif=exif, quality=90, speed=10), plain
        yield f"HEIF {orientation=}", write(turned, "HEIF", exif=exif, quality=90), plain
    for form, mode in itertools.product(("AVIF", "HEIF"), ("L", "RGB", "RGBA")):
        image, seen = pictures(mode)
        yield f"{form} {mode}", write(image, form, quality=95), seen
    for mode, lossy, bare in itertools.product(("L", "LA", "RGB", "RGBA", "I;16"), (False, True), (False, True)):
        image, seen = pictures(mode)
        if not (bare and mode.endswith("A")):  # the bare stream does not say what its last channel is
            data = write(image, "JPEG2000", irreversible=lossy, no_jp2=bare)
            yield f"JPEG2000 {mode} {lossy=} {bare=}", data, seen
    square = scene((64, 64))
    yield "ICO", write(square, "ICO", sizes=[(64, 64)]), square
    yield "ICO of bitmaps", write(square, "ICO", sizes=[(64, 64)], bitmap_format="bmp"), square
    yield "PSD", _psd(plain), plain


def sizes() -> Iterator[Row]:
    """Sides from one pixel to a phone's."""
    some = ((1, 1), (2, 3), (31, 17), (100, 41), (359, 361), (360, 2000), (2000, 2000), (2001, 1900), (3000, 2000))
    for size, form in itertools.product(some, ("JPEG", "PNG", "WEBP", "BMP")):
        image = scene(size)
        yield f"{form} of {size[0]} x {size[1]}", write(image, form), image
    for orientation in (1, 6):
        turned, exif = stored(scene((3024, 4032)), orientation)
        yield f"a phone's photo, {orientation=}", write(turned, "JPEG", exif=exif), scene((3024, 4032))


MAKERS: dict[str, Callable[[], Iterator[Row]]] = {
    "JPEG": jpegs,
    "PNG": pngs,
    "WEBP": webps,
    "BMP": bmps,
    "other": others,
    "sizes": sizes,
}


def made() -> Iterator[Sample]:
    """All that are made here."""
    register_heif_opener()
    for group, maker in MAKERS.items():
        for name, data, upright in maker():
            yield Sample(f"{group}: {name}", data, upright)


def shipped() -> Iterator[Sample]:
    """The pictures that installed packages bring along, as Pillow shows them."""
    root = Path(sysconfig.get_paths()["purelib"])
    for path in sorted(path for path in root.rglob("*") if path.suffix.lower() in _SHIPPED):
        data = path.read_bytes()
        if (upright := open_upright(data)) is not None:
            yield Sample(str(path.relative_to(root)), data, upright)


def open_upright(data: bytes) -> Image.Image | None:
    """What Pillow shows of a file; `None`: it cannot read it."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            turned = ImageOps.exif_transpose(image)
    except (OSError, SyntaxError, ValueError):
        return None
    if turned.mode.startswith(("I", "F")):
        floats: Any = turned.convert("F")
        top = 65535.0 if turned.mode.startswith("I;16") else max(floats.getextrema()[1], 1.0)
        turned = floats.point(lambda value: value * (255 / top) + 0).convert("L")
    return on_white(turned)


# --- files that Pillow does not write ---


def _written_by_ffmpeg(form: str, *, interlaced: bool) -> tuple[bytes, Image.Image]:
    clear = form in {"ya8", "rgba", "rgba64be"}
    source = window() if clear else scene()
    frame = av.VideoFrame.from_ndarray(np.asarray(source), format="rgba" if clear else "rgb24")
    codec: Any = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt = *SIZE, form
    codec.time_base = Fraction(1)
    if interlaced:
        codec.options = {"flags": "+ildct"}
    packets = [*codec.encode(frame.reformat(format=form)), *codec.encode(None)]
    grey = form.startswith(("gray", "ya"))
    return bytes(packets[0]), on_white(source.convert("LA" if clear else "L") if grey else source)


def _without_corner() -> Image.Image:
    image = scene().copy()
    image.paste("white", (0, 0, SIZE[0] // 2, SIZE[1] // 2))
    return image


def _clear_palette(image: Image.Image) -> tuple[bytes, Image.Image]:
    first = image.getpixel((0, 0))
    assert isinstance(first, int)
    alphas = bytes(0 if index == first else 255 for index in range(4))
    return write(image, "PNG", transparency=alphas), _without_corner()


def _bmp_pixels(image: Image.Image, bits: int) -> bytes:
    upside_down = image.transpose(Transform.FLIP_TOP_BOTTOM)
    if bits == 32:
        return upside_down.tobytes("raw", "BGRX")
    channels = [channel.tobytes() for channel in upside_down.split()]
    five = (red >> 3 << 10 | green >> 3 << 5 | blue >> 3 for red, green, blue in zip(*channels, strict=True))
    return b"".join(struct.pack("<H", pixel) for pixel in five)


def _psd(image: Image.Image) -> bytes:
    """A flat Photoshop file (Adobe's file format specification, 2019)."""
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, image.height, image.width, 8, 3)
    return head + bytes(12) + b"\0\0" + b"".join(channel.tobytes() for channel in image.split())
