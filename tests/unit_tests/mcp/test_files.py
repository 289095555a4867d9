"""The images that the server offers as resources."""

from __future__ import annotations

from pathlib import Path

import pytest

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.mcp.files import ImageFolder, image_name, video_uri
from tests.conftest import jpeg, png
from tests.tables import each_row


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    (root / "more").mkdir(parents=True)
    (root / "a cat.jpg").write_bytes(jpeg())
    (root / "more" / "dog.PNG").write_bytes(png())
    (root / "notes.txt").write_text("no image")
    (root / ".hidden.png").write_bytes(png())
    (tmp_path / "secret.jpg").write_bytes(jpeg())
    (root / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    return root


def test_images_are_listed_by_name_and_links_out_of_the_folder_are_not(folder: Path) -> None:
    assert ImageFolder(folder).names() == ["a cat.jpg", "more/dog.PNG"]


def test_a_uri_names_its_file_again(folder: Path) -> None:
    images = ImageFolder(folder)
    assert images.uri("a cat.jpg") == "resource://images/a%20cat.jpg"
    assert [image_name(images.uri(name)) for name in images.names()] == images.names()
    assert image_name("more/dog.PNG") == "more/dog.PNG"


def test_an_image_is_read_with_its_type_by_content(folder: Path) -> None:
    images = ImageFolder(folder)
    assert images.read("a cat.jpg") == (jpeg(), "image/jpeg")
    assert images.read("more/dog.PNG") == (png(), "image/png")


@each_row("name", ["out.jpg", "../secret.jpg", "more/../../secret.jpg", "/etc/passwd", "none.jpg", "more", "a\0b.jpg"])
def test_nothing_leads_out_of_the_folder(folder: Path, name: str) -> None:
    with pytest.raises(InvalidRequestError, match="There is no image"):
        ImageFolder(folder).read(name)


def test_a_file_that_is_no_image_is_not_handed_out(folder: Path) -> None:
    with pytest.raises(InvalidRequestError):
        ImageFolder(folder).read("notes.txt")


def test_a_task_id_is_one_part_of_a_uri() -> None:
    assert video_uri("task/1") == "resource://videos/task%2F1"
