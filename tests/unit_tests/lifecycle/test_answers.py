"""What an answer says of money and of whose task it is: accepted is accepted, and Alice never gets Bob's video."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    MemoryJournal,
    NebulaVideoClient,
    RequestError,
    SubmissionUnconfirmedError,
    TaskTimeoutError,
)
from langchain_nebula_video.journal import EntryState
from tests.conftest import KEY, FakeClock, Gateway, MakeClient, running, settle, submitted, succeeded
from tests.storage import MOVIE

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}
BOBS = {**succeeded(), "task_id": "task-2", "url": "https://results.example.com/bob.mp4"}


def answer(status: int, body: dict[str, Any]) -> httpx.Response:
    return httpx.Response(status, json=body)


@pytest.mark.parametrize(
    "accepted",
    [
        *(answer(status, submitted()) for status in (201, 400, 402, 403, 409, 429, 500, 503)),
        answer(200, {"id": "task-1", "code": "Throttling.RateQuota", "message": "Requests rate limit exceeded"}),
        answer(429, {"output": {"task_id": "task-1"}, "code": "Throttling"}),
    ],
    ids=lambda response: f"{response.status_code}",
)
async def test_an_answer_that_names_a_task_is_an_accepted_one_and_is_not_sent_again(
    make_client: MakeClient, gateway: Gateway, accepted: httpx.Response
) -> None:
    gateway.submits = [accepted]
    journal = MemoryJournal()
    task = await settle(make_client(journal=journal).submit(**ASK, key="k"))
    assert task.task_id == "task-1"
    assert gateway.posts == 1
    assert [(entry.task_id, entry.state) for entry in journal.entries()] == [("task-1", EntryState.SUBMITTED)]


async def test_a_refusal_with_half_a_task_in_it_is_not_told_as_free(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.submits = [httpx.Response(429, content=b'{"task_id": "task-1", "stat')]
    journal = MemoryJournal()
    with pytest.raises(SubmissionUnconfirmedError) as caught:
        await settle(make_client(journal=journal).submit(**ASK, key="k"))
    assert caught.value.spent is None
    assert gateway.posts == 1
    assert [entry.state for entry in journal.entries()] == [EntryState.UNCONFIRMED]


# --- whose task ---


async def test_a_poll_that_is_answered_with_another_task_is_repeated(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.fetches = [running(), BOBS, BOBS, {"id": "task-2", "status": "failed"}, succeeded()]
    journal = MemoryJournal()
    video = await settle(make_client(journal=journal).generate(**ASK))
    assert "bob" not in video.url
    (entry,) = journal.entries()
    assert entry.video is not None
    assert "bob" not in entry.video["url"]


async def test_another_task_s_video_is_never_returned_however_often_it_is_answered(
    make_client: MakeClient, gateway: Gateway
) -> None:
    gateway.fetches = [BOBS]
    journal = MemoryJournal()
    client = make_client(journal=journal)
    with pytest.raises(TaskTimeoutError, match="is about another task") as caught:
        await settle(client.generate(**ASK))
    assert (caught.value.task_id, caught.value.spent) == ("task-1", None)
    with pytest.raises(RequestError, match="is about another task") as looked:
        await settle(client.fetch("task-1"))
    assert (looked.value.task_id, looked.value.spent) == ("task-1", None)
    assert [entry.state for entry in journal.entries()] == [EntryState.SUBMITTED]
    assert "bob" not in repr(journal.entries())


async def test_an_expired_address_is_not_renewed_with_another_task_s(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock, tmp_path: Path
) -> None:
    client = make_client(gateway="uniall", base_url="https://gateway.example.com")  # it may sign anew
    video = await settle(client.generate(**ASK))
    expired = video.model_copy(update={"expires_at": clock.utcnow() - timedelta(hours=1)})
    gateway.fetches = [BOBS] * 4 + [httpx.Response(200, content=MOVIE)]
    gateway.requests.clear()
    await settle(client.download(expired, tmp_path / "cat.mp4"))
    assert not any(request.url.path.endswith("bob.mp4") for request in gateway.requests)


async def test_a_cancellation_that_is_answered_for_another_task_is_repeated(clock: FakeClock) -> None:
    """The gateway refuses the repetition, because the first one did work; the look shows it."""
    canceled = {"output": {"task_id": "task-1", "task_status": "CANCELED"}}
    other = {"output": {"task_id": "task-2", "task_status": "CANCELED"}}
    for kind in (NebulaVideoClient, AsyncNebulaVideoClient):
        played = Gateway()
        played.submits = [other, {"request_id": "r"}]
        played.fetches = [canceled]
        transport = httpx.MockTransport(played)
        own: dict[str, Any] = {
            "http_client": httpx.Client(transport=transport),
            "http_async_client": httpx.AsyncClient(transport=transport),
        }
        client: Any = kind(gateway="dashscope", api_key=KEY, clock=clock, **own)
        assert (await settle(client.cancel("task-1"))).status == "canceled"
        assert (played.posts, played.gets) == (2, 1)
