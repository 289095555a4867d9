"""Sources in S3: over HTTP, with the package that fsspec uses."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import s3fs

from langchain_nebula_video.cli.sources.reading import iterate_sources
from langchain_nebula_video.cli.sources.rows import BrokenRow, Row
from langchain_nebula_video.errors import InvalidRequestError
from tests.buckets import s3_bucket, s3_server
from tests.tables import each_row

CATS = 1050
"""More than S3 lists in one answer."""


@pytest.fixture(scope="module")
def bucket() -> Iterator[Any]:
    with s3_server() as server, s3_bucket(server) as client:
        keys = [*(f"cats/{number}.jpg" for number in range(CATS)), "cats/", "cats/a.txt", "cats/old/b c.jpg", "d.png"]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda key: client.put_object(Bucket="pictures", Key=key, Body=b"x"), keys))
        yield client


def images(source: str) -> list[str]:
    return [str(row.fields["image"]) for row in iterate_sources([source]) if isinstance(row, Row)]


@each_row("source", ["s3://pictures/cats/", "s3://pictures/cats", "s3://pictures/cats/*.jpg"])
def test_a_folder_gives_each_image_once_in_the_order_of_the_store(bucket: Any, source: str) -> None:
    names = sorted(f"{number}.jpg" for number in range(CATS))
    assert images(source) == [f"s3://pictures/cats/{name}" for name in names]


@each_row(
    ("source", "found"),
    [
        ("s3://pictures/", ["d.png"]),
        ("s3://pictures/*/*/*", ["cats/old/b c.jpg"]),
        ("s3://pictures/**/*[bd]*", ["d.png", "cats/old/b c.jpg"]),
        ("s3://pictures/cats/old/*", ["cats/old/b c.jpg"]),
        ("s3://pictures/c*/old/b?c.*", ["cats/old/b c.jpg"]),
        ("s3://pictures/cats/104*.jpg", [f"cats/{number}.jpg" for number in (104, *range(1040, 1050))]),
        ("s3://pictures/d.png", ["d.png"]),
    ],
)
def test_globs_and_single_images(bucket: Any, source: str, found: list[str]) -> None:
    assert images(source) == [f"s3://pictures/{name}" for name in found]


def test_a_listing_does_not_stay_in_memory(bucket: Any) -> None:
    list(iterate_sources(["s3://pictures/**", "s3://pictures/cats"]))
    assert not s3fs.S3FileSystem().dircache


@each_row("name", ["shots.jsonl", "shots.jsonl.gz"])
def test_a_table_is_read_in_blocks(bucket: Any, name: str) -> None:
    lines = [f'{{"image": "{number}.jpg", "prompt": "{"The cat blinks " * 20}"}}' for number in range(20_000)]
    data = "\n".join(["no row", *lines]).encode()  # 6.6 MB, in two blocks
    bucket.put_object(Bucket="pictures", Key=f"lists/{name}", Body=gzip.compress(data) if name.endswith("gz") else data)
    broken, *rows = iterate_sources([f"s3://pictures/lists/{name}"])
    assert isinstance(broken, BrokenRow)
    assert [row.where for row in rows] == [f"s3://pictures/lists/{name}, line {number + 2}" for number in range(20_000)]
    assert isinstance(rows[-1], Row)
    assert rows[-1].fields["image"] == "s3://pictures/lists/19999.jpg"


@each_row(
    "source", ["s3://nowhere/", "s3://nowhere/*.jpg", "s3://nowhere/a.csv", "s3://pictures/a.csv", "s3://pictures/e/"]
)
def test_what_is_not_there_is_told(bucket: Any, source: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"There is no"):
        list(iterate_sources([source]))
