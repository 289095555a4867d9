"""What saving to a real store does: nothing is lost, nothing is made, and what was told can be opened again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest

from langchain_nebula_video import InvalidRequestError
from langchain_nebula_video.saving.names import is_url
from langchain_nebula_video.saving.remote import RemoteTarget
from langchain_nebula_video.saving.targets import check_target, exists
from langchain_nebula_video.saving.trial import try_target
from tests.environments import CHECKOUT
from tests.stores.servers import Store
from tests.stores.videos import save

PROCESSES, VIDEOS = 4, 4


def _read(path: str) -> bytes:
    if not is_url(path):
        return Path(path).read_bytes()
    with fsspec.open(path, "rb") as file:
        content: bytes = file.read()
    return content


def test_processes_that_save_under_one_name_at_once_lose_no_video(store: Store) -> None:
    if store.url.startswith("gs://"):
        pytest.skip("the emulator of Google's storage ignores ifGenerationMatch, which Google's own heeds")
    racers = []
    for number in range(PROCESSES):
        racer = subprocess.Popen(
            [sys.executable, "-m", "tests.stores.race"],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        racers.append(racer)
        asked = {
            "warm_up": f"{store.url}/warm-{number}.mp4",
            "save_to": f"{store.url}/cat.mp4",
            "contents": [f"process {number}, video {turn}; " for turn in range(VIDEOS)],
        }
        assert racer.stdin is not None
        racer.stdin.write(json.dumps(asked) + "\n")
        racer.stdin.flush()
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n", racer.communicate()[1]
    told: dict[str, str] = {}
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        out, err = racer.communicate(timeout=60)
        assert racer.returncode == 0, err
        told.update(json.loads(out))
    assert len(set(told.values())) == len(told) == PROCESSES * VIDEOS
    assert {content: _read(path) for content, path in told.items()} == {
        content: content.encode() * 1000 for content in told
    }


def test_a_told_path_can_be_opened_again_and_looked_for(store: Store) -> None:
    told = save(f"{store.url}/{{model}}", b"video")
    assert told == f"{store.url}/wan2.5-i2v-preview/task-1.mp4"
    assert _read(told) == b"video"
    assert exists(told)
    assert save(f"{store.url}/{{model}}", b"video") == told
    if is_url(told):
        filesystem, path = fsspec.core.url_to_fs(told)
        filesystem.rm_file(path)
    else:
        Path(told).unlink()
    assert not exists(told)


def test_a_upath_names_the_store_too(store: Store) -> None:
    upath = pytest.importorskip("upath", reason="universal-pathlib is in the environment of the stores")
    if store.url.startswith("sftp://"):
        with pytest.raises(InvalidRequestError, match="Give the URL as text"):
            save(upath.UPath(store.url), b"video")
        return
    if store.url.startswith(("webdav://", "oss://")):
        pytest.skip("universal-pathlib has no URL for it, or does not know it")
    told = save(upath.UPath(store.url) / "up", b"video")
    assert told == f"{store.url}/up/task-1.mp4"


def test_a_bucket_that_is_missing_is_found_before_paying_and_never_made(store: Store) -> None:
    if not store.missing:
        pytest.skip("the store has no buckets")
    check_target(store.missing)
    says = "The specified bucket does not exist.*" if store.url.startswith("s3://") else ""
    with pytest.raises(InvalidRequestError, match=rf"{says}Check the (bucket|container)'s name"):
        try_target(store.missing, 1000)
    with pytest.raises(Exception, match=r"(?i)bucket|container|vidoes"):
        save(store.missing, b"video")
    filesystem, path = fsspec.core.url_to_fs(store.missing)
    bucket = path.strip("/").partition("/")[0]
    assert bucket not in {name.strip("/") for name in filesystem.ls("", detail=False)}


def test_a_trial_leaves_nothing(store: Store) -> None:
    told = save(store.url, b"video")
    try_target(store.url, 1000)
    if is_url(told):
        filesystem, path = fsspec.core.url_to_fs(store.url)
        assert [Path(name).name for name in filesystem.ls(path, detail=False)] == ["task-1.mp4"]


def test_old_parts_of_dead_processes_are_removed(store: Store, folder: Path) -> None:
    folder.mkdir(parents=True)
    prefix = ".cat-" if not is_url(store.url) else "cat.mp4."
    old, new = (folder / f"{prefix}{digit * (8 if is_url(store.url) else 32)}.part" for digit in "ab")
    others = folder / "notes.part"
    for path in (old, new, others):
        path.write_bytes(b"half a video")
    for path in (old, others):
        os.utime(path, (0, 0))
    save(f"{store.url}/cat.mp4", b"video")
    assert {path.name for path in folder.iterdir()} == {"cat.mp4", new.name, "notes.part"}


def test_an_upload_in_parts_that_fails_is_aborted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    if not store.url.startswith("s3://"):
        pytest.skip("only S3 keeps the parts of an unfinished upload")
    save(f"{store.url}/cat.mp4", b"another video")
    looks = iter([True])
    is_free: Any = RemoteTarget._is_free
    monkeypatch.setattr(RemoteTarget, "_is_free", lambda self, name: next(looks, None) or is_free(self, name))
    told = save(f"{store.url}/cat.mp4", bytes(20_000_000))
    assert told == f"{store.url}/cat-2.mp4"
    assert _read(f"{store.url}/cat.mp4") == b"another video"
    filesystem = fsspec.filesystem("s3")
    assert filesystem.list_multipart_uploads("videos") == []
