"""When a task is looked at: not before it can be done, closest near its likely end, never too often, as was learned."""

from __future__ import annotations

import random
from itertools import pairwise

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_nebula_video import NebulaVideoClient, TaskTimeoutError
from langchain_nebula_video.catalog.models import MODELS
from langchain_nebula_video.lifecycle.beat import Beat
from langchain_nebula_video.lifecycle.completion_times import CompletionTimes
from langchain_nebula_video.lifecycle.schedule import Schedule
from tests.conftest import KEY, FakeClock, Gateway
from tests.tables import each_row

STEPS = (3.0, 30.0)


def times(*seconds: float, earliest: float = 60.0, latest: float = 120.0) -> CompletionTimes:
    """What is known after tasks that took so long."""
    learned = CompletionTimes(earliest, latest)
    for each in seconds:
        learned.record(each, each)
    return learned


def schedule(
    total: CompletionTimes,
    work: CompletionTimes | None = None,
    *,
    interval: float | None = None,
    beat: Beat | None = None,
) -> Schedule:
    return Schedule(total, work or times(), beat, 0.0, interval, STEPS, lambda: 0.5)


def looks(plan: Schedule, end: float, *, queued_until: float = 0.0) -> list[float]:
    """The moments at which a task is looked at, up to the first one after its end."""
    moments = [plan.next_look()]
    while moments[-1] < end:
        plan.looked(moments[-1], moments[-1], queued=moments[-1] < queued_until)
        moments.append(plan.next_look())
    return moments


def normal(median: float, count: int = 64) -> list[float]:
    rng = random.Random(1)
    return [rng.gauss(median, median / 5) for _ in range(count)]


# --- the caller's own interval ---


@each_row("interval", [0.1, 5.0, 60.0])
def test_an_interval_of_the_caller_s_is_kept_to_the_letter(interval: float) -> None:
    assert looks(schedule(times(), interval=interval), 3 * interval) == pytest.approx([interval * n for n in (1, 2, 3)])


# --- what was learned ---


@each_row(("seconds", "first"), [(27.0, (10, 25)), (81.0, (40, 70)), (243.0, (120, 200))])
def test_no_look_comes_before_such_tasks_have_ended(seconds: float, first: tuple[float, float]) -> None:
    low, high = first
    assert low < schedule(times(*normal(seconds))).next_look() < high


def test_before_anything_is_known_the_row_is_followed_and_a_faster_service_is_thought_of() -> None:
    moments = looks(schedule(times()), 120.0)
    assert 15 < moments[0] < 30
    assert sum(moment < 60 for moment in moments) <= 3


def test_looks_come_closer_near_the_likely_end_and_apart_once_it_is_late() -> None:
    moments = looks(schedule(times(*normal(81.0))), 500.0)
    gaps = {round(later): later - earlier for earlier, later in pairwise(moments)}
    near = [gap for at, gap in gaps.items() if 75 < at < 110]
    late = [gap for at, gap in gaps.items() if at > 200]
    assert max(near) < 6 < min(late)


def test_nobody_looks_between_two_humps() -> None:
    moments = looks(schedule(times(*normal(30.0, 32), *normal(150.0, 32))), 150.0)
    assert sum(50 < moment < 90 for moment in moments) <= 2
    assert sum(moment < 50 for moment in moments) >= 3


@each_row("seconds", [27.0, 243.0])
def test_a_service_that_turns_is_believed_within_ten_tasks(seconds: float) -> None:
    learned = times(*normal(81.0))
    lags = []
    for _ in range(20):
        moments = looks(plan := schedule(learned), seconds)
        plan.finished(moments[-1])
        lags.append(moments[-1] - seconds)
    assert max(lags[10:]) < 6


def test_only_recent_tasks_are_kept() -> None:
    assert len(times(*normal(81.0, 500)).points) == (64 + 5) * 3


def test_a_gateway_that_tells_the_end_teaches_it_exactly() -> None:
    plan = schedule(learned := times())
    plan.next_look()
    plan.finished(20.0, 12.5)
    assert any(seconds == 12.5 for seconds, _ in learned.points)


@each_row("told", [-5.0, 1e6])
def test_an_end_that_the_looks_contradict_is_not_believed(told: float) -> None:
    plan = schedule(learned := times())
    plan.looked(plan.next_look(), 20.0, queued=False)
    plan.finished(plan.next_look(), told)
    assert learned.points[-1][0] < 200


def test_a_task_that_is_taken_up_late_teaches_nothing() -> None:
    plan = schedule(learned := times())
    plan.next_look()
    plan.finished(86_400.0)
    assert learned.learned == 0


def test_that_others_go_on_is_learned_from_as_much_as_that_some_have_ended() -> None:
    """Of a hundred tasks that began together, those that end first must not make all others seem overdue."""
    learned = times(earliest=20.0, latest=200.0)
    plans = [schedule(learned) for _ in range(100)]
    for plan in plans:
        plan.looked(60.0, 60.0, queued=False)
    for plan in plans[:10]:
        plan.finished(63.0)
    hasty = times(*[61.5] * 10, earliest=20.0, latest=200.0)
    alone = schedule(hasty)
    alone.looked(60.0, 60.0, queued=False)
    assert plans[-1].next_look() > 75
    assert alone.next_look() < 66


def test_a_task_that_nobody_waits_for_any_more_counts_no_longer() -> None:
    learned, plain = times(), times(*[61.5] * 10)
    given_up = [schedule(learned) for _ in range(100)]
    for plan in given_up:
        plan.looked(60.0, 60.0, queued=False)
        plan.close()
    for _ in range(10):
        learned.record(61.5, 61.5)
    assert learned.points == plain.points


@each_row("count", [70, 1000])
def test_only_what_happened_since_the_oldest_kept_end_counts_of_tasks_that_go_on(count: int) -> None:
    """With many under way all the time, each has come through its first seconds long before the ends that are kept."""
    learned = times()
    for number in range(count):
        learned.go_on(number, 1000.0, 100.0 * number / count)
    for end in normal(81.0):
        learned.record(end, end, 1000.0)
    expected = times(*normal(81.0))
    assert [weight for _, weight in learned.points] == pytest.approx([weight for _, weight in expected.points])


# --- the queue ---


def test_a_queued_task_is_looked_at_seldom_and_its_work_counts_from_the_end_of_the_queue() -> None:
    total, work = times(*normal(81.0)), times(*normal(81.0))
    moments = looks(schedule(total, work), 481.0, queued_until=400.0)
    assert sum(moment < 400 for moment in moments) <= 15
    begun = next(moment for moment in moments if moment >= 400)
    assert not [moment for moment in moments if begun < moment < begun + 25]
    assert moments[-1] - 481 < 8


# --- sleepers ---


def test_what_others_teach_moves_a_look_that_is_planned() -> None:
    plan = schedule(learned := times(*normal(243.0)))
    before, version = plan.next_look(), plan.version
    for _ in range(5):
        learned.record(27.0, 27.0)
    assert plan.version != version
    assert plan.next_look() < 40 < before


# --- after a fault ---


def test_the_next_look_after_a_fault_comes_no_sooner_than_the_gateway_wants() -> None:
    plan = schedule(times(*normal(81.0)))
    plan.missed(70.0, 40.0)
    assert plan.next_look() == 110.0


def test_jitter_keeps_many_tasks_from_asking_at_once() -> None:
    learned = times()
    plans = [Schedule(learned, times(), chance=random.Random(seed).random) for seed in range(50)]
    assert len({plan.next_look() for plan in plans}) == 50


# --- gateways and models with steps of their own ---


# Gateway, model, the shortest and the longest step: Nebula's page wants a look every 3 to 5 seconds, Alibaba's every
# 15, with 20 looks a second for a whole account; off-peak takes up to 48 hours.
PACES = [
    ("nebula", "wan2.5-i2v-preview", 3.0, 30.0),
    ("dashscope", "wan2.2-i2v-plus", 5.0, 30.0),
    ("dashscope-intl", "wan2.5-i2v-preview", 5.0, 30.0),
    ("dashscope-passthrough", "wan2.5-i2v-preview", 5.0, 30.0),
    ("uniall", "viduq3p-720p", 3.0, 30.0),
    ("uniall", "viduq3p-720p-offpeak", 60.0, 600.0),
]


@each_row(("name", "model", "shortest", "longest"), PACES, ids=[f"{row[0]}-{row[1]}" for row in PACES])
def test_a_client_looks_as_often_as_gateway_and_model_have_it(
    name: str, model: str, shortest: float, longest: float
) -> None:
    """Timed out on purpose: the looks on the way to the deadline are what counts."""
    gateway, clock = Gateway(), FakeClock()
    asked: list[float] = []

    def running(_: httpx.Request) -> httpx.Response:
        asked.append(clock.now)
        return httpx.Response(
            200, json={"task_id": "t", "status": "in_progress", "output": {"task_id": "t", "task_status": "RUNNING"}}
        )

    gateway.submits = [{"task_id": "t", "output": {"task_id": "t", "task_status": "PENDING"}}]
    gateway.fetches = [running]
    with (
        httpx.Client(transport=httpx.MockTransport(gateway)) as http,
        pytest.raises(TaskTimeoutError),
    ):
        NebulaVideoClient(
            api_key=KEY,
            gateway=name,
            base_url="https://gateway.example.com",
            model=model,
            clock=clock,
            http_client=http,
        ).generate(prompt="A boat", image="https://example.com/cat.jpg")
    *steps, last = [later - earlier for earlier, later in pairwise(asked)]
    assert all(shortest <= round(step, 6) <= longest for step in steps)
    assert last <= longest
    assert clock.now - 1000.0 <= MODELS[model].timeout
    assert gateway.posts == 1


# --- properties ---

SECONDS = st.floats(0.01, 1e6, allow_nan=False)


@given(
    st.tuples(SECONDS, SECONDS).map(sorted),
    st.lists(st.tuples(SECONDS, SECONDS).map(sorted), max_size=10),
    st.lists(st.booleans(), min_size=1, max_size=10),
    st.booleans(),
    st.integers(0, 1000),
)
def test_no_step_is_ever_too_short_or_too_long_whatever_was_learned(
    typical: list[float], taken: list[list[float]], queued: list[bool], beats: bool, seed: int
) -> None:
    total, work = CompletionTimes(*typical), CompletionTimes(*typical)
    beat = Beat(15.0) if beats else None
    for low, high in taken:
        total.record(low, high)
        if beat is not None:
            beat.observe(low, high)
    plan = Schedule(total, work, beat, chance=random.Random(seed).random)
    at = plan.next_look()
    assert at >= STEPS[0]
    for in_queue in queued:
        plan.looked(at, at, queued=in_queue)
        following = plan.next_look()
        assert STEPS[0] - 1e-6 <= following - at <= STEPS[1] + 1e-6
        at = following
    plan.finished(at)
    assert [point for point, _ in total.points] == sorted(point for point, _ in total.points)
