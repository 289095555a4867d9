"""`Fleet` as a program uses it: lists of any form, results as they end, and the steering."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_nebula_video.fleet import Fleet, ItemState
from tests.fleets import PATIENCE, asks, working


async def collect(fleet: Fleet, batch: str, **more: Any) -> list[Any]:
    return await asyncio.wait_for(_all(fleet, batch, **more), PATIENCE)


async def _all(fleet: Fleet, batch: str, **more: Any) -> list[Any]:
    return [result async for result in fleet.results(batch, **more)]


async def test_a_list_is_made_and_each_item_comes_once(fleet: Fleet, fleet_url: str, options: dict[str, Any]) -> None:
    added = await fleet.submit_many(asks(30), batch="takes", **options)
    assert (added.added, added.broken) == (30, 0)
    async with working(fleet_url):
        found = await collect(fleet, "takes")
    assert {result.state for result in found} == {ItemState.DONE}
    assert sorted(result.number for result in found) == list(range(1, 31))
