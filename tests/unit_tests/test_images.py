"""Whatever holds an image -> what the wire takes, or a refusal that says what to do."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from langchain_nebula_video import InvalidRequestError
from langchain_nebula_video.images import ImageInfo, WireImage, image_in_block, inspect_image, wire_image
from tests.conftest import jpeg, png

MIB = 1024 * 1024
LIMIT = 5 * MIB
JPEG, PNG = jpeg(), png()
URL = "https://example.com/cat.jpg"
NOTHING = "Nothing was sent and nothing was spent."


def wire(image: object, **options: Any) -> WireImage:
    return wire_image(image, **{"max_bytes": LIMIT, **options})


def refused(image: object, *parts: str, **options: Any) -> InvalidRequestError:
    """The refusal of an image: it says each part, that nothing was sent, and what to do."""
    with pytest.raises(InvalidRequestError) as caught:
        wire(image, **options)
    told = str(caught.value)
    assert NOTHING in told
    assert caught.value.hint
    for part in parts:
        assert part in told
    return caught.value


def data_uri(data: bytes, mime: str = "image/jpeg") -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def content(image: WireImage) -> bytes:
    return base64.b64decode(image.text.partition(",")[2])


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(size: int) -> bytes:
    """A valid PNG of exactly that many bytes: a private ancillary chunk fills it up."""
    head, end = PNG[:-12], PNG[-12:]
    return head + chunk(b"prVt", bytes(size - len(PNG) - 12)) + end


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


@pytest.mark.parametrize(
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
    assert wire(url).text == url


def test_space_around_an_address_is_dropped() -> None:
    assert wire(f" {URL}\n").text == URL


@pytest.mark.parametrize(
    "text",
    ["", "cat.jpg", "./cat.jpg", "/etc/passwd", "~/cat.jpg", "ftp://example.com/cat.jpg", "file:///tmp/cat.jpg",
     "https://", "https:///cat.jpg", "https://exa mple.com/cat.jpg", "https://example.com:0/", "https://example.com:99999/",
     "https://example.com/\ud800", "javascript:alert(1)", "s3://bucket/cat.jpg", base64.b64encode(JPEG).decode()],
)  # fmt: skip
def test_a_string_that_is_no_address_is_refused(text: str) -> None:
    refused(text, "neither a URL nor a data: URI", "pathlib.Path", "image_folder=")


def test_a_long_string_is_not_repeated_whole() -> None:
    assert len(str(refused("x" * 100_000))) < 500


# --- data: URIs ---


@pytest.mark.parametrize("data", [JPEG, PNG], ids=["jpeg", "png"])
def test_a_data_uri_is_sent_as_what_it_holds(data: bytes) -> None:
    assert content(wire(data_uri(data))) == data


@pytest.mark.parametrize(
    "head", ["data:image/png;base64", "DATA:IMAGE/PNG;BASE64", "data:;base64", "data:image/png;charset=x;base64"]
)
def test_the_head_of_a_data_uri_is_only_a_claim(head: str) -> None:
    sent = wire(f"{head},{base64.b64encode(JPEG).decode()}")
    assert sent.text == data_uri(JPEG)


def test_a_data_uri_may_be_percent_encoded() -> None:
    assert content(wire(f"data:image/jpeg,{quote(JPEG)}")) == JPEG


def test_a_percent_encoded_image_may_be_as_large_as_any_other() -> None:
    """Three characters a byte are no reason to refuse what is small enough."""
    image = png_of(25_000)
    assert content(wire("data:image/png," + "".join(f"%{byte:02x}" for byte in image), max_bytes=30_000)) == image


def test_line_breaks_in_base64_do_not_matter() -> None:
    lines = base64.encodebytes(JPEG).decode().replace("\n", "\r\n")
    assert content(wire(f"data:image/jpeg;base64,{lines}")) == JPEG


@pytest.mark.parametrize(
    ("uri", "part"),
    [
        ("data:image/png;base64", "has no data"),
        ("data:", "has no data"),
        ("data:image/png;base64,", "is empty"),
        ("data:,", "is empty"),
        ("data:image/png;base64,not base64!", "not valid base64"),
        ("data:image/png;base64,AAA", "not valid base64"),
        ("data:image/png;base64,\u4e2d", "not valid base64"),
        ("data:text/plain,hello", "no image that is known"),
        ("data:,\ud800", "no image that is known"),
        (data_uri(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"), "SVG"),
        ("data:image/svg+xml,%3Csvg%2F%3E", "SVG"),
        (data_uri(b"GIF89a" + bytes(20), "image/png"), "GIF"),
        ("data:image/png;base64," + "A" * 12 * MIB, "less than 5 MB"),
        ("data:image/png," + "A" * 16 * MIB, "less than 5 MB"),
    ],
    ids=lambda value: str(value)[:30].encode("ascii", "replace").decode(),
)
def test_a_data_uri_without_an_image_is_refused(uri: str, part: str) -> None:
    refused(uri, part)


# --- bytes, paths, files ---


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("data", [JPEG, PNG], ids=["jpeg", "png"])
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


@pytest.mark.parametrize("name", ["cat.png", "cat.txt", "cat", "cat.gif"])
def test_the_content_tells_the_format_and_not_the_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(JPEG)
    assert wire(tmp_path / name).text.startswith("data:image/jpeg;base64,")


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
    refused(endless, "less than 5 MB")
    assert endless.asked == LIMIT + 1


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
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


@pytest.mark.parametrize("name", ["missing.jpg", ".", "a\0b", "x" * 5000])
def test_a_path_that_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    refused(tmp_path / name)


@pytest.mark.parametrize("image", [None, 7, 1.5, True, object(), [JPEG], (URL,), {URL}, Image, lambda: None])
def test_any_other_type_is_refused_by_name(image: object) -> None:
    refused(image, type(image).__name__, "holds no image", "https or http URL", "PIL image")


def test_a_file_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "big.png").write_bytes(png_of(LIMIT + 10))
    refused(tmp_path / "big.png", "less than 5 MB")


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
    ids=lambda text: ascii(text)[:20],
)  # fmt: skip
def test_a_string_never_leaves_the_allowed_folder(folder: Path, text: str) -> None:
    refused(text, "no file inside the allowed folder", "'..' and links out of it", folder=folder)


def test_an_absolute_path_outside_the_allowed_folder_is_refused(folder: Path) -> None:
    refused(str(folder.parent / "secret.jpg"), "no file inside the allowed folder", folder=folder)


def test_a_file_in_the_allowed_folder_is_checked_like_any_other(folder: Path) -> None:
    (folder / "notes.jpg").write_text("not an image")
    refused("notes.jpg", "no image that is known", folder=folder)


def test_a_string_is_no_path_without_an_allowed_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    refused("cat.jpg", "not read as a local path")


def test_an_address_stays_an_address_where_a_folder_is_allowed(folder: Path) -> None:
    assert wire(URL, folder=folder).text == URL


# --- PIL images ---


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "I;16"])
def test_a_pil_image_of_any_mode_is_sent_as_png(mode: str) -> None:
    sent = content(wire(Image.new(mode, (10, 6))))
    assert inspect_image(sent) == ImageInfo("PNG", 10, 6)
    with Image.open(io.BytesIO(sent)) as again:
        again.load()
        assert again.size == (10, 6)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_png_keeps_the_mode_of_a_pil_image(mode: str) -> None:
    with Image.open(io.BytesIO(content(wire(Image.new(mode, (10, 6)))))) as again:
        assert again.mode == mode


def test_a_cmyk_image_keeps_its_colours_as_rgb() -> None:
    red = Image.new("RGB", (4, 4), (255, 0, 0)).convert("CMYK")
    with Image.open(io.BytesIO(content(wire(red)))) as again:
        assert (again.mode, again.getpixel((0, 0))) == ("RGB", (255, 0, 0))


def test_a_pil_image_too_large_as_png_is_sent_as_jpeg() -> None:
    noise = Image.effect_noise((200, 200), 100).convert("RGBA")
    assert wire(noise).text.startswith("data:image/png;base64,")
    sent = wire(noise, max_bytes=len(content(wire(noise))))
    assert sent.text.startswith("data:image/jpeg;base64,")
    assert inspect_image(content(sent)) == ImageInfo("JPEG", 200, 200)


def test_a_pil_image_too_large_as_jpeg_too_is_refused() -> None:
    refused(Image.effect_noise((200, 200), 100), "The image has", "Scale it down", max_bytes=1000)


def test_a_pil_image_without_pixels_is_refused() -> None:
    refused(Image.new("RGB", (0, 0)), "cannot be encoded")


def test_a_pil_image_of_a_truncated_file_is_refused() -> None:
    refused(Image.open(io.BytesIO(JPEG[:-10])), "cannot be encoded", "Load it again")


def test_a_pil_image_read_from_another_format_is_converted() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (10, 6), "teal").save(buffer, "WEBP")
    assert inspect_image(content(wire(Image.open(buffer)))).format == "PNG"


# --- blocks ---

BASE64 = base64.b64encode(JPEG).decode()


@pytest.mark.parametrize(
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
    assert wire(block).text == URL


@pytest.mark.parametrize(
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
    ids=range(10),
)
def test_a_block_with_the_image_in_it_is_sent_as_a_data_uri(block: dict[str, Any]) -> None:
    assert wire(block).text == data_uri(JPEG)


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
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


def test_a_block_is_opened_by_itself_too() -> None:
    assert image_in_block({"type": "image", "url": URL}) == URL


def test_a_block_cannot_smuggle_in_a_local_path(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(JPEG)
    refused({"type": "image", "url": str(tmp_path / "cat.jpg")}, "not read as a local path")


# --- whole or damaged ---


@pytest.mark.parametrize(("data", "form"), [(JPEG, "JPEG"), (PNG, "PNG")])
def test_an_image_tells_its_format_and_size(data: bytes, form: str) -> None:
    assert inspect_image(data) == ImageInfo(form, 64, 48)


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"quality": 1}, {"optimize": True}, {"comment": b"\xff\xd9"}]
)
def test_jpegs_of_every_make_are_whole(options: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((40, 30), 50).convert("RGB").save(buffer, "JPEG", **options)
    assert inspect_image(buffer.getvalue()) == ImageInfo("JPEG", 40, 30)


@pytest.mark.parametrize("data", [JPEG, PNG], ids=["jpeg", "png"])
def test_an_image_cut_short_anywhere_is_refused(data: bytes) -> None:
    for end in [0, *range(1, 40), *range(40, len(data), 7), len(data) - 1]:
        refused(data[:end])


def test_the_end_mark_of_a_thumbnail_is_not_that_of_the_image() -> None:
    with_thumbnail = JPEG[:2] + b"\xff\xfe\x00\x04\xff\xd9" + JPEG[2:]
    assert inspect_image(with_thumbnail) == ImageInfo("JPEG", 64, 48)
    refused(with_thumbnail[:-2], "ends too early")


@pytest.mark.parametrize("data", [JPEG, PNG], ids=["jpeg", "png"])
def test_bytes_after_the_end_mark_do_no_harm(data: bytes) -> None:
    assert inspect_image(data + b"\r\ntrailer").width == 64


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
HEADER = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (SIGNATURE + chunk(b"IEND", b""), "does not begin with its header"),
        (SIGNATURE + HEADER + chunk(b"IEND", b""), "has no pixels"),
        (SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 1, 8, 2, 0, 0, 0)), "has no pixels"),
        (SIGNATURE + chunk(b"IHDR", b"\0\0"), "ends too early"),
        (SIGNATURE + HEADER + b"\xff\xff\xff\xffIDAT", "ends too early"),
        (b"\xff\xd8\xff\xd9", "ends too early"),
        (b"\xff\xd8\xff\xda\0\x02\xff\xd9", "has no frame header"),
        (b"\xff\xd8\xff\xfe\0\x02hello", "does not begin where it should"),
        (b"\xff\xd8\xff\xc0\0\x0b\x08\0\0\0\x01\x01\x01\x11\0", "has no pixels"),
        (b"\xff\xd8" + b"\xff" * 1000, "ends too early"),
    ],
)
def test_a_damaged_image_is_refused_with_the_reason(data: bytes, why: str) -> None:
    refused(data, "The image is damaged", why)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"GIF89a" + bytes(20), "GIF"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "WEBP"),
        (b"BM" + bytes(60), "BMP"),
        (b"II*\0" + bytes(20), "TIFF"),
        (b"MM\0*" + bytes(20), "TIFF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\n <?xml version='1.0'?><svg/>", "SVG"),
        (b"%PDF-1.7", "PDF"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"<!doctype HTML>", "HTML"),
        (b"  <html>", "HTML"),
    ],
)
def test_another_format_is_refused_by_name_with_the_remedy(data: bytes, name: str) -> None:
    refused(data, f"The image is {name}", "JPEG or PNG", "convert('RGB')")


@pytest.mark.parametrize("form", ["GIF", "WEBP", "BMP", "TIFF"])
def test_what_pillow_writes_in_another_format_is_known_by_name(form: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (10, 6)).save(buffer, form)
    refused(buffer.getvalue(), f"The image is {form}")


def test_a_format_that_the_model_does_not_read_is_refused() -> None:
    refused(PNG, "The image is PNG; the model reads JPEG", "Convert it to JPEG", formats=("JPEG",))


@pytest.mark.parametrize("empty", [b"", bytearray(), io.BytesIO()])
def test_an_empty_image_is_refused(empty: object) -> None:
    refused(empty, "The image is empty", "JPEG or PNG")


# --- the limit ---


@pytest.mark.parametrize("make", [png_of, jpeg_of])
def test_an_image_must_be_smaller_than_the_limit(make: Any) -> None:
    largest = make(LIMIT - 1)
    assert len(largest) == LIMIT - 1
    with Image.open(io.BytesIO(largest)) as picture:
        picture.load()
    assert content(wire(largest)) == largest
    refused(make(LIMIT), "5.0 MB or more", "less than 5 MB", "Scale it down")


@pytest.mark.parametrize("make", [png_of, jpeg_of])
def test_the_limit_counts_the_image_and_not_its_base64(make: Any) -> None:
    largest = make(LIMIT - 1)
    assert content(wire(data_uri(largest))) == largest
    refused(data_uri(make(LIMIT)), "less than 5 MB")


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


def test_another_address_has_another_digest() -> None:
    assert wire("https://example.com/dog.jpg").digest != wire(URL).digest


def test_an_image_shows_only_its_digest() -> None:
    assert repr(wire(JPEG)) == f"WireImage({wire(JPEG).digest})"
    assert "secret" not in repr(wire(f"{URL}?Signature=secret"))


# --- properties ---

QUICK = settings(max_examples=150, derandomize=True, deadline=None, database=None)


def image_or_refusal(image: object) -> str:
    """What is sent, or what is said instead; anything else falls through."""
    try:
        return wire(image).text
    except InvalidRequestError as error:
        return str(error)


@QUICK
@given(st.binary(max_size=400) | st.binary(max_size=200).map(lambda tail: JPEG[:200] + tail))
def test_arbitrary_bytes_are_an_image_or_an_invalid_request(data: bytes) -> None:
    told = image_or_refusal(data)
    assert told.startswith("data:image/") or NOTHING in told


@QUICK
@given(st.sampled_from([JPEG, PNG]), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6))
def test_a_broken_image_is_an_image_or_an_invalid_request(data: bytes, changes: list[tuple[int, int]]) -> None:
    broken = bytearray(data)
    for at, byte in changes:
        broken[at % len(broken)] = byte
    told = image_or_refusal(broken)
    assert told.startswith("data:image/") or NOTHING in told


@QUICK
@given(
    st.text(max_size=60)
    | st.text(max_size=60).map("https://example.com/{}".format)
    | st.text(max_size=60).map("data:image/png;base64,{}".format)
    | st.text(max_size=60).map("data:,{}".format)
)
def test_arbitrary_text_is_an_address_or_an_invalid_request(text: str) -> None:
    told = image_or_refusal(text)
    told.encode()
    assert told == text.strip() or NOTHING in told


LEAF = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.binary(max_size=20)
NAMES = st.sampled_from(["type", "url", "image_url", "source", "data", "base64", "mime_type", "file_id", "id"])


@QUICK
@given(
    st.dictionaries(NAMES, st.recursive(LEAF, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=6))
)
def test_an_arbitrary_block_is_an_image_or_an_invalid_request(block: dict[str, Any]) -> None:
    assert NOTHING in image_or_refusal(block)
