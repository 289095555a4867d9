"""What can be changed while an emulator runs, and what it shows of itself."""

from __future__ import annotations

import io
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from langchain_nebula_video.emulator import Behaviour, Clock, Emulator
from tests.tables import each_row

SUBMIT = {"model": "wan2.5-i2v-preview", "prompt": "a cat", "image": "https://example.com/cat.jpg"}
LONG = 400.0


@pytest.fixture
def emulator() -> Emulator:
    return Emulator(clock=Clock(start=1_762_254_911.0, running=False))


@pytest.fixture
def client(emulator: Emulator) -> Iterator[TestClient]:
    headers = {"Authorization": f"Bearer {emulator.api_key}"}
    with TestClient(emulator.app, base_url="http://127.0.0.1", client=("127.0.0.1", 1), headers=headers) as client:
        yield client


def submit(client: TestClient, **fields: Any) -> str:
    answer = client.post("/v1/video/generations", json=SUBMIT | fields)
    assert answer.status_code == 200, answer.text
    task_id: str = answer.json()["task_id"]
    return task_id


def test_a_behaviour_holds_from_its_change_on(emulator: Emulator, client: TestClient) -> None:
    assert emulator.behaviour is Behaviour.PAGE
    assert "model_price" in client.post("/v1/video/generations", json=SUBMIT).json()["metadata"]
    emulator.behaviour = "source"
    assert emulator.behaviour is Behaviour.SOURCE
    assert "metadata" not in client.post("/v1/video/generations", json=SUBMIT).json()
    emulator.behaviour = Behaviour.PAGE
    assert "model_price" in client.post("/v1/video/generations", json=SUBMIT).json()["metadata"]
    with pytest.raises(ValueError, match="other"):
        emulator.behaviour = "other"


@each_row(("before", "after"), [(one, other) for one in Behaviour for other in Behaviour])
def test_a_task_from_before_a_change_is_answered_and_charged_once(before: Behaviour, after: Behaviour) -> None:
    emulator = Emulator(clock=Clock(start=1_762_254_911.0, running=False), behaviour=before)
    headers = {"Authorization": f"Bearer {emulator.api_key}"}
    client = TestClient(emulator.app, base_url="http://127.0.0.1", client=("127.0.0.1", 1), headers=headers)
    task = submit(client, resolution="720p", duration=5)
    emulator.clock.advance(10)
    emulator.behaviour = after
    emulator.clock.advance(LONG)
    for _ in range(2):
        assert client.get(f"/v1/video/generations/{task}").json()["status"] == "succeeded"
    (line,) = emulator.bill.lines
    # The older code knows no resolution and no length, and charges for four seconds at 720p.
    assert line.amount == (Decimal("0.2952") if before is Behaviour.OLDER_SOURCE else Decimal("0.369"))


def test_a_task_that_nobody_looked_at_is_charged_once_the_page_is_played(
    emulator: Emulator, client: TestClient
) -> None:
    emulator.behaviour = Behaviour.OLDER_SOURCE
    submit(client)
    emulator.clock.advance(LONG)
    assert emulator.bill.lines == ()
    emulator.behaviour = Behaviour.PAGE
    assert len(emulator.bill.lines) == 1


def test_a_fault_is_removed_by_its_number(emulator: Emulator) -> None:
    for kind in ("status", "late", "empty"):
        emulator.faults.add("query", kind)
    assert [record.number for record in emulator.faults.records()] == [1, 2, 3]
    emulator.faults.remove(2)
    emulator.faults.remove(2)
    emulator.faults.add("query", "html")
    assert [(record.number, record.kind) for record in emulator.faults.records()] == [
        (1, "status"),
        (3, "empty"),
        (4, "html"),
    ]


def test_a_text_is_shown_without_keys_whichever_begins_with_which(emulator: Emulator) -> None:
    emulator.add_account("sk-emulator-beijing", region="beijing")
    emulator.add_key("further")
    shown = emulator.without_keys("sk-emulator-beijing, sk-emulator; further: console-emulator. Nothing else.")
    assert shown == "***, ***; ***: ***. Nothing else."


async def test_a_task_s_picture_and_video_are_there_without_a_request(emulator: Emulator, client: TestClient) -> None:
    task = submit(client, resolution="480p")
    logged = emulator.requests
    picture = emulator.picture_of(task)
    assert picture is not None
    with Image.open(io.BytesIO(picture)) as image:
        assert image.size == (1280, 720)
    assert await emulator.video_of(task) is None
    emulator.clock.advance(LONG)
    video = await emulator.video_of(task)
    assert video is not None
    assert video[4:8] == b"ftyp"
    assert (emulator.picture_of("other"), await emulator.video_of("other")) == (None, None)
    assert emulator.requests == logged
