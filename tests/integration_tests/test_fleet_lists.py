"""Lists that somebody else wrote: odd rows, keys that are taken, prices that are not known."""

from __future__ import annotations

import math
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from langchain_nebula_video import InvalidRequestError
from langchain_nebula_video.catalog.gateways import find_gateway
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.fleet import Fleet, ItemState
from tests.conftest import png
from tests.fleets import all_results, asks, assert_counts_hold, batch_status, items_of, query, submits_of, working
from tests.gateways import ASK

ODD_ROWS: dict[str, dict[str, Any]] = {
    "a key with a zero byte": {"key": "a\0b"},
    "a key that no index takes": {"key": uuid.uuid4().hex * 100},
    "a key like that of a second attempt": {"key": "order-1#attempt-2"},
    "a key that is made of another video": {"key": "batch-" + "0" * 32},
    "a key that is no text": {"key": 5},
    "a tag that is no number": {"tag": math.nan},
    "a tag that JSON cannot have": {"tag": {(1, 2): 3}},
    "a place that no index takes": {"place": "".join(uuid.uuid4().hex for _ in range(200)), "duration": -1},
    "a place with a zero byte": {"place": "a\0b", "duration": -1},
    "a place with half a character": {"place": "\udcff.png", "duration": -1},
}


async def test_an_odd_row_is_broken_and_keeps_no_other_one(fleet: Fleet, fleet_options: dict[str, Any]) -> None:
    for number, (odd, row) in enumerate(ODD_ROWS.items()):
        rows = [{**ASK, "prompt": odd, **row}, {**ASK, "prompt": f"beside {odd}"}]
        told = await fleet.submit_many(rows, batch="odd", **fleet_options)
        assert (told.added, told.broken) == (1, 1), odd
        assert len(await fleet.broken("odd")) <= number + 1
    assert (await batch_status(fleet, "odd")).size == len(ODD_ROWS)


@pytest.mark.parametrize("name", ["x" * 501, "one\ntwo", "\u202eoverride", " "])
async def test_a_name_that_no_batch_can_have_is_refused(fleet: Fleet, fleet_options: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidRequestError, match="no name of a batch"):
        await fleet.submit_many(asks(1), batch=name, **fleet_options)


async def test_a_key_of_another_video_gets_nobody_that_one(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    """Two tables whose rows are named by their numbers."""
    cats = [{**ASK, "prompt": f"cat {number}", "key": str(number)} for number in range(3)]
    dogs = [
        {**ASK, "prompt": f"dog {number}", "key": str(number), "place": f"dogs.csv, {number}"} for number in range(4)
    ]
    await fleet.submit_many(cats, batch="cats", **fleet_options)

    looked = await fleet.preview(dogs, batch="dogs", **fleet_options)
    told = await fleet.submit_many(dogs, batch="dogs", **fleet_options)

    assert (looked.new, looked.present, looked.elsewhere, looked.broken) == (1, 0, 0, 3)
    assert (told.added, told.present, told.elsewhere, told.broken) == (1, 0, 0, 3)
    assert told.usd == Decimal("0.1845")
    place, reason = (await fleet.broken("dogs"))[0]
    assert place == "dogs.csv, 0"
    assert "The key '0' is that of another video: of an earlier row, in the batch 'cats'" in reason

    async with working(fleet_url):
        made = [*await all_results(fleet, "cats"), *await all_results(fleet, "dogs")]
    assert [result.key for result in made] == ["0", "1", "2", "3"]
    assert submits_of(emulator) == {"cat 0": 1, "cat 1": 1, "cat 2": 1, "dog 3": 1}


async def test_the_same_video_under_its_own_key_is_there_already(fleet: Fleet, fleet_options: dict[str, Any]) -> None:
    """However the row is written: the default that is said, a number as a text, another signature."""
    first = {"prompt": "x", "image": "https://example.com/cat.png?Signature=1&Expires=1", "key": "one"}
    again = {**first, "image": "https://example.com/cat.png?Signature=2&Expires=2", "duration": "5", "seed": None}
    await fleet.submit_many([first], batch="cats", **fleet_options)
    told = await fleet.submit_many([again], batch="cats", **fleet_options)
    assert (told.added, told.present, told.broken) == (0, 1, 0)


async def test_two_rows_of_one_list_with_one_key_are_told(fleet: Fleet, fleet_options: dict[str, Any]) -> None:
    rows = [{**ASK, "prompt": prompt, "key": "one"} for prompt in ("cat", "dog", "cat")]
    told = await fleet.submit_many(rows, batch="cats", **fleet_options)
    assert (told.added, told.present, told.broken) == (1, 1, 1)
    assert [place for place, _ in await fleet.broken("cats")] == ["row 2"]


async def test_a_batch_with_a_budget_takes_no_row_without_a_price_later_either(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    unpriced = {"gateway": "litellm", "api_key": "sk-0123456789", "base_url": fleet_options["base_url"]}
    with_budget = await fleet.submit_many([], batch="dear", budget="1.00", **unpriced)
    later = await fleet.submit_many([{**ASK, "resolution": "720p"}], batch="dear", **unpriced)
    assert with_budget.broken == 0
    assert (later.added, later.broken) == (0, 1)
    assert "budget" in later.first_broken[0].reason


async def test_what_was_canceled_in_the_queue_has_cost_nothing(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    await fleet.submit_many(asks(4), batch="takes", **fleet_options)
    query(fleet_url, "UPDATE nebula_fleet_items SET state = 'queued', reserved = true WHERE n <= 2")

    await fleet.cancel("takes")

    status = await batch_status(fleet, "takes")
    assert status.counts == {ItemState.CANCELED: 4}
    assert (status.spent, status.reserved, status.committed) == (Decimal(0),) * 3
    assert [item["reserved"] for item in items_of(fleet_url, "takes")] == [False] * 4
    assert_counts_hold(fleet_url)


async def test_no_budget_is_given_to_videos_whose_price_nobody_knows(
    fleet: Fleet, fleet_options: dict[str, Any]
) -> None:
    unpriced = {"gateway": "litellm", "api_key": "sk-0123456789", "base_url": fleet_options["base_url"]}
    await fleet.submit_many([{**ASK, "resolution": "720p"}], batch="dear", **unpriced)
    with pytest.raises(InvalidRequestError, match="no budget can limit them"):
        await fleet.change_batch("dear", budget="1.00")


async def test_a_batch_keeps_the_model_that_was_the_default_when_it_was_made(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    """A worker of another version may have another one."""
    await fleet.submit_many(asks(1), batch="takes", **fleet_options)
    ((model,),) = query(fleet_url, "SELECT settings->>'model' FROM nebula_fleet_batches")
    assert model == find_gateway("nebula").default_model


async def test_a_list_with_new_signatures_gives_them_to_what_has_not_been_made(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    """Signed addresses are good for some hours, and a batch may wait longer."""

    def rows(signature: int) -> list[dict[str, Any]]:
        address = f"https://example.com/{{}}.png?Signature={signature}&Expires={signature}"
        return [{"prompt": "x", "image": address.format(number)} for number in range(3)]

    await fleet.submit_many(rows(1), batch="cats", **fleet_options)
    query(fleet_url, "UPDATE nebula_fleet_items SET state = 'failed' WHERE n = 2")
    query(fleet_url, "UPDATE nebula_fleet_items SET state = 'running' WHERE n = 3")
    told = await fleet.submit_many(rows(2), batch="cats", **fleet_options)

    assert (told.added, told.present) == (0, 3)
    found = query(fleet_url, "SELECT request->>'image' FROM nebula_fleet_items ORDER BY n")
    assert [address.partition("Signature=")[2][0] for (address,) in found] == ["2", "2", "1"]


@pytest.mark.parametrize(
    "more", [{"priority": 2**40}, {"priority": "x"}, {"not_before": datetime.max.replace(tzinfo=UTC)}]
)
async def test_a_number_or_moment_that_no_database_keeps_is_refused(
    fleet: Fleet, fleet_options: dict[str, Any], more: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequestError, match=next(iter(more))):
        await fleet.submit_many(asks(1), batch="takes", **fleet_options, **more)


async def test_a_list_whose_images_were_read_once_and_are_left_in_place_now_is_not_paid_again(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator, tmp_path: Path
) -> None:
    image = tmp_path / "cat.png"
    image.write_bytes(png(400, 400))
    rows = [{"prompt": "x", "image": image, "resolution": "480p", "seed": 1}]
    await fleet.submit_many(rows, batch="left", by_path=True, **fleet_options)
    await fleet.submit_many(rows, batch="left", by_path=True, **fleet_options)
    with pytest.raises(InvalidRequestError, match="differs in by_path"):
        await fleet.submit_many(rows, batch="left", **fleet_options)
    async with working(fleet_url):
        (result,) = await all_results(fleet, "left")
    assert (result.state, len(emulator.tasks)) == (ItemState.DONE, 1)
