"""When a task is asked after: not before it can be done, closer near its likely end, never too often."""

from __future__ import annotations

import random

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_nebula_video import NebulaVideoClient, TaskTimeoutError
from langchain_nebula_video.catalog.models import MODELS, Model
from langchain_nebula_video.lifecycle.schedule import Schedule
from tests.conftest import KEY, FakeClock, Gateway
from tests.tables import each_row

SHORTEST, LONGEST = 3.0, 8.0 * 1.15
FIVE_SECONDS = (60.0, 120.0)


class Steady(random.Random):
    """Jitter that is none: always the lower end."""

    def uniform(self, a: float, b: float) -> float:
        return a


def schedule(earliest: float = 60.0, latest: float = 120.0, *, interval: float | None = None) -> Schedule:
    return Schedule(earliest, latest, interval, rng=Steady())


def polls(plan: Schedule, until: float, *, queued_until: float = 0.0) -> list[float]:
    """The moments at which a task is asked after, up to `until` seconds from the submit."""
    moments = [plan.first_delay(0.0)]
    while moments[-1] < until:
        now = moments[-1]
        moments.append(now + plan.next_delay(now, queued=now < queued_until))
    return moments


# --- the caller's own interval ---


@each_row("interval", [0.1, 3.0, 5.0, 60.0])
def test_an_interval_of_the_caller_s_is_kept_to_the_letter(interval: float) -> None:
    plan = schedule(interval=interval)
    assert plan.first_delay(0.0) == interval
    assert [plan.next_delay(elapsed, queued=queued) for elapsed in (0.0, 99.0, 1e6) for queued in (True, False)] == [
        interval
    ] * 6


@each_row(("elapsed", "pause"), [(0.0, 10.0), (4.0, 6.0), (10.0, 0.0), (500.0, 0.0)])
def test_an_interval_counts_from_the_submit(elapsed: float, pause: float) -> None:
    assert schedule(interval=10.0).first_delay(elapsed) == pause


# --- the first poll ---


@each_row("row", MODELS.values(), ids=list(MODELS))
def test_nothing_is_asked_before_the_task_can_be_done(row: Model) -> None:
    for earliest, latest in row.typical_seconds.values():
        for seed in range(20):
            first = Schedule(earliest, latest, rng=random.Random(seed)).first_delay(0.0)
            assert earliest <= first <= earliest * 1.05


@each_row(("elapsed", "pause"), [(0.0, 60.0), (20.0, 40.0), (60.0, 0.0), (500.0, 0.0)])
def test_a_task_taken_up_again_waits_only_for_what_remains(elapsed: float, pause: float) -> None:
    assert schedule().first_delay(elapsed) == pause


def test_a_task_taken_up_late_is_asked_after_at_once() -> None:
    assert Schedule(*FIVE_SECONDS).first_delay(61.0) == 0.0


# --- the steps ---


def test_steps_shrink_towards_the_likely_end_and_grow_once_it_is_late() -> None:
    plan = schedule()
    steps = [plan.next_delay(elapsed, queued=False) for elapsed in (0.0, 60.0, 75.0, 100.0, 120.0, 160.0, 220.0, 400.0)]
    assert steps == pytest.approx([8.0, 6.0, 4.5, 3.0, 3.0, 5.0, 8.0, 8.0])


def test_a_long_wait_is_never_slower_than_the_longest_step() -> None:
    assert schedule().next_delay(1e9, queued=False) == 8.0


def test_a_queued_task_begins_its_estimate_anew() -> None:
    plan = schedule()
    assert plan.next_delay(120.0, queued=False) == 3.0
    assert plan.next_delay(120.0, queued=True) == 8.0
    assert plan.work_started == 120.0
    assert plan.next_delay(240.0, queued=False) == schedule().next_delay(120.0, queued=False)


def test_a_running_task_leaves_the_anchor_where_it_is() -> None:
    plan = schedule()
    plan.next_delay(30.0, queued=True)
    plan.next_delay(90.0, queued=False)
    assert plan.work_started == 30.0


@each_row("typical", [FIVE_SECONDS, (120.0, 180.0)])
def test_a_task_is_seen_done_within_one_step_and_with_few_polls(typical: tuple[float, float]) -> None:
    """Wherever in its usual span the task ends."""
    earliest, latest = typical
    for end in range(int(earliest), int(latest) + 1, 5):
        moments = polls(schedule(earliest, latest), end)
        assert moments[-1] - end <= 8.0
        assert len(moments) <= 18


def test_a_task_that_waits_long_in_the_queue_is_polled_slowly() -> None:
    moments = polls(schedule(), 600.0, queued_until=600.0)
    assert len(moments) == 1 + (600 - 60) / 8 + 0.5


def test_jitter_keeps_many_tasks_from_asking_at_once() -> None:
    assert (
        len({Schedule(*FIVE_SECONDS, rng=random.Random(seed)).next_delay(0.0, queued=False) for seed in range(50)})
        == 50
    )


def test_the_median_of_what_remains_is_half_the_way_then_grows_with_lateness() -> None:
    plan = schedule()
    assert [plan.expected_remaining(worked) for worked in (0.0, 30.0, 60.0, 90.0, 120.0, 260.0)] == [
        90.0,
        60.0,
        30.0,
        15.0,
        15.0,
        50.0,
    ]


# --- gateways and models with steps of their own ---


@each_row("steps", [(3.0, 8.0), (5.0, 15.0), (60.0, 600.0), (7.0, 7.0)])
def test_steps_keep_within_the_bounds_that_are_given(steps: tuple[float, float]) -> None:
    plan = Schedule(60.0, 60.0, steps=steps, rng=Steady())
    taken = [plan.next_delay(float(elapsed), queued=False) for elapsed in range(0, 20000, 20)]
    assert (min(taken), max(taken)) == steps
    assert plan.first_delay(0.0) == 60.0


def test_an_interval_of_the_caller_s_goes_over_the_bounds() -> None:
    plan = Schedule(60.0, 120.0, 1.0, steps=(60.0, 600.0))
    assert (plan.first_delay(0.0), plan.next_delay(90.0, queued=False)) == (1.0, 1.0)


# Gateway, model, the shortest and the longest step: Nebula's page wants a look every 3 to 5 seconds, Alibaba's every
# 15, with 20 looks a second for a whole account; off-peak takes up to 48 hours.
PACES = [
    ("nebula", "wan2.5-i2v-preview", 3.0, 8.0),
    ("dashscope", "wan2.2-i2v-plus", 5.0, 15.0),
    ("dashscope-intl", "wan2.5-i2v-preview", 5.0, 15.0),
    ("dashscope-passthrough", "wan2.5-i2v-preview", 5.0, 15.0),
    ("uniall", "viduq3p-720p", 3.0, 8.0),
    ("uniall", "viduq3p-720p-offpeak", 60.0, 600.0),
]


@each_row(("name", "model", "shortest", "longest"), PACES, ids=[f"{row[0]}-{row[1]}" for row in PACES])
def test_a_client_looks_as_often_as_gateway_and_model_have_it(
    name: str, model: str, shortest: float, longest: float
) -> None:
    """Timed out on purpose: the looks on the way to the deadline are what counts."""
    gateway, clock = Gateway(), FakeClock()
    gateway.submits = [{"task_id": "t", "output": {"task_id": "t", "task_status": "PENDING"}}]
    gateway.fetches = [{"task_id": "t", "status": "in_progress", "output": {"task_id": "t", "task_status": "RUNNING"}}]
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
    first, *steps, last = clock.sleeps
    earliest, _ = MODELS[model].typical(5)
    assert earliest <= first <= earliest * 1.05
    assert all(shortest <= step <= longest * 1.15 for step in steps)
    assert max(steps) >= longest
    assert last <= longest * 1.15
    assert clock.now - 1000.0 <= MODELS[model].timeout
    assert gateway.posts == 1


# --- properties ---

SECONDS = st.floats(0, 1e7, allow_nan=False)


@given(
    st.tuples(SECONDS, SECONDS).map(sorted),
    st.lists(st.tuples(SECONDS, st.booleans()), min_size=1, max_size=20),
    st.integers(0, 1000),
)
def test_no_step_is_ever_too_short_or_too_long(typical: list[float], seen: list[tuple[float, bool]], seed: int) -> None:
    plan = Schedule(typical[0], typical[1], rng=random.Random(seed))
    assert plan.first_delay(0.0) >= typical[0]
    for elapsed, queued in seen:
        assert SHORTEST <= plan.next_delay(elapsed, queued=queued) <= LONGEST
