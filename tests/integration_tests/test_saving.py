"""A finished video -> its place: resumed, checked, named; and never lost."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    DownloadError,
    InvalidRequestError,
    NebulaVideoClient,
    SqlJournal,
    Video,
    _targets,
    storage,
)
from langchain_nebula_video.emulator import Emulator
from tests.conftest import settle
from tests.gateways import HurriedClock
from tests.storage import MOVIE, Answer, Storage, serving

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.png", "resolution": "480p"}
Make = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def make(request: pytest.FixtureRequest, options: dict[str, Any]) -> Make:
    """Either client at the emulator, with a clock on which nobody waits long."""
    kind: Any = NebulaVideoClient if request.param == "sync" else AsyncNebulaVideoClient
    return lambda **more: kind(**{**options, "clock": HurriedClock(), **more})


class Ahead(HurriedClock):
    """A clock that is set forward at times."""

    ahead = timedelta(0)

    def utcnow(self) -> datetime:
        return super().utcnow() + self.ahead


@pytest.fixture
def files() -> Iterator[Storage]:
    with serving(Storage()) as running:
        yield running


@pytest.fixture
async def video(make: Make, files: Storage) -> Video:
    """A finished video that lies in the storage."""
    made: Video = await settle(make().generate(**ASK))
    return made.model_copy(update={"url": f"{files.url}/video.mp4?Signature=x"})


# --- what breaks off is gone on with ---


async def test_a_download_goes_on_where_it_broke_off(make: Make, files: Storage, video: Video, tmp_path: Path) -> None:
    files.answers = [Answer(cut=100_000), Answer(cut=50_001)]
    saved = await settle(make().download(video, tmp_path))
    assert Path(saved.path).read_bytes() == MOVIE
    assert files.ranges[:2] == [None, "bytes=100000-"]
    assert str(files.ranges[2]).startswith("bytes=1")
    assert [headers.get("if-range") for _, headers in files.requests[1:]] == ['"one"'] * 2


async def test_it_may_break_off_any_number_of_times_as_long_as_it_gets_on(
    make: Make, files: Storage, video: Video, tmp_path: Path
) -> None:
    files.answers = [Answer(cut=30_000) for _ in range(9)]
    assert Path((await settle(make().download(video, tmp_path))).path).read_bytes() == MOVIE


async def test_a_file_that_was_changed_meanwhile_is_begun_anew(
    make: Make, files: Storage, video: Video, tmp_path: Path
) -> None:
    files.answers = [
        Answer(cut=100_000, body=b"\0\0\0\x10ftypisom\0\0\0\0" + bytes(200_000), headers={"ETag": '"old"'})
    ]
    assert Path((await settle(make().download(video, tmp_path))).path).read_bytes() == MOVIE
    assert files.ranges == [None, "bytes=100000-"]


@pytest.mark.parametrize("mark", [None, 'W/"weak"'])
async def test_without_a_strong_mark_it_is_begun_anew(
    make: Make, files: Storage, video: Video, tmp_path: Path, mark: str | None
) -> None:
    files.answers = [Answer(cut=100_000, headers={"ETag": mark})]
    assert Path((await settle(make().download(video, tmp_path))).path).read_bytes() == MOVIE
    assert files.ranges == [None, None]


@pytest.mark.parametrize(
    "wrong",
    [
        Answer(206, body=MOVIE[5:], headers={"Content-Range": f"bytes 5-{len(MOVIE) - 1}/{len(MOVIE)}"}),
        Answer(206, body=MOVIE[100_000:], headers={"Content-Range": "nonsense"}),
        Answer(416, body=b"", headers={"Content-Range": "bytes */5"}),
    ],
    ids=["another piece", "an unreadable piece", "no piece"],
)
async def test_a_piece_that_was_not_asked_for_is_not_put_in(
    make: Make, files: Storage, video: Video, tmp_path: Path, wrong: Answer
) -> None:
    files.answers = [Answer(cut=100_000), wrong]
    assert Path((await settle(make().download(video, tmp_path))).path).read_bytes() == MOVIE
    assert files.ranges == [None, "bytes=100000-", None]


async def test_a_storage_that_never_gets_further_is_given_up(
    make: Make, files: Storage, video: Video, tmp_path: Path
) -> None:
    files.answers = [Answer(cut=1000, headers={"ETag": None}) for _ in range(9)]
    with pytest.raises(DownloadError, match=r"1000 of 300040 bytes|no whole answer came") as caught:
        await settle(make().download(video, tmp_path))
    assert len(files.requests) == 3
    assert caught.value.video == video
    assert list(tmp_path.iterdir()) == []


# --- what comes is looked at ---


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(200, body=b"<html>Sign in to this network</html>"), "no MP4"),
        (Answer(200, body=b""), "no MP4"),
        (Answer(200, body=MOVIE[:200_000]), "cut off"),
        (Answer(200, body=MOVIE[:16] + MOVIE[32:]), "cut off"),
        (Answer(200, body=MOVIE[:200_000], headers={"Content-Length": None}), "cut off"),
    ],
    ids=["a page", "nothing", "too short", "without its index", "too short, of no told length"],
)
async def test_what_is_no_whole_video_never_gets_its_name(
    make: Make, files: Storage, video: Video, tmp_path: Path, answer: Answer, says: str
) -> None:
    files.answers = [answer] * 3
    with pytest.raises(DownloadError, match=says) as caught:
        await settle(make().download(video, tmp_path))
    assert caught.value.url == video.url
    assert list(tmp_path.iterdir()) == []


async def test_a_video_has_a_largest_size(
    make: Make, files: Storage, video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_MAX_BYTES", 200_000)
    with pytest.raises(DownloadError, match="it is larger than"):
        await settle(make().download(video, tmp_path))
    assert len(files.requests) == 1
    assert list(tmp_path.iterdir()) == []


async def test_a_packed_answer_is_unpacked_only_up_to_that_size(
    make: Make, files: Storage, video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_MAX_BYTES", 10_000_000)
    bomb = gzip.compress(bytes(400_000_000), 9)
    files.answers = [Answer(200, body=bomb, headers={"Content-Encoding": "gzip"})]
    with pytest.raises(DownloadError, match="it is larger than"):
        await settle(make().download(video, tmp_path))


async def test_a_packed_video_is_unpacked(make: Make, files: Storage, video: Video, tmp_path: Path) -> None:
    files.answers = [Answer(200, body=gzip.compress(MOVIE), headers={"Content-Encoding": "gzip"})]
    assert Path((await settle(make().download(video, tmp_path))).path).read_bytes() == MOVIE


# --- addresses expire ---


async def test_an_expired_address_is_asked_for_anew(make: Make, tmp_path: Path) -> None:
    with Emulator(speed=1000, signs_anew=True) as emulator:
        client = make(base_url=emulator.url)
        video = await settle(client.generate(**ASK))
        emulator.clock.advance(25 * 3600)
        saved = await settle(client.download(video, tmp_path))
    assert Path(saved.path).stat().st_size > 10_000
    assert saved.url != video.url
    assert len(emulator.tasks) == 1


async def test_an_address_that_cannot_be_had_again_is_told(make: Make, tmp_path: Path) -> None:
    with Emulator(speed=1000) as emulator:
        client = make(base_url=emulator.url)
        video = await settle(client.generate(**ASK))
        emulator.clock.advance(25 * 3600)
        with pytest.raises(DownloadError, match="expired") as caught:
            await settle(client.download(video, tmp_path))
    assert caught.value.task_id == video.task_id


async def test_a_video_that_was_saved_is_found_by_its_key_after_its_address_has_expired(
    make: Make, tmp_path: Path
) -> None:
    journal = SqlJournal(f"sqlite:///{tmp_path}/journal.db")
    clock = Ahead()
    with Emulator(speed=1000) as emulator:
        client = make(base_url=emulator.url, clock=clock, journal=journal, save_to=tmp_path)
        video = await settle(client.generate(**ASK, key="cat"))
        clock.ahead = timedelta(hours=25)
        emulator.clock.advance(25 * 3600)
        assert (await settle(client.generate(**ASK, key="cat"))).path == video.path
        assert len(emulator.tasks) == 1
    journal.close()


# --- names ---


async def test_a_name_may_be_made_of_what_the_video_is(
    make: Make, files: Storage, video: Video, tmp_path: Path
) -> None:
    template = tmp_path / "{model}" / "{date}-{time}-{duration}s-{resolution}-{seed}-{task_id}.mp4"
    saved = await settle(make().download(video, template))
    moment = f"{video.finished_at:%Y-%m-%d-%H%M%S}"
    name = f"{moment}-5s-480p-{video.seed if video.seed is not None else 'none'}-{video.task_id}.mp4"
    assert Path(saved.path) == tmp_path / "wan2.5-i2v-preview" / name


async def test_a_folder_may_be_made_of_it_too(make: Make, files: Storage, video: Video, tmp_path: Path) -> None:
    saved = await settle(make().download(video, tmp_path / "{{x}}" / "{date}"))
    assert Path(saved.path) == tmp_path / "{x}" / f"{video.finished_at:%Y-%m-%d}" / f"{video.task_id}.mp4"


@pytest.mark.parametrize("template", ["{prompt}.mp4", "{task_id.__class__}.mp4", "{0}.mp4", "{date:%Y}.mp4", "{.mp4"])
async def test_a_template_that_cannot_be_filled_in_is_refused_before_paying(
    make: Make, emulator: Emulator, tmp_path: Path, template: str
) -> None:
    with pytest.raises(InvalidRequestError, match="template"):
        await settle(make(save_to=tmp_path / template).generate(**ASK))
    assert emulator.tasks == ()


async def test_what_an_answer_says_never_leads_out_of_the_folder(
    make: Make, files: Storage, video: Video, tmp_path: Path
) -> None:
    hostile = video.model_copy(update={"task_id": "../../x/..", "model": "..", "resolution": "/etc"})
    saved = await settle(make().download(hostile, tmp_path / "in" / "{model}" / "{resolution}"))
    assert (tmp_path / "in").resolve() in Path(saved.path).resolve().parents


async def test_another_video_is_never_overwritten(make: Make, files: Storage, video: Video, tmp_path: Path) -> None:
    client = make()
    first = await settle(client.download(video, tmp_path / "cat.mp4"))
    files.content, files.etag = MOVIE[:-1] + b"!", '"two"'
    second = await settle(client.download(video, tmp_path / "cat.mp4"))
    again = await settle(client.download(video, tmp_path / "cat.mp4"))
    assert [Path(each.path).name for each in (first, second, again)] == ["cat.mp4", "cat-2.mp4", "cat-2.mp4"]
    assert Path(first.path).read_bytes() == MOVIE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cat-2.mp4", "cat.mp4"]


async def test_a_disk_without_links_has_the_same_names(
    make: Make, files: Storage, video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", no_links)
    await test_another_video_is_never_overwritten(make, files, video, tmp_path)


async def test_what_a_dead_process_left_is_tidied_away(
    make: Make, files: Storage, video: Video, tmp_path: Path
) -> None:
    import os

    old, young = (tmp_path / f".cat-{number * 32}.part" for number in "ab")
    for part in (old, young):
        part.write_bytes(b"half")
    os.utime(old, (0, 0))
    await settle(make().download(video, tmp_path / "cat.mp4"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [young.name, "cat.mp4"]


# --- buckets ---


@pytest.fixture
def bucket() -> Iterator[MemoryFileSystem]:
    MemoryFileSystem.store.clear()
    yield fsspec.filesystem("memory")
    MemoryFileSystem.store.clear()


async def test_a_video_goes_into_a_bucket_as_into_a_folder(
    make: Make, emulator: Emulator, bucket: MemoryFileSystem
) -> None:
    video = await settle(make(save_to="memory://videos/{model}").generate(**ASK))
    assert video.path == f"memory:///videos/wan2.5-i2v-preview/{video.task_id}.mp4"
    assert bucket.size(video.path) > 10_000


async def test_in_a_bucket_too_another_video_is_never_overwritten(
    make: Make, files: Storage, video: Video, bucket: MemoryFileSystem
) -> None:
    client = make()
    await settle(client.download(video, "memory://cat.mp4"))
    files.content, files.etag = MOVIE[:-1] + b"!", '"two"'
    second = await settle(client.download(video, "memory://cat.mp4"))
    again = await settle(client.download(video, "memory://cat.mp4"))
    assert second.path == again.path == "memory:///cat-2.mp4"
    assert bucket.cat("/cat.mp4") == MOVIE


async def test_where_files_grow_while_they_are_sent_the_name_comes_last(
    make: Make, files: Storage, video: Video, bucket: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    put = MemoryFileSystem.put_file

    def noted(self: MemoryFileSystem, here: str, there: str) -> None:
        sent.append(there)
        put(self, here, there)

    monkeypatch.setattr(_targets, "_ALL_OR_NOTHING", frozenset())
    monkeypatch.setattr(MemoryFileSystem, "put_file", noted)
    await settle(make().download(video, "memory://cat.mp4"))
    assert sent[0].endswith(".part")
    assert list(bucket.store) == ["/cat.mp4"]


async def test_a_bucket_that_takes_nothing_loses_nothing(
    make: Make, files: Storage, video: Video, bucket: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Denied(Exception):  # noqa: N818 as stores' libraries name theirs
        pass

    def deny(*_: object, **__: object) -> None:
        raise Denied("403 Forbidden")

    monkeypatch.setattr(MemoryFileSystem, "put_file", deny)
    with pytest.raises(DownloadError, match="403 Forbidden") as caught:
        await settle(make().download(video, "memory://cat.mp4"))
    assert caught.value.video == video
    assert bucket.store == {}


@pytest.mark.parametrize(
    ("place", "says"), [("nowhere://x", "Protocol not known"), ("s3://bucket/videos", "s3fs|botocore")]
)
async def test_a_store_that_nothing_here_speaks_to_is_told_before_paying(
    make: Make, emulator: Emulator, place: str, says: str
) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        await settle(make(save_to=place).generate(**ASK))
    assert emulator.tasks == ()


async def test_without_fsspec_the_extra_is_named(
    make: Make, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "fsspec"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InvalidRequestError, match=r"langchain-nebula-video\[storage\]"):
        await settle(make(save_to="memory://x").generate(**ASK))
    assert emulator.tasks == ()


# --- full disks ---


def test_a_full_disk_loses_nothing(emulator: Emulator, options: dict[str, Any], tmp_path: Path) -> None:
    """A process that may write no file of more than 50 kB: to it, every disk is full."""
    code = """
        import json, resource, sys
        from langchain_nebula_video import DownloadError, NebulaVideoClient
        options, ask, folder = json.loads(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
        client = NebulaVideoClient(**options, save_to=folder)
        try:
            client.generate(**ask)
        except DownloadError as error:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            print(json.dumps([str(error), client.download(error.video, folder).path]))
    """
    if sys.platform == "win32":
        pytest.skip("Windows has no such limit")
    given = json.dumps([options, ASK, str(tmp_path)])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), given], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    told, path = json.loads(done.stdout)
    assert "cannot be written: File too large" in told
    assert "The video was made" in told
    assert [str(each) for each in tmp_path.iterdir()] == [path]
    assert len(emulator.tasks) == 1
