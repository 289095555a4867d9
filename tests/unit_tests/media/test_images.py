"""Whatever holds an image -> what the wire takes, or a refusal that says what to do."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
import os
import re
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from langchain_nebula_video import InvalidRequestError
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.media.images import WireImage, image_from_block, prepare_image
from langchain_nebula_video.media.inspection import ImageInfo, inspect_image
from langchain_nebula_video.media.limits import ImageLimits
from tests.conftest import jpeg, png
from tests.tables import each_row

MIB = 1024 * 1024
NEBULA, DASHSCOPE = GATEWAYS["nebula"].images, GATEWAYS["dashscope"].images
LIMIT = NEBULA.max_bytes
FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
ANY = ImageLimits(formats=FORMATS, max_bytes=LIMIT)
OPAQUE = replace(ANY, alpha=False)
EACH_GATEWAY = each_row("limits", [row.images for row in GATEWAYS.values()], ids=list(GATEWAYS))
JPEG, PNG = jpeg(), png()
URL = "https://example.com/cat.jpg"
NOTHING = "Nothing was sent and nothing was spent."


def wire(image: object, limits: ImageLimits = NEBULA, folder: Path | None = None) -> WireImage:
    return prepare_image(image, limits, folder=folder)


def refused(
    image: object, *parts: str, limits: ImageLimits = NEBULA, folder: Path | None = None
) -> InvalidRequestError:
    """The refusal of an image: it says each part, that nothing was sent, and what to do.

    A language model has no shell, so what it reads has no code.
    """
    with pytest.raises(InvalidRequestError) as caught:
        wire(image, limits, folder)
    told = str(caught.value)
    assert NOTHING in told
    assert caught.value.hint
    assert "Pillow" not in (caught.value.agent_hint or caught.value.hint)
    for part in parts:
        assert part in told
    return caught.value


def data_uri(data: bytes, mime: str = "image/jpeg") -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def content(image: WireImage) -> bytes:
    return base64.b64decode(image.uri.partition(",")[2])


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def image_of(form: str, mode: str = "RGB", size: tuple[int, int] = (64, 48), **options: Any) -> bytes:
    """What Pillow writes."""
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, form, **options)
    return buffer.getvalue()


def png_of(size: int, png: bytes = PNG) -> bytes:
    """A valid PNG of exactly that many bytes: a private ancillary chunk fills it up."""
    head, end = png[:-12], png[-12:]
    return head + chunk(b"prVt", bytes(size - len(png) - 12)) + end


def jpeg_of(size: int) -> bytes:
    """A valid JPEG of exactly that many bytes: comment segments fill it up."""
    missing, comments = size - len(JPEG), b""
    while missing:
        part = min(missing, 65_537)
        part -= 4 if 0 < missing - part < 4 else 0
        comments += b"\xff\xfe" + struct.pack(">H", part - 2) + bytes(part - 4)
        missing -= part
    return JPEG[:2] + comments + JPEG[2:]


# --- addresses ---


@each_row(
    "url",
    [
        URL,
        "http://example.com/cat.jpg",
        "HTTPS://Example.COM/Cat.JPG",
        "https://example.com:8443/a%20b.png?Signature=a%2Bb&x=1#part",
        "https://例え.example/猫.png",
        "https://203.0.113.7/cat",
        "https://[2001:db8::1]/cat",
    ],
)
def test_an_address_is_kept_to_the_letter(url: str) -> None:
    assert wire(url).uri == url


def test_space_around_an_address_is_dropped() -> None:
    assert wire(f" {URL}\n").uri == URL


@each_row(
    "text",
    ["", "cat.jpg", "./cat.jpg", "/etc/passwd", "~/cat.jpg", "ftp://example.com/cat.jpg", "file:///tmp/cat.jpg",
     "https://", "https:///cat.jpg", "https://exa mple.com/cat.jpg", "https://example.com:0/", "https://example.com:99999/",
     "https://example.com/\ud800", "javascript:alert(1)", "s3://bucket/cat.jpg", "a/" * 60],
)  # fmt: skip
def test_a_string_that_is_no_address_is_refused(text: str) -> None:
    refused(text, "neither a URL nor a data: URI", "pathlib.Path", "image_folder=")


@each_row("data", [JPEG, PNG])
def test_bare_base64_of_an_image_is_told_with_what_to_put_in_front(data: bytes, tmp_path: Path) -> None:
    text = base64.b64encode(data).decode()
    refusal = refused(text, "the bare base64 of a ", folder=tmp_path)
    prefix = re.findall("'(.*)'", refusal.hint)[0]
    assert wire(prefix + text).data == data
    refused(text.encode(), "This is no image but base64 text", "base64.b64decode")


@each_row("text", ["x" * 100_000, "oss://" + "x" * 100_000])
def test_a_long_string_is_not_repeated_whole(text: str) -> None:
    assert len(str(refused(text))) < 500


@EACH_GATEWAY
@each_row("url", ["oss://dashscope-instant/2025/x.jpg", "OSS://dashscope-instant/a%20b/猫.png"])
def test_an_address_in_storage_is_for_gateways_that_have_one(limits: ImageLimits, url: str) -> None:
    if "oss" in limits.schemes:
        assert wire(url, limits).uri == url
        assert wire(url, limits).digest.lower() == f"url:{url}".lower()
    else:
        refused(url, "The gateway cannot read the address", "it fetches https or http", "an https URL", limits=limits)


def test_only_gateways_of_the_vendor_read_its_storage() -> None:
    assert {name for name, row in GATEWAYS.items() if "oss" in row.images.schemes} == {"dashscope"}


def test_an_address_in_storage_is_no_path_of_the_allowed_folder(tmp_path: Path) -> None:
    refused("oss://folder/cat.jpg", "cannot read the address", folder=tmp_path)


@each_row("text", ["oss://", "oss:///x.jpg", "oss:folder/x.jpg", "oss://folder/a b.jpg", "s3://a/b.jpg"])
def test_half_an_address_in_storage_is_none(text: str) -> None:
    refused(text, "neither a URL nor a data: URI", limits=DASHSCOPE)


def test_an_address_has_no_bytes_here() -> None:
    sent = wire(f" {URL}")
    assert (sent.url, sent.data, sent.mime) == (URL, None, None)


# --- data: URIs ---


@each_row("data", [JPEG, PNG], ids=["jpeg", "png"])
def test_a_data_uri_is_sent_as_what_it_holds(data: bytes) -> None:
    assert content(wire(data_uri(data))) == data


@each_row("head", ["data:image/png;base64", "DATA:IMAGE/PNG;BASE64", "data:;base64", "data:image/png;charset=x;base64"])
def test_the_head_of_a_data_uri_is_only_a_claim(head: str) -> None:
    sent = wire(f"{head},{base64.b64encode(JPEG).decode()}")
    assert sent.uri == data_uri(JPEG)


def test_a_data_uri_may_be_percent_encoded() -> None:
    assert content(wire(f"data:image/jpeg,{quote(JPEG)}")) == JPEG


def test_a_percent_encoded_image_may_be_as_large_as_any_other() -> None:
    """Three characters a byte are no reason to refuse what is small enough."""
    image, limits = png_of(25_000), replace(NEBULA, max_bytes=25_000)
    assert content(wire("data:image/png," + "".join(f"%{byte:02x}" for byte in image), limits)) == image


def test_line_breaks_in_base64_do_not_matter() -> None:
    lines = base64.encodebytes(JPEG).decode().replace("\n", "\r\n")
    assert content(wire(f"data:image/jpeg;base64,{lines}")) == JPEG


@each_row(
    ("uri", "part"),
    [
        ("data:image/png;base64", "has no data"),
        ("data:", "has no data"),
        ("data:image/png;base64,", "is empty"),
        ("data:,", "is empty"),
        ("data:image/png;base64,not base64!", "not valid base64"),
        ("data:image/png;base64,AAAAA", "not valid base64"),
        (data_uri(JPEG).replace(",", ",!"), "not valid base64"),
        ("data:image/png;base64,\u4e2d", "not valid base64"),
        ("data:text/plain,hello", "text"),
        ("data:,\ud800", "text"),
        (data_uri(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"), "SVG"),
        ("data:image/svg+xml,%3Csvg%2F%3E", "SVG"),
        (data_uri(b"GIF89a" + bytes(20), "image/png"), "GIF"),
        ("data:image/png;base64," + "A" * 12 * MIB, "more than 5,242,879 bytes"),
        ("data:image/png," + "A" * 16 * MIB, "more than 5,242,879 bytes"),
    ],
)
def test_a_data_uri_without_an_image_is_refused(uri: str, part: str) -> None:
    refused(uri, part)


# --- bytes, paths, files ---


@each_row("form", FORMATS)
def test_the_bytes_go_along_with_their_kind(form: str) -> None:
    data = image_of(form)
    for way in (data, io.BytesIO(data), data_uri(data, "text/plain")):
        sent = wire(way, ANY)
        assert (sent.url, sent.data, sent.mime) == (None, data, f"image/{form.lower()}")
        assert sent.uri == data_uri(data, f"image/{form.lower()}")


@each_row("kind", [bytes, bytearray, memoryview])
@each_row("data", [JPEG, PNG], ids=["jpeg", "png"])
def test_bytes_of_any_kind_are_sent(data: bytes, kind: Any) -> None:
    assert content(wire(kind(data))) == data


def test_a_slice_of_a_view_is_sent() -> None:
    assert content(wire(memoryview(b"??" + JPEG)[2:])) == JPEG


def test_a_path_is_read(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(JPEG)
    assert content(wire(tmp_path / "cat.jpg")) == JPEG


def test_whatever_the_system_takes_for_a_path_is_read(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(JPEG)
    for entries in (os.scandir(tmp_path), os.scandir(os.fsencode(tmp_path))):
        with entries:
            assert [content(wire(entry)) for entry in entries] == [JPEG]


@each_row("name", ["cat.png", "cat.txt", "cat", "cat.gif"])
def test_the_content_tells_the_format_and_not_the_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(JPEG)
    assert wire(tmp_path / name).uri.startswith("data:image/jpeg;base64,")


def test_an_open_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(PNG)
    with (tmp_path / "cat.png").open("rb") as file:
        assert content(wire(file)) == PNG


def test_a_buffer_is_read_from_where_it_stands() -> None:
    buffer = io.BytesIO(b"??" + JPEG)
    buffer.seek(2)
    assert content(wire(buffer)) == JPEG


def test_a_file_without_end_is_read_no_further_than_the_limit() -> None:
    class Endless:
        asked = 0

        def read(self, size: int) -> bytes:
            self.asked += size
            return bytes(size)

    endless = Endless()
    refused(endless, "more than 5,242,879 bytes", "at most 5,242,879 bytes")
    assert endless.asked == LIMIT + 1


@each_row("encoding", ["utf-8", "latin-1"])
def test_a_file_open_as_text_is_refused(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "cat.jpg").write_bytes(JPEG)
    with (tmp_path / "cat.jpg").open(encoding=encoding) as file:
        refused(file, "text, not bytes", "'rb'")


def test_a_text_buffer_is_refused() -> None:
    refused(io.StringIO("cat"), "text, not bytes", "'rb'")


def test_a_closed_file_is_refused() -> None:
    buffer = io.BytesIO(JPEG)
    buffer.close()
    refused(buffer, "cannot be read", "'rb'")


def test_a_file_open_for_writing_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "new.jpg").open("wb") as file:
        refused(file, "cannot be read", "'rb'")


@each_row("name", ["missing.jpg", ".", "a\0b", "x" * 5000])
def test_a_path_that_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    refused(tmp_path / name)


@each_row("image", [None, 7, 1.5, True, object(), [JPEG], (URL,), {URL}, Image, lambda: None])
def test_any_other_type_is_refused_by_name(image: object) -> None:
    refused(image, type(image).__name__, "holds no image", "https or http URL", "PIL image")


def test_a_file_far_too_large_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "big.bmp").open("wb") as file:
        file.truncate(1024 * MIB)
    tracemalloc.start()
    try:
        refused(tmp_path / "big.bmp", "The image has 1,073,741,824 bytes")
        assert tracemalloc.get_traced_memory()[1] < 2 * LIMIT
    finally:
        tracemalloc.stop()


@each_row("kind", [bytearray, memoryview])
def test_what_is_far_too_large_is_not_copied(kind: Any) -> None:
    image = kind(bytes(32 * MIB))
    tracemalloc.start()
    try:
        refused(image, "The image has 33,554,432 bytes")
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


def test_a_view_is_measured_in_bytes() -> None:
    refused(memoryview(bytes(8 * MIB)).cast("Q"), "The image has 8,388,608 bytes")


# --- strings that name a file ---


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    (root / "sub").mkdir(parents=True)
    (root / "cat.jpg").write_bytes(JPEG)
    (root / "sub" / "dog.png").write_bytes(PNG)
    (root / "inside.jpg").symlink_to(root / "cat.jpg")
    (root / "outside.jpg").symlink_to(tmp_path / "secret.jpg")
    (root / "up").symlink_to(tmp_path)
    (root / "circle").symlink_to(root / "circle")
    (tmp_path / "secret.jpg").write_bytes(JPEG)
    (tmp_path / "images-2").mkdir()
    (tmp_path / "images-2" / "cat.jpg").write_bytes(JPEG)
    return root


@pytest.mark.parametrize(
    ("text", "data"),
    [("cat.jpg", JPEG), ("./cat.jpg", JPEG), ("sub/dog.png", PNG), ("sub/../cat.jpg", JPEG), ("inside.jpg", JPEG)],
)
def test_a_string_may_name_a_file_in_the_allowed_folder(folder: Path, text: str, data: bytes) -> None:
    assert content(wire(text, folder=folder)) == data


def test_a_relative_folder_is_as_good(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert content(wire("cat.jpg", folder=Path("images"))) == JPEG


@pytest.mark.parametrize(
    "text",
    ["../secret.jpg", "sub/../../secret.jpg", "../images-2/cat.jpg", "outside.jpg", "up/secret.jpg", "circle",
     "circle/cat.jpg", "", ".", "sub", "..", "missing.jpg", "cat.jpg\0.png", "/etc/hostname", "x" * 5000, "\ud800",
     "file:///etc/hostname"],
)  # fmt: skip
def test_a_string_never_leaves_the_allowed_folder(folder: Path, text: str) -> None:
    refused(text, "no file inside the allowed folder", "'..' and links out of it", folder=folder)


def test_an_absolute_path_outside_the_allowed_folder_is_refused(folder: Path) -> None:
    refused(str(folder.parent / "secret.jpg"), "no file inside the allowed folder", folder=folder)


def test_a_file_in_the_allowed_folder_is_checked_like_any_other(folder: Path) -> None:
    (folder / "notes.jpg").write_text("not an image")
    refused("notes.jpg", "This is no image but text", folder=folder)


def test_a_string_is_no_path_without_an_allowed_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    refused("cat.jpg", "not read as a local path")


def test_an_address_stays_an_address_where_a_folder_is_allowed(folder: Path) -> None:
    assert wire(URL, folder=folder).uri == URL


# --- PIL images ---


@each_row("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "I;16"])
def test_a_pil_image_of_any_mode_is_sent_as_png(mode: str) -> None:
    sent = content(wire(Image.new(mode, (10, 6))))
    assert inspect_image(sent) == ImageInfo("PNG", 10, 6, alpha=mode in {"LA", "RGBA"})
    with Image.open(io.BytesIO(sent)) as again:
        again.load()
        assert again.size == (10, 6)


@each_row("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_png_keeps_the_mode_of_a_pil_image(mode: str) -> None:
    with Image.open(io.BytesIO(content(wire(Image.new(mode, (10, 6)))))) as again:
        assert again.mode == mode


@each_row(("mode", "level"), [("I;16", 32768), ("I;16L", 32768), ("I;16B", 32768), ("I", 32768), ("F", 0.5)])
def test_a_pil_image_of_wide_pixels_is_scaled_to_8_bits(mode: str, level: float) -> None:
    image = Image.new(mode, (10, 6), level)
    with Image.open(io.BytesIO(content(wire(image)))) as sent:
        assert sent.convert("L").getpixel((0, 0)) == 127
    assert prepare_image(image, NEBULA, fit=True).changes == ("brought to 8 bits a pixel",)


@each_row("level", [float("nan"), float("inf")])
def test_pixels_that_are_no_numbers_are_refused(level: float) -> None:
    refused(Image.new("F", (10, 6), level), "no finite numbers")


def test_what_decoders_may_read_otherwise_is_said() -> None:
    grey, moving = image_of("PNG", "I;16"), animated()
    assert wire(grey).notes == ("grey of 16 bits: a gateway that reads it with Pillow shows it all white",)
    assert wire(moving, ANY).notes == ("animated: a gateway takes its first picture, or refuses it",)
    assert prepare_image(grey, ANY, fit=True).notes == ("brought to 8 bits a pixel",)
    assert prepare_image(moving, ANY, fit=True).notes == ("the first of its 3 pictures",)


def test_a_cmyk_image_keeps_its_colours_as_rgb() -> None:
    red = Image.new("RGB", (4, 4), (255, 0, 0)).convert("CMYK")
    with Image.open(io.BytesIO(content(wire(red)))) as again:
        assert (again.mode, again.getpixel((0, 0))) == ("RGB", (255, 0, 0))


def test_a_pil_image_too_large_as_png_is_sent_as_jpeg() -> None:
    noise = Image.effect_noise((200, 200), 100).convert("RGBA")
    assert wire(noise).uri.startswith("data:image/png;base64,")
    largest = len(content(wire(noise)))
    assert wire(noise, replace(NEBULA, max_bytes=largest)).mime == "image/png"
    sent = wire(noise, replace(NEBULA, max_bytes=largest - 1))
    assert sent.uri.startswith("data:image/jpeg;base64,")
    assert inspect_image(content(sent)) == ImageInfo("JPEG", 200, 200)


def test_a_pil_image_too_large_as_jpeg_too_is_refused() -> None:
    limits = replace(NEBULA, max_bytes=1000)
    refused(Image.effect_noise((200, 200), 100), "The image has", "scale it down", limits=limits)


@each_row("limits", [NEBULA, DASHSCOPE])
def test_a_pil_image_without_pixels_is_refused(limits: ImageLimits) -> None:
    refused(Image.new("RGB", (0, 0)), "cannot be encoded", limits=limits)


@each_row("form", [*FORMATS, "GIF", "TIFF", "AVIF"])
def test_a_pil_image_of_a_truncated_file_is_refused(form: str) -> None:
    data = image_of(form, size=(400, 400))
    for end in range(len(data) // 2, len(data), len(data) // 20):  # some decoders fill up what is missing
        try:
            picture = Image.open(io.BytesIO(data[:end]))
        except OSError:
            continue
        try:
            wire(picture, DASHSCOPE)
        except InvalidRequestError as error:
            assert "cannot be encoded" in str(error)


def test_the_end_of_a_jpeg_is_missed_by_pil_too() -> None:
    refused(Image.open(io.BytesIO(JPEG[:-10])), "cannot be encoded", "Load it again")


def transparent(mode: str) -> Image.Image:
    """Red on the left; on the right nothing, and black below that."""
    if mode in {"1", "L", "P", "RGB", "I;16"}:
        picture = Image.new(mode, (8, 8), (255, 0, 0) if mode == "RGB" else 1)
        picture.paste((0, 0, 0) if mode == "RGB" else 0, (4, 0, 8, 8))
        if mode == "P":
            picture.putpalette([0, 0, 0, 255, 0, 0])
        picture.info["transparency"] = (0, 0, 0) if mode == "RGB" else 0
        return picture
    picture = Image.new("RGBA", (8, 8), (255, 0, 0, 255))
    picture.paste((0, 0, 0, 0), (4, 0, 8, 8))
    return picture.convert("P").convert("PA") if mode == "PA" else picture.convert(mode)


def corners(sent: WireImage) -> tuple[Any, Any]:
    with Image.open(io.BytesIO(content(sent))) as picture:
        rgb = picture.convert("RGB")
    return rgb.getpixel((0, 0)), rgb.getpixel((7, 7))


@each_row("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_a_transparent_pil_image_stays_transparent_where_that_is_read(mode: str) -> None:
    assert inspect_image(content(wire(transparent(mode)))) == ImageInfo("PNG", 8, 8, alpha=True)


@each_row("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "RGBa", "I;16"])
def test_a_transparent_pil_image_is_laid_on_white_where_it_is_not(mode: str) -> None:
    sent = wire(transparent(mode), OPAQUE)
    assert inspect_image(content(sent)) == ImageInfo("PNG", 8, 8, alpha=False)
    left, right = corners(sent)
    assert right == (255, 255, 255)
    if mode in {"P", "RGB", "RGBA", "RGBa"}:
        assert left == (255, 0, 0)


@each_row("mode", ["1", "L", "P", "RGB"])
def test_an_opaque_pil_image_keeps_its_mode_everywhere(mode: str) -> None:
    with Image.open(io.BytesIO(content(wire(Image.new(mode, (10, 6)), OPAQUE)))) as again:
        assert again.mode == mode


def test_half_transparent_is_half_white() -> None:
    assert corners(wire(Image.new("RGBA", (8, 8), (0, 0, 0, 128)), OPAQUE))[0] == (127, 127, 127)


def test_a_palette_may_be_transparent_in_itself() -> None:
    picture = transparent("RGBA").quantize(4)
    assert corners(wire(picture, OPAQUE)) == ((255, 0, 0), (255, 255, 255))
    assert inspect_image(content(wire(picture))).alpha


def test_jpeg_shows_white_where_a_pil_image_was_transparent() -> None:
    """JPEG knows no transparency, whatever the gateway reads."""
    sent = wire(transparent("RGBA").resize((8, 8)), replace(NEBULA, formats=("JPEG",)))
    assert sent.mime == "image/jpeg"
    left, right = corners(sent)
    assert left[0] > 200 > left[1]
    assert min(right) > 200


@each_row("form", FORMATS)
def test_a_pil_image_is_sent_in_a_format_that_the_model_reads(form: str) -> None:
    limits = replace(NEBULA, formats=(form,))
    for mode in ("1", "P", "RGB", "RGBA"):
        assert inspect_image(content(wire(Image.new(mode, (10, 6)), limits))).format == form


def test_what_a_mode_left_behind_does_not_spoil_a_pil_image() -> None:
    picture = transparent("RGBA")
    picture.info["transparency"] = 0
    assert corners(wire(picture, OPAQUE)) == ((255, 0, 0), (255, 255, 255))


def test_a_pil_image_itself_stays_as_it_is() -> None:
    picture = transparent("RGBA")
    before = (picture.mode, picture.tobytes(), dict(picture.info))
    wire(picture, OPAQUE)
    assert (picture.mode, picture.tobytes(), dict(picture.info)) == before


def test_a_pil_image_of_a_wrong_size_is_refused() -> None:
    refused(Image.new("RGB", (359, 720)), "359 x 720 pixels", "360 to 2000", limits=DASHSCOPE)


def test_a_pil_image_read_from_another_format_is_converted() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (10, 6), "teal").save(buffer, "WEBP")
    assert inspect_image(content(wire(Image.open(buffer)))).format == "PNG"


# --- blocks ---

BASE64 = base64.b64encode(JPEG).decode()


@each_row(
    "block",
    [
        {"type": "image", "url": URL},
        {"type": "image", "url": URL, "mime_type": "image/jpeg", "id": "lc_1"},
        {"type": "image_url", "image_url": {"url": URL, "detail": "high"}},
        {"type": "image_url", "image_url": URL},
        {"type": "input_image", "image_url": URL, "detail": "auto"},
        {"type": "image", "source": {"type": "url", "url": URL}},
        {"type": "image", "source_type": "url", "url": URL},
    ],
)
def test_a_block_with_an_address_is_sent_as_the_address(block: dict[str, Any]) -> None:
    assert wire(block).uri == URL


@each_row(
    "block",
    [
        {"type": "image", "base64": BASE64, "mime_type": "image/jpeg"},
        {"type": "image", "base64": BASE64},
        {"type": "image", "base64": BASE64, "mime_type": "image/png"},
        {"type": "image", "base64": data_uri(JPEG)},
        {"type": "image_url", "image_url": {"url": data_uri(JPEG)}},
        {"type": "image_url", "image_url": data_uri(JPEG)},
        {"type": "input_image", "image_url": data_uri(JPEG)},
        {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": BASE64}},
        {"type": "image", "source_type": "base64", "data": BASE64, "mime_type": "image/jpeg"},
        {"type": "image", "data": JPEG},
    ],
)
def test_a_block_with_the_image_in_it_is_sent_as_a_data_uri(block: dict[str, Any]) -> None:
    assert wire(block).uri == data_uri(JPEG)


@each_row(
    "block",
    [
        {"type": "image", "file_id": "file-1"},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "image", "source": {"type": "file", "file_id": "file-1"}},
        {"type": "image", "source_type": "id", "id": "file-1"},
    ],
)
def test_a_file_id_is_refused_for_it_means_nothing_to_the_gateway(block: dict[str, Any]) -> None:
    refused(block, "only a file id of its provider", "https or http URL")


@each_row(
    "block",
    [
        {},
        {"type": "text", "text": "a cat"},
        {"type": "image"},
        {"type": "image", "url": ""},
        {"type": "image", "url": None, "base64": ""},
        {"type": "image_url", "image_url": {}},
        {"type": "image_url", "image_url": 7},
        {"type": "image", "source": {}},
        {"type": "image", "source": "here"},
    ],
)
def test_a_block_without_an_image_is_refused(block: dict[str, Any]) -> None:
    refused(block, repr(block.get("type")), "holds no image")


@each_row("kind", ["video", "audio", "text", "file"])
def test_a_block_of_another_kind_holds_no_image_whatever_is_in_it(kind: str) -> None:
    refused({"type": kind, "url": URL}, repr(kind), "holds no image", "https or http URL")
    refused({"type": kind, "base64": BASE64, "mime_type": "image/jpeg"}, repr(kind), "holds no image")


def test_a_block_is_opened_by_itself_too() -> None:
    assert image_from_block({"type": "image", "url": URL}) == URL


def test_a_block_cannot_smuggle_in_a_local_path(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(JPEG)
    refused({"type": "image", "url": str(tmp_path / "cat.jpg")}, "not read as a local path")


# --- whole or damaged ---


@each_row(("data", "form"), [(JPEG, "JPEG"), (PNG, "PNG")])
def test_an_image_tells_its_format_and_size(data: bytes, form: str) -> None:
    assert inspect_image(data) == ImageInfo(form, 64, 48)


@each_row("options", [{"progressive": True}, {"quality": 1}, {"optimize": True}, {"comment": b"\xff\xd9"}])
def test_jpegs_of_every_make_are_whole(options: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((40, 30), 50).convert("RGB").save(buffer, "JPEG", **options)
    assert inspect_image(buffer.getvalue()) == ImageInfo("JPEG", 40, 30)


def test_the_end_mark_of_a_thumbnail_is_not_that_of_the_image() -> None:
    with_thumbnail = JPEG[:2] + b"\xff\xfe\x00\x04\xff\xd9" + JPEG[2:]
    assert inspect_image(with_thumbnail) == ImageInfo("JPEG", 64, 48)
    refused(with_thumbnail[:-2], "ends too early")


@each_row("between", [b"\xff", b"\xff\xff", b"\xff\x01", b"\xff\xd0", b"\xff\xd7"])
def test_a_jpeg_may_have_fill_bytes_and_marks_without_a_length(between: bytes) -> None:
    assert inspect_image(JPEG[:2] + between + JPEG[2:]) == ImageInfo("JPEG", 64, 48)


@each_row("junk", [b"\0", b"\0\0\0", b"ab\r\n", b"\xff\xe1\0\4ABtoo long", b"\xff\xe1\0\0AB"])
def test_what_lies_between_two_segments_of_a_jpeg_is_skipped_as_decoders_do(junk: bytes) -> None:
    assert inspect_image(JPEG[:20] + junk + JPEG[20:]) == ImageInfo("JPEG", 64, 48)
    with Image.open(io.BytesIO(JPEG[:20] + junk + JPEG[20:])) as picture:
        picture.load()


def test_a_second_picture_behind_the_first_is_fine_and_inside_of_it_is_not() -> None:
    """Phones append gain maps and previews. Their end mark is not that of the photo."""
    assert inspect_image(JPEG + JPEG) == ImageInfo("JPEG", 64, 48)
    for end in (len(JPEG) - 5, len(JPEG) - 2):
        refused(JPEG[:end] + JPEG, "it is cut off, and another picture begins in it")


@each_row("marker", range(0xC0, 0xD0))
def test_a_jpeg_of_every_process_tells_its_size(marker: int) -> None:
    frame = struct.pack(">BBHBHHB", 0xFF, marker, 8, 8, 48, 64, 0)
    data = b"\xff\xd8" + frame + b"\xff\xda\0\x02\xff\xd9"
    if marker in {0xC4, 0xC8, 0xCC}:  # tables of codes; reserved; arithmetic conditioning
        refused(data, "has no frame header")
    else:
        assert inspect_image(data) == ImageInfo("JPEG", 64, 48)


@each_row("form", FORMATS)
def test_bytes_after_the_end_do_no_harm(form: str) -> None:
    assert inspect_image(image_of(form) + b"\r\ntrailer") == ImageInfo(form, 64, 48)


def test_a_png_with_a_wrong_bit_anywhere_is_refused() -> None:
    for at in range(8, len(PNG)):
        broken = bytearray(PNG)
        broken[at] ^= 0x10
        refused(bytes(broken))


def test_the_refusal_of_a_wrong_checksum_names_the_part() -> None:
    at = PNG.index(b"IDAT") + 6
    refused(
        PNG[:at] + bytes([PNG[at] ^ 1]) + PNG[at + 1 :], "the checksum of its IDAT part is wrong", "download it again"
    )


SIGNATURE = PNG[:8]


def png_claiming(
    width: int, height: int, depth: int = 8, colour: int = 2, pixels: bytes = zlib.compress(bytes(100))
) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return SIGNATURE + header + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


HEADER = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))


@each_row(
    ("data", "why"),
    [
        (SIGNATURE + chunk(b"IEND", b""), "does not begin with its header"),
        (SIGNATURE + HEADER + chunk(b"IEND", b""), "has no pixels"),
        (SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 1, 8, 2, 0, 0, 0)), "has no pixels"),
        (SIGNATURE + chunk(b"IHDR", b"\0\0"), "ends too early"),
        (SIGNATURE + HEADER + b"\xff\xff\xff\xffIDAT", "ends too early"),
        (png_claiming(2**31 - 1, 2**31 - 1), "not its 2147483647 x 2147483647 pixels"),
        (png_claiming(2**32 - 1, 1), "what no PNG can be"),
        (png_claiming(30_000, 30_000), "not its 30000 x 30000 pixels"),
        (png_claiming(1, 1, depth=3), "what no PNG can be"),
        (png_claiming(1, 1, colour=1), "what no PNG can be"),
        (png_claiming(1, 1, colour=3), "it has no palette"),
        (png_claiming(1, 1, pixels=b"no deflate stream"), "not its 1 x 1 pixels"),
        (SIGNATURE + HEADER + chunk(b"\x1bc\x1bc", b""), "does not begin where it should"),
        (SIGNATURE + chunk(b"IHDR", struct.pack(">IIB", 1, 1, 8)), "ends too early"),
        (b"\xff\xd8\xff\xd9", "ends too early"),
        (b"\xff\xd8\xff\xda\0\x02\xff\xd9", "has no frame header"),
        (b"\xff\xd8\xff\xfe\0\x02hello", "ends too early"),
        (b"\xff\xd8\xff\xc0\0\x0b\x08\0\0\0\x01\x01\x01\x11\0", "has no pixels"),
        (b"\xff\xd8" + b"\xff" * 1000, "ends too early"),
    ],
)
def test_a_damaged_image_is_refused_with_the_reason(data: bytes, why: str) -> None:
    refused(data, "The image is damaged", why)


def iso(major: bytes, *others: bytes) -> bytes:
    """The first box of an ISO media file."""
    return struct.pack(">I", 16 + 4 * len(others)) + b"ftyp" + major + bytes(4) + b"".join(others)


HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"MiHE", b"MiHB", b"MiHA")
FIT = "Pass fit=True (in the shell: --fit)"


@each_row(
    ("data", "name"),
    [
        (b"GIF89a" + bytes(20), "GIF"),
        *((iso(brand), "AVIF") for brand in (b"avif", b"avis", b"MA1B")),
        *((iso(brand), "HEIC") for brand in HEIC_BRANDS),
        *((iso(brand), "HEIF") for brand in (b"mif1", b"msf1", b"miaf", b"avci", b"tmap")),
        (iso(b"mif1", b"miaf", b"heic"), "HEIC"),
        (iso(b"tmap", b"mif1", b"avif"), "AVIF"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "WEBP"),
        (b"BM" + bytes(60), "BMP"),
        (b"II*\0" + bytes(20), "TIFF"),
        (b"MM\0*" + bytes(20), "TIFF"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x4f\xff\x51", "JPEG 2000"),
        (b"\0\0\1\0\1\0", "ICO"),
        (b"8BPS\0\1", "PSD"),
    ],
)
def test_another_format_is_refused_by_name_with_the_remedy(data: bytes, name: str) -> None:
    refused(data, f"The image is {name}; the model reads JPEG or PNG.", FIT, 'pip install "langchain-nebula-video[im')


LOSSLESS_FRAME = b"\xff\xf7\0\x0b\x08\0\x10\0\x10\1\1\x11\0\xff\xda\0\2\xff\xd9"
JSON, PAGE = "This is no image but JSON", "This is no image but a web page (HTML)"
VIDEO, TEXT = "This is no image but a video", "This is no image but text"


@each_row(
    ("data", "told", "remedy"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "The image is SVG", "rsvg-convert"),
        (b"\n <?xml version='1.0'?><svg/>", "The image is SVG", "rsvg-convert"),
        (b"<!-- made by hand --> <!DOCTYPE svg PUBLIC ''>\n<svg/>", "The image is SVG", "rsvg-convert"),
        (gzip.compress(b"<?xml version='1.0'?><svg/>"), "The image is SVG", "rsvg-convert"),
        (gzip.compress(b"data"), "This is no image but a gzip archive", "Unpack it"),
        (b"PK\3\4" + bytes(20), "This is no image but a ZIP archive", "Unpack it"),
        (b"%PDF-1.7", "The image is PDF", "pdftoppm"),
        (b"<!DOCTYPE html><html>", PAGE, "the image's own address"),
        (b"<!doctype HTML>", PAGE, "the image's own address"),
        (b"  <html>", PAGE, "the image's own address"),
        (b"\xef\xbb\xbf<!DOCTYPE html>", PAGE, "the image's own address"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "This is no image but XML", "refuse"),
        (b'{"error": {"code": 404}}', JSON, "Look at what it says"),
        (b"[1, 2]", JSON, "Look at what it says"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d", "a pointer of Git LFS", "git lfs pull"),
        *((iso(brand), VIDEO, "ffmpeg") for brand in (b"isom", b"mp42", b"qt  ", b"M4V ", b"3gp4")),
        (b"\0\0\0\x08wide\0\0\0\0mdat", VIDEO, "ffmpeg"),
        (b"\x1a\x45\xdf\xa3", VIDEO, "ffmpeg"),
        (b"RIFF\0\0\0\0AVI LIST", VIDEO, "ffmpeg"),
        (b"\xff\x0a\xfa", "The image is JPEG XL", "djxl"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "The image is JPEG XL", "djxl"),
        (b"II\xbc\1", "The image is JPEG XR", "with the program that wrote it"),
        (b"\xff\xd8" + LOSSLESS_FRAME, "The image is JPEG-LS", "with the program that wrote it"),
        (b"\xff\xd8\xff\xfe\0\4ab" + LOSSLESS_FRAME, "The image is JPEG-LS", "with the program that wrote it"),
        (iso(b"crx "), "The image is a raw photo", "Export it as JPEG"),
        (b"II*\0\x10\0\0\0CR\2\0", "The image is a raw photo", "Export it as JPEG"),
        (PNG[:8] + chunk(b"CgBI", b"\x50\0\x20\6") + PNG[8:], "a PNG of an iPhone app (CgBI)", "xcrun pngcrush"),
        (b"BM is how this text begins, of which nobody would make a picture", TEXT, "the image itself"),
        (b"[InternetShortcut]\nURL=https://example.com/cat.jpg", TEXT, "the image itself"),
        (data_uri(JPEG).encode(), "This is no image but a data: URI", "as a str"),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_is_refused_by_name_with_what_to_do(data: bytes, told: str, remedy: str) -> None:
    assert "fit" not in refused(data, told, "the model reads JPEG or PNG.", remedy).hint
    with pytest.raises(InvalidRequestError, match=re.escape(told)):
        prepare_image(data, NEBULA, fit=True)


@each_row("data", [b"RIFF\x24\0\0\0WAVEfmt ", b"RIFF\x24\0", b"ID3\3\0", b"\xef\xbb\xbf" + JPEG, b"\x89PNG\n\x1a\n"])
def test_what_only_begins_like_an_image_is_none(data: bytes) -> None:
    refused(data, "no image that is known", "JPEG, PNG, BMP or WEBP", limits=DASHSCOPE)


@each_row("form", ["GIF", "WEBP", "BMP", "TIFF", "AVIF"])
def test_what_pillow_writes_in_another_format_is_known_by_name(form: str) -> None:
    refused(image_of(form), f"The image is {form}")


@EACH_GATEWAY
@each_row("form", [*FORMATS, "GIF"])
def test_each_gateway_reads_its_formats_and_no_other(limits: ImageLimits, form: str) -> None:
    data = image_of(form, size=(400, 400))
    if form in limits.formats:
        assert content(wire(data, limits)) == data
    else:
        wanted = {"JPEG or PNG", "JPEG, PNG or WEBP", "JPEG, PNG, BMP or WEBP"}
        told = refused(data, f"The image is {form}; the model reads ", FIT, limits=limits)
        assert any(f"reads {words}." in str(told) for words in wanted)


def test_a_format_that_the_model_does_not_read_is_refused() -> None:
    jpeg_alone, png_alone = replace(NEBULA, formats=("JPEG",)), replace(NEBULA, formats=("PNG",))
    refused(PNG, "The image is PNG; the model reads JPEG", FIT, limits=jpeg_alone)
    refused(JPEG, "The image is JPEG; the model reads PNG", FIT, limits=png_alone)


@each_row("form", ["BMP", "WEBP"])
def test_a_damaged_image_of_a_format_that_is_not_read_is_told_by_its_format(form: str) -> None:
    refused(image_of(form)[:40], f"The image is {form}")


@each_row("empty", [b"", bytearray(), io.BytesIO()])
def test_an_empty_image_is_refused(empty: object) -> None:
    refused(empty, "The image is empty", "JPEG or PNG")


def test_a_buffer_that_was_not_rewound_is_told_as_such() -> None:
    buffer = io.BytesIO()
    buffer.write(JPEG)
    refused(buffer, "The open file is at its end", "file.seek(0)")
    buffer.seek(0)
    assert wire(buffer).data == JPEG


# --- the limit ---


@each_row("make", [png_of, jpeg_of])
def test_nebula_reads_images_of_less_than_5_mb(make: Callable[[int], bytes]) -> None:
    largest = make(5 * MIB - 1)
    assert len(largest) == 5 * MIB - 1
    with Image.open(io.BytesIO(largest)) as picture:
        picture.load()
    assert content(wire(largest)) == largest
    told = "The image has 5,242,880 bytes; the gateway takes at most 5,242,879 bytes (5 MB)."
    refused(make(5 * MIB), told, "scale it down")


def test_dashscope_reads_images_of_10_mb() -> None:
    big = image_of("PNG", size=(400, 400))
    assert wire(png_of(10 * MIB, big), DASHSCOPE).mime == "image/png"
    told = "The image has 10,485,761 bytes; the gateway takes at most 10,485,760 bytes (10 MB)."
    refused(png_of(10 * MIB + 1, big), told, limits=DASHSCOPE)


@EACH_GATEWAY
@each_row("form", FORMATS)
def test_the_largest_image_passes_and_one_byte_more_does_not(limits: ImageLimits, form: str) -> None:
    if form in limits.formats:
        data = image_of(form, size=(400, 400))
        filled = data + bytes(limits.max_bytes - len(data))
        assert wire(filled, limits).data == filled
        refused(filled + b"\0", f"{limits.max_bytes + 1:,} bytes", f"at most {limits.max_bytes:,}", limits=limits)


def test_the_limit_is_the_same_whichever_way_an_image_comes(tmp_path: Path) -> None:
    limits = replace(NEBULA, max_bytes=10_000)
    largest, larger = png_of(10_000), png_of(10_001)
    path = tmp_path / "cat.png"
    ways: dict[str, Callable[[bytes], object]] = {
        "bytes": bytes,
        "bytearray": bytearray,
        "memoryview": memoryview,
        "an open file": io.BytesIO,
        "a path": lambda data: path if path.write_bytes(data) else None,
        "base64": data_uri,
        "percents": lambda data: "data:," + "".join(f"%{byte:02x}" for byte in data),
        "a block": lambda data: {"type": "image", "data": data},
    }
    for name, way in ways.items():
        assert wire(way(largest), limits).data == largest, name
        told = "10,001 bytes" if name not in {"an open file", "percents"} else "more than 10,000 bytes"
        refused(way(larger), f"The image has {told}; the gateway takes at most 10,000 bytes", limits=limits)


# --- sides ---


@EACH_GATEWAY
@each_row("side", [1, 359, 360, 2000, 2001])
def test_each_side_must_be_neither_too_short_nor_too_long(limits: ImageLimits, side: int) -> None:
    for size in ((side, 720), (720, side), (side, side)):
        data = image_of("PNG", "1", size)
        low, high = limits.sides or (1, None)
        if low <= side <= (high or side):
            assert wire(data, limits).data == data
        else:
            told = f"The image has {size[0]} x {size[1]} pixels; the model reads sides of 360 to 2000 pixels."
            refused(data, told, "with Pillow: ", limits=limits)


def test_only_the_vendor_tells_how_long_a_side_may_be() -> None:
    told = {name: row.images.sides for name, row in GATEWAYS.items() if row.images.sides}
    alibaba_s = [name for name in GATEWAYS if name.startswith(("dashscope", "newapi", "litellm"))]
    assert told == dict.fromkeys(alibaba_s, (360, 2000))


def run_hint(refusal: InvalidRequestError, data: bytes, folder: Path) -> Path:
    """Do what a hint says, in a folder."""
    code = refusal.hint.partition("with Pillow: ")[2].removesuffix(".")
    (folder / "given").write_bytes(data)
    lines = f"from PIL import Image, ImageOps; path = 'given'; {code}"
    with contextlib.chdir(folder):
        exec(lines, {})
    (made,) = folder.glob("image.*")
    return made


@each_row(
    ("size", "step", "seen"),
    [
        ((64, 48), "ImageOps.scale(image, 7.5)", (360, 480)),
        ((359, 1990), "ImageOps.scale(image, 1.003)", (1996, 360)),
        ((2400, 1800), "ImageOps.scale(image, 0.833)", (1499, 1999)),
        ((300, 2400), "(2000, 360) if image.width > image.height else (360, 2000)", (2000, 360)),
        ((2001, 1), "(2000, 360) if image.width > image.height else (360, 2000)", (360, 2000)),
    ],
)
def test_the_hint_for_a_wrong_size_works_on_a_photo_that_is_turned(
    size: tuple[int, int], step: str, seen: tuple[int, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = image_of("JPEG", "RGB", size, exif=exif)
    made = run_hint(refused(data, step, limits=DASHSCOPE), data, tmp_path_factory.mktemp("hint"))
    assert wire(made, DASHSCOPE).mime == "image/jpeg"
    with Image.open(made) as picture:
        assert picture.size == seen


@each_row(
    ("data", "helps"),
    [
        (image_of("PNG", "L", (64, 48)), True),
        (image_of("PNG", "L", (300, 2400)), False),
        (image_of("PNG", "RGBA", (400, 400)), True),
        (image_of("GIF", "L", (400, 400)), True),
        (image_of("PNG", "L", (400, 400))[:-20], False),
        (b"<svg></svg>", False),
    ],
)
def test_a_language_model_is_told_of_fitting_where_that_helps(data: bytes, helps: bool) -> None:
    hint = refused(data, limits=DASHSCOPE).agent_hint
    assert hint is not None
    assert hint.startswith("Use another image, or ask the user for one.")
    assert ("fit=True" in hint) == helps
    if helps:
        assert prepare_image(data, DASHSCOPE, fit=True).changes
    else:
        with pytest.raises(InvalidRequestError):
            prepare_image(data, DASHSCOPE, fit=True)


def test_the_hint_for_an_alpha_channel_shows_white_where_another_colour_hides(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (400, 400), (255, 0, 0, 0)).save(buffer, "PNG")
    told = "even if nothing in it is transparent"
    made = run_hint(refused(buffer.getvalue(), told, FIT, limits=DASHSCOPE), buffer.getvalue(), tmp_path)
    assert wire(made, DASHSCOPE).mime == "image/png"
    with Image.open(made) as picture:
        assert picture.getpixel((0, 0)) == (255, 255, 255)


def test_no_line_of_code_is_printed_that_would_clip_wide_pixels() -> None:
    for size, remedy in (((100, 100), FIT), ((100, 4000), "pad it")):
        assert "Pillow" not in refused(image_of("PNG", "I;16", size), remedy, limits=DASHSCOPE).hint


def hinted_size(hint: str, size: tuple[int, int]) -> tuple[int, int]:
    """The sides of what the line of code in a hint would save, by the way that Pillow rounds."""
    if factor := re.search(r"scale\(image, ([\d.e-]+)\)", hint):
        return round(size[0] * float(factor[1])), round(size[1] * float(factor[1]))
    across, down = map(int, re.findall(r"(\d+), (\d+)", hint)[0])
    return (across, down) if size[0] > size[1] else (down, across)


@given(st.tuples(st.integers(1, 65_535), st.integers(1, 65_535)))
def test_the_hint_for_a_wrong_size_names_a_right_one(size: tuple[int, int]) -> None:
    try:
        wire(jpeg_header(*size), DASHSCOPE)
    except InvalidRequestError as error:
        assert all(360 <= side <= 2000 for side in hinted_size(error.hint, size))
    else:
        assert all(360 <= side <= 2000 for side in size)


RATIOS = [replace(DASHSCOPE, **limits) for limits in (
    {"sides": (240, 8000), "max_ratio": 8.0}, {"sides": (300, None), "max_ratio": 2.5},
    {"sides": None, "max_ratio": 2.0}, {"sides": (300, None), "max_ratio": None},
)]  # fmt: skip


def jpeg_header(width: int, height: int) -> bytes:
    frame = struct.pack(">BBHBHHB", 0xFF, 0xC0, 8, 8, height, width, 0)
    return b"\xff\xd8" + frame + b"\xff\xda\0\x02\xff\xd9"


def fits(limits: ImageLimits, size: tuple[int, int]) -> bool:
    (low, high), ratio = limits.sides or (1, None), limits.max_ratio
    short, long = sorted(size)
    return low <= short and (high is None or long <= high) and (ratio is None or long <= ratio * short)


@given(st.sampled_from(RATIOS), st.tuples(st.integers(1, 20_000), st.integers(1, 20_000)))
def test_proportions_and_open_ends_are_kept_to_and_the_hint_names_a_right_size(
    limits: ImageLimits, size: tuple[int, int]
) -> None:
    try:
        wire(jpeg_header(*size), limits)
    except InvalidRequestError as error:
        assert not fits(limits, size)
        assert fits(limits, hinted_size(error.hint, size)), error.hint
    else:
        assert fits(limits, size)


@each_row(
    ("limits", "size", "told", "hint"),
    [
        (RATIOS[0], (2000, 200), "reads sides of 240 to 8000 pixels, one side at most 8 times the other", "pad"),
        (RATIOS[0], (2400, 240), "one side at most 8 times the other", "(2400, 300) if"),
        (RATIOS[1], (100, 100), "reads sides of 300 pixels or more, one side at most 2.5 times", "scale(image, 3.0)"),
        (RATIOS[2], (100, 300), "reads one side at most 2 times the other", "(300, 150) if"),
        (RATIOS[3], (299, 900), "reads sides of 300 pixels or more.", "scale(image, 1.003)"),
    ],
)
def test_what_is_wrong_with_the_proportions_is_told(
    limits: ImageLimits, size: tuple[int, int], told: str, hint: str
) -> None:
    assert hint in refused(jpeg_header(*size), told, limits=limits).hint


# --- transparency ---


PALETTE = chunk(b"PLTE", bytes(6))
PIXELS, END = chunk(b"IDAT", zlib.compress(b"\0")), chunk(b"IEND", b"")


def png_header(width: int, height: int, colours: int = 2, *between: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0))
    return b"".join([PNG[:8], header, *between, PIXELS, END])


@EACH_GATEWAY
@each_row("mode", ["RGBA", "LA", "P", "RGB", "L"])
def test_a_transparent_png_is_for_gateways_that_read_it(limits: ImageLimits, mode: str) -> None:
    transparency = {"P": 0, "RGB": (0, 0, 0), "L": 0}.get(mode)
    data = image_of("PNG", mode, (400, 400), **({} if transparency is None else {"transparency": transparency}))
    assert inspect_image(data).alpha
    if limits.alpha:
        assert wire(data, limits).data == data
    else:
        refused(data, "PNG with an alpha channel", FIT, "image.save('image.png')", limits=limits)


@EACH_GATEWAY
@each_row("mode", ["RGB", "L", "P", "1"])
def test_an_opaque_png_is_for_every_gateway(limits: ImageLimits, mode: str) -> None:
    data = image_of("PNG", mode, (400, 400))
    assert not inspect_image(data).alpha
    assert wire(data, limits).data == data


@each_row(
    ("data", "alpha"),
    [
        (png_header(1, 1, 0), False),
        (png_header(1, 1, 2), False),
        (png_header(1, 1, 3, PALETTE), False),
        (png_header(1, 1, 4), True),
        (png_header(1, 1, 6), True),
        (png_header(1, 1, 0, chunk(b"tRNS", b"\0\0")), True),
        (png_header(1, 1, 3, PALETTE, chunk(b"tRNS", b"\0")), True),
        (png_header(1, 1, 3, PALETTE, PIXELS, chunk(b"tRNS", b"\0")), False),
        (png_header(1, 1, 2, chunk(b"tEXt", b"tRNS")), False),
    ],
)
def test_a_png_tells_whether_it_is_transparent(data: bytes, alpha: bool) -> None:
    assert inspect_image(data) == ImageInfo("PNG", 1, 1, alpha)


@each_row("form", ["BMP", "WEBP"])
def test_other_formats_may_be_transparent_anywhere(form: str) -> None:
    """The vendor's page speaks of PNG alone."""
    assert wire(image_of(form, "RGBA", (400, 400)), DASHSCOPE).mime == f"image/{form.lower()}"


# --- BMP and WEBP ---


def bmp(header: bytes, rest: bytes, offset: int | None = None, size: int = 0) -> bytes:
    return b"BM" + struct.pack("<IHHI", size, 0, 0, 14 + len(header) if offset is None else offset) + header + rest


def info_header(width: int, height: int, bits: int = 24, compression: int = 0, size: int = 40) -> bytes:
    return struct.pack("<IiiHHI", size, width, height, 1, bits, compression).ljust(size, b"\0")


def core_header(width: int, height: int, bits: int = 24) -> bytes:
    return struct.pack("<IHHHH", 12, width, height, 1, bits)


def riff(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def part(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def canvas(width: int, height: int, flags: int = 0) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return part(b"VP8X", bytes([flags, 0, 0, 0]) + sides)


def lossy(width: int, height: int, tag: int = 0, code: bytes = b"\x9d\x01\x2a") -> bytes:
    return part(b"VP8 ", bytes([tag, 0, 0]) + code + struct.pack("<HH", width, height) + b"??")


def lossless(width: int, height: int, signature: int = 0x2F, above: int = 0) -> bytes:
    return part(b"VP8L", struct.pack("<BI", signature, width - 1 | (height - 1) << 14 | above << 28))


SMALL = (24, 18)


def animated(size: tuple[int, int] = SMALL) -> bytes:
    frames = [Image.new("RGB", size, colour) for colour in ("red", "green", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


MADE = {
    "jpeg": jpeg(*SMALL),
    "progressive jpeg": image_of("JPEG", size=SMALL, progressive=True),
    "png": png(*SMALL),
    "png with a palette": image_of("PNG", "P", SMALL),
    "bmp of 1 bit": image_of("BMP", "1", SMALL),
    "bmp of 8 bits": image_of("BMP", "P", SMALL),
    "grey bmp": image_of("BMP", "L", SMALL),
    "bmp of 24 bits": image_of("BMP", size=SMALL),
    "bmp of 32 bits": image_of("BMP", "RGBA", SMALL),
    "lossy webp": image_of("WEBP", size=SMALL),
    "lossless webp": image_of("WEBP", size=SMALL, lossless=True),
    "lossy webp with alpha": image_of("WEBP", "RGBA", SMALL),
    "lossless webp with alpha": image_of("WEBP", "RGBA", SMALL, lossless=True),
    "webp with exif": image_of("WEBP", size=SMALL, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"),
    "animated webp": animated(),
}
EACH_MADE = each_row("data", MADE.values(), ids=list(MADE))


@EACH_MADE
def test_what_pillow_writes_is_told_as_pillow_reads_it(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as picture:
        told = ImageInfo(picture.format or "", *picture.size)
    assert replace(inspect_image(data), is_animated=False) == told == ImageInfo(told.format, *SMALL)


@each_row("size", [(1, 1), (3, 2), (31, 5), (33, 7), (1, 2000), (2001, 1)])
@each_row(("form", "mode"), [("BMP", "1"), ("BMP", "L"), ("BMP", "RGB"), ("BMP", "RGBA"), ("WEBP", "RGB")])
def test_odd_sizes_are_told_right(form: str, mode: str, size: tuple[int, int]) -> None:
    data = image_of(form, mode, size)
    assert inspect_image(data) == ImageInfo(form, *size)
    refused(data[:-1], "ends too early", limits=ANY)


@EACH_MADE
def test_an_image_cut_short_anywhere_is_refused(data: bytes) -> None:
    for end in range(len(data)):
        with pytest.raises(InvalidRequestError):
            prepare_image(data[:end], ANY)


@each_row(
    ("data", "size"),
    [
        (bmp(core_header(3, 2), bytes(24)), (3, 2)),
        (bmp(core_header(9, 2, 1), bytes(8)), (9, 2)),
        (bmp(core_header(40_000, 1, 1), bytes(5000)), (40_000, 1)),
        (bmp(info_header(3, 2), bytes(24)), (3, 2)),
        (bmp(info_header(3, -2), bytes(24)), (3, 2)),
        (bmp(info_header(3, 2, 16, 3), bytes(12 + 16), offset=66), (3, 2)),
        (bmp(info_header(3, 2, 32, 3, size=56), bytes(24)), (3, 2)),
        (bmp(info_header(3, 2, 32, 6, size=108), bytes(24)), (3, 2)),
        (bmp(info_header(3, 2, size=124), bytes(24)), (3, 2)),
        (bmp(info_header(3, 2, 4), bytes(64 + 8), offset=118), (3, 2)),
        (bmp(info_header(17, 2, 2), bytes(16 + 16), offset=70), (17, 2)),
        (bmp(info_header(300, 200, 8, 1), b"\0\1"), (300, 200)),
        (bmp(info_header(300, 200, 4, 2), b"\0\1"), (300, 200)),
        (bmp(info_header(3, 2), bytes(24), offset=0), (3, 2)),
        (bmp(info_header(3, 2), bytes(24), size=7), (3, 2)),
        (bmp(info_header(3, 2), bytes(124), offset=154), (3, 2)),
    ],
)
def test_bmps_of_every_make_are_whole_and_not_without_their_end(data: bytes, size: tuple[int, int]) -> None:
    assert inspect_image(data) == ImageInfo("BMP", *size)
    for end in range(len(data)):
        with pytest.raises(InvalidRequestError):
            inspect_image(data[:end])


@each_row(
    ("data", "size"),
    [
        (riff(lossy(3, 2)), (3, 2)),
        (riff(lossy(0x3FFF | 0x4000, 2 | 0xC000)), (0x3FFF, 2)),
        (riff(lossless(3, 2)), (3, 2)),
        (riff(lossless(0x4000, 0x4000, above=1)), (0x4000, 0x4000)),
        (riff(canvas(3, 2), lossy(3, 2)), (3, 2)),
        (riff(canvas(3, 2), part(b"ICCP", b"odd"), part(b"ALPH", b"?"), lossy(3, 2)), (3, 2)),
        (riff(canvas(70_000, 66_000, 2), part(b"ANIM", bytes(6)), part(b"ANMF", bytes(24))), (70_000, 66_000)),
        (riff(part(b"what", b"???"), lossless(3, 2), part(b"EXIF", b"!")), (3, 2)),
        (riff(lossless(3, 2)[:-1]), (3, 2)),
    ],
)
def test_webps_of_every_make_are_whole_and_not_without_their_end(data: bytes, size: tuple[int, int]) -> None:
    assert inspect_image(data) == ImageInfo("WEBP", *size, is_animated=size[0] == 70_000)
    for end in range(len(data)):
        with pytest.raises(InvalidRequestError):
            inspect_image(data[:end])


@each_row(
    ("data", "why"),
    [
        (bmp(info_header(0, 2), bytes(24)), "has no pixels"),
        (bmp(info_header(3, 0), bytes(24)), "has no pixels"),
        (bmp(info_header(-3, 2), bytes(24)), "has no pixels"),
        (bmp(core_header(0, 2), bytes(24)), "has no pixels"),
        (bmp(info_header(3, 2, 7), bytes(24)), "have 7 bits"),
        (bmp(info_header(3, 2, 0), bytes(24)), "have 0 bits"),
        (bmp(info_header(2**31 - 1, -(2**31)), bytes(24)), "ends too early"),
        (bmp(info_header(3, 2), bytes(24), offset=2**32 - 1), "ends too early"),
        (bmp(info_header(300, 200, 8, 1), b"\0"), "ends too early"),
        (bmp(struct.pack("<I", 16) + bytes(60), b""), "of no known kind"),
        (riff(), "has no pixels"),
        (riff(canvas(3, 2)), "has no pixels"),
        (riff(canvas(3, 2), part(b"EXIF", b"")), "has no pixels"),
        (riff(part(b"ANMF", bytes(24))), "has no pixels"),
        (riff(lossy(0, 2)), "has no pixels"),
        (riff(lossy(3, 0)), "has no pixels"),
        (riff(lossy(3, 2, tag=1)), "do not begin where they should"),
        (riff(lossy(3, 2, code=b"\x9d\x01\x2b")), "do not begin where they should"),
        (riff(lossless(3, 2, signature=0x2E)), "do not begin where they should"),
        (riff(lossless(3, 2, above=2)), "do not begin where they should"),
        (riff(canvas(4, 2), lossy(3, 2)), "do not agree"),
        (riff(part(b"VP8X", b"\0" * 9), lossy(3, 2)), "ends too early"),
        (riff(part(b"VP8 ", b"")), "ends too early"),
        (riff(part(b"VP8L", b"/")), "ends too early"),
        (riff(b"VP8 \xff\xff\xff\xff"), "ends too early"),
        (riff(lossy(3, 2)[:6]) + lossy(3, 2)[6:], "ends too early"),
        (b"RIFF\xff\xff\xff\xffWEBP" + lossy(3, 2), "ends too early"),
        (b"RIFF\0\0\0\0WEBP" + lossy(3, 2), "has no pixels"),
    ],
)
def test_a_damaged_bmp_or_webp_is_refused_with_the_reason(data: bytes, why: str) -> None:
    refused(data, "The image is damaged", why, "download it again", limits=ANY)


# --- digests ---


def test_the_same_bytes_have_the_same_digest_however_they_come(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(JPEG)
    ways: list[object] = [JPEG, bytearray(JPEG), io.BytesIO(JPEG), tmp_path / "cat.jpg", data_uri(JPEG)]
    assert {wire(way).digest for way in ways} == {f"sha256:{hashlib.sha256(JPEG).hexdigest()}"}


def test_other_bytes_have_another_digest() -> None:
    assert wire(jpeg(color="red")).digest != wire(JPEG).digest


def test_the_digest_of_an_address_leaves_out_the_signature() -> None:
    signed = {wire(f"{URL}{tail}").digest for tail in ("", "?Signature=secret&Expires=1", "?Signature=other", "#top")}
    assert signed == {f"url:{URL}"}


# What services add to an address that they sign; each from its own pages.
SIGNED = {
    "oss": "OSSAccessKeyId=LTAI&Expires={0}&Signature=s{0}&security-token=t{0}",
    "oss4": "x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-date={0}&x-oss-expires=60&x-oss-signature=s{0}",
    "s3": "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date={0}&X-Amz-Security-Token=t&X-Amz-Signature=s{0}",
    "gcs": "GoogleAccessId=me&Expires={0}&Signature=s{0}",
    "azure": "sv=2024-11-04&se={0}&sr=b&sp=r&sig=s{0}",
    "cloudfront": "Policy=p{0}&Signature=s{0}&Key-Pair-Id=K",
    "tencent": "q-sign-algorithm=sha1&q-ak=AKID&q-sign-time={0}&q-key-time={0}&q-header-list=host&q-url-param-list="
    "&q-signature=s{0}&x-cos-security-token=t{0}",
    "volcano": "X-Tos-Algorithm=TOS4-HMAC-SHA256&X-Tos-Date={0}&X-Tos-Signature=s{0}",
    "cdn": "auth_key={0}-0-0-md5",
    "qiniu": "e={0}&token=0123456789012345678901234567890123456789:s{0}",
}


@each_row("query", SIGNED.values(), ids=list(SIGNED))
def test_however_an_address_is_signed_it_names_the_same_picture(query: str) -> None:
    assert {wire(f"{URL}?{query.format(moment)}").digest for moment in (1, 2)} == {f"url:{URL}"}
    tailed = {wire(f"{URL}?v=7&{query.format(moment)}").digest for moment in (1, 2)}
    assert len(tailed) == 1
    assert tailed != {f"url:{URL}"}


@each_row(
    "query", ["token={0}", "e={0}", "s={0}", "se={0}", "policy={0}", "expires={0}", "token={0}&e={0}", "signed={0}"]
)
def test_what_only_looks_like_a_signature_may_tell_pictures_apart(query: str) -> None:
    assert len({wire(f"{URL}?{query.format(value)}").digest for value in ("", 1, 2)}) == 3


@each_row("name", ["x-oss-process", "x-tos-process", "x-cos-process"])
def test_what_a_storage_is_to_make_of_a_picture_tells_pictures_apart(name: str) -> None:
    made = {wire(f"{URL}?{name}=image/resize,w_{width}&Signature=s").digest for width in (100, 200)}
    assert len(made) == 2


def test_another_address_has_another_digest() -> None:
    assert wire("https://example.com/dog.jpg").digest != wire(URL).digest


def test_an_image_shows_only_its_digest() -> None:
    assert repr(wire(JPEG)) == f"{wire(JPEG)}" == f"WireImage({wire(JPEG).digest})"
    assert "secret" not in repr(wire(f"{URL}?Signature=secret"))


# --- properties ---


def image_or_refusal(image: object, limits: ImageLimits = NEBULA) -> str:
    """What is sent, or what is said instead; anything else falls through."""
    try:
        return wire(image, limits).uri
    except InvalidRequestError as error:
        return str(error)


MAGIC = [b"", b"\xff\xd8\xff", PNG[:8], PNG[:16], b"BM", b"BM" + bytes(12), b"BM" + bytes(12) + b"\x28\0\0\0",
         b"RIFF\x40\0\0\0WEBP", b"RIFF\x40\0\0\0WEBPVP8 ", b"RIFF\x40\0\0\0WEBPVP8L",
         b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0", b"\0\0\0\x20ftyp", JPEG[:200]]  # fmt: skip


@given(st.sampled_from(MAGIC), st.binary(max_size=300), st.sampled_from([ANY, OPAQUE, NEBULA, DASHSCOPE]))
def test_arbitrary_bytes_are_an_image_or_an_invalid_request(head: bytes, tail: bytes, limits: ImageLimits) -> None:
    told = image_or_refusal(head + tail, limits)
    assert told.startswith("data:image/") or NOTHING in told


@given(
    st.sampled_from(list(MADE.values())),
    st.lists(st.tuples(st.integers(0, 60) | st.integers(0, 10**6), st.integers(0, 255)), max_size=6),
)
def test_a_broken_image_is_an_image_or_an_invalid_request(data: bytes, changes: list[tuple[int, int]]) -> None:
    broken = bytearray(data)
    for at, byte in changes:
        broken[at % len(broken)] = byte
    told = image_or_refusal(broken, ANY)
    assert told.startswith("data:image/") or NOTHING in told


@given(st.sampled_from(list(MADE.values())), st.integers(0, 10**6), st.integers(0, 10**6))
def test_an_image_with_a_hole_is_an_image_or_an_invalid_request(data: bytes, start: int, size: int) -> None:
    start %= len(data)
    told = image_or_refusal(data[:start] + data[start + size % (len(data) - start) :], ANY)
    assert told.startswith("data:image/") or NOTHING in told


@given(
    st.text(max_size=60)
    | st.text(max_size=60).map("https://example.com/{}".format)
    | st.text(max_size=60).map("oss://{}".format)
    | st.text(max_size=60).map("data:image/png;base64,{}".format)
    | st.text(max_size=60).map("data:,{}".format),
    st.sampled_from([NEBULA, DASHSCOPE]),
)
def test_arbitrary_text_is_an_address_or_an_invalid_request(text: str, limits: ImageLimits) -> None:
    told = image_or_refusal(text, limits)
    told.encode()
    assert told == text.strip() or NOTHING in told


LEAF = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.binary(max_size=20)
NAMES = st.sampled_from(["type", "url", "image_url", "source", "data", "base64", "mime_type", "file_id", "id"])


@given(
    st.dictionaries(NAMES, st.recursive(LEAF, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=6))
)
def test_an_arbitrary_block_is_an_image_or_an_invalid_request(block: dict[str, Any]) -> None:
    assert NOTHING in image_or_refusal(block)
