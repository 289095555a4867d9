"""What a video costs by the client is what the emulated Nebula takes for it, as its published code does."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from langchain_nebula_video import MemoryJournal, NebulaVideoClient
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.emulator.enums import Currency
from tests.gateways import ASK, INTERVAL, SPEED

USD = Currency.USD


def reached(emulator: Emulator, **options: Any) -> dict[str, Any]:
    return {"base_url": emulator.url, "api_key": emulator.api_key, "poll_interval": INTERVAL, **options}


@pytest.mark.parametrize(("ratio", "discount"), [("1", "1"), ("0.333", "1"), ("1.5", "0.9"), ("0.07", "0.85")])
def test_a_passed_ratio_makes_the_bill_known_to_its_last_unit(ratio: str, discount: str) -> None:
    with Emulator(speed=SPEED, behaviour="source", group_ratio=ratio, site_discount=discount) as emulator:
        journal = MemoryJournal()
        options = reached(emulator, group_ratio=Decimal(ratio) * Decimal(discount), journal=journal)
        with NebulaVideoClient(**options) as client:
            for resolution, duration in (("480p", 5), ("720p", 10), ("1080p", 5)):
                before = emulator.bill.total(USD)
                video = client.generate({**ASK, "resolution": resolution, "duration": duration})
                assert (video.cost.usd, video.cost.basis) == (emulator.bill.total(USD) - before, "billed")
        assert journal.spent() == emulator.bill.total(USD)


@pytest.mark.parametrize(("ratio", "discount"), [("1", "1"), ("1", "0.9"), ("0.5", "1")])
def test_a_hidden_ratio_or_discount_leaves_an_estimate_that_covers_the_bill(ratio: str, discount: str) -> None:
    with Emulator(speed=SPEED, behaviour="source", group_ratio=ratio, site_discount=discount) as emulator:
        journal = MemoryJournal()
        with NebulaVideoClient(**reached(emulator, journal=journal)) as client:
            video = client.generate(ASK)
            looks = len(emulator.requests)
            assert client.wait(video.task_id).cost == video.cost
        assert len(emulator.requests) == looks
        assert video.cost.basis == "estimated"
        assert emulator.bill.total(USD) <= journal.spent()
