"""URLs of stores: which forms are read, which are refused with what to write instead, and what is told of a file."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from langchain_nebula_video import InvalidRequestError, MemoryJournal, NebulaVideoClient
from langchain_nebula_video.saving.names import target_text
from langchain_nebula_video.saving.secrets import with_password
from langchain_nebula_video.saving.targets import check_target
from tests.conftest import Gateway, succeeded
from tests.tables import each_row

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://images.example.com/cat.jpg"}
MP4 = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\0\0\0\x08moov\0\0\0\x0cmdat\0\0\0\1"


class UniversalPath:
    """What tells a path of universal-pathlib from others."""

    protocol = "s3"

    def __init__(self, **storage_options: Any) -> None:
        self.storage_options = storage_options

    def __str__(self) -> str:
        return "s3://bucket/videos"


class Guarded(MemoryFileSystem):  # type: ignore[misc] # fsspec has no types
    """Asks for a user and a password, as SFTP does."""

    protocol = "abstract"  # as sshfs calls itself
    cachable = False
    store: ClassVar[dict[str, Any]] = {}

    def __init__(self, username: str = "", password: str = "", **_: Any) -> None:
        super().__init__()
        if (username, password) != ("cat", "videos"):
            raise PermissionError("Permission denied")

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.partition("://")[2].partition("/")[2] if "://" in path else path

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        user, _, password = path.partition("://")[2].partition("@")[0].partition(":")
        return {"username": user, "password": password}

    def open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        if "x" in mode and self.exists(path):
            raise OSError("Failure")
        return super().open(path, mode.replace("x", "w"))


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> type[Guarded]:
    monkeypatch.setitem(importlib.import_module("fsspec.registry")._registry, "sftp", Guarded)
    Guarded.store.clear()
    return Guarded


@each_row(
    ("given", "read"),
    [
        ("S3://Bucket/Videos", "s3://Bucket/Videos"),
        ("dir::s3://bucket/videos", "s3://bucket/videos"),
        ("simplecache::s3://bucket/videos", "s3://bucket/videos"),
        ("dir://::filecache::gs://bucket", "gs://bucket"),
        (UniversalPath(), "s3://bucket/videos"),
        ("videos/dir::x", "videos/dir::x"),
    ],
)
def test_other_ways_to_write_a_store_mean_the_store(given: Any, read: str) -> None:
    assert target_text(given) == read


@each_row(
    ("given", "says"),
    [
        (Path("s3://bucket/x"), '"s3://bucket/x"'),
        ("s3:/bucket/x", "is neither a path nor a URL"),
        ("S3:bucket/x", '"s3://bucket/x"'),
        ("b2://bucket/x", "Write s3:// instead"),
        ("minio://bucket/x", "fsspec has no package"),
        ("nowhere://bucket/x", "Name a folder, or a store's URL"),
        ("https://example.com/x", "Name a folder, or a store's URL"),
        (UniversalPath(anon=True), "The options of a UPath"),
    ],
)
def test_a_form_that_cannot_work_is_refused_with_what_to_write(given: Any, says: str) -> None:
    with pytest.raises(InvalidRequestError, match="Nothing was sent and nothing was spent") as caught:
        check_target(given)
    assert says in str(caught.value)


@each_row(
    ("name", "target", "opened"),
    [
        ("sftp://u@h:22/x.mp4", "sftp://u:p@h:22/videos", "sftp://u:p@h:22/x.mp4"),
        ("sftp://u@h/x.mp4", "sftp://other:p@h/videos", "sftp://u@h/x.mp4"),
        ("sftp://u@h/x.mp4", "sftp://u:p@elsewhere/videos", "sftp://u@h/x.mp4"),
        ("sftp://u@h/x.mp4", "sftp://u@h/videos", "sftp://u@h/x.mp4"),
        ("s3://bucket/x.mp4", "videos", "s3://bucket/x.mp4"),
        ("s3://bucket/x.mp4", None, "s3://bucket/x.mp4"),
    ],
)
def test_a_password_opens_only_what_it_is_for(name: str, target: str | None, opened: str) -> None:
    assert with_password(name, target) == opened


def test_a_path_behind_a_password_is_told_with_its_user_and_looked_for(
    options: dict[str, Any], gateway: Gateway, guarded: type[Guarded]
) -> None:
    """A password that is a part of the path too takes nothing away from it."""
    gateway.fetches = [succeeded(), httpx.Response(200, content=MP4)]
    client = NebulaVideoClient(**options, journal=MemoryJournal(), save_to="sftp://cat:videos@files/videos")
    first = client.generate(**ASK, key="cat")
    assert first.path == "sftp://cat@files/videos/task-1.mp4"
    guarded.store.clear()
    again = client.generate(**ASK, key="cat")
    assert (again.path, list(guarded.store), gateway.posts) == (first.path, ["/videos/task-1.mp4"], 1)
