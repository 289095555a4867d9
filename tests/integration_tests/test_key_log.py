"""Lost submits and true bills, from the log of a key: over HTTP, on the gateway of the page and on that of the code."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    MemoryJournal,
    NebulaVideoClient,
    SubmissionUnconfirmedError,
)
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.journal import EntryState
from langchain_nebula_video.testing import EmulatorClock
from tests.conftest import settle
from tests.gateways import ASK, standing_clock

KEY = "sk-vip-0123456789abcdef"


@pytest.fixture(params=["page", "source"])
def emulator(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    with Emulator(behaviour=request.param, clock=standing_clock()) as running:
        running.add_account(KEY, group_ratio="0.8")
        yield running


@pytest.fixture(params=["sync", "async"])
def client(request: pytest.FixtureRequest, emulator: Emulator) -> Any:
    """Either client on the emulator's clock. So is the date of each answer, which is the server's own."""
    clock = EmulatorClock(emulator)

    def date(response: httpx.Response) -> None:
        response.headers["Date"] = format_datetime(clock.utcnow(), usegmt=True)

    async def date_later(response: httpx.Response) -> None:
        date(response)

    common: dict[str, Any] = {
        "base_url": emulator.url,
        "api_key": KEY,
        "clock": clock,
        "journal": MemoryJournal(),
        "sole_account": True,
    }
    limits = httpx.Limits(max_keepalive_connections=0)
    if request.param == "sync":
        own = httpx.Client(limits=limits, event_hooks={"response": [date]})
        return NebulaVideoClient(http_client=own, **common)
    own_async = httpx.AsyncClient(limits=limits, event_hooks={"response": [date_later]})
    return AsyncNebulaVideoClient(http_async_client=own_async, **common)


async def test_a_lost_submit_is_found_and_each_video_has_its_true_bill(
    emulator: Emulator, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    paid = await settle(client.generate(ASK))
    emulator.faults.add("submit", "reset_after")
    with pytest.raises(SubmissionUnconfirmedError):
        await settle(client.submit({**ASK, "prompt": "The cat yawns"}, key="order-17"))
    nothing_yet = await settle(client.reconcile(key_in_address=True))
    assert [lost.candidates for lost in nothing_yet.open] == [()]
    emulator.clock.advance(1000)
    with caplog.at_level(logging.DEBUG):
        settled = await settle(client.reconcile(key_in_address=True))
    lines = [(record.name, record.getMessage()) for record in caplog.records]
    assert lines
    # The server writes addresses, unless another test has set its loggers otherwise.
    assert {name for name, line in lines if KEY in line} <= {"uvicorn.access"}
    (task,) = settled.found
    assert (task.key, task.status.value) == ("order-17", "succeeded")
    assert (settled.open, settled.group_ratio) == ((), Decimal("0.8"))
    journal = client._options.journal
    assert {entry.task_id: (entry.state, entry.billed_usd) for entry in journal.entries()} == {
        paid.task_id: (EntryState.SUCCEEDED, Decimal("0.1476")),
        task.task_id: (EntryState.SUCCEEDED, Decimal("0.1476")),
    }
    video = await settle(client.generate({**ASK, "prompt": "The cat yawns"}, key="order-17"))
    assert (video.task_id, video.cost.usd, video.cost.basis) == (task.task_id, Decimal("0.1476"), "billed")
    assert (len(emulator.tasks), emulator.bill.usd) == (2, journal.spent())
