"""The vendor's own SDK, as it is published, against the emulator: if both agree, the emulator speaks DashScope."""

from __future__ import annotations

import asyncio
import copy
import importlib
import io
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import av
import httpx
import pytest
from PIL import Image, ImageChops, ImageStat

from langchain_nebula_video.emulator import Clock, Dialect, Emulator, Status
from tests.tables import each_row

dashscope = pytest.importorskip("dashscope", reason="the vendor's SDK is not installed: pip install dashscope")

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

KEY = "sk-beijing"
MODEL = "wan2.2-i2v-plus"
IMAGE = "https://example.com/cat.jpg"
FIRST = {"type": "first_frame", "url": IMAGE}
LAST = {"type": "last_frame", "url": "https://example.com/dog.jpg"}
REQUEST: dict[str, Any] = {"model": MODEL, "prompt": "a cat runs", "img_url": IMAGE, "resolution": "480P", "seed": 1}
LONGEST = 300.0
AT_ONCE = 1_000_000.0


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """Fast enough that a task is done by the SDK's first look: it sleeps for a second before the second one."""
    with Emulator(speed=AT_ONCE) as running:
        running.add_account(KEY, region="beijing", name="beijing")
        point_at(running, monkeypatch)
        yield running


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """On a clock that stands still, so that a task stays where it is."""
    with Emulator(clock=Clock(1_762_254_911.0, running=False)) as running:
        running.add_account(KEY, region="beijing", name="beijing")
        point_at(running, monkeypatch)
        yield running


def point_at(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, region: str = "beijing") -> None:
    monkeypatch.setattr(dashscope, "base_http_api_url", emulator.dashscope_url(region) + "/api/v1")
    monkeypatch.setattr(dashscope, "api_key", KEY)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a red square.png"
    Image.new("RGB", (480, 480), "red").save(path)
    return path


@pytest.fixture
async def aio() -> AsyncIterator[Any]:
    """The SDK's part for asyncio, which leaves its connections to whoever uses it."""
    yield importlib.import_module("dashscope.aigc.video_synthesis").AioVideoSynthesis
    await importlib.import_module("dashscope.api_entities.aio_session").close_shared_aio_session()


def first_frame(url: str) -> Image.Image:
    with av.open(io.BytesIO(httpx.get(url, timeout=60).content), "r") as container:
        image: Image.Image = next(container.decode(video=0)).to_image()  # type: ignore[no-untyped-call]
        return image


def test_call_returns_the_finished_video(emulator: Emulator) -> None:
    """Submit and wait in one; what comes back is what the vendor's page shows."""
    emulator.speed = 1000  # it looks twice
    response = dashscope.VideoSynthesis.call(**REQUEST)
    assert response.status_code == 200
    assert response.output.task_status == "SUCCEEDED"
    assert response.output.orig_prompt == "a cat runs"
    assert response.output.actual_prompt.startswith("a cat runs. ")
    assert (response.usage.duration, response.usage.SR, response.usage.video_count) == (5, 480, 1)
    assert httpx.get(response.output.video_url, timeout=60).content[4:8] == b"ftyp"
    assert emulator.tasks[0].dialect is Dialect.DASHSCOPE
    assert str(emulator.bill.cny) == "0.70"
    assert emulator.violations == ()


def test_async_call_then_fetch_and_wait(emulator: Emulator) -> None:
    """The task's id is enough to look and to wait."""
    emulator.speed = 1
    submitted = dashscope.VideoSynthesis.async_call(**REQUEST)
    assert (submitted.status_code, submitted.output.task_status) == (200, "PENDING")
    fetched = dashscope.VideoSynthesis.fetch(submitted)
    assert fetched.output.task_status in {"PENDING", "RUNNING"}
    emulator.speed = AT_ONCE
    assert dashscope.VideoSynthesis.wait(submitted.output.task_id).output.task_status == "SUCCEEDED"
    assert len(emulator.tasks) == 1


def test_the_older_models_usage_is_the_older_one(emulator: Emulator) -> None:
    """The SDK has fields of its own for it."""
    response = dashscope.VideoSynthesis.call(**{**REQUEST, "model": "wanx2.1-i2v-turbo", "duration": 3})
    assert (response.usage.video_duration, response.usage.video_ratio) == (3, "standard")


def test_local_file_is_uploaded_and_becomes_the_first_frame(emulator: Emulator, picture: Path) -> None:
    """Policy, form and address: the SDK does all three, and sends the key to none but the gateway."""
    response = dashscope.VideoSynthesis.call(**{**REQUEST, "img_url": f"file://{picture}"})
    assert response.output.task_status == "SUCCEEDED"
    shown = first_frame(response.output.video_url)
    assert max(ImageStat.Stat(ImageChops.difference(shown, Image.new("RGB", shown.size, "red"))).mean) < 4
    assert [request.point for request in emulator.requests][:3] == ["policy", "upload", "submit"]
    assert emulator.tasks[0].request["input"]["img_url"].startswith("oss://dashscope-instant/")
    assert emulator.violations == ()


def test_list_finds_what_was_submitted(still: Emulator) -> None:
    """By model and status, a page at a time."""
    tasks = [dashscope.VideoSynthesis.async_call(**REQUEST).output.task_id for _ in range(3)]
    other = dashscope.VideoSynthesis.async_call(**{**REQUEST, "model": "wan2.2-i2v-flash"})
    listed = dashscope.VideoSynthesis.list(model_name=MODEL, status="PENDING", page_size=2)
    assert listed.status_code == 200
    assert (listed.output["total"], listed.output["page_no"], listed.output["page_size"]) == (3, 1, 2)
    assert [row["task_id"] for row in listed.output["data"]] == [tasks[2], tasks[1]]
    assert dashscope.VideoSynthesis.list().output["data"][0]["task_id"] == other.output.task_id


def test_cancel_takes_a_pending_task_and_no_other(still: Emulator) -> None:
    """Afterwards it is canceled and costs nothing; one that runs is too late."""
    task = dashscope.VideoSynthesis.async_call(**REQUEST)
    assert dashscope.VideoSynthesis.cancel(task).status_code == 200
    assert dashscope.VideoSynthesis.fetch(task).output.task_status == "CANCELED"
    assert dashscope.VideoSynthesis.wait(task).output.task_status == "CANCELED"
    running = dashscope.VideoSynthesis.async_call(**REQUEST)
    # A quarter of the longest time at most is spent in the queue.
    still.clock.advance(still.tasks[1].started_at - still.clock.now())
    refused = dashscope.VideoSynthesis.cancel(running)
    assert (refused.status_code, refused.code) == (400, "UnsupportedOperation")
    still.clock.advance(LONGEST)
    assert [task.status for task in still.tasks] == [Status.CANCELED, Status.SUCCEEDED]
    assert len(still.bill.lines) == 1


def test_refusal_reaches_the_caller_with_code_and_message(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Moderation, an unknown model, a wrong key, the wrong region."""
    call = dashscope.VideoSynthesis.async_call
    refused = call(**{**REQUEST, "prompt": "something forbidden"})
    assert (refused.status_code, refused.code) == (400, "DataInspectionFailed")
    assert refused.message == "Input data may contain inappropriate content."
    unknown = call(**{**REQUEST, "model": "wan9"})
    assert (unknown.status_code, unknown.code) == (404, "ModelNotFound")
    assert call(**REQUEST, api_key="sk-wrong").code == "InvalidApiKey"
    point_at(emulator, monkeypatch, "singapore")
    assert call(**REQUEST).status_code == 401


def test_failed_task_ends_the_wait(emulator: Emulator) -> None:
    """As an answer of 200 with the reason inside."""
    response = dashscope.VideoSynthesis.call(**{**REQUEST, "prompt": "a cat [moderated]"})
    assert (response.status_code, response.output.task_status) == (200, "FAILED")
    assert response.output.code == "DataInspectionFailed"
    assert emulator.bill.lines == ()


def test_unknown_task_ends_the_wait(emulator: Emulator) -> None:
    """The SDK knows the vendor's word for a task that is not there."""
    began = time.monotonic()
    assert dashscope.VideoSynthesis.wait("no-such-task").output.task_status == "UNKNOWN"
    assert time.monotonic() - began < 20


def test_first_and_last_frame(emulator: Emulator) -> None:
    """The SDK sends such a model to a path of its own."""
    response = dashscope.VideoSynthesis.call(
        model="wan2.2-kf2v-flash", first_frame_url=IMAGE, last_frame_url="https://example.com/dog.jpg"
    )
    assert response.output.task_status == "SUCCEEDED"
    assert emulator.requests[0].path.endswith("/image2video/video-synthesis")


@each_row(
    ("model", "frames", "yuan"),
    [
        ("wan2.6-i2v", {"img_url": IMAGE}, "3.0"),
        ("wan2.6-i2v-flash", {"img_url": IMAGE}, "1.50"),
        ("wan2.6-i2v-flash", {"img_url": IMAGE, "audio": False}, "0.75"),
        ("wan2.7-i2v", {"media": [FIRST]}, "3.0"),
        ("wan2.7-i2v-2026-04-25", {"media": [FIRST, LAST]}, "3.0"),
        ("wan3.0-video", {"media": [FIRST], "ratio": "adaptive"}, "3.00"),
        ("wan3.0-video", {"ratio": "9:16"}, "3.00"),
        ("happyhorse-1.1-i2v", {"media": [FIRST]}, "4.5"),
    ],
)
def test_the_newer_models_take_what_the_sdk_sends(
    emulator: Emulator, model: str, frames: dict[str, Any], yuan: str
) -> None:
    """Their frames are a list that the caller builds, and billed and made seconds are told apart."""
    before = emulator.bill.cny
    response = dashscope.VideoSynthesis.call(
        model=model, prompt="a cat runs", resolution="720P", **copy.deepcopy(frames)
    )
    assert (response.status_code, response.output.task_status) == (200, "SUCCEEDED"), response
    usage = response.usage
    assert (usage.duration, usage.output_video_duration, usage.SR, usage.video_count) == (5.0, 5, 720, 1)
    assert emulator.bill.cny - before == Decimal(yuan)


def test_a_local_first_frame_among_the_media_is_uploaded(emulator: Emulator, picture: Path) -> None:
    """With the header that has it looked up."""
    media = [{"type": "first_frame", "url": f"file://{picture}"}]
    response = dashscope.VideoSynthesis.call(model="wan2.7-i2v", prompt="x", media=media, resolution="720P", duration=2)
    assert response.output.task_status == "SUCCEEDED"
    assert emulator.tasks[0].request["input"]["media"][0]["url"].startswith("oss://dashscope-instant/")
    assert max(ImageStat.Stat(first_frame(response.output.video_url)).mean[1:]) < 20  # red


def test_media_that_a_model_does_not_take_are_refused(emulator: Emulator) -> None:
    """As two first frames; nothing is made."""
    call = dashscope.VideoSynthesis.async_call
    for media in ([FIRST, FIRST], [LAST], []):
        refused = call(model="wan2.7-i2v", prompt="x", media=copy.deepcopy(media))
        assert (refused.status_code, refused.code) == (400, "InvalidParameter")
    assert emulator.tasks == ()


def test_singapore_is_another_door(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own key, its own name for the model, its own money."""
    emulator.add_account("sk-singapore", region="singapore")
    point_at(emulator, monkeypatch, "singapore")
    request = {**REQUEST, "model": "wan2.1-i2v-turbo", "api_key": "sk-singapore"}
    assert dashscope.VideoSynthesis.call(**request).output.task_status == "SUCCEEDED"
    assert str(emulator.bill.usd) == "0.180"


async def test_aio_call_returns_the_finished_video(emulator: Emulator, aio: Any) -> None:
    """The other half of the SDK asks with a slash at the end."""
    emulator.speed = 1000  # it looks twice
    response = await aio.call(**REQUEST)
    assert response.output.task_status == "SUCCEEDED"
    assert response.usage.SR == 480
    assert {request.path[-1] for request in emulator.requests if request.point == "query"} == {"/"}


async def test_aio_async_call_then_fetch_and_wait(emulator: Emulator, aio: Any) -> None:
    """As in the other half."""
    emulator.speed = 1
    submitted = await aio.async_call(**REQUEST)
    fetched = await aio.fetch(submitted)
    assert fetched.output.task_status in {"PENDING", "RUNNING"}
    emulator.speed = AT_ONCE
    assert (await aio.wait(submitted)).output.task_status == "SUCCEEDED"


async def test_aio_local_file_is_uploaded(emulator: Emulator, aio: Any, picture: Path) -> None:
    """The upload is the same."""
    response = await aio.call(**{**REQUEST, "img_url": f"file://{picture}"})
    assert response.output.task_status == "SUCCEEDED"
    assert emulator.requests[1].point == "upload"


async def test_aio_list_and_cancel(still: Emulator, aio: Any) -> None:
    """As in the other half."""
    task = await aio.async_call(**REQUEST)
    listed = await aio.list(model_name=MODEL)
    assert [row["task_id"] for row in listed.output["data"]] == [task.output.task_id]
    assert (await aio.cancel(task)).status_code == 200
    assert (await aio.fetch(task)).output.task_status == "CANCELED"


async def test_many_aio_calls_at_once(emulator: Emulator, aio: Any) -> None:
    """Ten tasks, ten videos, ten lines on the bill."""
    calls = [aio.call(**{**REQUEST, "seed": seed}) for seed in range(10)]
    assert {response.output.task_status for response in await asyncio.gather(*calls)} == {"SUCCEEDED"}
    assert len(emulator.bill.lines) == len(emulator.tasks) == 10
