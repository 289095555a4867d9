"""Sources in a store that fsspec reaches: folders, globs, images and tables."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from langchain_nebula_video.cli.batch.sources import read_sources
from langchain_nebula_video.cli.sources.folders import Tally
from langchain_nebula_video.cli.sources.reading import iterate_sources
from langchain_nebula_video.cli.sources.rows import BrokenRow, Row
from langchain_nebula_video.errors import InvalidRequestError
from tests.tables import each_row

SECRET = "hunter2"


class GuardedFileSystem(MemoryFileSystem):  # type: ignore[misc]
    """A store with users, whose errors tell its address."""

    protocol = "guarded"
    store: dict[str, Any] = {}  # noqa: RUF012 as in fsspec
    pseudo_dirs = [""]  # noqa: RUF012 as in fsspec
    cachable = False

    def __init__(self, host: str = "", username: str = "", password: str = "", **options: Any) -> None:
        super().__init__(**options)
        self.address = f"guarded://{username}:{password}@{host}/"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return f"/{path.partition('://')[2].partition('/')[2]}".rstrip("/") if "://" in path else path.rstrip("/")

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        user, _, host = path.partition("://")[2].partition("/")[0].rpartition("@")
        return dict(zip(("host", "username", "password"), (host, *user.split(":")), strict=False))

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        if "forbidden" in path:
            raise PermissionError(f"{self.address} lets nobody in")
        return super().ls(path, detail, **options)


@pytest.fixture(autouse=True)
def store() -> Iterator[MemoryFileSystem]:
    fsspec.register_implementation("guarded", GuardedFileSystem, clobber=True)
    yield fsspec.filesystem("memory")
    for each in (MemoryFileSystem, GuardedFileSystem):
        each.store.clear()
        each.pseudo_dirs[:] = [""]


def fill(store: MemoryFileSystem, *names: str, data: bytes = b"x") -> None:
    for name in names:
        store.pipe_file(name, data)


def images(*sources: str, tally: Tally | None = None) -> list[str]:
    found = list(iterate_sources(sources, tally=tally))
    assert all(isinstance(each, Row) for each in found), found
    return [str(each.fields["image"]) for each in found if isinstance(each, Row)]


CATS = ("/cats/cat-10.jpg", "/cats/cat-2.PNG", "/cats/notes.txt", "/cats/more/cat-1.jpg", "/cats/more/old/cat-0.jpg")


@each_row("source", ["memory://cats/", "memory://cats"])
def test_a_folder_gives_the_addresses_of_its_images_sorted_as_a_person_counts(
    store: MemoryFileSystem, source: str
) -> None:
    fill(store, *CATS)
    tally = Tally()
    assert images(source, tally=tally) == ["memory://cats/cat-2.PNG", "memory://cats/cat-10.jpg"]
    assert tally.left_out == 1


@each_row(
    ("source", "found"),
    [
        ("memory://cats/*.jpg", ["cat-10.jpg"]),
        ("memory://cats/*/*", ["more/cat-1.jpg"]),
        ("memory://cats/**", ["cat-2.PNG", "cat-10.jpg", "notes.txt", "more/cat-1.jpg", "more/old/cat-0.jpg"]),
        ("memory://cats/**/*.jpg", ["cat-10.jpg", "more/cat-1.jpg", "more/old/cat-0.jpg"]),
        ("memory://cats/m*/cat-[01].jpg", ["more/cat-1.jpg"]),
    ],
)
def test_a_glob_gives_what_it_matches_in_folders_below_too(
    store: MemoryFileSystem, source: str, found: list[str]
) -> None:
    fill(store, *CATS)
    assert images(source) == [f"memory://cats/{name}" for name in found]


def test_an_image_is_one_row(store: MemoryFileSystem) -> None:
    assert images("memory://cats/cat-2.png") == ["memory://cats/cat-2.png"]


@each_row("name", ["shots.jsonl", "shots.jsonl.gz"])
def test_a_table_is_read_and_its_images_are_looked_for_beside_it(store: MemoryFileSystem, name: str) -> None:
    text = b'{"image": "cats/a.jpg"}\n{"image": "https://example.com/b.jpg"}\n{"image": "/tmp/c.jpg"}\nno\n'
    fill(store, f"/lists/{name}", data=gzip.compress(text) if name.endswith("gz") else text)
    *rows, broken = iterate_sources([f"memory://lists/{name}"])
    assert rows == [
        Row(f"memory://lists/{name}, line 1", {"image": "memory://lists/cats/a.jpg"}),
        Row(f"memory://lists/{name}, line 2", {"image": "https://example.com/b.jpg"}),
        Row(f"memory://lists/{name}, line 3", {"image": Path("/tmp/c.jpg")}),
    ]
    assert isinstance(broken, BrokenRow)
    assert broken.where == f"memory://lists/{name}, line 4"


def test_secrets_of_an_address_are_in_the_images_address_and_nowhere_else(store: MemoryFileSystem) -> None:
    guarded = GuardedFileSystem()
    fill(guarded, "/cats/a.jpg")
    fill(guarded, "/cats/list.jsonl", data=b'{"image": "a.jpg"}\n')
    address = f"guarded://me:{SECRET}@host/cats"
    for row in iterate_sources([f"{address}/", f"{address}/*.jpg", f"{address}/list.jsonl"]):
        assert isinstance(row, Row)
        assert row.fields["image"] == f"{address}/a.jpg"
        assert SECRET not in repr(row)
    for source in ("forbidden/", "forbidden/*.jpg", "nothing/", "none.csv", "a/b**/c"):
        with pytest.raises(InvalidRequestError) as refused:
            list(iterate_sources([f"guarded://me:{SECRET}@host/{source}"]))
        assert SECRET not in f"{refused.value} {refused.value.hint}"


def test_the_names_of_one_folder_are_listed_when_its_turn_comes(store: MemoryFileSystem) -> None:
    fill(store, *(f"/{folder}/{number}.jpg" for folder in ("a", "b", "c") for number in range(3)))
    rows = iterate_sources(["memory:///*/*.jpg"])
    assert [next(rows).where for _ in range(3)] == [f"memory:///a/{number}.jpg" for number in range(3)]
    fill(store, "/b/3.jpg")
    assert len(list(rows)) == 7


@each_row("source", ["memory://nothing/", "memory://nothing.csv", "memory://cats/*.png", "memory://texts/"])
def test_a_store_that_gives_nothing_is_an_error(store: MemoryFileSystem, source: str) -> None:
    fill(store, "/cats/a.jpg", "/texts/a.txt")
    with pytest.raises(InvalidRequestError, match=r"There is no"):
        list(iterate_sources([source]))


@each_row("source", ["s3://bucket/cats/", "s3://bucket/cats/*.jpg", "s3://bucket/list.jsonl"])
def test_a_missing_extra_is_told_with_the_command_that_installs_it(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "fsspec", None)
        patch.setitem(sys.modules, "fsspec.core", None)
        with pytest.raises(InvalidRequestError, match=r"^Reading from s3:// wants fsspec\.") as refused:
            list(iterate_sources([source]))
    assert 'pip install "langchain-nebula-video[storage]"' in refused.value.hint


# --- the command `batch`, which reads images of this machine ---


def test_a_batch_reads_a_table_in_a_store_and_says_of_images_there_what_to_do(store: MemoryFileSystem) -> None:
    fill(store, "/list.csv", data=b"image,prompt\nhttps://example.com/a.jpg,x\na.jpg,x\ns3://bucket/b.jpg,x\n")
    found = read_sources(["memory://list.csv"])
    assert [row.fields["image"] for row in found.rows] == ["https://example.com/a.jpg"]
    assert [(row.where, "is in a store" in row.reason) for row in found.broken] == [
        ("memory://list.csv, line 3", True),
        ("memory://list.csv, line 4", True),
    ]


@each_row("source", ["s3://bucket/cats/", "s3://bucket/*.jpg", "s3://bucket/cat.jpg"])
def test_a_batch_takes_no_folder_of_a_store_and_says_what_to_do(source: str) -> None:
    with pytest.raises(InvalidRequestError, match="is in a store") as refused:
        read_sources([source])
    assert "https address" in refused.value.hint


def test_an_address_that_only_some_gateways_read_is_left_to_them() -> None:
    (row,) = read_sources(["oss://upload/cat.jpg"]).rows
    assert row.fields == {"image": "oss://upload/cat.jpg"}
