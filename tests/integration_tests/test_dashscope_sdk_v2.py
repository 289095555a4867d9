"""Version 2 of the vendor's SDK, as it is published, against the emulator: its client with `videos`."""

from __future__ import annotations

import importlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from PIL import Image

from langchain_nebula_video.emulator import Clock, Emulator
from tests.tables import each_row

dashscope = pytest.importorskip("dashscope", reason="the vendor's SDK is not installed: pip install dashscope")
if not hasattr(dashscope, "Client"):
    pytest.skip("the vendor's SDK is of version 1", allow_module_level=True)
DashScopeError = importlib.import_module("dashscope.v2.errors").DashScopeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "sk-beijing"
CAT, DOG = "https://example.com/cat.jpg", "https://example.com/dog.jpg"
FIRST, LAST = {"type": "first_frame", "url": CAT}, {"type": "last_frame", "url": DOG}
MODEL = "wan2.7-i2v"
REQUEST: dict[str, Any] = {"model": MODEL, "prompt": "a cat runs", "image_url": CAT, "resolution": "720P", "seed": 1}
SOON: dict[str, Any] = {"poll_interval": 0.01, "max_interval": 0.01, "timeout": 30}
AT_ONCE = 1_000_000.0


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(speed=AT_ONCE) as running:
        running.add_account(KEY, region="beijing", name="beijing")
        yield running


@pytest.fixture
def still() -> Iterator[Emulator]:
    """On a clock that stands still, so that a task stays where it is; its list is the one that this version reads."""
    with Emulator(clock=Clock(1_762_254_911.0, running=False), dashscope_list_field="tasks") as running:
        running.add_account(KEY, region="beijing", name="beijing")
        yield running


def client_of(emulator: Emulator, **options: Any) -> Any:
    return dashscope.Client(api_key=KEY, base_url=emulator.dashscope_url("beijing") + "/api/v1", **options)


@each_row(
    ("model", "frames", "yuan"),
    [
        ("wan2.6-i2v", {"image_url": CAT}, "3.0"),
        ("wan2.6-i2v-flash", {"image_url": CAT, "parameters": {"audio": False}}, "0.75"),
        ("wan2.7-i2v", {"image_url": CAT}, "3.0"),
        ("wan2.7-i2v-2026-04-25", {"image_url": CAT, "media": [LAST]}, "3.0"),
        ("wan2.7-i2v", {"media": [FIRST, LAST]}, "3.0"),
        ("wan3.0-video", {"media": [FIRST, LAST], "ratio": "adaptive"}, "3.00"),
        ("happyhorse-1.0-i2v", {"media": [FIRST]}, "4.5"),
    ],
)
def test_generate_returns_the_finished_video(emulator: Emulator, model: str, frames: dict[str, Any], yuan: str) -> None:
    """`image_url` becomes the list of media for Wan 2.7; for the others the caller gives the list."""
    before = emulator.bill.cny
    with client_of(emulator) as client:
        job = client.videos.generate(model=model, prompt="a cat runs", resolution="720P", **frames, **SOON)
    assert (job.status, job.succeeded) == ("SUCCEEDED", True)
    assert emulator.bill.cny - before == Decimal(yuan)
    assert emulator.violations == ()


def test_the_finished_video_can_be_had(emulator: Emulator) -> None:
    with client_of(emulator) as client:
        job = client.videos.generate(**{**REQUEST, "duration": 2, "resolution": "720P"}, **SOON)
    assert httpx.get(job.video_url, timeout=60).content[4:8] == b"ftyp"
    assert job.submitted_at <= job.finished_at


def test_create_then_fetch_then_wait(emulator: Emulator) -> None:
    """The task's id is enough."""
    emulator.speed = 1
    with client_of(emulator) as client:
        job = client.videos.jobs.create(**REQUEST)
        assert job.status == "PENDING"
        assert client.videos.jobs.fetch(job.task_id).status in {"PENDING", "RUNNING"}
        emulator.speed = AT_ONCE
        assert client.videos.jobs.wait(job.task_id, **SOON).status == "SUCCEEDED"
    assert len(emulator.tasks) == 1


def test_a_local_file_is_uploaded(emulator: Emulator, tmp_path: Path) -> None:
    """By the policy, without the key."""
    Image.new("RGB", (480, 480), "red").save(tmp_path / "red.png")
    with client_of(emulator) as client:
        client.videos.generate(**{**REQUEST, "image_url": f"file://{tmp_path / 'red.png'}"}, **SOON)
    assert [request.point for request in emulator.requests][:3] == ["policy", "upload", "submit"]
    assert emulator.tasks[0].request["input"]["media"][0]["url"].startswith("oss://dashscope-instant/")
    assert emulator.violations == ()


def test_the_list_is_read_under_its_newer_name(still: Emulator) -> None:
    with client_of(still) as client:
        tasks = [client.videos.jobs.create(**REQUEST).task_id for _ in range(3)]
        listed = client.videos.jobs.list(model_name=MODEL, status="PENDING", page_size=2)
    assert (listed.total, listed.page_no, listed.page_size) == (3, 1, 2)
    assert [job.task_id for job in listed.tasks] == [tasks[2], tasks[1]]
    assert [job.status for job in listed.tasks] == ["PENDING", "PENDING"]


def test_of_the_documented_list_it_reads_the_total_alone() -> None:
    """The page has the rows under another name than this version reads."""
    with Emulator(clock=Clock(1_762_254_911.0, running=False)) as emulator:
        emulator.add_account(KEY, region="beijing")
        with client_of(emulator) as client:
            client.videos.jobs.create(**REQUEST)
            listed = client.videos.jobs.list()
    assert (listed.total, listed.tasks) == (1, [])


def test_cancel_takes_a_pending_task(still: Emulator) -> None:
    with client_of(still) as client:
        job = client.videos.jobs.create(**REQUEST)
        client.videos.jobs.cancel(job.task_id)
        assert client.videos.jobs.fetch(job.task_id).status == "CANCELED"
    assert still.bill.lines == ()


@each_row(
    ("change", "status", "code"),
    [
        ({"prompt": "something forbidden"}, 400, "DataInspectionFailed"),
        ({"model": "wan9"}, 404, "ModelNotFound"),
        ({"duration": 16}, 400, "InvalidParameter"),
        ({"media": [{"type": "picture", "url": CAT}]}, 400, "InvalidParameter"),
        ({"api_key": "sk-wrong"}, 401, "InvalidApiKey"),
    ],
)
def test_a_refusal_reaches_the_caller(emulator: Emulator, change: dict[str, Any], status: int, code: str) -> None:
    with client_of(emulator) as client, pytest.raises(DashScopeError) as caught:
        client.videos.jobs.create(**{**REQUEST, **change})
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert emulator.tasks == ()


def test_a_failed_task_ends_the_wait_with_its_reason(emulator: Emulator) -> None:
    with client_of(emulator) as client, pytest.raises(DashScopeError) as caught:
        client.videos.generate(**{**REQUEST, "prompt": "a cat [moderated]"}, **SOON)
    assert caught.value.code == "DataInspectionFailed"
    assert emulator.bill.lines == ()


async def test_the_async_client_does_the_same(emulator: Emulator) -> None:
    address = emulator.dashscope_url("beijing") + "/api/v1"
    async with dashscope.AsyncClient(api_key=KEY, base_url=address) as client:
        job = await client.videos.generate(**REQUEST, **SOON)
        assert job.status == "SUCCEEDED"
        assert (await client.videos.jobs.fetch(job.task_id)).video_url
    assert len(emulator.bill.lines) == 1


def test_a_submit_whose_answer_was_lost_is_sent_again(emulator: Emulator) -> None:
    """Two tasks are paid for; this package's client makes one."""
    emulator.faults.add("submit", "reset_after")
    with client_of(emulator, max_retries=1) as client:
        client.videos.generate(**REQUEST, **SOON)
    assert len(emulator.tasks) == 2
