"""Amounts that a gateway tells as one figure: LiteLLM's cost header, and the quota in new-api's row of a task."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from langchain_nebula_video import MemoryJournal, NebulaVideoClient, register_gateway, register_model
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.catalog.models import MODELS
from langchain_nebula_video.journal import SqlJournal
from tests.conftest import KEY, FakeClock, Gateway, MakeClient, settle

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}
URL = "https://results.example.com/video.mp4?Expires=1799999999"
QUEUED = {"id": "video_abc", "object": "video", "status": "queued", "seconds": "5.0", "model": "clip"}
COMPLETED = {**QUEUED, "status": "completed", "url": URL, "usage": {"duration_seconds": 5.04}}


def priced(amount: str | None) -> httpx.Response:
    """LiteLLM's answer to a submit, with its price of what was asked for."""
    headers = {} if amount is None else {"x-litellm-response-cost": amount}
    return httpx.Response(200, json=QUEUED, headers=headers)


@pytest.fixture
def proxy(gateway: Gateway) -> Iterator[dict[str, Any]]:
    """A LiteLLM proxy whose prices no table has, and the keywords for a client of it."""
    gateways, models = dict(GATEWAYS), dict(MODELS)
    register_gateway(
        replace(
            GATEWAYS["uniall"],
            name="proxy",
            base_url="https://proxy.example.com",
            protocol="videos-litellm",
            default_model="clip",
            carries=frozenset({"prompt", "image", "duration", "resolution"}),
        )
    )
    register_model(replace(MODELS["wan2.5-i2v-preview"], name="clip", prices={"proxy": {}}))
    gateway.fetches = [{**QUEUED, "status": "in_progress"}, COMPLETED]
    yield {"gateway": "proxy", "model": "clip"}
    for table, rows in ((GATEWAYS, gateways), (MODELS, models)):
        table.clear()
        table.update(rows)  # type: ignore[arg-type]


async def test_the_amount_in_a_submit_s_header_is_reserved_and_stays_the_estimate(
    proxy: dict[str, Any], make_client: MakeClient, gateway: Gateway
) -> None:
    gateway.submits = [priced("0.7167650000000001")]
    journal = MemoryJournal()
    client = make_client(**proxy, journal=journal)
    task = await settle(client.submit(**ASK))
    assert (str(task.cost), journal.spent()) == ("$0.716765 (estimated)", Decimal("0.716765"))
    looks = [(await settle(client.fetch(task.task_id))).cost for _ in range(2)]
    assert [str(cost) for cost in looks] == ["$0.716765 (estimated)"] * 2
    assert journal.spent() == Decimal("0.716765")


@pytest.mark.parametrize("amount", [None, "0", "0.0", "nan", "-1"])
async def test_no_amount_leaves_the_cost_unknown(
    proxy: dict[str, Any], make_client: MakeClient, gateway: Gateway, amount: str | None
) -> None:
    gateway.submits = [priced(amount)]
    video = await settle(make_client(**proxy).generate(**ASK))
    assert (video.cost.usd, video.cost.basis) == (None, "unknown")


def test_it_survives_a_restart(proxy: dict[str, Any], gateway: Gateway, clock: FakeClock, tmp_path: Path) -> None:
    gateway.submits = [priced("0.43006")]
    options = {**proxy, "api_key": KEY, "clock": clock, "download_hosts": (".example.com",)}
    for step in ("submit", "resume"):
        journal = SqlJournal(f"sqlite:///{tmp_path / 'videos.db'}")
        http = httpx.Client(transport=httpx.MockTransport(gateway))
        with NebulaVideoClient(**options, http_client=http, journal=journal) as client:
            if step == "submit":
                client.submit(**ASK)
                continue
            (task,) = client.resume()
            assert str(task.cost) == "$0.43006 (estimated)"
            assert str(client.wait(task).cost) == "$0.43006 (estimated)"
            assert journal.spent() == Decimal("0.43006")


def row(quota: int | None, *, lines: int = 1080) -> dict[str, Any]:
    """A finished task as new-api's table of tasks has it, with the vendor's own answer."""
    output = {"task_id": "v", "task_status": "SUCCEEDED", "video_url": URL, "orig_prompt": "a", "actual_prompt": "b"}
    usage = {"duration": 5, "SR": lines, "video_count": 1}
    data = {"task_id": "task-1", "status": "SUCCESS", "result_url": URL, "progress": "100%", "fail_reason": ""}
    counted = {} if quota is None else {"quota": quota}
    return {
        "code": "success",
        "message": "",
        "data": {**data, **counted, "data": {"output": output, "usage": usage, "request_id": "r"}},
    }


async def test_the_quota_in_a_task_s_row_is_the_bill_whatever_was_asked_for(
    make_client: MakeClient, gateway: Gateway
) -> None:
    gateway.fetches = [row(369000)]
    journal = MemoryJournal()
    video = await settle(make_client(journal=journal, group_ratio=3).generate(**ASK))
    assert (str(video.cost), video.resolution, video.duration) == ("$0.738", "1080p", 5)
    assert journal.spent() == Decimal("0.738")


async def test_a_bill_of_processed_figures_is_its_own_amount(make_client: MakeClient, gateway: Gateway) -> None:
    metadata = {
        "output": {"task_id": "task-1", "task_status": "SUCCEEDED", "video_url": URL},
        "usage": {"SR": 720, "duration": 5, "video_count": 1},
        "billing_processed": True, "actual_seconds": 5, "actual_quota": 369000, "model_price": 0.0738, "group_ratio": 2,
    }  # fmt: skip
    gateway.fetches = [{"task_id": "task-1", "status": "succeeded", "url": URL, "metadata": metadata}]
    video = await settle(make_client().generate(**ASK))
    assert (str(video.cost), video.cost.price_per_second, video.cost.group_ratio) == ("$0.738", Decimal("0.0738"), 2)


async def test_a_row_without_a_quota_is_an_estimate_of_what_was_made(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.fetches = [row(None)]
    video = await settle(make_client().generate(**ASK, resolution="480p"))
    assert (str(video.cost), video.resolution) == ("$0.6165 (estimated)", "1080p")
