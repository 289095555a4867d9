"""UniAll's Wan 2.6 and Happy Horse on the emulator, against UniAll's pages. Its Vidu models: `test_vidu`."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from langchain_nebula_video.emulator import Clock, Dialect, Emulator
from tests.tables import each_row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATH, OTHER_PATH = "/v1/video/generations", "/v1/videos/generations"
START, LONGEST = 1_780_000_000.0, 300.0
CAT = "https://example.com/cat.jpg"
NAMES = [
    *(f"wan2.6-video-{tier}" for tier in ("720p", "1080p")),
    *(f"wan2.6-i2v-flash-{tier}-{sound}" for tier in ("720p", "1080p") for sound in ("audio", "silent")),
    *(f"happy-horse-{tier}" for tier in ("720p", "1080p")),
]
each_name = each_row("name", NAMES)


@pytest.fixture
def emulator() -> Emulator:
    return Emulator(clock=Clock(START, running=False))


@pytest.fixture
async def http(emulator: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": "Bearer sk-emulator"}
    transport = httpx.ASGITransport(app=emulator.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
        yield client


async def post(http: httpx.AsyncClient, model: str, path: str = PATH, **more: Any) -> Any:
    return await http.post(path, json={"model": model, "prompt": "a horse", "image": CAT, "duration": 5, **more})


async def spec_of(http: httpx.AsyncClient, emulator: Emulator, model: str, **more: Any) -> Any:
    answer = await post(http, model, **more)
    assert answer.status_code == 200, answer.text
    return emulator._state.engine.find(answer.json()["task_id"])[0].spec


@each_name
async def test_the_name_says_resolution_and_sound(http: httpx.AsyncClient, emulator: Emulator, name: str) -> None:
    spec = await spec_of(http, emulator, name)
    assert spec.resolution in name.split("-")
    assert spec.generate_audio is not name.endswith("-silent")
    assert (await spec_of(http, emulator, name, extra_body={"audio": True})).generate_audio is spec.generate_audio
    assert emulator.tasks[-1].dialect is Dialect.VIDU


@each_row(
    ("kind", "seconds"),
    [("wan2.6-video-", {5, 10, 15}), ("wan2.6-i2v-flash-", {*range(5, 16)}), ("happy-horse-", {*range(3, 16)})],
)
async def test_seconds_are_the_pages_and_required(http: httpx.AsyncClient, kind: str, seconds: set[int]) -> None:
    for name in filter(lambda name: name.startswith(kind), NAMES):
        taken = {number for number in range(1, 18) if (await post(http, name, duration=number)).status_code == 200}
        assert taken == seconds
        assert (await post(http, name, duration=None)).status_code == 400


@each_name
async def test_a_first_frame_is_needed_by_flash_alone(http: httpx.AsyncClient, emulator: Emulator, name: str) -> None:
    answer = await post(http, name, image=None)
    assert (answer.status_code == 400) is ("flash" in name)
    assert (await spec_of(http, emulator, name)).image is not None


@each_row(("path", "query"), [(PATH, "/v1/videos/{}"), (OTHER_PATH, OTHER_PATH + "/{}")])
@each_name
async def test_both_ways_that_the_pages_name_lead_to_the_task(
    http: httpx.AsyncClient, name: str, path: str, query: str
) -> None:
    """The pages on Happy Horse disagree about them."""
    task_id = (await post(http, name, path)).json()["task_id"]
    assert (await http.get(query.format(task_id))).json()["status"] == "queued"


@each_name
async def test_the_query_of_the_vidu_page_is_not_theirs(http: httpx.AsyncClient, name: str) -> None:
    task_id = (await post(http, name)).json()["task_id"]
    assert (await http.get(f"{PATH}/{task_id}")).status_code == 404


async def test_a_finished_answer_says_how_long_the_task_took(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """Not how long the video is."""
    task_id = (await post(http, "happy-horse-720p", duration=15)).json()["task_id"]
    emulator.clock.advance(LONGEST)
    body = (await http.get(f"/v1/videos/{task_id}")).json()
    took = emulator.tasks[-1].finished_at - emulator.tasks[-1].accepted_at
    assert (body["status"], body["duration"]) == ("completed", round(took))
    assert body["duration"] != 15


@each_row(
    ("name", "amount"), [("happy-horse-720p", "0.9520"), ("happy-horse-1080p", "1.9040"), ("wan2.6-video-720p", "0")]
)
async def test_happy_horse_alone_has_a_price(
    http: httpx.AsyncClient, emulator: Emulator, name: str, amount: str
) -> None:
    await post(http, name, duration=10)
    emulator.clock.advance(LONGEST)
    assert emulator.bill.lines[-1].amount == Decimal(amount)


async def test_the_seed_of_happy_horse_stands_at_the_top(http: httpx.AsyncClient, emulator: Emulator) -> None:
    assert (await spec_of(http, emulator, "happy-horse-720p", seed=7)).seed == 7
    assert (await spec_of(http, emulator, "wan2.6-video-720p", extra_body={"seed": 8})).seed == 8


async def test_a_longer_prompt_is_cut_off(http: httpx.AsyncClient, emulator: Emulator) -> None:
    for name, limit in (("happy-horse-720p", 2500), ("wan2.6-video-720p", 1500)):
        assert (await spec_of(http, emulator, name, prompt="x" * 3000)).prompt == "x" * limit
