"""What a client with a budget says is left, and what is spent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from langchain_nebula_video import AsyncNebulaVideoClient, Budget, MemoryJournal, NebulaVideoClient
from langchain_nebula_video.journal import Entry
from tests.conftest import KEY, settle

BOTH: Any = (NebulaVideoClient, AsyncNebulaVideoClient)


def journal_with(*costs: tuple[str, timedelta]) -> MemoryJournal:
    """A journal with an entry for each cost and its age."""
    journal = MemoryJournal()
    for number, (usd, age) in enumerate(costs):
        entry = Entry(
            id=str(number),
            gateway="nebula",
            model="wan2.5-i2v-preview",
            request={"prompt": str(number)},
            created_at=datetime.now(UTC) - age,
            reserved_usd=Decimal(usd),
        )
        journal.reserve(entry, None)
    return journal


TWO = (("0.25", timedelta(0)), ("0.50", timedelta(days=2)))


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("budget", "left", "spent"),
    [
        ("1", "0.25", "0.75"),
        ("0.5", "0", "0.75"),
        (Budget(usd="1", per=timedelta(days=1)), "0.75", "0.25"),
        (None, None, "0.75"),
    ],
)
async def test_a_client_tells_what_is_left_of_its_budget_and_what_is_spent(
    kind: Any, budget: Any, left: str | None, spent: str
) -> None:
    client = kind(api_key=KEY, journal=journal_with(*TWO), budget=budget)
    assert await settle(client.budget_left()) == (None if left is None else Decimal(left))
    assert await settle(client.spent()) == Decimal(spent)
