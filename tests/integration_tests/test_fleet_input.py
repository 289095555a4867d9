"""Bad input: each row that cannot become a video is kept apart with its place and a reason, and the rest runs."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from langchain_nebula_video import InvalidRequestError
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.fleet import Fleet, ItemState
from tests.conftest import png
from tests.fleets import all_results, asks, assert_counts_hold, batch_status, items_of, submits_of, working

PRICE = Decimal("0.1845")
LARGE = "x" * 1_000_000


async def test_every_kind_of_broken_row_is_kept_apart_and_the_rest_runs(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "empty.png").write_bytes(b"")
    good = asks(1)[0]
    broken: dict[str, tuple[Any, str]] = {
        "no dict": (["a", "list"], "list"),
        "nothing": ({}, ""),
        "no prompt and no image": ({"prompt": ""}, "no image"),
        "a prompt of a million characters": ({**good, "prompt": LARGE}, "prompt"),
        "half a character": ({**good, "prompt": "a \ud83d cat"}, "half a character"),
        "half a character in a key": ({**good, "key": "\ud83d"}, "key"),
        "an unknown field": ({**good, "promt": "A cat"}, "promt"),
        "a duration of words": ({**good, "duration": "long"}, "duration"),
        "a resolution that is none": ({**good, "resolution": "9000p"}, "resolution"),
        "a file that is not there": ({**good, "image": tmp_path / "gone.png"}, "gone.png"),
        "a folder": ({**good, "image": tmp_path}, ""),
        "a broken image": ({**good, "image": tmp_path / "broken.png"}, "image"),
        "an image that is text": ({**good, "image": tmp_path / "text.jpg"}, "image"),
        "an empty image": ({**good, "image": tmp_path / "empty.png"}, "image"),
        "a key that is a number": ({**good, "key": 17}, "key"),
        "an empty key": ({**good, "key": ""}, "key"),
        "a key with a NUL": ({**good, "key": "a\0b"}, "key"),
        "a key like that of a repetition": ({**good, "key": "a#attempt-2"}, "key"),
    }
    rows: list[Any] = []
    for place, (row, _) in broken.items():
        rows += [{**row, "place": place} if isinstance(row, dict) else row]
        rows += [{**good, "prompt": f"After {place}"}]

    told = await fleet.submit_many(rows, batch="a", **fleet_options)
    found = dict(await fleet.broken("a"))
    assert set(found) == {*(place for place in broken if place != "no dict"), "row 1"}
    found["no dict"] = found.pop("row 1")
    for place, (_, word) in broken.items():
        assert word in found[place], place
        assert found[place].endswith("."), place
        assert len(found[place]) < 2000, "a reason is not the row"
    assert (told.added, told.broken) == (len(broken), len(broken))

    async with working(fleet_url):
        results = await all_results(fleet, "a")
    assert {result.state for result in results} == {ItemState.DONE}
    assert (await batch_status(fleet, "a")).broken == len(broken)
    assert sum(submits_of(emulator).values()) == len(broken)


async def test_what_is_odd_and_right_arrives_as_it_is(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    prompts = [
        "tab\there",
        "line\nbreak",
        "back\\slash \\N \\.",
        "nul \0 here",
        "猫\u202e🐈",
        "{'a': \"b\"}",
        "x" * 790,
    ]
    keys = ["back\\slash", "\\N", "猫", "a b", "'; DROP TABLE nebula_fleet_items; --", "%s %(a)s", "x" * 900]
    rows = [{**asks(1)[0], "prompt": prompt, "key": key} for prompt, key in zip(prompts, keys, strict=True)]
    told = await fleet.submit_many(rows, batch="naïve 'batch' \\ %s", **fleet_options)
    assert (told.added, told.first_broken) == (7, [])
    async with working(fleet_url):
        results = await all_results(fleet, "naïve 'batch' \\ %s")
    assert [result.key for result in results] == keys
    assert {result.state for result in results} == {ItemState.DONE}
    assert submits_of(emulator) == dict.fromkeys(prompts, 1)


async def test_a_key_that_stands_for_two_videos_makes_the_second_row_a_broken_one(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    first, second, third = asks(3)
    rows = [{**first, "key": "a"}, {**second, "key": "b"}, {**third, "key": "a", "place": "list.csv:4"}]
    told = await fleet.submit_many(rows, batch="one", **fleet_options)
    assert (told.added, told.present, told.broken, told.usd) == (2, 0, 1, 2 * PRICE)
    ((place, reason),) = await fleet.broken("one")
    assert place == "list.csv:4"
    assert reason.startswith("The key 'a' is that of another video: of an earlier row, in the batch ")
    again = await fleet.submit_many(rows, batch="one", **fleet_options)
    assert (again.added, again.present, again.broken) == (0, 2, 1)
    other = await fleet.submit_many([{**first, "key": "b"}, {**second, "key": "b"}], batch="two", **fleet_options)
    assert (other.added, other.present, other.elsewhere, other.broken) == (0, 1, 1, 1)
    assert [place for place, _ in await fleet.broken("two")] == ["row 1"]
    assert_counts_hold(fleet_url)


async def test_the_same_file_under_another_name_is_the_same_video(
    fleet: Fleet, fleet_options: dict[str, Any], tmp_path: Path
) -> None:
    for name in ("one.png", "two.png"):
        (tmp_path / name).write_bytes(png(640, 480))
    rows = [{**asks(1)[0], "image": tmp_path / name, "key": "a"} for name in ("one.png", "two.png")]
    told = await fleet.submit_many(rows, batch="a", **fleet_options)
    assert (told.added, told.present, told.broken) == (1, 1, 0)


async def test_an_image_that_vanishes_fails_its_item_and_no_other(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator, tmp_path: Path
) -> None:
    """With `by_path` the workers read it. Otherwise it is in the database, and may go."""
    for name in ("stays.png", "goes.png", "stored.png"):
        (tmp_path / name).write_bytes(png(640, 480, "teal" if name == "goes.png" else "red"))
    rows = [{**asks(1)[0], "image": tmp_path / name} for name in ("stays.png", "goes.png")]
    await fleet.submit_many(rows, batch="by path", by_path=True, **fleet_options)
    stored = {**asks(1)[0], "image": tmp_path / "stored.png", "prompt": "Stored"}
    await fleet.submit_many([stored], batch="stored", **fleet_options)
    (tmp_path / "goes.png").unlink()
    (tmp_path / "stored.png").unlink()
    async with working(fleet_url):
        results = await all_results(fleet, "by path")
        (made,) = await all_results(fleet, "stored")
    assert [result.state for result in results] == ["done", "failed"]
    assert "goes.png" in (results[1].error or "")
    assert "Nothing was" in (results[1].error or "")
    assert made.state is ItemState.DONE
    assert [item["reserved"] for item in items_of(fleet_url, "by path")] == [True, False]
    (tmp_path / "goes.png").write_bytes(png(640, 480))
    await fleet.retry("by path")
    async with working(fleet_url):
        results = await all_results(fleet, "by path")
    assert {result.state for result in results} == {ItemState.DONE}
    assert emulator.bill.usd == 3 * PRICE


@pytest.mark.parametrize(
    "change", [{"poll_interval": 7}, {"base_url": "https://example.com"}, {"save_to": "/tmp/elsewhere"}, {"fit": True}]
)
async def test_other_options_for_a_batch_that_is_there_are_refused_with_their_names(
    change: dict[str, Any], fleet: Fleet, fleet_options: dict[str, Any]
) -> None:
    await fleet.submit_many(asks(1), batch="a", **fleet_options)
    name = "the account" if "base_url" in change else next(iter(change))
    with pytest.raises(InvalidRequestError, match=f"'a' already, and it differs in {name}"):
        await fleet.submit_many(asks(2), batch="a", **{**fleet_options, **change})
    assert (await batch_status(fleet, "a")).size == 1
