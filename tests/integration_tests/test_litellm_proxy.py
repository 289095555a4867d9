"""A real LiteLLM proxy between the client and the emulator's DashScope: what arrives, what it costs, and how often."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from langchain_nebula_video import (
    AuthenticationError,
    MemoryJournal,
    ModerationError,
    NebulaVideoClient,
    RefusedError,
    SubmissionUnconfirmedError,
    TaskFailedError,
    TaskNotFoundError,
    TaskStatus,
)
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.emulator.rendering import images
from langchain_nebula_video.journal import EntryState
from langchain_nebula_video.media.mp4 import find_mp4_defect
from tests.environments import NotInstalledError, give_up
from tests.gateways import INTERVAL, SINGAPORE, SPEED
from tests.litellm import MASTER_KEY, Proxy, install

CAT = "https://example.com/cat.png"
PHOTOGRAPH = images.sample("a photograph", (640, 480))


@pytest.fixture(scope="session")
def program() -> Path:
    try:
        return install()
    except NotInstalledError as error:
        give_up(error)


@pytest.fixture(scope="module")
def vendor() -> Iterator[Emulator]:
    """Singapore: LiteLLM's prices of qwencloud are this region's."""
    with Emulator(speed=SPEED) as running:
        running.add_account(SINGAPORE, region="singapore")
        yield running


@pytest.fixture(scope="module")
def proxy(program: Path, vendor: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """As a reader of LiteLLM's docs sets it up, and with a fallback: nothing is switched off."""
    at_vendor = {"api_base": vendor.dashscope_url("singapore"), "api_key": SINGAPORE}
    groups = {
        "wan2.7-i2v": "qwencloud/wan2.7-i2v",
        "wan3.0-video": "qwencloud/wan3.0-video",
        "happyhorse-1.1-i2v": "qwencloud/happyhorse-1.1-i2v",
    }
    config = {
        "model_list": [{"model_name": name, "litellm_params": {"model": model, **at_vendor}}
                       for name, model in groups.items()],
        "general_settings": {"master_key": MASTER_KEY},
        "litellm_settings": {"fallbacks": [{"wan2.7-i2v": ["wan3.0-video"]}]},
    }  # fmt: skip
    running = Proxy(program, json.dumps(config), tmp_path_factory.mktemp("litellm"))
    try:
        yield running
    finally:
        running.stop()


def client(proxy: Proxy, **more: Any) -> NebulaVideoClient:
    settings = {"api_key": MASTER_KEY, "poll_interval": INTERVAL, "model": "wan2.7-i2v", "timeout": 60, **more}
    return NebulaVideoClient(gateway="litellm", base_url=f"{proxy.url}/v1", **settings)


def test_a_video_is_made_saved_and_costs_what_the_vendor_bills(proxy: Proxy, vendor: Emulator, tmp_path: Path) -> None:
    journal, before = MemoryJournal(), len(vendor.tasks)
    video = client(proxy, journal=journal, save_to=tmp_path).generate(
        prompt="The cat blinks", image=PHOTOGRAPH, resolution="720p", duration=4, seed=0, negative_prompt="flowers"
    )
    (task,) = vendor.tasks[before:]
    assert (video.model, video.duration, video.resolution) == ("wan2.7-i2v", 4, "720p")
    assert video.cost.usd == Decimal("0.40") == vendor.bill.lines[-1].amount
    assert video.warning is None
    assert (task.image_digest, task.resolution, task.seconds) == (hashlib.sha256(PHOTOGRAPH).hexdigest(), "720P", 4)
    assert task.request["parameters"] == {
        "resolution": "720P", "duration": 4, "prompt_extend": False, "watermark": False, "seed": 0,
    }  # fmt: skip
    assert task.request["input"]["negative_prompt"] == "flowers"
    assert video.url == f"{proxy.url}/v1/videos/{quote(video.task_id)}/content"
    assert video.url_needs_key
    assert video.path is not None
    assert find_mp4_defect(Path(video.path)) is None
    (entry,) = journal.entries()
    assert (entry.state, entry.billed_usd) == (EntryState.SUCCEEDED, Decimal("0.40"))
    assert vendor.violations == ()


def test_a_last_frame_and_a_sound_reach_the_vendor_as_media(proxy: Proxy, vendor: Emulator) -> None:
    client(proxy).generate(
        prompt="x", image=CAT, last_image="https://example.com/end.png", audio_url="https://example.com/song.mp3"
    )
    media = vendor.tasks[-1].request["input"]["media"]
    assert [each["type"] for each in media] == ["first_frame", "last_frame", "driving_audio"]


@pytest.mark.parametrize(("model", "usd"), [("wan3.0-video", "0.25"), ("happyhorse-1.1-i2v", "0.70")], ids=str)
def test_each_other_group_costs_what_the_vendor_bills(proxy: Proxy, vendor: Emulator, model: str, usd: str) -> None:
    resolution = "480p" if model.startswith("wan") else "720p"
    video = client(proxy, model=model).generate(prompt="x", image=CAT, resolution=resolution)
    assert (video.cost.usd, vendor.bill.lines[-1].amount) == (Decimal(usd), Decimal(usd))


def test_a_wait_goes_on_in_another_process_with_the_cost_that_was_told_once(proxy: Proxy) -> None:
    journal = MemoryJournal()
    task = client(proxy, journal=journal).submit(prompt="x", image=CAT, key="k")
    assert task.cost.usd == Decimal("0.50")
    video = client(proxy, journal=journal).wait(task.task_id)
    assert (video.task_id, video.cost.usd) == (task.task_id, Decimal("0.50"))


@pytest.mark.parametrize("fault", ["reset_after", "eof_after", "truncated"])
def test_an_answer_that_the_proxy_loses_is_one_task_although_a_fallback_is_configured(
    proxy: Proxy, vendor: Emulator, fault: str
) -> None:
    """Without what the client says in the body, there would be three, and then one of the fallback."""
    before = len(vendor.tasks)
    vendor.faults.add("submit", fault)
    try:
        with pytest.raises(SubmissionUnconfirmedError):
            client(proxy).generate(prompt="x", image=CAT)
    finally:
        vendor.faults.clear()
    assert len(vendor.tasks) == before + 1


def test_what_the_proxy_refuses_is_told_apart(proxy: Proxy, vendor: Emulator) -> None:
    before = len(vendor.tasks)
    with pytest.raises(AuthenticationError) as caught:
        client(proxy, api_key="sk-wrong").generate(prompt="x", image=CAT)
    assert "master key" in caught.value.hint
    with pytest.raises(ModerationError):
        client(proxy).generate(prompt="forbidden", image=CAT)
    with pytest.raises(RefusedError):
        client(proxy, model="wan3.0-video-prime").generate(prompt="x", image=CAT)  # no group of the proxy
    assert len(vendor.tasks) == before
    with pytest.raises(TaskFailedError) as failed:
        client(proxy).generate(prompt="[fail]", image=CAT)
    assert (failed.value.task.code if failed.value.task else None) == "InternalError"


def test_a_task_that_the_vendor_does_not_know_is_not_found(proxy: Proxy) -> None:
    text = b"litellm:custom_llm_provider:qwencloud;model_id:wan2.7-i2v;video_id:ae8eb420-8aa6"
    with pytest.raises(TaskNotFoundError):
        client(proxy).fetch(f"video_{base64.b64encode(text).decode()}")


def test_a_task_is_found_by_an_id_that_lacks_what_the_proxy_adds(proxy: Proxy) -> None:
    """The proxy answers with the whole id: it is another text, and the same task."""
    task = client(proxy).submit(prompt="x", image=CAT)
    plain = base64.b64decode(task.task_id.removeprefix("video_")).decode()
    short = base64.b64encode(plain.partition(";deployment_id:")[0].encode()).decode()
    assert client(proxy).fetch(f"video_{short}").status in {TaskStatus.RUNNING, TaskStatus.SUCCEEDED, TaskStatus.QUEUED}
