"""Handing lists to a fleet: what each row adds, and what the same rows once more do not."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from langchain_nebula_video.fleet import Fleet
from langchain_nebula_video.fleet.enqueue import _CHUNK
from tests.fleets import asks, assert_counts_hold, batch_status, connected, items_of, query

MANY = 2 * _CHUNK + 5


def rows_written(url: str) -> int:
    """How many rows of items have been inserted, updated or deleted, those of failed statements included."""
    with connected(url) as connection:
        connection.execute("SELECT pg_stat_clear_snapshot()")
        row = connection.execute(
            "SELECT n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables WHERE relname = 'nebula_fleet_items'"
        ).fetchone()
    assert row is not None
    return int(row[0])


async def test_a_long_list_keeps_its_order_over_several_transactions_and_again_it_writes_nothing(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    rows = asks(MANY)
    told = await fleet.submit_many(rows, batch="takes", **fleet_options)
    assert (told.added, told.present, told.elsewhere, told.broken) == (MANY, 0, 0, 0)
    items = items_of(fleet_url, "takes")
    assert [item["n"] for item in items] == [*range(1, MANY + 1)]
    prompts = query(fleet_url, "SELECT request->>'prompt' FROM nebula_fleet_items ORDER BY n")
    assert [prompt for (prompt,) in prompts] == [row["prompt"] for row in rows]
    assert_counts_hold(fleet_url)

    before = rows_written(fleet_url)
    again = await fleet.submit_many(rows, batch="takes", **fleet_options)
    assert (again.added, again.present, again.elsewhere, again.usd) == (0, MANY, 0, told.usd)
    assert items_of(fleet_url, "takes") == items
    assert rows_written(fleet_url) == before
    assert_counts_hold(fleet_url)


async def test_a_row_that_is_in_another_batch_adds_nothing_and_is_told(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    await fleet.submit_many(asks(3), batch="first", **fleet_options)
    told = await fleet.submit_many(asks(5), batch="second", **fleet_options)
    assert (told.added, told.present, told.elsewhere) == (2, 3, 3)
    assert (await batch_status(fleet, "second")).size == 2
    assert_counts_hold(fleet_url)


async def test_of_two_videos_with_the_same_key_the_first_counts_and_the_other_row_is_told(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    rows = [{**row, "key": f"take-{place % 12}"} for place, row in enumerate(asks(24))]
    told = await fleet.submit_many(rows, batch="takes", **fleet_options)
    assert (told.added, told.present, told.broken) == (12, 0, 12)
    found = query(fleet_url, "SELECT request->>'prompt' FROM nebula_fleet_items ORDER BY n")
    assert [prompt for (prompt,) in found] == [row["prompt"] for row in rows[:12]]


@pytest.mark.parametrize("tag", [None, "", "a\tb\\n\n\r\x00\x1f", 7, True, 1.5, ["x", {"y": None}], "\ud83d"])
async def test_keys_prompts_and_tags_come_back_as_they_were_given(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], tag: Any
) -> None:
    prompts = ["plain", "a\tb\nc", "back\\slash \\N", 'quo"te', "猫 \N{CAT FACE}", "a\x00b\x1fc"]
    keys = ["plain", "with space", "back\\slash", "猫", "-", "\\N"]
    rows = [{**asks(1)[0], "prompt": prompt, "key": key, "tag": tag} for prompt, key in zip(prompts, keys, strict=True)]
    rows += [{**asks(1)[0], "prompt": prompt, "tag": tag} for prompt in prompts]
    told = await fleet.submit_many(rows, batch="takes", **fleet_options)
    assert (told.added, told.first_broken) == (12, [])
    with connected(fleet_url) as connection:
        found = connection.execute("SELECT key, request, tag FROM nebula_fleet_items ORDER BY n").fetchall()
    assert [key for key, *_ in found[:6]] == keys
    assert [request["prompt"] for _, request, _ in found] == prompts * 2
    assert all(type(each) is type(tag) and each == tag for *_, each in found)


@pytest.mark.parametrize("key", ["a\x1fb", "a\x00b", "a\nb", "a#attempt-2", "", 7])
async def test_a_key_that_cannot_be_one_makes_a_broken_row_and_the_rest_is_added(
    fleet: Fleet, fleet_options: dict[str, Any], key: Any
) -> None:
    rows = [{**asks(1)[0], "key": key, "place": "list.csv:2\x00"}, *asks(2)]
    told = await fleet.submit_many(rows, batch="takes", **fleet_options)
    assert (told.added, told.broken) == (2, 1)
    ((place, reason),) = await fleet.broken("takes")
    assert place.startswith("list.csv:2")
    assert "key" in reason


async def test_a_list_whose_reading_fails_has_added_what_was_read_before(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield from asks(_CHUNK)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        await fleet.submit_many(rows(), batch="takes", **fleet_options)
    assert (await batch_status(fleet, "takes")).size == _CHUNK
    assert_counts_hold(fleet_url)


async def test_the_next_rows_are_read_while_the_database_has_not_answered(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    read_on = threading.Event()

    def rows() -> Iterator[dict[str, Any]]:
        yield from asks(_CHUNK)
        read_on.set()
        found = query(fleet_url, "SELECT FROM nebula_fleet_items LIMIT 1")
        holder.rollback()  # now they may be written
        assert not found, "the first rows waited for nothing"

    await fleet.submit_many([], batch="takes", **fleet_options)
    with connected(fleet_url) as holder:
        holder.autocommit = False
        holder.execute("LOCK nebula_fleet_items IN SHARE MODE")
        told = await fleet.submit_many(rows(), batch="takes", **fleet_options)
    assert read_on.is_set()
    assert told.added == _CHUNK


async def test_lists_that_are_handed_over_at_once_leave_the_process_as_it_was(
    fleet: Fleet, fleet_options: dict[str, Any]
) -> None:
    usual = sys.getswitchinterval()
    ended = threading.Event()

    def lasting() -> Iterator[dict[str, Any]]:
        yield from asks(2)
        assert ended.wait(30)

    def brief() -> Iterator[dict[str, Any]]:
        yield from asks(2, prompt="The dog barks")

    longer = asyncio.create_task(fleet.submit_many(lasting(), batch="longer", **fleet_options))
    while sys.getswitchinterval() == usual:  # noqa: ASYNC110 the interval tells nobody that it changes
        await asyncio.sleep(0.01)
    await fleet.submit_many(brief(), batch="brief", **fleet_options)
    assert sys.getswitchinterval() < usual
    ended.set()
    await longer
    assert sys.getswitchinterval() == usual
