"""A fleet at every gateway, and at gateways that share an address and a key."""

from __future__ import annotations

import pytest

from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.emulator.rendering import images
from langchain_nebula_video.fleet import Fleet, ItemState
from tests.fleets import all_results, working
from tests.gateways import all_gateways, reached

PHOTOGRAPH = images.sample("a photograph", (640, 480))


async def test_a_fleet_makes_videos_at_every_gateway(fleet_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet, made = Fleet(fleet_url), {}
    with all_gateways(balance=1000) as emulator:
        for name, gateway in GATEWAYS.items():
            options = reached(emulator, name)
            monkeypatch.setenv(gateway.key_variable, options["api_key"])
            await fleet.submit_many([{"prompt": "The cat blinks", "image": PHOTOGRAPH}], batch=name, **options)
            async with working(fleet_url):
                (result,) = await all_results(fleet, name)
            made[name] = (result.state, result.video and result.video.gateway, result.error)

    assert made == {name: (ItemState.DONE, name, None) for name in GATEWAYS}


async def test_gateways_with_one_address_and_one_key_are_two_accounts(
    fleet_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Fleet(fleet_url)
    row = {"prompt": "The cat blinks", "image": "https://example.com/cat.png"}
    with all_gateways() as emulator:
        options = reached(emulator, "newapi")
        monkeypatch.setenv("NEWAPI_API_KEY", options["api_key"])
        for name in ("newapi", "newapi-videos"):
            await fleet.submit_many([row], batch=name, **{**options, "gateway": name, "model": "wan2.5-i2v-preview"})
        async with working(fleet_url):
            found = [result for name in ("newapi", "newapi-videos") for result in await all_results(fleet, name)]

    assert [result.video and result.video.gateway for result in found] == ["newapi", "newapi-videos"]
    assert len((await fleet.status()).accounts) == 2
