"""A look that is refused or odd is not the end of a paid task, and a real end is one."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest

from langchain_nebula_video import (
    AuthenticationError,
    MemoryJournal,
    NebulaVideoClient,
    NebulaVideoError,
    RefusedError,
    RequestError,
    TaskError,
    TaskNotFoundError,
    TaskTimeoutError,
)
from langchain_nebula_video.errors import Money
from langchain_nebula_video.lifecycle.look_faults import kind_of
from langchain_nebula_video.protocols import PROTOCOLS, Reply
from tests.conftest import KEY, FakeClock, Gateway, MakeClient, running, settle, succeeded
from tests.tables import each_row

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}


def answer(status: int, body: Any = None, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers=headers, json={} if body is None else body)


def error(status: int, message: str = "no", code: str = "") -> httpx.Response:
    return answer(status, {"error": {"message": message, "type": "nebula_api_error", "code": code}})


GONE = answer(404, {"code": "task_not_exist", "message": "no", "data": None})
MISSING = answer(400, {"code": "task_not_exist", "message": "task_not_exist", "data": None})
NO_RIGHT = error(403, "This token has no access to model")
NO_KEY = error(401, "quota exhausted")
PAGE = httpx.Response(200, html="<html>hello</html>")
NO_PATH, NO_METHOD = httpx.Response(404), httpx.Response(405)
LOGIN = httpx.Response(302, headers={"Location": "https://login.example.com/"})
COOLDOWN = answer(
    429,
    {"error": {"message": "No deployments available", "type": "all_deployments_in_cooldown", "code": "429"}},
    **{"Retry-After": "5"},
)


# --- what passes ---


@pytest.mark.parametrize(
    "odd",
    [
        NO_KEY,
        NO_RIGHT,
        error(402),
        error(451),
        LOGIN,
        httpx.Response(403, html="<html>Access denied</html>"),
        httpx.Response(404, html="<html>Not found</html>"),
        NO_PATH,
        NO_METHOD,
        GONE,
        MISSING,
        COOLDOWN,
        PAGE,
        httpx.Response(200, content=b'{"task_id": "ta'),
        error(400, "no such thing", "invalid_request"),
    ],
    ids=lambda response: f"{response.status_code}-{response.content[:24]!r}",
)
async def test_a_few_refused_or_odd_looks_end_no_wait(make_client: MakeClient, gateway: Gateway, odd: Any) -> None:
    gateway.fetches = [running(), odd, odd, succeeded()]
    assert (await settle(make_client().generate(**ASK))).task_id == "task-1"
    assert gateway.posts == 1


async def test_a_key_s_right_that_is_restored_within_minutes_loses_nothing(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Both paths are refused at first, and a person mends it. It is logged once, so that somebody can."""
    gateway.fetches = [*[NO_RIGHT] * 20, succeeded()]
    with caplog.at_level(logging.WARNING, logger="langchain_nebula_video"):
        assert (await settle(make_client().generate(**ASK))).task_id == "task-1"
    assert [record.message for record in caplog.records] == [
        "task task-1: a look is repeated: The gateway answered HTTP 403: This token has no access to model."
    ]


async def test_a_fresh_task_may_be_unknown_for_its_first_minute(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock
) -> None:
    gateway.fetches = [*[MISSING] * 9, succeeded()]
    video = await settle(make_client(poll_interval=1).generate(**ASK))
    assert video.task_id == "task-1"
    assert clock.now - 1000 > 40


async def test_looks_that_are_refused_are_not_repeated_in_a_hurry(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock
) -> None:
    gateway.fetches = [NO_KEY]
    with pytest.raises(AuthenticationError):
        await settle(make_client(poll_interval=0.01).generate(**ASK))
    assert gateway.gets < 40
    assert max(clock.sleeps) >= 10


# --- what ends the wait ---


@pytest.mark.parametrize(
    ("end", "kind", "seconds"),
    [
        (NO_KEY, AuthenticationError, (300, 350)),
        (NO_RIGHT, RefusedError, (300, 350)),
        (LOGIN, RefusedError, (300, 350)),
        (error(451), RefusedError, (300, 350)),
        (error(400, "what?", "invalid_request"), RefusedError, (60, 110)),
    ],
    ids=["key", "right", "login page", "firewall", "refused"],
)
async def test_a_look_that_stays_refused_ends_the_wait_after_a_while_and_names_the_task(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock, end: httpx.Response, kind: Any, seconds: Any
) -> None:
    gateway.fetches = [running(), end]
    journal = MemoryJournal()
    with pytest.raises(kind) as caught:
        await settle(make_client(journal=journal, poll_interval=5).generate(**ASK))
    shortest, longest = seconds
    assert shortest <= clock.now - 1005 <= longest
    assert (caught.value.task_id, caught.value.money, caught.value.spent) == ("task-1", Money.RUNNING, None)
    assert "go on with wait('task-1'); do not submit again" in caught.value.hint
    assert journal.entries()[0].unfinished


@pytest.mark.parametrize("gone", [MISSING, GONE], ids=["400", "404"])
async def test_a_task_that_stays_unknown_after_its_first_minute_is_reported_as_not_found(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock, gone: httpx.Response
) -> None:
    gateway.fetches = [running(), gone]
    with pytest.raises(TaskNotFoundError) as caught:
        await settle(make_client(poll_interval=1).generate(**ASK))
    assert caught.value.task_id == "task-1"
    assert 60 <= clock.now - 1000 <= 150


async def test_three_looks_are_enough_for_an_id_that_nobody_knows(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.fetches = [MISSING]
    with pytest.raises(TaskNotFoundError) as caught:
        await settle(make_client().wait("task-9"))
    assert caught.value.task_id == "task-9"
    assert "this gateway keeps its tasks" in caught.value.hint
    assert gateway.gets == 3


@pytest.mark.parametrize("end", [NO_KEY, NO_RIGHT, LOGIN, NO_PATH, NO_METHOD])
async def test_a_mistyped_key_or_address_is_told_soon(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock, end: httpx.Response
) -> None:
    """Nothing was ever heard of this task: neither the journal nor an answer tells that it is there."""
    gateway.fetches = [end]
    with pytest.raises(NebulaVideoError):
        await settle(make_client().wait("task-9"))
    assert clock.now - 1000 <= 60


async def test_the_deadline_ends_a_wait_for_a_refused_look_and_the_hint_is_that_of_the_refusal(
    make_client: MakeClient, gateway: Gateway
) -> None:
    gateway.fetches = [NO_KEY]
    with pytest.raises(TaskTimeoutError, match="HTTP 401: quota exhausted") as caught:
        await settle(make_client(timeout=100).generate(**ASK))
    assert caught.value.hint.startswith("Check the key")
    assert caught.value.hint.endswith("Then go on with wait('task-1'); do not submit again.")
    assert caught.value.spent is None


async def test_one_look_by_fetch_is_refused_at_once(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.fetches = [NO_KEY]
    with pytest.raises(AuthenticationError) as caught:
        await settle(make_client().fetch("task-1"))
    assert [request.url.path for request in gateway.requests] == [
        "/v1/video/generations/task-1",
        "/v1/videos/task-1",
    ]
    assert caught.value.spent is None


async def test_how_long_a_task_is_kept_is_told_only_where_a_page_says_so(
    make_client: MakeClient, gateway: Gateway
) -> None:
    gateway.fetches = [answer(404, {"code": "task_not_exist", "message": "no"})]
    with pytest.raises(TaskNotFoundError, match="a task that is old may be gone") as caught:
        await settle(make_client(gateway="uniall", base_url="https://gateway.example.com").fetch("task-9"))
    assert "24" not in str(caught.value)


# --- the table ---


@each_row(
    ("response", "kind"),
    [
        (NO_KEY, "the key"),
        (NO_RIGHT, "the key"),
        (error(402), "the key"),
        (error(400, "no", "InvalidApiKey"), "the key"),
        (httpx.Response(403, html="<html>Access denied</html>"), "a server on the way"),
        (httpx.Response(404, html=" <!doctype html>"), "a server on the way"),
        (LOGIN, "a server on the way"),
        (error(451), "a server on the way"),
        (GONE, "no such task"),
        (MISSING, "no such task"),
        (NO_PATH, "no such path"),
        (NO_METHOD, "no such path"),
        (COOLDOWN, "no answer"),
        (error(500), "no answer"),
        (error(408), "no answer"),
        (error(410), "refused"),
        (error(400), "refused"),
    ],
)
def test_a_fault_is_of_the_first_kind_that_it_matches(response: httpx.Response, kind: str) -> None:
    headers = {name.lower(): value for name, value in response.headers.items()}
    reply = Reply(response.status_code, headers, response.content, FakeClock().utcnow())
    fault = PROTOCOLS["nebula"].parse_refusal(reply, paid=False)
    assert isinstance(fault, RequestError)
    assert kind_of(fault).name == kind


# --- two ways to ask ---


class TwoWays:
    """A gateway of a protocol with two ways to ask; each answers with the next of its own."""

    def __init__(self, first: list[Any], second: list[Any]) -> None:
        self.answers = {"/v1/video/generations": first, "/v1/videos": second}
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.rpartition("/")[0]
        self.asked.append(path)
        queue = self.answers[path]
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(answer, httpx.Response):
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
        return httpx.Response(200, json=answer)

    def client(self, clock: FakeClock) -> NebulaVideoClient:
        http = httpx.Client(transport=httpx.MockTransport(self))
        return NebulaVideoClient(
            gateway="uniall", base_url="https://uniall.example.com", api_key=KEY, clock=clock, http_client=http
        )


@pytest.mark.parametrize(
    ("first", "second"), [(GONE, NO_METHOD), (NO_METHOD, GONE), (NO_PATH, NO_METHOD), (NO_PATH, GONE), (GONE, NO_PATH)]
)
def test_that_one_way_to_ask_is_not_there_does_not_end_the_wait(
    first: httpx.Response, second: httpx.Response, clock: FakeClock
) -> None:
    """What the other way says counts: a task may be unknown for a moment."""
    later = TwoWays([first, first, succeeded()], [second])
    assert later.client(clock).wait("task-1").task_id == "task-1"
    never = TwoWays([first], [second])
    with pytest.raises((TaskNotFoundError, RefusedError)):
        never.client(clock).wait("task-1")
    assert 6 <= len(never.asked) <= 12


def test_a_page_that_says_nothing_is_a_passing_fault_and_no_missing_task(clock: FakeClock) -> None:
    for other in (GONE, NO_PATH, NO_METHOD):
        gateway = TwoWays([*[PAGE] * 6, running(), succeeded()], [other])
        assert gateway.client(clock).wait("task-1").task_id == "task-1"


def test_a_way_to_ask_is_remembered_once_it_has_told_something(clock: FakeClock) -> None:
    gateway = TwoWays([PAGE], [running(), running(), succeeded()])
    gateway.client(clock).wait("task-1")
    assert gateway.asked == ["/v1/video/generations", "/v1/videos", "/v1/videos", "/v1/videos"]


def test_a_refused_look_is_tried_the_other_way_which_is_remembered(clock: FakeClock) -> None:
    gateway = TwoWays([NO_RIGHT], [running(), running(), succeeded()])
    gateway.client(clock).wait("task-1")
    assert gateway.asked == ["/v1/video/generations", "/v1/videos", "/v1/videos", "/v1/videos"]


@pytest.mark.parametrize(("first", "second"), [(NO_RIGHT, NO_RIGHT), (PAGE, NO_PATH)])
def test_where_neither_way_tells_the_second_is_tried_less_and_less(
    first: httpx.Response, second: httpx.Response, clock: FakeClock
) -> None:
    gateway = TwoWays([running(), first], [second])
    with pytest.raises((RefusedError, TaskTimeoutError)):
        gateway.client(clock).wait("task-1", timeout=350)
    one, other = (gateway.asked.count(path) for path in gateway.answers)
    assert other == 6  # after 0, 1, 2, 4, 8 and 16 faulty looks
    assert one > 3 * other


@each_row(
    ("first", "second", "told"),
    [
        (NO_RIGHT, NO_PATH, NO_RIGHT),
        (NO_PATH, NO_RIGHT, NO_RIGHT),
        (NO_RIGHT, error(500), error(500)),
        (NO_PATH, error(500), error(500)),
        (NO_KEY, NO_RIGHT, NO_KEY),
    ],
)
def test_of_two_faults_the_one_that_says_least_against_the_task_is_told(
    first: httpx.Response, second: httpx.Response, told: httpx.Response, clock: FakeClock
) -> None:
    with pytest.raises(RequestError) as caught:
        TwoWays([first], [second]).client(clock).fetch("task-1")
    assert caught.value.status_code == told.status_code


# --- an id that cannot be asked for ---


@pytest.mark.parametrize("verb", ["fetch", "wait"])
async def test_a_task_whose_id_can_never_be_asked_for_is_told_at_once_and_is_not_called_missing(
    make_client: MakeClient, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """LiteLLM has no path to a task whose id has a slash."""
    monkeypatch.setitem(PROTOCOLS, "nebula", PROTOCOLS["videos-litellm"])
    with pytest.raises(TaskError, match="id with a slash") as caught:
        await settle(getattr(make_client(), verb)("video_a/b="))
    assert type(caught.value) is TaskError
    assert (caught.value.task_id, caught.value.spent) == ("video_a/b=", None)
    assert caught.value.hint.startswith("Take the video from the vendor")
    assert gateway.requests == []
