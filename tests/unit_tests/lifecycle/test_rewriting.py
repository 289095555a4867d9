"""A prompt that the gateway rewrote although nobody asked for it is told once."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from langchain_nebula_video import MemoryJournal
from tests.conftest import Gateway, MakeClient, settle, submitted, succeeded

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}
NOTE = "rewrote the prompt"


def made_from(prompt: str | None) -> dict[str, Any]:
    """A finished task whose video was made from this prompt."""
    return succeeded(output={"task_status": "SUCCEEDED", "actual_prompt": prompt})


def notes(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(record.levelno, record.getMessage()) for record in caplog.records if NOTE in record.getMessage()]


async def test_it_is_told_once_per_client(
    make_client: MakeClient, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "langchain_nebula_video")
    gateway.fetches = [made_from("In soft light, a tabby cat blinks twice")]
    client = make_client(journal=MemoryJournal())
    for number in range(3):
        gateway.submits = [submitted(f"task-{number}")]
        gateway.fetches = [{**gateway.fetches[0], "task_id": f"task-{number}"}]
        await settle(client.generate(**ASK, key=str(number)))
    told = f"task task-0: nebula {NOTE}, as it always does: see actual_prompt"
    assert notes(caplog) == [(logging.INFO, told)]


@pytest.mark.parametrize(
    ("prompt", "fields"),
    [
        ("The cat blinks", {}),
        ("The cat bl", {}),
        (None, {}),
        ("In soft light, a tabby cat blinks twice", {"smart_rewrite": True}),
    ],
)
async def test_nothing_is_told_where_nothing_was_rewritten_or_it_was_asked_for(
    make_client: MakeClient,
    gateway: Gateway,
    caplog: pytest.LogCaptureFixture,
    prompt: str | None,
    fields: dict[str, Any],
) -> None:
    caplog.set_level(logging.INFO, "langchain_nebula_video")
    gateway.fetches = [made_from(prompt)]
    await settle(make_client().generate(**ASK, **fields))
    assert notes(caplog) == []


async def test_where_it_can_be_switched_off_it_is_a_warning(
    make_client: MakeClient, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    output = {"task_id": "task-1", "task_status": "SUCCEEDED", "video_url": "https://results.example.com/video.mp4"}
    gateway.submits = [{"output": {"task_id": "task-1", "task_status": "PENDING"}}]
    gateway.fetches = [{"output": {**output, "actual_prompt": "In soft light, a tabby cat blinks twice"}}]
    await settle(make_client(gateway="dashscope-intl").generate(**ASK))
    (note,) = notes(caplog)
    assert note[0] == logging.WARNING
    assert "although smart_rewrite is off" in note[1]
