"""A list of videos from the first row to the last, on a real PostgreSQL and a gateway over HTTP."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.fleet import Fleet, ItemState
from tests.fleets import all_results, asks, assert_counts_hold, batch_status, submits_of, working


async def test_a_list_is_made_by_two_workers_and_each_video_is_paid_once(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator
) -> None:
    told = await fleet.submit_many(asks(20), batch="takes", **fleet_options)
    assert (told.added, told.present, told.broken, told.usd) == (20, 0, 0, Decimal("3.69"))
    again = await fleet.submit_many(asks(20), batch="takes", **fleet_options)
    assert (again.added, again.present) == (0, 20)

    async with working(fleet_url, concurrency=8), working(fleet_url, concurrency=8):
        results = await all_results(fleet, "takes")

    assert [result.number for result in results] == [*range(1, 21)]
    assert {result.state for result in results} == {ItemState.DONE}
    assert submits_of(emulator) == {f"Take {number}": 1 for number in range(1, 21)}
    status = await batch_status(fleet, "takes")
    assert (status.spent, status.reserved, status.left) == (Decimal("3.69"), Decimal(0), 0)
    assert emulator.bill.usd == status.spent
    assert_counts_hold(fleet_url)
