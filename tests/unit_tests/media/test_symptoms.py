"""The table of symptoms in docs/refused-images.md: what a reader sees is what the package says."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from langchain_nebula_video import InvalidRequestError
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.media.images import WireImage, prepare_image
from tests.conftest import jpeg
from tests.image_corpus import difference, open_upright, scene, stored, window, write
from tests.unit_tests.media.test_images import animated, image_of, iso, png_claiming

PAGE = Path(__file__).parents[3] / "docs" / "refused-images.md"
LIMITS = GATEWAYS["dashscope"].images
SIDE = (400, 400)
JPEG, PNG = jpeg(*SIDE), image_of("PNG", "RGB", SIDE)


def written() -> io.BytesIO:
    buffer = io.BytesIO()
    buffer.write(JPEG)
    return buffer


REFUSED: dict[str, Callable[[], Any]] = {
    "is neither a URL nor a data: URI": lambda: "cat.jpg",
    "the bare base64 of a JPEG": lambda: base64.b64encode(JPEG).decode(),
    "The open file is at its end": written,
    "The image is HEIC": lambda: iso(b"heic"),
    "pixels; the model reads sides of": lambda: jpeg(3000, 2000),
    "Scaling alone does not do it": lambda: jpeg(3000, 300),
    "a PNG with an alpha channel": lambda: image_of("PNG", "RGBA", SIDE),
    "the gateway takes at most 10,485,760 bytes": lambda: JPEG + bytes(10_485_760),
    "no image but a video": lambda: iso(b"qt  "),
    "The image is a raw photo": lambda: iso(b"crx "),
    "The image is JPEG XL": lambda: b"\xff\x0a" + bytes(20),
    "no image but a web page (HTML)": lambda: b"<!doctype html><title>Log in</title>",
    "no image but JSON": lambda: json.dumps({"error": "not found"}).encode(),
    "a pointer of Git LFS": lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d",
    "it ends too early": lambda: JPEG[:-20],
    "it is cut off, and another picture begins in it": lambda: JPEG[:-20] + JPEG,
    "the checksum of its IDAT part is wrong": lambda: PNG.replace(b"IDAT", b"IDAT\1", 1)[: len(PNG)],
    "are not its 30000 x 30000 pixels": lambda: png_claiming(30_000, 30_000),
}
NOTED: dict[str, Callable[[], bytes]] = {
    "animated: a gateway takes its first picture": lambda: animated(SIDE),
    "grey of 16 bits": lambda: image_of("PNG", "I;16", SIDE),
}
SEEN: dict[str, Callable[[], bytes]] = {
    "nothing, and the video lies on its side": lambda: write(
        stored(scene(SIDE), 6)[0], "JPEG", exif=stored(scene(SIDE), 6)[1]
    ),
    "nothing, and hidden colours show": lambda: write(window(SIDE), "WEBP", exact=True),
}


def rows() -> list[list[str]]:
    table = PAGE.read_text(encoding="utf-8").split("| You see |")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


def fitted(image: Any) -> WireImage:
    return prepare_image(image, LIMITS, fit=True)


def test_each_row_of_the_table_is_proven_here() -> None:
    assert [row[0].strip("`| ") for row in rows()] == [*REFUSED, *NOTED, *SEEN]


@pytest.mark.parametrize("symptom", REFUSED)
def test_what_a_reader_sees_is_what_is_said_and_what_to_do_helps(symptom: str) -> None:
    image, remedy = REFUSED[symptom], next(row[2] for row in rows() if symptom in row[0])
    with pytest.raises(InvalidRequestError) as caught:
        prepare_image(image(), LIMITS)
    assert symptom in str(caught.value)
    for command in re.findall(
        r"`(file\.seek\(0\)|git lfs pull|djxl [^`]*|ffmpeg|pathlib\.Path|data:image/jpeg;base64,)", remedy
    ):
        assert command in caught.value.hint
    if "fit=True" in remedy:
        assert "fit=True" in caught.value.hint
        if symptom != "The image is HEIC":  # test_fitting has a real one
            assert fitted(image()).changes


@pytest.mark.parametrize("symptom", NOTED)
def test_what_is_sent_with_a_note_has_none_once_it_fits(symptom: str) -> None:
    assert symptom in prepare_image(NOTED[symptom](), LIMITS).notes[0]
    assert symptom not in str(fitted(NOTED[symptom]()).notes)


@pytest.mark.parametrize("symptom", SEEN)
def test_what_nobody_is_told_of_looks_right_once_it_fits(symptom: str) -> None:
    data = SEEN[symptom]()
    sent = prepare_image(data, LIMITS)
    assert (sent.data, sent.notes) == (data, ())
    made = fitted(data).data or b""
    upright = open_upright(data)
    assert upright is not None
    with Image.open(io.BytesIO(made)) as plain:
        assert difference(plain, upright) < 24
