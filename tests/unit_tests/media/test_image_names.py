"""The name of an image's file, where it has one."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from PIL import Image

from langchain_nebula_video.media.names import image_name
from tests.conftest import jpeg
from tests.tables import each_row


class Opened(io.BytesIO):
    name = "/photos/cat.old.jpg"


class FromPipe(io.BytesIO):
    name = 3


class InBytes(os.PathLike[bytes]):
    """As `os.scandir(b"photos")` gives it."""

    def __fspath__(self) -> bytes:
        return b"photos/caf\xe9.jpg"


@each_row(
    ("image", "name"),
    [
        (Path("photos/cat.jpg"), "cat"),
        (Path(os.fsdecode(b"photos/caf\xe9.jpg")), r"caf\udce9"),  # JSON cannot hold half a surrogate pair
        (InBytes(), r"caf\udce9"),
        ("https://example.com/a/my%20cat.jpeg?sig=x/y.png", "my cat"),
        ("https://example.com/", None),
        ("https://[bad/cat.jpg", None),
        ("photos\\\\cat.png", "cat"),
        ("data:image/png;base64,aaaa/bbbb", None),
        (" data:image/png;base64,aaaa/bbbb", None),
        ("https://example.com/a%00b.png", r"a\x00b"),
        ({"type": "image", "url": "https://example.com/cat.jpg"}, "cat"),
        ({"type": "text", "text": "cat.jpg"}, None),
        (Opened(), "cat.old"),
        (FromPipe(), None),
        (jpeg(), None),
        (Image.new("RGB", (1, 1)), None),
        (None, None),
    ],
)
def test_an_image_is_named_after_its_file(image: Any, name: str | None) -> None:
    assert image_name(image) == name
