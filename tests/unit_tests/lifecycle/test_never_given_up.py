"""Whatever a gateway answers, only typed errors come out, one POST goes in, and a paid task is not forgotten."""

from __future__ import annotations

import copy
import json
from typing import Any

import httpx
from hypothesis import given
from hypothesis import strategies as st

from langchain_nebula_video import (
    MemoryJournal,
    NebulaVideoClient,
    NebulaVideoError,
    SubmissionUnconfirmedError,
    TaskFailedError,
)
from langchain_nebula_video.journal import EntryState
from tests.conftest import KEY, FakeClock, Gateway, failed, running, submitted, succeeded

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
)


@st.composite
def mutated(draw: st.DrawFn, documented: list[dict[str, Any]]) -> dict[str, Any]:
    """A documented answer with one of its values taken out or replaced by anything."""
    body: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(documented)))
    place = body
    while True:
        name = draw(st.sampled_from(sorted(place)))
        if isinstance(place[name], dict) and place[name] and draw(st.booleans()):
            place = place[name]
            continue
        if draw(st.booleans()):
            del place[name]
        else:
            place[name] = draw(anything)
        return body


def response(status: int, body: Any) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(status, content=content)


statuses = st.sampled_from([200, 200, 200, 201, 302, 400, 401, 404, 408, 429, 500, 502, 503])


def answers(documented: list[dict[str, Any]]) -> st.SearchStrategy[httpx.Response]:
    bodies = mutated(documented) | anything | st.binary(max_size=60)
    return st.builds(response, statuses, bodies)


def client_of(gateway: Gateway, journal: MemoryJournal) -> NebulaVideoClient:
    transport = httpx.Client(transport=httpx.MockTransport(gateway))
    return NebulaVideoClient(api_key=KEY, clock=FakeClock(), http_client=transport, journal=journal)


@given(st.lists(answers([running(), succeeded(), failed()]), min_size=1, max_size=4))
def test_no_answer_to_a_poll_makes_a_paid_task_forgotten(polls: list[httpx.Response]) -> None:
    gateway, journal = Gateway(), MemoryJournal()
    gateway.submits, gateway.fetches = [submitted()], [*polls, succeeded()]
    try:
        client_of(gateway, journal).generate(**ASK)
    except TaskFailedError as error:
        assert error.spent is not True
    except NebulaVideoError as error:
        assert error.task_id == "task-1"
        assert error.spent is not False
        assert journal.entries()[0].unfinished
    assert gateway.posts == 1
    assert [entry.task_id for entry in journal.entries()] == ["task-1"]


@given(answers([submitted()]))
def test_no_answer_to_a_submit_is_followed_by_a_second_one_unless_it_was_refused(answer: httpx.Response) -> None:
    gateway, journal = Gateway(), MemoryJournal()
    gateway.submits, gateway.fetches = [answer], [succeeded()]
    try:
        task = client_of(gateway, journal).submit(**ASK)
    except SubmissionUnconfirmedError:
        assert [entry.state for entry in journal.entries()] == [EntryState.UNCONFIRMED]
    except NebulaVideoError as error:
        assert error.spent is False
        assert journal.entries() == []
        return
    else:
        assert [entry.task_id for entry in journal.entries()] == [task.task_id]
    assert gateway.posts == 1
