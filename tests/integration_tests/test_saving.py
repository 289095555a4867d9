"""A finished video -> its place: resumed, checked, named; and never lost."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from langchain_nebula_video import DownloadError, NebulaVideoClient, SqlJournal, TaskStatus, Video
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.saving import download
from tests.conftest import settle
from tests.gateways import ASK, BOTH, SPEED, HurriedClock, Make
from tests.storage import MOVIE, Answer, Storage, serving


class Ahead(HurriedClock):
    """A clock that is set forward at times."""

    ahead = timedelta(0)

    def utcnow(self) -> datetime:
        return super().utcnow() + self.ahead


# --- what breaks off is gone on with ---


async def test_a_download_goes_on_where_it_broke_off(make: Make, files: Storage, video: Video, tmp_path: Path) -> None:
    files.answers = [Answer(cut=100_000), Answer(cut=50_001)]
    saved = await settle(make().download(video, tmp_path))
    assert Path(saved.path).read_bytes() == MOVIE
    assert files.ranges[:2] == [None, "bytes=100000-"]
    assert str(files.ranges[2]).startswith("bytes=1")
    assert [headers.get("if-range") for _, headers in files.requests[1:]] == ['"one"'] * 2


async def test_a_download_may_break_off_often_as_long_as_it_makes_progress(
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


@pytest.mark.parametrize(
    "mark",
    [None, "", 'W/"weak"', "bare", '"h\xe9"', f'"{"x" * 5000}"'],
    ids=["none", "empty", "weak", "bare", "odd", "long"],
)
async def test_a_download_without_a_strong_etag_starts_again(
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
        Answer(
            206,
            body=bytes(len(MOVIE) - 100_000),
            headers={"Content-Range": f"bytes 100000-{len(MOVIE) - 1}/{len(MOVIE)}", "ETag": '"another"'},
        ),
        Answer(206, body=bytes(50), headers={"Content-Range": "bytes 100000-100049/100050"}),
        Answer(416, body=b"", headers={"Content-Range": "bytes */5"}),
    ],
    ids=["another piece", "an unreadable piece", "of another file", "of a file of another length", "no piece"],
)
async def test_a_range_that_was_not_requested_is_discarded(
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
        (Answer(200, body=MOVIE[:32]), "cut off"),
        (Answer(200, body=MOVIE[:200_000], headers={"Content-Length": None}), "cut off"),
    ],
    ids=["a page", "nothing", "too short", "without its index", "its index alone", "too short, of no told length"],
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
    monkeypatch.setattr(download, "_MAX_BYTES", 200_000)
    with pytest.raises(DownloadError, match="it is larger than"):
        await settle(make().download(video, tmp_path))
    assert len(files.requests) == 1
    assert list(tmp_path.iterdir()) == []


async def test_a_packed_answer_is_unpacked_only_up_to_that_size(
    make: Make, files: Storage, video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_MAX_BYTES", 10_000_000)
    bomb = gzip.compress(bytes(50_000_000), 9)
    files.answers = [Answer(200, body=bomb, headers={"Content-Encoding": "gzip"})]
    with pytest.raises(DownloadError, match="it is larger than"):
        await settle(make().download(video, tmp_path))


async def test_a_packed_video_is_unpacked(make: Make, files: Storage, video: Video, tmp_path: Path) -> None:
    files.answers = [Answer(200, body=gzip.compress(MOVIE), headers={"Content-Encoding": "gzip"})]
    assert Path((await settle(make().download(video, tmp_path))).path).read_bytes() == MOVIE


@pytest.mark.parametrize(
    "packed",
    [gzip.compress(MOVIE)[:-9], gzip.compress(MOVIE) + bytes(50_000), b"\x1f\x8b" + bytes(500)],
    ids=["cut off", "something behind it", "broken"],
)
async def test_a_broken_packing_is_no_video(
    make: Make, files: Storage, video: Video, tmp_path: Path, packed: bytes
) -> None:
    files.answers = [Answer(200, body=packed, headers={"Content-Encoding": "gzip"})] * 3
    with pytest.raises(DownloadError, match="The answer is packed, and"):
        await settle(make().download(video, tmp_path))
    assert list(tmp_path.iterdir()) == []


async def test_a_video_may_be_packed_in_several_members(
    make: Make, files: Storage, video: Video, tmp_path: Path
) -> None:
    """As a server does that packs piece by piece (RFC 1952, 2.2)."""
    packed = gzip.compress(MOVIE[:70_000]) + gzip.compress(MOVIE[70_000:])
    files.answers = [Answer(200, body=packed, headers={"Content-Encoding": "gzip"})]
    assert Path((await settle(make().download(video, tmp_path))).path).read_bytes() == MOVIE


# --- addresses expire ---


async def test_an_expired_address_is_asked_for_anew(make: Make, tmp_path: Path) -> None:
    with Emulator(speed=SPEED, signs_anew=True) as emulator:
        client = make(base_url=emulator.url)
        video = await settle(client.generate(**ASK))
        emulator.clock.advance(25 * 3600)
        saved = await settle(client.download(video, tmp_path))
    assert Path(saved.path).stat().st_size > 10_000
    assert saved.url != video.url
    assert len(emulator.tasks) == 1


async def test_an_address_that_cannot_be_had_again_is_told(make: Make, tmp_path: Path) -> None:
    with Emulator(speed=SPEED) as emulator:
        client = make(base_url=emulator.url)
        video = await settle(client.generate(**ASK))
        emulator.clock.advance(25 * 3600)
        with pytest.raises(DownloadError, match="expired") as caught:
            await settle(client.download(video, tmp_path))
    assert caught.value.task_id == video.task_id


async def test_where_an_address_is_never_signed_anew_its_end_is_told_after_one_attempt(
    make: Make, tmp_path: Path
) -> None:
    clock = Ahead()
    with Emulator(speed=SPEED) as emulator:
        client = make(base_url=emulator.url, clock=clock)
        video = await settle(client.generate(**ASK))
        clock.ahead = timedelta(hours=25)
        emulator.clock.advance(25 * 3600)
        before = len(emulator.requests)
        with pytest.raises(DownloadError, match=r"HTTP 403.*address expired on .* and no other is known") as caught:
            await settle(client.download(video, tmp_path))
        assert [request.point for request in emulator.requests[before:]] == ["download"]
    assert caught.value.spent is True
    assert f"ask the gateway's support for the file of task {video.task_id}" in caught.value.hint
    assert "can be downloaded again" not in caught.value.hint


@BOTH
async def test_a_video_that_was_saved_is_found_by_its_key_after_its_address_has_expired(
    make: Make, tmp_path: Path
) -> None:
    journal = SqlJournal(f"sqlite:///{tmp_path}/journal.db")
    clock = Ahead()
    with Emulator(speed=SPEED) as emulator:
        client = make(base_url=emulator.url, clock=clock, journal=journal, save_to=tmp_path)
        video = await settle(client.generate(**ASK, key="cat"))
        clock.ahead = timedelta(hours=25)
        emulator.clock.advance(25 * 3600)
        assert (await settle(client.generate(**ASK, key="cat"))).path == video.path
        assert len(emulator.tasks) == 1
    journal.close()


async def test_when_the_gateway_cannot_be_asked_anew_the_old_address_is_tried(
    make: Make, files: Storage, video: Video, tmp_path: Path
) -> None:
    """This machine's clock may be wrong about what has expired."""
    clock = Ahead()
    clock.ahead = timedelta(hours=25)
    gateway = Storage()
    gateway.answers = [Answer(404, body=b'{"error": {"message": "task not found"}}')] * 5
    with serving(gateway):
        client = make(gateway="uniall", base_url=gateway.url, clock=clock)
        saved = await settle(client.download(video.model_copy(update={"gateway": "uniall"}), tmp_path))
    assert gateway.requests
    assert Path(saved.path).read_bytes() == MOVIE


# --- and the journal knows ---


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqlJournal]:
    kept = SqlJournal(f"sqlite:///{tmp_path}/journal.db")
    yield kept
    kept.close()


async def test_where_a_video_was_saved_stays_known_however_often_it_is_looked_at(
    make: Make, journal: SqlJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And from any folder: the journal has the whole path."""
    clock = Ahead()
    monkeypatch.chdir(tmp_path)
    with Emulator(speed=SPEED) as emulator:
        client = make(base_url=emulator.url, clock=clock, journal=journal, save_to="videos")
        video = await settle(client.generate(**ASK, key="cat"))
        assert video.path == f"videos/{video.task_id}.mp4"
        assert (await settle(client.fetch(video.task_id))).status is TaskStatus.SUCCEEDED
        await settle(client.wait(video.task_id))
        clock.ahead = timedelta(hours=25)
        emulator.clock.advance(25 * 3600)
        monkeypatch.chdir("/")
        again = await settle(client.generate(**ASK, key="cat"))
        assert len(emulator.tasks) == 1
    assert again.path == f"{tmp_path}/videos/{video.task_id}.mp4"


async def test_a_video_that_was_made_stays_made_whatever_the_gateway_says_later(
    make: Make, emulator: Emulator, journal: SqlJournal
) -> None:
    client = make(journal=journal)
    video = await settle(client.generate(**ASK, key="cat"))
    said = {"task_id": video.task_id, "status": "failed", "metadata": {"output": {"task_status": "FAILED"}}}
    gateway = Storage(json.dumps(said).encode())
    with serving(gateway):
        later = await settle(make(base_url=gateway.url, journal=journal).fetch(video.task_id))
    assert later.status is TaskStatus.FAILED
    assert (await settle(client.generate(**ASK, key="cat"))).task_id == video.task_id
    assert len(emulator.tasks) == 1


class FastForward(HurriedClock):
    """A clock whose moments pass as quickly as its seconds: leases are judged by moments."""

    def __init__(self) -> None:
        self._start = datetime.now(UTC), self.monotonic()

    def utcnow(self) -> datetime:
        moment, seconds = self._start
        return moment + timedelta(seconds=self.monotonic() - seconds)


@pytest.mark.parametrize("emulator", [40], indirect=True)
def test_a_long_download_renews_the_lease_of_its_entry(
    emulator: Emulator, options: dict[str, Any], journal: SqlJournal, tmp_path: Path
) -> None:
    emulator.faults.add("download", "slow", times=None, bytes_per_second=70_000.0)
    client = NebulaVideoClient(**options, journal=journal, save_to=tmp_path / "videos", clock=FastForward())
    held_until: set[datetime | None] = set()
    with ThreadPoolExecutor() as pool:
        video = pool.submit(client.generate, **ASK, key="cat")
        while not video.done():
            if list((tmp_path / "videos").glob(".*.part")):
                held_until.add(journal.entries()[0].held_until)
            time.sleep(0.05)
    assert len(held_until - {None}) > 1
    assert journal.entries()[0].holder is None
