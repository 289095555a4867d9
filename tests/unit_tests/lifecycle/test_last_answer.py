"""An answer that repeats the last one to the byte is not read again; any other one is."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from langchain_nebula_video.lifecycle.last_answer import LastAnswer
from langchain_nebula_video.protocols import PROTOCOLS, Reply
from langchain_nebula_video.schema import VideoProgress
from tests.conftest import Gateway, MakeClient, running, settle, succeeded
from tests.tables import each_row

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUNNING = {"task_id": "t", "status": "in_progress", "progress": "30%"}


def reply(body: dict[str, Any], status: int = 200) -> Reply:
    return Reply(status=status, headers={}, body=json.dumps(body).encode(), received_at=NOW)


def after(first: Reply) -> LastAnswer:
    """What is remembered after an answer."""
    last = LastAnswer()
    assert not last.compare(first)
    snapshot = PROTOCOLS["nebula"].parse_fetch(first)
    assert snapshot is not None
    last.keep(first, snapshot)
    return last


def test_the_same_answer_says_the_same() -> None:
    assert (last := after(reply(RUNNING))).compare(reply(RUNNING))
    assert last.snapshot.progress == 0.3


@each_row(
    "other",
    [
        reply({**RUNNING, "progress": "31%"}),
        reply({**RUNNING, "status": "succeeded", "url": "https://v.example.com/v.mp4"}),
        reply(RUNNING, 500),
        reply({}),
    ],
)
def test_another_answer_is_read(other: Reply) -> None:
    assert not after(reply(RUNNING)).compare(other)


@each_row("word", ["succeeded", "failed", "canceled"])
def test_an_end_is_always_read(word: str) -> None:
    end = reply({"task_id": "t", "status": word})
    assert not after(end).compare(end)


async def test_each_look_is_told_and_what_changes_is_seen(make_client: MakeClient, gateway: Gateway) -> None:
    halfway = {**running(), "progress": "50%"}
    gateway.fetches = [running(), running(), running(), halfway, halfway, succeeded()]
    told: list[VideoProgress] = []
    await settle(make_client().generate(**ASK, on_progress=told.append))
    seen = [(event.polls, event.status, event.fraction) for event in told if not event.estimated and event.polls]
    assert [polls for polls, *_ in seen] == [1, 2, 3, 4, 5, 6]
    assert [fraction for *_, fraction in seen][3:] == [0.5, 0.5, 1.0]
