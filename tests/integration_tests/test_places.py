"""Where a video is saved: names, folders, buckets, full disks; nobody's file is ever overwritten or removed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from langchain_nebula_video import DownloadError, InvalidRequestError, MemoryJournal, Video
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.saving import remote, secrets, targets
from langchain_nebula_video.saving.stores import StoreKind
from tests.conftest import jpeg, settle
from tests.gateways import ASK, Make
from tests.storage import MOVIE, Storage

# --- names ---


async def test_a_file_may_be_named_after_what_the_video_is(
    make: Make, files: Storage, video: Video, tmp_path: Path
) -> None:
    template = tmp_path / "{model}" / "{date}-{time}-{duration}s-{resolution}-{seed}-{task_id}.mp4"
    saved = await settle(make().download(video, template))
    moment = f"{video.finished_at:%Y-%m-%d-%H%M%S}"
    assert Path(saved.path) == tmp_path / "wan2.5-i2v-preview" / f"{moment}-5s-480p-1-{video.task_id}.mp4"
    unseeded = await settle(make().download(video.model_copy(update={"seed": None}), template))
    assert unseeded.path == saved.path.replace("-480p-1-", "-480p-none-")


async def test_a_folder_may_be_named_after_what_the_video_is(
    make: Make, files: Storage, video: Video, tmp_path: Path
) -> None:
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


async def test_a_file_may_be_named_after_the_key_and_the_image(make: Make, emulator: Emulator, tmp_path: Path) -> None:
    """Also when the video is downloaded later, and by a client that takes it from the journal."""
    image = tmp_path / "in" / "my cat.jpg"
    image.parent.mkdir()
    image.write_bytes(jpeg(640, 480))
    journal = MemoryJournal()
    client = make(save_to=tmp_path / "{stem}" / "{key}.mp4", journal=journal)
    ask = {**ASK, "image": image, "key": "../order/17"}
    made = await settle(client.generate(**ask))
    assert Path(made.path) == tmp_path / "my_cat" / ".._order_17.mp4"
    Path(made.path).unlink()
    again = await settle(make(save_to=tmp_path / "{key}-{stem}.mp4", journal=journal).wait(made.task_id))
    assert Path(again.path) == tmp_path / ".._order_17-my_cat.mp4"
    assert len(emulator.tasks) == 1


async def test_the_name_of_an_image_is_known_though_somebody_looked_at_its_task_without_the_request(
    make: Make, tmp_path: Path
) -> None:
    """As `reconcile` does: the journal has the video then, and no name of its image."""
    cat, journal = tmp_path / "cat.jpg", MemoryJournal()
    cat.write_bytes(jpeg(400, 400))
    asked = {**ASK, "image": cat, "key": "shot-1"}
    task = await settle(make(journal=journal).submit(**asked))
    await settle(make(journal=journal).wait(task.task_id))
    video = await settle(make(save_to=tmp_path / "{stem}.mp4", journal=journal).generate(**asked))
    assert (video.path, video.task_id) == (str(tmp_path / "cat.mp4"), task.task_id)


async def test_long_values_are_cut_to_a_name_that_file_systems_take(
    make: Make, files: Storage, video: Video, tmp_path: Path
) -> None:
    long = video.model_copy(update={"key": "k" * 300, "image_name": "猫" * 100})
    for template, length in {"{key}.mp4": 104, "{key}-{stem}-{model}-{task_id}.mp4": 159}.items():
        saved = Path((await settle(make().download(long, tmp_path / template))).path)
        assert len(os.fsencode(saved.name)) == length
        assert saved.read_bytes() == MOVIE


async def test_files_may_be_numbered(make: Make, files: Storage, video: Video, tmp_path: Path) -> None:
    client, target = make(), tmp_path / "{stem}-{index}.mp4"
    names = []
    for turn in range(3):
        files.content, files.etag = MOVIE[:-1] + bytes([turn % 2]), f'"{turn}"'
        names.append(Path((await settle(client.download(video, target))).path).name)
    assert names == ["cat-1.mp4", "cat-2.mp4", "cat-1.mp4"]  # the third is the first one again


@pytest.mark.parametrize("template", ["{index}/cat.mp4", "videos/{index}", "{index}"])
async def test_only_a_file_can_be_numbered(make: Make, emulator: Emulator, tmp_path: Path, template: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"\.mp4"):
        await settle(make(save_to=tmp_path / template).generate(**ASK))
    assert emulator.tasks == ()


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


def test_a_name_is_taken_by_one_alone_on_a_disk_without_links_too(
    video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", no_links)
    target = targets.make_target(tmp_path / "cat.mp4", video)
    parts = [target.begin() for _ in range(24)]
    for number, part in enumerate(parts):
        part.write_bytes(MOVIE + bytes([number]))
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(target.publish, parts))
    assert [Path(name).read_bytes()[-1] for name in names] == list(range(24))
    assert {path.name for path in tmp_path.iterdir()} == {Path(name).name for name in names}


async def test_a_url_may_name_a_folder_of_this_machine(
    make: Make, files: Storage, video: Video, tmp_path: Path
) -> None:
    for scheme in ("file", "local"):
        saved = await settle(make().download(video, f"{scheme}://{tmp_path}/{scheme}"))
        assert saved.path == f"{tmp_path}/{scheme}/{video.task_id}.mp4"


@pytest.mark.parametrize("place", ["link", "link/videos", "file/videos", "file/cat.mp4"])
async def test_what_can_be_no_folder_is_refused_before_paying(
    make: Make, emulator: Emulator, tmp_path: Path, place: str
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidRequestError, match="Nothing can be saved in"):
        await settle(make(save_to=tmp_path / place).generate(**ASK))
    assert emulator.tasks == ()


async def test_a_name_is_cut_where_file_systems_count(make: Make, files: Storage, video: Video, tmp_path: Path) -> None:
    long = video.model_copy(update={"task_id": "\u732b" * 300})
    saved = await settle(make().download(long, tmp_path))
    assert Path(saved.path).read_bytes() == MOVIE


async def test_what_a_dead_process_left_is_tidied_away(
    make: Make, files: Storage, video: Video, tmp_path: Path
) -> None:
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
    assert video.path == f"memory://videos/wan2.5-i2v-preview/{video.task_id}.mp4"
    assert bucket.size(video.path) > 10_000


async def test_in_a_bucket_too_another_video_is_never_overwritten(
    make: Make, files: Storage, video: Video, bucket: MemoryFileSystem
) -> None:
    client = make()
    await settle(client.download(video, "memory://cat.mp4"))
    files.content, files.etag = MOVIE[:-1] + b"!", '"two"'
    second = await settle(client.download(video, "memory://cat.mp4"))
    again = await settle(client.download(video, "memory://cat.mp4"))
    assert second.path == again.path == "memory://cat-2.mp4"
    assert bucket.cat("/cat.mp4") == MOVIE


async def test_where_files_grow_while_they_are_sent_the_name_comes_last(
    make: Make, files: Storage, video: Video, bucket: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    put = MemoryFileSystem.put_file

    def noted(self: MemoryFileSystem, here: str, there: str, **_: object) -> None:
        sent.append(there)
        put(self, here, there)

    monkeypatch.setattr(remote, "store_kind", lambda *_: StoreKind())
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


async def test_what_lies_in_a_bucket_is_never_removed_when_sending_breaks_off(
    make: Make, files: Storage, video: Video, bucket: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def beaten(self: MemoryFileSystem, here: str, there: str, **_: object) -> None:
        self.pipe(there, b"somebody else's")
        raise ConnectionError("reset")

    monkeypatch.setattr(MemoryFileSystem, "put_file", beaten)
    with pytest.raises(DownloadError, match="reset"):
        await settle(make().download(video, "memory://cat.mp4"))
    assert bucket.cat("/cat.mp4") == b"somebody else's"


async def test_a_bucket_that_does_not_answer_has_not_said_that_a_name_is_free(
    make: Make, files: Storage, video: Video, bucket: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise OSError(5, "503 Slow Down")

    bucket.pipe("/cat.mp4", b"somebody else's")
    monkeypatch.setattr(MemoryFileSystem, "info", away)
    with pytest.raises(DownloadError, match="503"):
        await settle(make().download(video, "memory://cat.mp4"))
    assert bucket.cat("/cat.mp4") == b"somebody else's"


async def test_what_arrives_shorter_than_it_was_sent_is_told(
    make: Make, files: Storage, video: Video, bucket: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(self: MemoryFileSystem, here: str, there: str, **_: object) -> None:
        self.pipe(there, MOVIE[:1000])

    monkeypatch.setattr(MemoryFileSystem, "put_file", short)
    with pytest.raises(DownloadError, match="not as long as what was sent"):
        await settle(make().download(video, "memory://cat.mp4"))


async def test_a_bucket_that_cannot_be_looked_into_still_has_what_was_saved_there(
    make: Make, emulator: Emulator, bucket: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Forbidden")

    client = make(save_to="memory://videos")
    video = await settle(client.generate(**ASK, key="cat"))
    downloads = [request.point for request in emulator.requests].count("download")
    monkeypatch.setattr(MemoryFileSystem, "info", denied)
    assert (await settle(client.generate(**ASK, key="cat"))).path == video.path
    assert [request.point for request in emulator.requests].count("download") == downloads == 1
    assert len(emulator.tasks) == 1


async def test_what_a_dead_process_left_on_its_way_to_a_bucket_is_tidied_away(
    make: Make, files: Storage, video: Video, bucket: MemoryFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old = tmp_path / "nebula-video-x.part"
    old.write_bytes(b"half")
    os.utime(old, (0, 0))
    await settle(make().download(video, "memory://cat.mp4"))
    assert list(tmp_path.iterdir()) == []


async def test_what_a_dead_process_left_on_an_ftp_server_is_tidied_away(
    make: Make, files: Storage, video: Video, bucket: MemoryFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its listings tell times as text, in UTC."""
    listed, now = MemoryFileSystem.ls, f"{datetime.now(UTC):%Y%m%d%H%M%S.%f}"

    def ls(self: MemoryFileSystem, path: str, **_: object) -> list[dict[str, Any]]:
        return [
            {**found, "modify": "20200101000000" if "deaddead" in found["name"] else now}
            for found in listed(self, path)
        ]

    folder = tmp_path.name  # looked at once in a process
    for part in ("deaddead", "abcdabcd"):
        bucket.pipe(f"/{folder}/cat.mp4.{part}.part", b"half")
    monkeypatch.setattr(remote, "store_kind", lambda *_: StoreKind())
    monkeypatch.setattr(MemoryFileSystem, "ls", ls)
    await settle(make().download(video, f"memory://{folder}/cat.mp4"))
    assert sorted(bucket.store) == [f"/{folder}/cat.mp4", f"/{folder}/cat.mp4.abcdabcd.part"]


async def test_a_store_s_password_is_in_no_error(make: Make, emulator: Emulator) -> None:
    """An FTP store connects as soon as it is named; nothing listens there."""
    with pytest.raises(InvalidRequestError, match="ftp://") as caught:
        await settle(make(save_to="ftp://me:s3cret%21@127.0.0.1:1/videos").generate(**ASK))
    assert "s3cret" not in str(caught.value)
    assert emulator.tasks == ()


def test_a_token_in_a_store_s_message_is_removed() -> None:
    said = "cannot reach https://me:s3cret!@files.test/x?sig=t0ken of me:s3cret%21@files.test"
    shown = secrets.redact(said, "https://me:s3cret%21@files.test/x?sig=t0ken")
    assert "s3cret" not in shown
    assert "t0ken" not in shown


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("nowhere://x", "Protocol not known"),
        ("gs://bucket/videos", "gcsfs"),
        ("https://files.test/videos", "Nothing can be saved to https"),
        ("zip://x.zip", "Nothing can be saved to zip"),
    ],
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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit to the size of a process's files")
def test_a_full_disk_loses_nothing(emulator: Emulator, options: dict[str, Any], tmp_path: Path) -> None:
    """A process that may write no file of more than 10 kB: to it, every disk is full."""
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
