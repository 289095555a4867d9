"""Before a video is paid for, its place is tried with a real write and looked at for room: at every door."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import httpx
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from typer.testing import CliRunner

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    DownloadError,
    InvalidRequestError,
    MemoryJournal,
    NebulaVideoClient,
    NebulaVideoRunnable,
    NebulaVideoTool,
    NebulaVideoToolkit,
)
from langchain_nebula_video.catalog.models import MODELS
from langchain_nebula_video.cli.app import app
from langchain_nebula_video.graph import video_graph
from langchain_nebula_video.saving import targets, trial
from tests.conftest import FakeClock, Gateway, MakeClient, running, settle, submitted, succeeded
from tests.tables import each_row

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}
MP4 = b"\0\0\0\x18ftypisom" + bytes(12) + b"\0\0\0\x08moov" + b"\0\0\0\x08mdat"
SECRET = "hunter2pass"


class Usage(NamedTuple):
    total: int
    used: int
    free: int


class Store(MemoryFileSystem):  # type: ignore[misc]
    """A bucket: it counts what is written, and fails as a test says."""

    protocol = ("bucket", "s3")  # s3: nothing in it is a folder
    store: dict[str, Any] = {}  # noqa: RUF012 fsspec's own way
    pseudo_dirs: list[str] = [""]  # noqa: RUF012
    writes: list[str] = []  # noqa: RUF012
    fault: Exception | None = None
    seconds = 0.0
    removes = True

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(MemoryFileSystem._strip_protocol(path.replace("bucket://", "memory://")))

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        time.sleep(self.seconds)
        self.writes.append(path)
        if self.fault is not None:
            raise self.fault
        super().pipe_file(path, value, mode=mode, **kwargs)

    def put_file(self, lpath: str, rpath: str, **_: Any) -> None:
        super().pipe_file(rpath, Path(lpath).read_bytes())

    def rm_file(self, path: str) -> None:
        if not self.removes:
            raise PermissionError("may not remove")
        super()._rm(path)


@pytest.fixture(autouse=True)
def _untried(monkeypatch: pytest.MonkeyPatch, gateway: Gateway) -> None:
    monkeypatch.setattr(trial, "_outcomes", {})
    gateway.fetches = [succeeded(), httpx.Response(200, content=MP4)]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Store]]:
    fsspec.register_implementation("bucket", Store, clobber=True)
    for name, value in (("store", {}), ("pseudo_dirs", [""]), ("writes", [])):
        monkeypatch.setattr(Store, name, value)
    Store.clear_instance_cache()
    return Store


def room(monkeypatch: pytest.MonkeyPatch, free: int, folder: Path | None = None) -> None:
    """Let the disk have so many bytes free, everywhere or below one folder."""
    real = shutil.disk_usage

    def usage(path: str | Path) -> Any:
        return Usage(10**12, 0, free) if folder is None or Path(path).is_relative_to(folder) else real(path)

    monkeypatch.setattr(shutil, "disk_usage", usage)


# --- a folder of this machine ---


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that looks writable and is not")
async def test_a_folder_that_looks_writable_and_is_not_is_refused_before_paying(
    make_client: MakeClient, gateway: Gateway
) -> None:
    journal = MemoryJournal()
    with pytest.raises(InvalidRequestError, match=r"Nothing can be saved in /proc/x: .*Nothing was sent"):
        await settle(make_client(save_to="/proc/x", journal=journal).generate(**ASK))
    assert gateway.posts == 0
    assert journal.entries() == []


async def test_a_disk_that_is_nearly_full_is_refused_before_paying(
    make_client: MakeClient, gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room(monkeypatch, 3_000_000)
    client = make_client(save_to=tmp_path / "videos" / "{model}")
    with pytest.raises(
        InvalidRequestError, match=r"3\.0 MB are free, and the video may have 4\.1 MB.*Nothing was sent"
    ):
        await settle(client.generate(**ASK))
    assert gateway.posts == 0
    await settle(client.generate(**ASK, resolution="480p"))  # needs less
    assert gateway.posts == 1


async def test_a_disk_on_which_nothing_can_be_written_is_refused_before_paying(
    make_client: MakeClient, gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InvalidRequestError, match="No space left on device"):
        await settle(make_client(save_to=tmp_path).generate(**ASK))
    assert gateway.posts == 0
    assert list(tmp_path.iterdir()) == []


async def test_a_trial_leaves_nothing_and_makes_no_folder(
    make_client: MakeClient, gateway: Gateway, tmp_path: Path
) -> None:
    seen: list[list[Path]] = []

    def look(request: httpx.Request) -> None:
        seen.append(list(tmp_path.rglob("*")))

    gateway.requests = _Noting(look)
    await settle(make_client(save_to=tmp_path / "a" / "{date}" / "b").submit(**ASK))
    assert seen == [[]]


class _Noting(list[httpx.Request]):
    """Calls back for each request."""

    def __init__(self, look: Any) -> None:
        super().__init__()
        self._look = look

    def append(self, request: httpx.Request) -> None:
        self._look(request)
        super().append(request)


async def test_a_key_that_has_its_video_needs_no_room(
    make_client: MakeClient, gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(save_to=tmp_path)
    first = await settle(client.generate(**ASK, key="cat"))
    room(monkeypatch, 0)
    again = await settle(client.generate(**ASK, key="cat"))
    assert again.path == first.path
    assert gateway.posts == 1


async def test_a_disk_that_does_not_tell_its_room_is_no_reason_to_refuse(
    make_client: MakeClient, gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 0))
    await settle(make_client(save_to=tmp_path).generate(**ASK))
    assert gateway.posts == 1


# --- a store ---


async def test_a_store_is_tried_with_a_write_before_paying_and_nothing_stays(
    make_client: MakeClient, gateway: Gateway, store: type[Store]
) -> None:
    await settle(make_client(save_to="bucket://films/x/{model}-{task_id}.mp4").submit(**ASK))
    assert store.writes == ["/films/x/.nebula-video-trial"]
    assert store.store == {}
    assert gateway.posts == 1


async def test_a_store_that_refuses_a_write_is_found_before_paying(
    make_client: MakeClient, gateway: Gateway, store: type[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "fault", PermissionError(f"403 for user:{SECRET}"))
    with pytest.raises(InvalidRequestError, match=r"403 for …\. Nothing was sent") as caught:
        await settle(make_client(save_to=f"bucket://user:{SECRET}@films/x").generate(**ASK))
    assert "bucket://…@films/x" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert gateway.posts == 0


async def test_a_store_that_does_not_answer_is_given_up_before_paying(
    make_client: MakeClient, gateway: Gateway, store: type[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "seconds", 0.3)
    monkeypatch.setattr(trial, "_STORE_SECONDS", 0.05)
    with pytest.raises(InvalidRequestError, match="no answer within"):
        await settle(make_client(save_to="bucket://films").generate(**ASK))
    assert gateway.posts == 0
    for thread in threading.enumerate():
        if thread.name == "nebula-video-trial":
            thread.join()


async def test_a_key_that_may_write_and_not_remove_will_do(
    make_client: MakeClient, gateway: Gateway, store: type[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "removes", False)
    await settle(make_client(save_to="bucket://films").submit(**ASK))
    assert list(store.store) == ["/films/.nebula-video-trial"]
    assert gateway.posts == 1


async def test_a_bucket_whose_name_is_made_of_the_video_is_not_written_to(
    make_client: MakeClient, gateway: Gateway, store: type[Store]
) -> None:
    await settle(make_client(save_to="bucket://{model}/x").submit(**ASK))
    assert store.writes == []
    assert gateway.posts == 1


async def test_a_full_temporary_folder_is_found_before_paying_too(
    make_client: MakeClient, gateway: Gateway, store: type[Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    room(monkeypatch, 1000, tmp_path)
    with pytest.raises(InvalidRequestError, match=f"Nothing can be saved in {re.escape(str(tmp_path))}"):
        await settle(make_client(save_to="bucket://films").generate(**ASK))
    assert gateway.posts == 0


# --- how often ---


async def test_many_videos_at_once_are_one_trial(gateway: Gateway, clock: FakeClock, store: type[Store]) -> None:
    ids = itertools.count()
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=submitted(f"task-{next(ids)}")))
    async with httpx.AsyncClient(transport=transport) as http:
        client = AsyncNebulaVideoClient(api_key="sk-x", clock=clock, http_async_client=http, save_to="bucket://films")
        await asyncio.gather(*(client.submit(**ASK, key=f"k{number}") for number in range(100)))
    assert len(store.writes) == 1


def test_calls_that_wait_for_a_trial_that_fails_fail_with_it(
    store: type[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that does not answer costs all of them its time once, and not one after the other."""
    monkeypatch.setattr(store, "seconds", 0.3)
    monkeypatch.setattr(store, "fault", PermissionError("403"))

    def attempt(_: int) -> str:
        with pytest.raises(InvalidRequestError) as caught:
            trial.try_target("bucket://films", 1)
        return str(caught.value)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(attempt, range(8)))) == 1
    assert len(store.writes) == 1
    attempt(0)  # a later one tries again
    assert len(store.writes) == 2


async def test_a_place_is_tried_again_after_a_while(
    make_client: MakeClient, store: type[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(save_to="bucket://films")
    for key in "ab":
        await settle(client.submit(**ASK, key=key))
    assert len(store.writes) == 1
    monkeypatch.setattr(trial, "_VALID_SECONDS", -1.0)
    await settle(client.submit(**ASK, key="c"))
    assert len(store.writes) == 2


async def test_a_place_is_tried_again_after_saving_there_has_failed(
    make_client: MakeClient, gateway: Gateway, store: type[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(save_to="bucket://films")
    with monkeypatch.context() as patch:
        patch.setattr(store, "put_file", lambda *_, **__: (_ for _ in ()).throw(PermissionError("403")))
        with pytest.raises(DownloadError, match="403"):
            await settle(client.generate(**ASK, key="a"))
    monkeypatch.setattr(store, "fault", PermissionError("403 again"))
    gateway.fetches = [running()]
    with pytest.raises(InvalidRequestError, match="403 again"):
        await settle(client.generate(**ASK, key="b"))
    assert gateway.posts == 1


def test_a_fork_in_the_middle_of_a_trial_does_not_lock_the_child_out(
    store: type[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "seconds", 0.3)
    thread = threading.Thread(target=trial.try_target, args=("bucket://films", 1))
    thread.start()
    time.sleep(0.1)
    assert trial._locks["bucket://films"].locked()
    trial._locks.clear()  # what a fork calls in the child
    assert trial._locks == {}
    thread.join()


# --- doors ---


def _cli(options: dict[str, Any], place: str) -> None:
    settings = {name: options[name] for name in ("api_key", "clock", "http_client", "download_hosts")}
    arguments = ["generate", ASK["image"], "x", "--yes", "--out", place]
    result = CliRunner().invoke(app, arguments, obj=settings, catch_exceptions=False)
    assert result.exit_code == 2
    raise InvalidRequestError(result.stderr.replace("\n", " "))


DOORS: dict[str, Any] = {
    "client": lambda options, place: NebulaVideoClient(**options, save_to=place).generate(**ASK),
    "submit": lambda options, place: NebulaVideoClient(**options, save_to=place).submit(**ASK),
    "tool": lambda options, place: NebulaVideoTool(**options, save_to=place, handle_tool_error=False).invoke(ASK),
    "toolkit": lambda options, place: (
        NebulaVideoToolkit(**options, save_to=place, handle_tool_error=False).get_tools()[1].invoke(ASK)
    ),
    "runnable": lambda options, place: NebulaVideoRunnable(**options, save_to=place).invoke(ASK),
    "graph": lambda options, place: video_graph(NebulaVideoClient(**options), save_to=place).invoke({"request": ASK}),
    "command line": _cli,
}


@pytest.mark.parametrize("door", DOORS)
def test_every_door_tries_the_place_before_paying(
    options: dict[str, Any], gateway: Gateway, store: type[Store], monkeypatch: pytest.MonkeyPatch, door: str
) -> None:
    monkeypatch.setattr(store, "fault", PermissionError("403 Forbidden"))
    with pytest.raises(Exception, match=r"403 Forbidden.*Nothing was sent"):
        DOORS[door](options, "bucket://films")
    assert gateway.posts == 0


# --- afterwards ---


async def test_a_video_that_was_paid_for_and_not_saved_names_its_url_and_how_to_finish(
    make_client: MakeClient, gateway: Gateway, store: type[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "put_file", lambda *_, **__: (_ for _ in ()).throw(PermissionError("403")))
    with pytest.raises(DownloadError) as caught:
        await settle(make_client(save_to="bucket://films").generate(**ASK))
    error = caught.value
    assert error.url == succeeded()["url"]
    assert f"Its URL: {error.url}" in str(error)
    assert "client.download(error.video, path), or nebula-video wait task-1 --out PATH" in str(error)
    assert "Money was spent: the video is paid for." in str(error)


def test_a_model_that_may_not_read_urls_reads_none_in_a_failed_save(
    options: dict[str, Any], store: type[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "put_file", lambda *_, **__: (_ for _ in ()).throw(PermissionError("403")))
    content = NebulaVideoTool(**options, save_to="bucket://films", url_in_content=False).invoke(ASK)
    assert "403" in content
    assert "https://" not in content


async def test_a_bucket_is_never_created(
    make_client: MakeClient, gateway: Gateway, store: type[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(*_: object, **__: object) -> None:
        raise AssertionError("a mistyped bucket was created")

    for name in ("mkdir", "makedirs"):
        monkeypatch.setattr(store, name, create)
    video = await settle(make_client(save_to="bucket://films/x").generate(**ASK))
    assert video.path == "bucket://films/x/task-1.mp4"


async def test_a_bucket_is_never_created_through_a_cache_either(
    make_client: MakeClient, gateway: Gateway, store: type[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    created: list[object] = []
    for name in ("mkdir", "makedirs", "mkdirs"):
        monkeypatch.setattr(store, name, lambda _, *parts, **__: created.append(parts))
    with contextlib.suppress(DownloadError):  # fsspec's cache opens a file in another way; the bucket is looked at
        await settle(make_client(save_to="simplecache::bucket://films/x").generate(**ASK))
    assert created == []


@pytest.mark.parametrize("place", [Path("s3://bucket/x"), "s3:/bucket/x", "gs:/b/{model}"])
async def test_a_url_that_was_a_path_is_refused_before_paying(
    make_client: MakeClient, gateway: Gateway, place: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidRequestError, match="Give a URL as text, not as a Path"):
        await settle(make_client(save_to=place).generate(**ASK))
    assert gateway.posts == 0
    assert list(tmp_path.iterdir()) == []


async def test_a_container_at_an_account_stays_in_the_path(
    make_client: MakeClient, store: type[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Azure's own form: the store's path begins with the container."""

    class Azure(store):  # type: ignore[misc, valid-type]
        protocol = ("abfs", "az")

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            rest = path.rpartition("://")[2]
            container, at, tail = rest.partition("@")
            return f"{container}/{tail.partition('/')[2]}" if at else rest

    fsspec.register_implementation("abfs", Azure, clobber=True)
    Azure.clear_instance_cache()
    video = await settle(make_client(save_to="abfs://films@account.blob.core.windows.net/x").generate(**ASK))
    assert video.path == "abfs://films@account.blob.core.windows.net/x/task-1.mp4"
    assert list(store.store) == ["films/x/task-1.mp4"]
    assert targets.exists(video.path)


@each_row(
    ("resolution", "seconds", "megabytes"),
    [("480p", 5, 1.8), ("720p", 5, 4.1), ("1080p", 10, 18.7), (None, None, 18.7), ("4K", 10, 18.7)],
)
def test_the_expected_size_grows_with_pixels_and_seconds(
    resolution: str | None, seconds: int | None, megabytes: float
) -> None:
    assert trial.expected_size(resolution, seconds, 24) / 1e6 == pytest.approx(megabytes, abs=0.05)


def test_every_model_has_an_expected_size_above_its_resolutions_below() -> None:
    for model in MODELS.values():
        sizes = [trial.expected_size(tier, model.default_duration, model.fps) for tier in model.resolutions]
        assert all(100_000 < size < 200_000_000 for size in sizes), model.name
