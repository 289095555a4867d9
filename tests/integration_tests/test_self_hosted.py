"""Gateways that one runs oneself, over real HTTP: what reaches the vendor behind them, and what it costs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    InvalidRequestError,
    MemoryJournal,
    NebulaVideoClient,
    SqlJournal,
    SubmissionUnconfirmedError,
)
from langchain_nebula_video.emulator import Emulator, Status
from langchain_nebula_video.emulator.rendering import images
from langchain_nebula_video.journal import EntryState
from langchain_nebula_video.media.mp4 import find_mp4_defect
from tests.conftest import settle
from tests.gateways import HurriedClock, all_gateways, reached

CAT = "https://example.com/cat.png"
TALL = images.sample("a tall photograph", (480, 832))
SELF_HOSTED = ["newapi", "newapi-videos", "litellm", "sglang", "vllm-omni"]
NEWAPI = ["newapi", "newapi-videos"]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with all_gateways() as running:
        yield running


def made(emulator: Emulator, gateway: str, **fields: Any) -> dict[str, Any]:
    """What the vendor behind a gateway was sent for a video."""
    settings = {name: fields.pop(name) for name in ("model",) if name in fields}
    NebulaVideoClient(**reached(emulator, gateway), **settings).generate(**{"prompt": "x", "image": CAT, **fields})
    return dict(emulator.tasks[-1].request)


# --- the whole way, on each ---


@pytest.mark.parametrize("kind", [NebulaVideoClient, AsyncNebulaVideoClient])
@pytest.mark.parametrize("gateway", SELF_HOSTED)
async def test_a_video_is_made_and_saved_whole(emulator: Emulator, gateway: str, kind: Any, tmp_path: Path) -> None:
    client = kind(**reached(emulator, gateway), save_to=tmp_path)
    video = await settle(client.generate(prompt="The cat blinks", image=TALL, resolution="720p", seed=7))
    (task,) = emulator.tasks
    assert (task.image_digest, task.resolution, task.seed) == (hashlib.sha256(TALL).hexdigest(), "720P", 7)
    assert find_mp4_defect(Path(str(video.path))) is None
    assert video.url_needs_key is (gateway != "newapi")
    assert emulator.violations == ()


@pytest.mark.parametrize("gateway", SELF_HOSTED)
def test_a_lost_answer_is_one_task_and_a_question(emulator: Emulator, gateway: str) -> None:
    emulator.faults.add("submit", "reset_after")
    journal = MemoryJournal()
    client = NebulaVideoClient(**reached(emulator, gateway), journal=journal)
    with pytest.raises(SubmissionUnconfirmedError):
        client.generate(prompt="x", image=TALL)
    assert client.resume() == []
    assert [entry.state for entry in journal.entries()] == [EntryState.UNCONFIRMED]
    assert len(emulator.tasks) == 1


@pytest.mark.parametrize("gateway", SELF_HOSTED)
def test_another_process_goes_on_with_the_task_and_saves_it(emulator: Emulator, gateway: str, tmp_path: Path) -> None:
    where = f"sqlite:///{tmp_path / 'journal.db'}"
    task = NebulaVideoClient(**reached(emulator, gateway), journal=SqlJournal(where)).submit(prompt="x", image=TALL)
    later = NebulaVideoClient(**reached(emulator, gateway), journal=SqlJournal(where), save_to=tmp_path)
    (left,) = later.resume()
    video = later.wait(left)
    assert (video.task_id, len(emulator.tasks)) == (task.task_id, 1)
    assert find_mp4_defect(Path(str(video.path))) is None


@pytest.mark.parametrize("gateway", SELF_HOSTED)
def test_a_look_that_is_lost_is_repeated(emulator: Emulator, gateway: str) -> None:
    emulator.faults.add("query", "reset_before", times=2)
    client = NebulaVideoClient(**{**reached(emulator, gateway), "clock": HurriedClock()})
    assert client.generate(prompt="x", image=TALL).duration == 5


# --- stock new-api ---


def test_stock_new_api_passes_on_what_it_knows_in_the_vendor_s_own_names(emulator: Emulator) -> None:
    sent = made(
        emulator,
        "newapi",
        duration=10,
        resolution="480p",
        negative_prompt="flowers",
        watermark=True,
        seed=7,
        audio_url="https://example.com/song.mp3",
    )
    assert sent["input"]["negative_prompt"] == "flowers"
    assert sent["input"]["audio_url"] == "https://example.com/song.mp3"
    assert sent["parameters"] == {"resolution": "480P", "duration": 10, "audio": False, "watermark": True, "seed": 7}


def test_what_stock_new_api_loses_is_said_or_refused_and_never_dropped(emulator: Emulator) -> None:
    """A rewriting that is off does not arrive, so the vendor rewrites; a seed of 0 would be a random one."""
    client = NebulaVideoClient(**reached(emulator, "newapi"))
    video = client.generate(prompt="The cat blinks", image=CAT)
    assert "prompt_extend" not in emulator.tasks[-1].request["parameters"]
    assert video.actual_prompt != video.prompt
    with pytest.raises(InvalidRequestError, match="would replace it by a random one"):
        client.generate(prompt="x", image=CAT, seed=0)
    with pytest.raises(InvalidRequestError, match="takes no aspect_ratio"):
        client.generate(prompt="x", image=CAT, aspect_ratio="16:9")
    assert len(emulator.tasks) == 1


def test_nebula_s_fields_would_make_the_dearest_video_at_a_stock_new_api(emulator: Emulator) -> None:
    """So there is a gateway for each."""
    here = {**reached(emulator, "newapi"), "gateway": "nebula"}
    NebulaVideoClient(**here).generate(prompt="x", image=CAT, resolution="480p")
    assert emulator.tasks[-1].resolution == "1080P"


@pytest.mark.parametrize("gateway", NEWAPI)
def test_wan_2_7_gets_frames_and_sound_as_media(emulator: Emulator, gateway: str) -> None:
    sent = made(
        emulator,
        gateway,
        model="wan2.7-i2v",
        last_image="https://example.com/end.png",
        audio_url="https://example.com/song.mp3",
    )
    assert [each["type"] for each in sent["input"]["media"]] == ["first_frame", "last_frame", "driving_audio"]


def test_the_row_of_a_task_has_its_bill(emulator: Emulator) -> None:
    video = NebulaVideoClient(**reached(emulator, "newapi"), model="wan2.7-i2v").generate(
        prompt="x", image=CAT, duration=3, resolution="1080p"
    )
    assert (video.cost.basis, video.cost.usd) == ("billed", Decimal("0.45"))
    assert emulator.bill.usd == Decimal("0.45")


def test_where_the_old_route_is_closed_the_other_one_is_asked(emulator: Emulator) -> None:
    task = NebulaVideoClient(**reached(emulator, "newapi")).submit(prompt="x", image=CAT)
    emulator.faults.add("query", "status", code=404, body="html")
    video = NebulaVideoClient(**reached(emulator, "newapi")).wait(task.task_id)
    assert video.task_id == task.task_id
    looks = [request.path.rpartition("/")[0] for request in emulator.requests if request.point == "query"]
    assert looks[:2] == ["/newapi/v1/video/generations", "/newapi/v1/videos"]


def test_ids_are_those_of_new_api(emulator: Emulator) -> None:
    task = NebulaVideoClient(**reached(emulator, "newapi")).submit(prompt="x", image=CAT)
    assert task.task_id.startswith("task_")
    assert len(task.task_id) == 37


# --- OpenAI's shape ---


def test_new_api_with_plugins_carries_what_stock_new_api_loses(emulator: Emulator) -> None:
    sent = made(emulator, "newapi-videos", model="wan2.5-i2v-preview", resolution="480p", seed=0)
    assert sent["parameters"] == {
        "resolution": "480P", "duration": 5, "prompt_extend": False, "audio": False, "watermark": False, "seed": 0,
    }  # fmt: skip


@pytest.mark.parametrize("gateway", ["newapi-videos", "litellm"])
def test_a_video_of_text_alone_has_the_ratio_that_is_asked(emulator: Emulator, gateway: str) -> None:
    client = NebulaVideoClient(**reached(emulator, gateway), model="wan3.0-video")
    client.generate(prompt="A boat", aspect_ratio="9:16", resolution="480p", generate_audio=True)
    sent = emulator.tasks[-1].request
    assert (sent["input"], sent["parameters"]["ratio"], sent["parameters"]["audio"]) == (
        {"prompt": "A boat"},
        "9:16",
        True,
    )


def test_litellm_drops_the_happy_horse_only_if_it_is_told_so(emulator: Emulator) -> None:
    """The vendor's watermark is on by default."""
    assert made(emulator, "litellm", model="happyhorse-1.1-i2v")["parameters"]["watermark"] is False


@pytest.mark.parametrize("gateway", ["sglang", "vllm-omni"])
def test_an_open_model_gets_the_file_and_the_size_of_its_shape_in_a_form(emulator: Emulator, gateway: str) -> None:
    client = NebulaVideoClient(**reached(emulator, gateway))
    client.generate(prompt="x", image=TALL, duration=3, resolution="480p", seed=0, negative_prompt="flowers")
    (task,) = emulator.tasks
    assert (task.model, task.resolution, task.seconds, task.seed) == (
        "Wan-AI/Wan2.2-I2V-A14B-Diffusers", "480P", 3, 0,
    )  # fmt: skip
    (submit,) = [request for request in emulator.requests if request.point == "submit"]
    assert submit.headers["content-type"].startswith("multipart/form-data")
    assert task.request["input"]["negative_prompt"] == "flowers"


def test_sglang_is_given_a_url_in_a_form_too(emulator: Emulator) -> None:
    assert made(emulator, "sglang")["input"]["img_url"] == CAT
    assert emulator.requests[0].headers["content-type"].startswith("multipart/form-data")


def test_vllm_omni_is_given_no_url_whose_shape_nobody_knows(emulator: Emulator) -> None:
    journal = MemoryJournal()
    client = NebulaVideoClient(**reached(emulator, "vllm-omni"), journal=journal)
    with pytest.raises(InvalidRequestError, match="takes an image as a file") as caught:
        client.generate(prompt="x", image=CAT)
    assert "bytes" in caught.value.hint
    assert caught.value.spent is False
    assert (emulator.requests, journal.entries()) == ((), [])


def test_a_finished_task_names_no_address_and_its_video_wants_the_key(emulator: Emulator) -> None:
    video = NebulaVideoClient(**reached(emulator, "litellm")).generate(prompt="x", image=CAT)
    assert video.url == f"{emulator.videos_url}/v1/videos/{video.task_id}/content"
    assert httpx.get(video.url).status_code == 401
    assert emulator.tasks[-1].status is Status.SUCCEEDED


def test_a_free_server_has_a_budget_once_its_price_is_said(emulator: Emulator) -> None:
    client = NebulaVideoClient(**reached(emulator, "sglang"), prices={"wan2.2-i2v-a14b": 0}, budget="0.01")
    assert client.generate(prompt="x", image=TALL).cost.usd == 0
