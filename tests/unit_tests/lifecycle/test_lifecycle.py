"""What happens between the request and the video, in both clients."""

from __future__ import annotations

import gc
import logging
import math
import random
import statistics
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import pytest

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    InvalidRequestError,
    MemoryJournal,
    NebulaVideoClient,
    NotSentError,
    QuotaError,
    RateLimitError,
    RefusedError,
    RequestError,
    Task,
    TaskCanceledError,
    TaskFailedError,
    TaskStatus,
    TaskTimeoutError,
    VideoProgress,
    VideoRequest,
)
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.errors import JournalError
from langchain_nebula_video.journal import Entry
from tests.conftest import KEY, FakeClock, Gateway, MakeClient, failed, jpeg, running, settle, submitted, succeeded
from tests.tables import each_row

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}


async def test_generate_gives_the_url_and_what_it_cost(make_client: MakeClient) -> None:
    video = await settle(make_client().generate(**ASK))
    assert video.url == "https://results.example.com/video.mp4?Expires=1799999999&Signature=abc"
    assert str(video.cost) == "$0.369"
    assert video.cost.basis == "billed"
    assert (video.task_id, video.duration, video.resolution) == ("task-1", 5, "720p")


async def test_the_documented_body_is_sent_with_every_default_said(make_client: MakeClient, gateway: Gateway) -> None:
    await settle(make_client().generate(**ASK, seed=7))
    assert gateway.bodies == [
        {
            "model": "wan2.5-i2v-preview",
            "prompt": "The cat blinks",
            "image": "https://example.com/cat.jpg",
            "duration": 5,
            "resolution": "720p",
            "smart_rewrite": False,
            "generate_audio": False,
            "seed": 7,
        }
    ]


async def test_a_request_may_be_an_object_a_dict_or_keywords(make_client: MakeClient, gateway: Gateway) -> None:
    client = make_client()
    await settle(client.submit(VideoRequest(**ASK)))
    await settle(client.submit(ASK))
    await settle(client.submit(ASK, prompt="The dog blinks"))
    assert [body["prompt"] for body in gateway.bodies] == [
        "The cat blinks",
        "The cat blinks",
        "The dog blinks",
    ]


async def test_bytes_travel_as_a_data_uri(make_client: MakeClient, gateway: Gateway) -> None:
    await settle(make_client().submit(prompt="x", image=jpeg()))
    assert gateway.bodies[0]["image"].startswith("data:image/jpeg;base64,/9j/")


@each_row("field", [{"duration": 7}, {"seed": -1}, {"prompt": " "}, {"image": "cat.jpg"}, {"image": b""}])
async def test_a_request_that_cannot_work_is_refused_before_anything_is_sent(
    make_client: MakeClient, gateway: Gateway, field: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequestError, match="Nothing was sent and nothing was spent"):
        await settle(make_client().generate(**{**ASK, **field}))
    assert gateway.requests == []


# --- polling ---


def note_looks(gateway: Gateway, clock: FakeClock) -> list[float]:
    """Note when each look comes, in seconds from now on."""
    moments, begun = list[float](), clock.now

    def noting(answer: Any) -> Any:
        def reply(_: httpx.Request) -> httpx.Response:
            moments.append(clock.now - begun)
            return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)

        return reply

    gateway.fetches = [noting(answer) for answer in gateway.fetches]
    return moments


async def test_no_look_comes_before_tasks_like_it_have_ended(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client learns from the tasks before: these take 40 s, not the row's one to two minutes."""
    monkeypatch.setitem(GATEWAYS, "nebula", replace(GATEWAYS["nebula"], beat_seconds=None))
    client, lags = make_client(), list[float]()
    for number in range(20):
        end, moments = clock.now + 40, list[float]()

        def look(_: httpx.Request, end: float = end, moments: list[float] = moments) -> httpx.Response:
            moments.append(clock.now - end + 40)
            return httpx.Response(200, json=succeeded() if clock.now >= end else running())

        gateway.fetches = [look]
        await settle(client.generate(**{**ASK, "prompt": f"Cat {number}"}))
        lags.append(clock.now - end)
    assert moments[0] > 20
    assert len(moments) <= 9
    assert max(lags[10:]) < 5


async def test_a_client_learns_from_the_journal_what_another_process_saw(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock
) -> None:
    journal = MemoryJournal()
    for number in range(20):
        end = clock.now + 300
        gateway.fetches = [lambda _, end=end: httpx.Response(200, json=succeeded() if clock.now >= end else running())]
        await settle(make_client(journal=journal).generate(**{**ASK, "prompt": f"Cat {number}"}))
    gateway.fetches = [succeeded()]
    moments = note_looks(gateway, clock)
    await settle(make_client(journal=journal).generate(**ASK))
    assert moments[0] > 100


async def test_a_journal_whose_rows_cannot_be_read_costs_no_video(make_client: MakeClient, gateway: Gateway) -> None:
    class Forgetful(MemoryJournal):
        def entries(self, **filters: Any) -> list[Entry]:
            if filters.get("limit") is not None:
                raise JournalError("The journal cannot be read.")
            return super().entries(**filters)

    gateway.fetches = [succeeded()]
    assert (await settle(make_client(journal=Forgetful()).generate(**ASK))).task_id == "task-1"


async def test_of_a_task_that_has_ended_the_end_is_asked_for_at_once(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock
) -> None:
    """The journal knows that it has."""
    gateway.fetches = [failed()]
    client = make_client()
    task = await settle(client.submit(**ASK, key="k"))
    await settle(client.fetch(task.task_id))
    clock.sleeps.clear()
    with pytest.raises(TaskFailedError):
        await settle(client.wait(task.task_id))
    assert clock.sleeps == [0.0]


async def test_an_explicit_interval_is_kept_from_the_start(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock
) -> None:
    gateway.fetches = [running("PENDING"), running(), running(), succeeded()]
    await settle(make_client(poll_interval=5).generate(**ASK))
    assert clock.sleeps == [5, 5, 5, 5]


async def test_a_gateway_that_updates_its_tasks_by_a_beat_is_looked_at_just_after_it(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock
) -> None:
    """Nebula's beat is 15 s and a little, at one phase for all tasks."""
    assert GATEWAYS["nebula"].beat_seconds == 15
    client, lags, counts = make_client(), list[float](), list[int]()
    rng = random.Random(1)
    for number in range(60):
        end = clock.now + rng.gauss(80, 20)
        moved, before = math.ceil(end / 15.4) * 15.4, gateway.gets

        def look(_: httpx.Request, moved: float = moved) -> httpx.Response:
            return httpx.Response(200, json=succeeded() if clock.now >= moved else running())

        gateway.fetches = [look]
        await settle(client.generate(**{**ASK, "prompt": f"Cat {number}"}))
        lags.append(clock.now - moved)
        counts.append(gateway.gets - before)
    assert statistics.median(lags[20:]) < 3
    assert statistics.mean(counts[20:]) < 8


async def test_a_status_may_fall_back_from_running_to_queued(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.fetches = [running(), running("PENDING"), running(), succeeded()]
    assert (await settle(make_client().generate(**ASK))).task_id == "task-1"


async def test_an_undocumented_status_word_ends_nothing_and_is_logged(
    make_client: MakeClient, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.fetches = [{"task_id": "task-1", "status": "contemplating"}, succeeded()]
    with caplog.at_level(logging.INFO, logger="langchain_nebula_video"):
        await settle(make_client().generate(**ASK))
    assert "contemplating" in caplog.text


@pytest.mark.parametrize(
    "fault",
    [
        httpx.ReadTimeout("slow"),
        httpx.ConnectError("refused"),
        httpx.RemoteProtocolError("eof"),
        httpx.Response(500),
        httpx.Response(502, html="<html>bad gateway</html>"),
        httpx.Response(429),
        httpx.Response(200, html="<html>hello</html>"),
        httpx.Response(200, content=b""),
        httpx.Response(200, content=b'{"task_id": "ta'),
    ],
    ids=lambda fault: f"{type(fault).__name__}-{getattr(fault, 'status_code', '')}",
)
async def test_a_passing_fault_in_a_poll_is_waited_out(make_client: MakeClient, gateway: Gateway, fault: Any) -> None:
    gateway.fetches = [running(), *[fault] * 6, running(), succeeded()]
    video = await settle(make_client().generate(**ASK))
    assert video.task_id == "task-1"
    assert gateway.posts == 1


async def test_retry_after_is_honoured_in_a_poll(make_client: MakeClient, gateway: Gateway, clock: FakeClock) -> None:
    gateway.fetches = [httpx.Response(429, headers={"Retry-After": "40"}), succeeded()]
    moments = note_looks(gateway, clock)
    await settle(make_client().generate(**ASK))
    assert 40 <= moments[1] - moments[0] <= 45


# --- ends ---


async def test_a_failed_task_tells_why_and_is_free(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.fetches = [failed()]
    client = make_client()
    with pytest.raises(TaskFailedError, match=r"InvalidParameter\.ImageFormat") as caught:
        await settle(client.generate(**ASK))
    assert caught.value.spent is False
    assert caught.value.task is not None
    assert caught.value.task.cost.usd == 0
    assert "JPEG or PNG" in caught.value.hint


async def test_a_canceled_task_ends_the_wait(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.fetches = [{"task_id": "task-1", "status": "cancelled"}]
    with pytest.raises(TaskCanceledError):
        await settle(make_client().generate(**ASK))


async def test_success_without_a_url_is_asked_after_again_then_reported(
    make_client: MakeClient, gateway: Gateway
) -> None:
    """On a gateway that does not serve videos itself. The money is spent."""
    done = {"task_id": "task-1", "task_status": "SUCCEEDED", "video_url": "https://results.example.com/video.mp4"}
    without = {name: value for name, value in done.items() if name != "video_url"}
    gateway.submits = [{"output": {"task_id": "task-1", "task_status": "PENDING"}}]
    gateway.fetches = [{"output": without}, {"output": without}, {"output": done}]
    client = make_client(gateway="dashscope")
    assert (await settle(client.generate(**ASK))).url
    gateway.fetches = [{"output": without}]
    with pytest.raises(TaskFailedError, match="no URL") as caught:
        await settle(client.generate(**ASK))
    assert caught.value.spent is True
    assert "take it from the gateway's console" in caught.value.hint


async def test_the_deadline_ends_the_wait_and_says_how_to_go_on(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock
) -> None:
    gateway.fetches = [running()]
    client = make_client(timeout=200)
    with pytest.raises(TaskTimeoutError, match=r"wait\('task-1'\)") as caught:
        await settle(client.generate(**ASK))
    assert isinstance(caught.value, TimeoutError)
    assert 195 <= clock.now - 1000 <= 200
    gateway.fetches = [succeeded()]
    assert (await settle(client.wait(caught.value.task))).task_id == "task-1"
    assert gateway.posts == 1


async def test_resume_lists_what_is_unfinished_and_wait_ends_it(make_client: MakeClient, gateway: Gateway) -> None:
    client = make_client()
    await settle(client.submit(**ASK))
    (task,) = await settle(client.resume())
    assert (task.task_id, task.prompt, task.duration) == ("task-1", "The cat blinks", 5)
    await settle(client.wait(task))
    assert await settle(client.resume()) == []


async def test_wait_takes_the_id_of_a_task_that_another_process_made(
    make_client: MakeClient, clock: FakeClock, gateway: Gateway
) -> None:
    gateway.fetches = [running(), succeeded()]
    video = await settle(make_client().wait("task-1"))
    assert clock.sleeps[0] == 0
    assert video.cost.basis == "billed"
    assert (video.duration, video.resolution) == (5, "720p")


async def test_fetch_looks_once(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.fetches = [{**running("PENDING"), "task_id": "a/b c"}]
    task = await settle(make_client().fetch("a/b c"))
    assert isinstance(task, Task)
    assert task.status is TaskStatus.QUEUED
    assert gateway.requests[0].url.raw_path == b"/v1/video/generations/a%2Fb%20c"


async def test_fetch_gives_up_after_a_few_attempts_and_names_the_task(
    make_client: MakeClient, gateway: Gateway
) -> None:
    gateway.fetches = [httpx.Response(502)]
    with pytest.raises(RequestError) as caught:
        await settle(make_client().fetch("task-1"))
    assert gateway.gets == 4
    assert caught.value.task_id == "task-1"


async def test_a_gateway_without_cancel_says_so(make_client: MakeClient, gateway: Gateway) -> None:
    with pytest.raises(InvalidRequestError, match="no way to cancel"):
        await settle(make_client().cancel("task-1"))
    assert gateway.requests == []


async def test_a_task_that_has_ended_is_not_said_to_go_on_where_nothing_can_be_canceled(
    make_client: MakeClient, gateway: Gateway
) -> None:
    client = make_client()
    await settle(client.generate(**ASK))
    with pytest.raises(
        InvalidRequestError, match=r"the video is paid for\. It has succeeded: wait\('task-1'\)"
    ) as caught:
        await settle(client.cancel("task-1"))
    assert caught.value.spent is True


@pytest.mark.parametrize(
    ("status", "spent", "told"),
    [("SUCCEEDED", True, "It has succeeded: wait('t')"), ("FAILED", False, "It has failed")],
)
async def test_a_task_that_has_ended_is_not_said_to_go_on_when_it_cannot_be_canceled(
    make_client: MakeClient, gateway: Gateway, status: str, spent: bool, told: str
) -> None:
    code = "UnsupportedOperation"
    gateway.submits = [httpx.Response(400, json={"code": code, "message": "Failed to cancel the task"})]
    video = "https://results.example.com/v.mp4"
    gateway.fetches = [{"output": {"task_id": "t", "task_status": status, "video_url": video, "message": "no"}}]
    with pytest.raises(RequestError, match=code) as caught:
        await settle(make_client(gateway="dashscope").cancel("t"))
    assert caught.value.spent is spent
    assert told in str(caught.value)
    assert "do not submit again" not in str(caught.value)


async def test_what_the_journal_knows_to_have_ended_is_not_said_to_go_on(
    make_client: MakeClient, gateway: Gateway
) -> None:
    output = {"task_id": "t", "task_status": "SUCCEEDED", "video_url": "https://results.example.com/v.mp4"}
    gateway.submits, gateway.fetches = [{"output": {"task_id": "t", "task_status": "PENDING"}}], [{"output": output}]
    client = make_client(gateway="dashscope")
    await settle(client.generate(**ASK))
    gateway.submits = [httpx.ReadTimeout("slow")]
    with pytest.raises(RequestError, match="the video is paid for"):
        await settle(client.cancel("t"))


# --- refusals of a submit ---


async def test_429_on_a_submit_is_waited_out(make_client: MakeClient, gateway: Gateway, clock: FakeClock) -> None:
    busy = httpx.Response(429, json={"code": "Throttling.RateLimit", "message": "busy", "data": None})
    gateway.submits = [busy, busy, busy, busy, busy, busy, submitted()]
    assert (await settle(make_client().submit(**ASK))).task_id == "task-1"
    assert gateway.posts == 7


async def test_retry_after_is_honoured_on_a_submit(make_client: MakeClient, gateway: Gateway, clock: FakeClock) -> None:
    gateway.submits = [httpx.Response(429, headers={"Retry-After": "30"}), submitted()]
    await settle(make_client().submit(**ASK))
    assert 30 <= clock.sleeps[0] <= 34


async def test_429_until_the_deadline_is_a_rate_limit_error_and_free(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock
) -> None:
    gateway.submits = [httpx.Response(429)]
    client = make_client(timeout=60, budget="1")
    with pytest.raises(RateLimitError, match="Nothing was spent"):
        await settle(client.generate(**ASK))
    assert clock.now - 1000 <= 60
    gateway.submits = [submitted()]
    await settle(client.generate(**ASK))


async def test_429_is_waited_out_no_longer_than_asked_for_while_the_task_may_take_its_time(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock
) -> None:
    gateway.submits = [httpx.Response(429)]
    client = make_client(timeout=600, refusal_timeout=20, budget="1")
    with pytest.raises(RateLimitError, match="Nothing was spent"):
        await settle(client.generate(**ASK))
    assert clock.now - 1000 <= 20


async def test_a_429_that_asks_for_longer_is_told_at_once_to_all_that_wait(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock
) -> None:
    gateway.submits = [httpx.Response(429, headers={"Retry-After": "300"})]
    client = make_client(timeout=600, refusal_timeout=20)
    with pytest.raises(RateLimitError) as refused:
        await settle(client.generate(**ASK))
    with pytest.raises(NotSentError, match="after HTTP 429, nothing of this account leaves for another") as waited:
        await settle(client.generate(**ASK))
    assert (refused.value.retry_after, waited.value.retry_after) == (300, 300)
    assert (clock.now, gateway.posts) == (1000, 1)


async def test_a_refused_submit_is_sent_once(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.submits = [httpx.Response(403, json={"code": "InsufficientQuota", "message": "no", "data": None})]
    with pytest.raises(RequestError, match="Nothing was spent"):
        await settle(make_client().generate(**ASK))
    assert gateway.posts == 1


async def test_a_passing_fault_after_which_the_gateway_has_no_task_is_waited_out(
    make_client: MakeClient, gateway: Gateway
) -> None:
    away = httpx.Response(500, json={"code": "get_user_quota_failed", "message": "no database", "data": None})
    lost = httpx.Response(200, content=b'{"task_id": "t-0"}{"code": "insert_task_failed", "message": "", "data": null}')
    gateway.submits = [away, lost, submitted()]
    client = make_client(budget="0.4")
    assert (await settle(client.submit(**ASK))).task_id == "task-1"
    assert gateway.posts == 3


async def test_a_passing_fault_that_stays_is_a_refusal_and_frees_the_budget(
    make_client: MakeClient, gateway: Gateway
) -> None:
    away = httpx.Response(500, json={"code": "do_request_failed", "message": "no answer", "data": None})
    gateway.submits = [away, away, away, away, submitted()]
    client = make_client(budget="0.4")
    with pytest.raises(RefusedError, match="Nothing was spent"):
        await settle(client.generate(**ASK))
    assert gateway.posts == 4
    await settle(client.generate(**ASK))


async def test_a_fault_of_the_gateways_own_that_lasts_is_sent_once(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.submits = [httpx.Response(500, json={"code": "get_model_price_failed", "message": "none", "data": None})]
    with pytest.raises(RefusedError, match="Nothing was spent"):
        await settle(make_client().generate(**ASK))
    assert gateway.posts == 1


async def test_a_low_balance_on_nebula_is_told_the_flat_sum_that_it_asks_for(
    make_client: MakeClient, gateway: Gateway
) -> None:
    low = {"code": "quota_not_enough", "message": "user quota is not enough", "data": None}
    gateway.submits = [httpx.Response(403, json=low)]
    with pytest.raises(QuotaError, match=r"Top up .* a balance of \$0\.2952") as caught:
        await settle(make_client().generate(**ASK))
    assert caught.value.spent is False
    gateway.submits = [httpx.Response(403, json=low)]
    with pytest.raises(QuotaError) as elsewhere:
        await settle(make_client(gateway="uniall", base_url="https://uniall.example").generate(**ASK))
    assert "0.2952" not in str(elsewhere.value)


async def test_a_connection_that_never_opened_is_tried_again(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.submits = [httpx.ConnectError("refused"), httpx.ConnectTimeout("slow"), submitted()]
    assert (await settle(make_client().submit(**ASK))).task_id == "task-1"


# --- cost ---


async def test_the_bill_counts_the_seconds_and_price_that_the_gateway_used(
    make_client: MakeClient, gateway: Gateway
) -> None:
    gateway.fetches = [succeeded(model_price=0.1233, group_ratio=0.5, usage={"duration": 10, "resolution": "1080P"})]
    video = await settle(make_client().generate(**ASK))
    assert video.cost.basis == "billed"
    assert str(video.cost) == "$0.6165"
    assert (video.duration, video.resolution) == (10, "1080p")


async def test_without_the_gateways_figures_the_cost_is_called_an_estimate(
    make_client: MakeClient, gateway: Gateway
) -> None:
    gateway.fetches = [{"task_id": "task-1", "status": "succeeded", "url": "https://r.example.com/v.mp4"}]
    video = await settle(make_client().generate(**ASK, resolution="1080p"))
    assert video.cost.basis == "estimated"
    assert str(video.cost) == "$0.6165 (estimated)"


async def test_a_group_ratio_once_seen_counts_in_later_estimates(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.submits = [submitted(group_ratio=2)]
    client = make_client(budget="1.80")
    await settle(client.submit(**ASK))
    task = await settle(client.submit(**ASK))
    assert task.cost.usd is not None
    assert str(task.cost.usd.normalize()) == "0.738"
    with pytest.raises(Exception, match=r"would cost \$0.738, and \$0.324 is left"):
        await settle(client.submit(**ASK))


# --- the lease of a task ---


def test_a_client_that_waits_renews_its_lease_before_it_expires(gateway: Gateway, clock: FakeClock) -> None:
    """So that no other call polls the same task, or takes it for abandoned."""
    gateway.fetches = [*[running()] * 20, succeeded()]
    journal, remaining = MemoryJournal(), []

    def answer(request: httpx.Request) -> httpx.Response:
        (entry,) = journal.entries()
        if request.method == "GET" and entry.held_until is not None:
            remaining.append((entry.held_until - clock.utcnow()).total_seconds())
        return gateway(request)

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        NebulaVideoClient(api_key=KEY, clock=clock, journal=journal, http_client=http).generate(**ASK)
    assert len(remaining) == gateway.gets == 21
    assert all(round(seconds, 3) > 15 for seconds in remaining), remaining  # the clock rounds microseconds
    assert max(remaining[3:]) <= 60.001


# --- what would be found out too late ---


@each_row("timeout", [0, -1, float("nan"), float("inf")])
async def test_a_time_that_cannot_be_waited_for_is_refused(make_client: MakeClient, timeout: float) -> None:
    with pytest.raises(InvalidRequestError, match="more than 0, or None"):
        await settle(make_client().wait("task-1", timeout=timeout))


@each_row("task", [None, 7, b"task-1", "", "  ", "half \ud83d"])
async def test_what_is_no_task_is_refused(make_client: MakeClient, gateway: Gateway, task: Any) -> None:
    client = make_client()
    for verb in (client.fetch, client.wait, client.cancel):
        with pytest.raises(InvalidRequestError):
            await settle(verb(task))
    assert gateway.requests == []


async def test_a_coroutine_function_as_a_callback_is_awaited_by_an_async_client_and_refused_by_the_other(
    make_client: MakeClient, gateway: Gateway
) -> None:
    heard: list[VideoProgress] = []

    async def told(event: VideoProgress) -> None:
        heard.append(event)

    client = make_client()
    if isinstance(client, NebulaVideoClient):
        with pytest.raises(InvalidRequestError, match="coroutine function"):
            client.generate(**ASK, on_progress=told)
        assert gateway.requests == []
    else:
        await client.generate(**ASK, on_progress=told)
        assert heard[-1].fraction == 1


class Awaited:
    """An object whose call has to be awaited."""

    def __init__(self) -> None:
        self.heard: list[VideoProgress] = []

    async def __call__(self, event: VideoProgress) -> None:
        self.heard.append(event)


@pytest.mark.parametrize("wrap", [lambda told: told, partial, lambda told: partial(partial(told))])
async def test_so_is_an_object_whose_call_is_a_coroutine_function(
    make_client: MakeClient, gateway: Gateway, wrap: Callable[[Awaited], Any]
) -> None:
    client, told = make_client(), Awaited()
    if isinstance(client, NebulaVideoClient):
        with pytest.raises(InvalidRequestError, match="coroutine function"):
            client.generate(**ASK, on_progress=wrap(told))
        assert gateway.requests == []
    else:
        await client.generate(**ASK, on_progress=wrap(told))
        assert told.heard[-1].fraction == 1


async def test_a_function_that_turns_out_to_return_a_coroutine_is_told_of_once(
    make_client: MakeClient, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.fetches = [running(), running(), succeeded()]
    client, told = make_client(), Awaited()

    def hides_it(event: VideoProgress) -> Awaitable[None]:
        return told(event)

    video = await settle(client.generate(**ASK, on_progress=hides_it))
    assert video.task_id == "task-1"
    gc.collect(1)  # what was never awaited would be warned of
    complaints = [record for record in caplog.records if "has to be awaited" in record.message]
    if isinstance(client, NebulaVideoClient):
        assert ([record.levelname for record in complaints], told.heard) == (["ERROR"], [])
    else:
        assert (complaints, told.heard[-1].fraction) == ([], 1)


async def test_a_submit_is_not_sent_with_hardly_any_time_left(make_client: MakeClient, gateway: Gateway) -> None:
    """An answer that cannot arrive in time would leave a paid task that nobody knows."""
    gateway.submits = [httpx.Response(429, headers={"Retry-After": "55"}), submitted()]
    with pytest.raises(RateLimitError, match="Nothing was spent"):
        await settle(make_client(timeout=60).generate(**ASK))
    assert gateway.posts == 1


async def test_a_submit_whose_turn_comes_too_late_is_not_sent(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock
) -> None:
    class Slow:
        def acquire(self, *, blocking: bool = True) -> bool:
            clock.sleep(50)
            return True

        async def aacquire(self, *, blocking: bool = True) -> bool:
            return self.acquire()

    with pytest.raises(NotSentError, match="before it was this submit's turn"):
        await settle(make_client(timeout=60, rate_limiter=Slow()).generate(**ASK))
    assert gateway.requests == []


async def test_retry_after_nothing_is_no_reason_to_hurry(
    make_client: MakeClient, gateway: Gateway, clock: FakeClock
) -> None:
    gateway.submits = [*[httpx.Response(429, headers={"Retry-After": "0"})] * 8, submitted()]
    await settle(make_client().submit(**ASK))
    assert sum(clock.sleeps) > 30


async def test_what_cannot_even_be_set_up_was_not_sent(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    monkeypatch.setenv("ALL_PROXY", "ftp://127.0.0.1:1")
    journal = MemoryJournal()
    for kind in (NebulaVideoClient, AsyncNebulaVideoClient):
        with pytest.raises(NotSentError, match="cannot be used"):
            await settle(kind(api_key=KEY, clock=clock, journal=journal).generate(**ASK))
    assert journal.entries() == []


def test_a_closed_client_of_ones_own_is_told_before_anything_is_sent(gateway: Gateway, clock: FakeClock) -> None:
    own = httpx.Client(transport=httpx.MockTransport(gateway))
    own.close()
    journal = MemoryJournal()
    with pytest.raises(InvalidRequestError, match="is closed"):
        NebulaVideoClient(api_key=KEY, clock=clock, http_client=own, journal=journal).generate(**ASK)
    assert journal.entries() == []


async def test_a_repetition_does_not_ask_again_for_a_bill_and_a_fetch_does(
    make_client: MakeClient, gateway: Gateway
) -> None:
    gateway.fetches = [succeeded(billing_pending=True)]
    journal = MemoryJournal()
    client = make_client(journal=journal)
    made = await settle(client.generate(**ASK, key="a"))
    assert made.cost.basis == "estimated"
    gateway.fetches = [succeeded(group_ratio=0.5)]
    assert (await settle(client.generate(**ASK, key="a"))).cost == made.cost
    assert (gateway.gets, str(journal.spent().normalize())) == (1, "0.369")
    assert str((await settle(client.fetch(made.task_id))).cost) == "$0.1845"
    assert str((await settle(client.generate(**ASK, key="a"))).cost) == "$0.1845"
    assert (gateway.gets, str(journal.spent().normalize())) == (2, "0.1845")
