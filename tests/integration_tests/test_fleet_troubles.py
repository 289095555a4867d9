"""A person who looks at the status finds what keeps a fleet from working, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from langchain_nebula_video import InvalidRequestError
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.fleet import Fleet, FleetWorker
from langchain_nebula_video.fleet.troubles import TroubleKind, find_troubles
from tests.fleets import all_results, asks, query, submits_of, until, working


async def test_a_place_that_cannot_be_written_is_told_while_the_batch_is_tried_again(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator, tmp_path: Path
) -> None:
    file = tmp_path / "videos"
    file.write_text("a file, and no folder")
    await fleet.submit_many(asks(2), batch="takes", save_to=str(file / "{key}.mp4"), **fleet_options)

    async def told() -> list[str]:
        found = find_troubles(await fleet.status())
        return [each.what for each in found if each.kind is TroubleKind.STANDSTILL and "held up" in each.what]

    async with working(fleet_url):
        (what,) = await until(told, "a trouble")
        assert what.startswith("it is held up, and tried again now and then: ")
        assert "SetupError" in what
        assert not submits_of(emulator)
        file.unlink()
        await fleet.resume("takes")
        await all_results(fleet, "takes")
    assert find_troubles(await fleet.status()) == []


async def test_a_batch_whose_time_zone_a_worker_does_not_know_keeps_no_other_one(
    fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any]
) -> None:
    for name in ("martian", "earthly"):
        await fleet.submit_many(asks(1, key=name), batch=name, **fleet_options)
    query(fleet_url, "UPDATE nebula_fleet_batches SET hours = '00:00-23:59 Mars/Olympus' WHERE name = 'martian'")
    async with working(fleet_url):
        await all_results(fleet, "earthly")
        martian = (await fleet.status("martian")).batches[0]
    assert "tzdata" in (martian.reason or "")


@pytest.mark.parametrize("name", ["api_key", "gateway", "base_url", "model", "journal", "donload_hosts"])
async def test_a_worker_has_no_option_that_would_make_another_video_or_another_one_pay(
    fleet_url: str, name: str
) -> None:
    with pytest.raises(InvalidRequestError, match=name):
        FleetWorker(fleet_url, options={name: "x"})
