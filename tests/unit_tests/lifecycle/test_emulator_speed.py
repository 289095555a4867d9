"""An emulator says that it is one, and how fast: a client with its defaults keeps up, and marks its money as play."""

from __future__ import annotations

import httpx
import pytest

from langchain_nebula_video import MemoryJournal, VideoProgress
from tests.conftest import FakeClock, Gateway, MakeClient, running, settle, submitted, succeeded

EMULATOR, ABROAD = "http://127.0.0.1:8000", "https://gateway.example.com"


@pytest.mark.parametrize(
    ("address", "speed", "waited"),
    [(EMULATOR, "20", (0, 8)), (EMULATOR, "1000", (0, 1)), (ABROAD, "20", (20, 130)), (EMULATOR, "fast", (20, 130))],
)
async def test_a_client_looks_as_soon_as_the_emulator_says(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock, address: str, speed: str, waited: tuple[int, int]
) -> None:
    journal = MemoryJournal()
    gateway.submits = [httpx.Response(200, json=submitted(), headers={"X-Emulator-Speed": speed})]
    gateway.fetches = [succeeded()]
    begun = clock.now
    await settle(
        make_client(base_url=address, journal=journal).generate(prompt="It blinks", image="https://example.com/c.jpg")
    )
    assert waited[0] <= clock.now - begun <= waited[1]
    (entry,) = journal.entries()
    assert entry.host == address.partition("//")[2]
    assert entry.play_money is (address == EMULATOR and speed != "fast")


async def test_an_emulator_s_progress_is_measured_by_its_own_time(make_client: MakeClient, gateway: Gateway) -> None:
    header = {"X-Emulator-Speed": "20"}
    gateway.submits = [httpx.Response(200, json=submitted(), headers=header)]
    gateway.fetches = [running(), succeeded()]
    seen: list[VideoProgress] = []
    client = make_client(base_url=EMULATOR, poll_interval=3)
    await settle(client.generate(prompt="It blinks", image="https://example.com/c.jpg", on_progress=seen.append))
    assert {event.expected for event in seen} == {6}  # the model's two minutes, 20 times as fast
    (at_work,) = (event for event in seen if event.status == "running")
    assert at_work.fraction == min(at_work.elapsed / 6, 0.99) >= 0.5
