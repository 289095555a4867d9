"""What a gateway's answer to a submit says of the money reaches the log, the task, the video and the journal."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import pytest

from langchain_nebula_video import MemoryJournal, NebulaVideoTool
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.catalog.models import MODELS
from tests.conftest import Gateway, MakeClient, settle

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}
TASK = "video_" + base64.b64encode(b"litellm:custom_llm_provider:dashscope;model_id:wan;video_id:v-1").decode()
TOLD = "LiteLLM sent this submit more than once (1 retries): perhaps a second paid task exists"


def job(status: str, **more: Any) -> dict[str, Any]:
    return {"id": TASK, "object": "video", "status": status, "model": "wan", "seconds": "5.0", **more}


@pytest.fixture(autouse=True)
def _proxied(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default gateway is a LiteLLM that repeated the submit."""
    row = replace(
        GATEWAYS["nebula"], protocol="videos-litellm", carries=frozenset({"prompt", "image", "duration", "resolution"})
    )
    monkeypatch.setitem(GATEWAYS, "nebula", row)
    model = MODELS["wan2.5-i2v-preview"]
    monkeypatch.setitem(MODELS, model.name, replace(model, prices={"nebula": {}}))
    headers = {"x-litellm-response-cost": "0.43006", "x-litellm-attempted-retries": "1"}
    gateway.submits = [httpx.Response(200, json=job("queued"), headers=headers)]
    url = "https://results.example.com/v.mp4"
    gateway.fetches = [job("in_progress"), job("completed", url=url)]


async def test_a_warning_is_logged_and_is_on_the_task_and_on_the_video(
    make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    video = await settle(make_client().generate(**ASK))
    assert video.warning is not None
    assert video.warning.startswith(TOLD)
    assert [TOLD in record.message for record in caplog.records if record.levelname == "WARNING"] == [True]


async def test_a_warning_outlives_the_process_while_the_task_is_under_way(make_client: MakeClient) -> None:
    journal = MemoryJournal()
    task = await settle(make_client(journal=journal).submit(**ASK, key="k"))
    assert task.warning is not None
    later = make_client(journal=journal)
    assert (await settle(later.fetch(task.task_id))).warning == task.warning
    (entry,) = journal.entries()
    assert (entry.state.value, entry.reason) == ("running", task.warning)
    video = await settle(later.wait(task.task_id))
    assert video.warning == task.warning
    (entry,) = journal.entries()
    assert entry.video is not None
    assert entry.video["warning"] == task.warning
    assert (await settle(make_client(journal=journal).wait(task.task_id))).warning == task.warning


async def test_what_the_proxy_says_of_the_cost_stays_with_the_task(make_client: MakeClient) -> None:
    """It says so once, in a header of the submit."""
    journal = MemoryJournal()
    task = await settle(make_client(journal=journal).submit(**ASK, key="k"))
    assert str(task.cost) == "$0.43006 (estimated)"
    video = await settle(make_client(journal=journal).wait(task.task_id))
    assert video.cost.usd == Decimal("0.43006")


def test_an_agent_reads_the_warning(options: dict[str, Any]) -> None:
    answer = json.loads(NebulaVideoTool(**options).invoke(ASK))
    assert answer["warning"].startswith(TOLD)
