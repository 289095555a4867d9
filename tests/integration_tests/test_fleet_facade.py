"""`Fleet` as a program uses it: lists of any form, results as they end, and the steering."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from PIL import Image

from langchain_nebula_video import InvalidRequestError, JournalError, VideoRequest
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.fleet import BatchState, Fleet, ItemState, Result, results
from tests.conftest import png
from tests.fleets import PATIENCE, asks, query, until, working
from tests.postgres import Server
from tests.tables import each_row


async def collect(fleet: Fleet, batch: str, **more: Any) -> list[Result]:
    async def every() -> list[Result]:
        return [result async for result in fleet.results(batch, **more)]

    return await asyncio.wait_for(every(), PATIENCE)


def picture(color: str) -> Image.Image:
    return Image.new("RGB", (400, 400), color)


def jpeg(color: str) -> bytes:
    written = io.BytesIO()
    picture(color).save(written, "JPEG")
    return written.getvalue()


# --- handing over ---


async def test_a_list_is_made_and_each_item_comes_once_in_the_order_of_ending(
    fleet: Fleet, fleet_url: str, options: dict[str, Any]
) -> None:
    added = await fleet.submit_many(asks(30), batch="takes", **options)
    assert (added.added, added.broken) == (30, 0)
    async with working(fleet_url):
        found = await collect(fleet, "takes")
    assert {result.state for result in found} == {ItemState.DONE}
    assert sorted(result.number for result in found) == list(range(1, 31))
    assert [result.at for result in found] == sorted(result.at for result in found)


async def test_images_of_every_form_are_made_by_a_worker_that_has_the_database_alone(
    fleet: Fleet, fleet_url: str, options: dict[str, Any], tmp_path: Path, emulator: Emulator
) -> None:
    file = tmp_path / "red.jpg"
    file.write_bytes(jpeg("red"))
    opened = io.BytesIO(jpeg("green"))
    rows: list[Any] = [
        {"prompt": "An address", "image": "https://example.com/cat.jpg"},
        {"prompt": "Bytes", "image": jpeg("blue"), "tag": {"row": 2}},
        {"prompt": "A path", "image": file},
        {"prompt": "An open file", "image": opened},
        {"prompt": "A picture", "image": picture("yellow")},
        VideoRequest(prompt="A request", image=jpeg("black")),
        {"prompt": "A key", "image": jpeg("white"), "key": "mine"},
    ]
    added = await fleet.submit_many(rows, batch="forms", save_to=tmp_path / "videos", **options)
    assert added.added == len(rows)
    file.unlink()
    async with working(fleet_url):
        found = {result.number: result for result in await collect(fleet, "forms")}
    assert {number: result.error for number, result in found.items()} == dict.fromkeys(range(1, len(rows) + 1))
    assert all(result.video and Path(result.video.path or "").is_file() for result in found.values())
    assert (found[2].tag, found[7].key) == ({"row": 2}, "mine")
    assert len(emulator.tasks) == len(rows)


async def test_generators_and_async_streams_are_lists_too(fleet: Fleet, options: dict[str, Any]) -> None:
    def blocking() -> Iterator[dict[str, Any]]:
        assert threading.current_thread() is not threading.main_thread()
        yield from asks(3)

    async def stream() -> AsyncIterator[dict[str, Any]]:
        for row in [*asks(5), {"prompt": "", "place": "line 10"}, {"prompt": "", "place": "line 7"}, {"prompt": ""}]:
            await asyncio.sleep(0)
            yield row

    assert (await fleet.submit_many(blocking(), batch="takes", **options)).added == 3
    added = await fleet.submit_many(stream(), batch="takes", **options)
    assert (added.added, added.present, added.broken) == (2, 3, 3)
    assert [place for place, _ in await fleet.broken("takes")] == ["line 7", "line 10", "row 8"]


@pytest.mark.parametrize("as_stream", [False, True])
async def test_a_row_that_was_corrected_is_broken_no_more(
    fleet: Fleet, options: dict[str, Any], *, as_stream: bool
) -> None:
    async def stream(rows: list[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
        for row in rows:
            yield row

    async def hand_over(rows: list[dict[str, Any]]) -> list[str]:
        await fleet.submit_many(stream(rows) if as_stream else rows, batch="takes", **options)
        return [place for place, _ in await fleet.broken("takes")]

    rows = asks(4)
    broken = [rows[0], {"prompt": ""}, {"prompt": ""}, {"prompt": "", "place": "line 9"}]
    assert await hand_over(broken) == ["line 9", "row 2", "row 3"]
    assert await hand_over(broken) == ["line 9", "row 2", "row 3"]
    assert await hand_over([rows[0], rows[1], {"prompt": ""}, {**rows[3], "place": "line 9"}]) == ["row 3"]
    assert await hand_over([rows[0], rows[1], rows[2], rows[3]]) == []


async def test_another_list_of_the_batch_mends_no_row_that_only_has_the_same_number(
    fleet: Fleet, options: dict[str, Any]
) -> None:
    await fleet.submit_many([*asks(3), {"prompt": ""}], batch="takes", **options)
    await fleet.submit_many(asks(4, seed=2), batch="takes", **options)
    assert [place for place, _ in await fleet.broken("takes")] == ["row 4"]


async def test_a_slow_stream_is_handed_over_while_it_goes_on(
    fleet: Fleet, fleet_url: str, options: dict[str, Any]
) -> None:
    seen = asyncio.Event()

    async def stream() -> AsyncIterator[dict[str, Any]]:
        yield asks(1)[0]
        await seen.wait()
        yield asks(2)[1]

    handing = asyncio.create_task(fleet.submit_many(stream(), batch="takes", **options))
    async with working(fleet_url):
        await until(lambda: _done(fleet, 1), "the first one's end")
        seen.set()
        assert (await handing).added == 2
        assert len(await collect(fleet, "takes")) == 2


async def _done(fleet: Fleet, count: int) -> bool:
    batches = (await fleet.status()).batches
    return bool(batches) and batches[0].counts.get(ItemState.DONE, 0) >= count


async def test_a_list_that_fails_in_its_middle_may_be_handed_over_again(fleet: Fleet, options: dict[str, Any]) -> None:
    async def breaks() -> AsyncIterator[dict[str, Any]]:
        for row in asks(4000):
            yield row
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        await fleet.submit_many(breaks(), batch="takes", **options)
    added = await fleet.submit_many(asks(4001), batch="takes", **options)
    assert added.added + added.present == 4001
    assert (await fleet.status("takes")).batches[0].size == 4001


async def test_the_thread_of_an_endless_list_ends_when_its_caller_gives_up(
    fleet: Fleet, options: dict[str, Any]
) -> None:
    ended, begun = threading.Event(), threading.Event()

    def endless() -> Iterator[dict[str, Any]]:
        try:
            while True:
                begun.set()
                yield asks(1)[0]
        finally:
            ended.set()

    handing = asyncio.create_task(fleet.submit_many(endless(), batch="takes", **options))
    await asyncio.to_thread(begun.wait)
    handing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handing
    assert await asyncio.to_thread(ended.wait, PATIENCE)


@each_row(
    ("given", "complaint"),
    [
        ({"prioriti": 3}, "Did you mean priority"),
        ({"save_too": "x"}, "Did you mean save_to"),
        ({"resolution": "480p"}, 'defaults={"resolution"'),
        ({"defaults": {"resolutoin": "480p"}}, "Did you mean resolution"),
        ({"journal": "x.db"}, "Give it to the workers"),
        ({"image_store": lambda data: data}, "Give it to the workers"),
        ({"budget": "a lot"}, "Give US dollars"),
        ({"budget": -1}, "Give US dollars"),
        ({"not_before": datetime(2030, 1, 1)}, "no time zone"),  # noqa: DTZ001 that is what is refused
        ({"hours": "at night"}, "22:00-06:00"),
        ({"batch": " "}, "no name of a batch"),
        ({"batch": "a\0b"}, "no name of a batch"),
        ({"rows": {"prompt": "one"}}, "no list of rows"),
        ({"rows": VideoRequest(prompt="one")}, "no list of rows"),
        ({"rows": None}, "no list of rows"),
    ],
)
async def test_what_cannot_be_is_refused_and_nothing_is_handed_over(
    fleet: Fleet, options: dict[str, Any], given: dict[str, Any], complaint: str
) -> None:
    more: dict[str, Any] = {"rows": asks(1), "batch": "takes", **options, **given}
    with pytest.raises(InvalidRequestError) as refused:
        await fleet.submit_many(more.pop("rows"), **more)
    assert complaint in str(refused.value)
    assert (await fleet.status()).batches == ()


async def test_a_local_folder_means_the_same_to_a_worker_in_another_one(
    fleet: Fleet, fleet_url: str, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    await fleet.submit_many(asks(1), batch="takes", save_to="videos", **options)
    monkeypatch.chdir(tmp_path)
    async with working(fleet_url):
        (result,) = await collect(fleet, "takes")
    assert result.video is not None
    assert Path(result.video.path or "").parent == tmp_path / "here" / "videos"


# --- results ---


async def end(connection: psycopg.AsyncConnection[Any], key: str) -> None:
    await connection.execute(
        "UPDATE nebula_fleet_items SET state = 'failed', error = 'x', updated_at = clock_timestamp() WHERE key = %s",
        [key],
    )


async def test_an_item_whose_transaction_commits_late_comes_in_its_place(
    fleet: Fleet, fleet_url: str, options: dict[str, Any]
) -> None:
    """So a reader that begins again after the last result misses none."""
    await fleet.submit_many([{**row, "key": row["prompt"]} for row in asks(3)], batch="takes", **options)
    async with await connect(fleet_url) as slow, await connect(fleet_url, unlike=slow) as quick:
        await slow.execute("BEGIN")
        await end(slow, "Take 1")
        await end(quick, "Take 2")
        assert await collect(fleet, "takes", wait=False) == []
        await slow.commit()
    first, second = await collect(fleet, "takes", wait=False)
    assert (first.key, second.key) == ("Take 1", "Take 2")
    for since in (first, first.at):
        assert [result.key for result in await collect(fleet, "takes", wait=False, since=since)] == ["Take 2"]
    assert await collect(fleet, "takes", wait=False, since=second) == []


async def test_items_that_ended_at_one_moment_come_once_each_over_any_number_of_pages(
    fleet: Fleet, fleet_url: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "_PAGE", 7)
    await fleet.submit_many(asks(50), batch="takes", **options)
    await fleet.cancel("takes")
    query(fleet_url, "UPDATE nebula_fleet_items SET updated_at = '2026-11-27 00:00:00 UTC' WHERE n > 20")
    found = await collect(fleet, "takes")
    assert sorted(result.number for result in found) == list(range(1, 51))
    assert [(result.at, result.key) for result in found] == sorted((result.at, result.key) for result in found)
    rest = await collect(fleet, "takes", since=found[40])
    assert [result.key for result in rest] == [result.key for result in found[41:]]


async def connect(url: str, unlike: psycopg.AsyncConnection[Any] | None = None) -> psycopg.AsyncConnection[Any]:
    """Connect, and count in another slot than `unlike` does: neither waits for the other."""
    while True:
        made = await psycopg.AsyncConnection.connect(url, autocommit=True)
        if unlike is None or (made.info.backend_pid - unlike.info.backend_pid) % 16:
            return made
        await made.close()


async def test_results_go_on_when_the_database_comes_back(
    fleet: Fleet, fleet_url: str, server: Server, options: dict[str, Any]
) -> None:
    await fleet.submit_many(asks(20), batch="takes", budget="0.95", **options)
    found: list[int] = []

    async def read() -> None:
        async for result in fleet.results("takes"):
            found.append(result.number)  # noqa: PERF401 it is looked at meanwhile

    reading = asyncio.create_task(read())
    async with working(fleet_url):
        await until(lambda: len(found) == 5, "the fifth result, after which the budget is used up")
        await asyncio.to_thread(server.stop, "immediate")
        await asyncio.sleep(1.5)
        assert not reading.done()
        await asyncio.to_thread(server.start)
        await fleet.change_batch("takes", budget="10.00")
        await fleet.resume("takes")
        await asyncio.wait_for(reading, PATIENCE)
    assert sorted(found) == list(range(1, 21))


async def test_a_database_that_is_away_from_the_start_is_told_at_once(server: Server) -> None:
    with pytest.raises(JournalError, match="did not work"):
        await collect(Fleet(server.url("there_is_none")), "takes")


async def test_one_item_is_found_by_its_key_before_and_after_its_end(
    fleet: Fleet, fleet_url: str, options: dict[str, Any]
) -> None:
    await fleet.submit_many(asks(1, key="order-17", tag=["a"]), batch="takes", **options)
    before = await fleet.result("order-17")
    assert before is not None
    assert (before.batch, before.state, before.ended, before.video) == ("takes", ItemState.WAITING, False, None)
    async with working(fleet_url):
        await collect(fleet, "takes")
    after = await fleet.result("order-17")
    assert after is not None
    assert (after.ended, after.tag, after.usd) == (True, ["a"], Decimal("0.1845"))
    assert await fleet.result("order-18") is None


async def test_what_failed_is_told_by_the_image_or_address_that_its_row_had(
    fleet: Fleet, fleet_url: str, options: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "cat.png").write_bytes(png(400, 400))
    images = [tmp_path / "cat.png", "https://example.com/cat.png?signature=secret", png(400, 401)]
    rows = [{"image": image, "prompt": f"Cat {n}", "tag": n} for n, image in enumerate(images)]
    await fleet.submit_many(rows, batch="takes", paused=True, **options)
    assert await fleet.failures("takes") == []
    query(
        fleet_url,
        "UPDATE nebula_fleet_items SET error = 'refused', state = CASE n WHEN 1 THEN 'unconfirmed' ELSE 'failed' END",
    )
    found = await fleet.failures("takes")
    assert [each.image for each in found] == ["cat.png", "https://example.com/cat.png", None]
    assert [(each.number, each.tag, each.prompt) for each in found] == [(n + 1, n, f"Cat {n}") for n in range(3)]
    assert [each.state for each in found] == [ItemState.UNCONFIRMED, ItemState.FAILED, ItemState.FAILED]
    assert {each.error for each in found} == {"refused"}


# --- steering ---


async def test_a_batch_is_steered(fleet: Fleet, fleet_url: str, options: dict[str, Any]) -> None:
    await fleet.submit_many(asks(4), batch="takes", paused=True, **options)
    await fleet.change_batch("takes", budget="1.00", priority=7, hours="22:00-06:00", not_before=datetime.now(UTC))
    (batch,) = (await fleet.status("takes")).batches
    assert (batch.state, batch.budget, batch.priority) == (BatchState.PAUSED, Decimal("1.00"), 7)
    assert batch.hours == "22:00-06:00 UTC"
    await fleet.change_batch("takes", without=["budget", "hours"])
    (batch,) = (await fleet.status("takes")).batches
    assert (batch.budget, batch.hours, batch.priority, batch.not_before is None) == (None, None, 7, False)
    with pytest.raises(InvalidRequestError, match="'priority' is no limit of a batch"):
        await fleet.change_batch("takes", without=["priority"])
    assert await fleet.cancel("takes") == 4
    assert {result.state for result in await collect(fleet, "takes")} == {ItemState.CANCELED}
    assert await fleet.resume("takes") == 4
    with pytest.raises(InvalidRequestError, match="is no state"):
        await fleet.retry("takes", ["faild"])
    with pytest.raises(InvalidRequestError, match="are not tried again"):
        await fleet.retry("takes", "done")
    assert await fleet.retry("takes", ["failed", "unconfirmed"]) == 0
    assert await fleet.forget("takes") == 4
    with pytest.raises(InvalidRequestError, match="There is no batch 'takes'"):
        await fleet.pause("takes")


async def test_a_batch_is_forgotten_as_empty_only_if_it_is(fleet: Fleet, options: dict[str, Any]) -> None:
    await fleet.submit_many(asks(1), batch="takes", paused=True, **options)
    assert await fleet.forget_empty("takes") is False
    await fleet.submit_many([{"image": 7}], batch="odd", **options)
    assert len(await fleet.broken("odd")) == 1
    assert await fleet.forget_empty("odd") is True
    assert [each.name for each in (await fleet.status()).batches] == ["takes"]


async def test_an_account_is_steered_and_another_key_pays_on(
    fleet: Fleet, fleet_url: str, options: dict[str, Any], emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fleet.submit_many(asks(2), batch="takes", **options)
    (old,) = (await fleet.status()).accounts
    await fleet.change_account(old.id, cap=5, rate=60, paused=True, reason="the bill")
    (account,) = (await fleet.status()).accounts
    assert (account.cap, account.rate, account.needs_a_person, account.reason) == (5, 60, True, "the bill")
    emulator.add_account("sk-another-0123456789", balance=10)
    with pytest.raises(InvalidRequestError, match="There is no account 'x'"):
        await fleet.replace_key("x")
    with pytest.raises(InvalidRequestError, match="is the one that is here"):
        await fleet.replace_key(old.id)
    new, moved = await fleet.replace_key(old.id, "sk-another-0123456789")
    assert (moved, {each.id for each in (await fleet.status()).accounts}) == (["takes"], {old.id, new})
    monkeypatch.setenv("NEBULA_API_KEY", "sk-another-0123456789")
    async with working(fleet_url):
        assert {result.state for result in await collect(fleet, "takes")} == {ItemState.DONE}
