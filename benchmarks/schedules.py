"""When each client looks at its tasks: looks a task, and the lag from a task's end to knowing it.

`python benchmarks/schedules.py [seeds] [--write]` runs on a virtual clock. Ours is the real lifecycle with a
runtime whose time is virtual. The peers are their published schedules:

- dashscope: the wait loop of the vendor's own SDK, `dashscope/client/base_api.py`, read at 2.0.2. It looks at
  once, then after 1, 1, 2, 2, 2, 4, 4, 4 seconds and every 5 seconds from then on;
- every 5 s: from the submit on, as most examples of vendors do;
- rule of thumb: the best simple rule that we found. Looks begin at 0.6 times the usual time of the work, and come every
  4 s; a queued task is looked at every 40 s;
- optimum: the least lag for ours' number of looks, if the distribution of the end was known exactly and nothing else.

`--write` keeps the results for docs/benchmarks.md.
"""

from __future__ import annotations

import bisect
import contextlib
import heapq
import itertools
import json
import math
import random
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from statistics import mean
from types import coroutine
from typing import Any, TypeVar, cast
from unittest.mock import patch

from results import save

from langchain_nebula_video import VideoRequest
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.lifecycle.lifecycle import Lifecycle
from langchain_nebula_video.lifecycle.options import Options
from langchain_nebula_video.protocols import Reply, WireRequest
from langchain_nebula_video.transport import Runtime

T = TypeVar("T")

USUAL, SIGMA = 81.0, 0.25
"""Seconds: the median of 5 s clips, and the spread of its logarithm."""
TASKS = 300
LATENCY = 0.25
"""Seconds from the request of a look to its answer; the gateway reads its row in the middle."""
AT_ONCE = 8
"""Tasks under way at any time."""
START = datetime(2026, 1, 1, tzinfo=UTC)
BEAT = 15.4
NEBULA = GATEWAYS["nebula"]


@dataclass(frozen=True, slots=True)
class Planned:
    """What will happen to a task: seconds in the queue and at work."""

    queue: float
    work: float

    @property
    def end(self) -> float:
        """Seconds from the submit to the end."""
        return self.queue + self.work


@dataclass(slots=True)
class Result:
    """How one task was followed."""

    looks: int
    lag: float
    """Seconds from the end, or from the move of the gateway's row, to knowing it."""


@dataclass(frozen=True, slots=True)
class Regime:
    """A way in which tasks behave."""

    name: str
    make: Callable[[random.Random], list[Planned]]
    counted: slice = field(default_factory=lambda: slice(None))
    beat: bool = False
    restart: float | None = None
    """When the gateway is restarted, so that its loop comes by at other moments."""


@coroutine
def pause(seconds: float) -> Generator[float]:
    """Suspend the coroutine of a `World` for virtual seconds."""
    yield seconds


class World:
    """Coroutines on a virtual clock."""

    def __init__(self) -> None:
        self.now = 0.0

    def run(self, flows: Sequence[Coroutine[Any, Any, None]]) -> None:
        """Run them all to their ends."""
        numbers = itertools.count()
        queue = [(0.0, next(numbers), flow) for flow in flows]
        while queue:
            self.now, _, flow = heapq.heappop(queue)
            with contextlib.suppress(StopIteration):
                heapq.heappush(queue, (self.now + flow.send(None), next(numbers), flow))


class Gateway:
    """A gateway that plays the tasks of a regime. With a beat, what it says changes only when its loop comes by."""

    def __init__(self, world: World, tasks: list[Planned], beats: Sequence[float] = ()) -> None:
        self._world, self._tasks, self._beats = world, tasks, beats
        self.submitted: list[float] = []
        self.looks: list[int] = []

    def submit(self) -> str:
        """Accept the next task."""
        self.submitted.append(self._world.now)
        self.looks.append(0)
        return f"task-{len(self.submitted) - 1}"

    def look(self, number: int) -> str:
        """Return the status word of a task as its row says it."""
        self.looks[number] += 1
        now = self._world.now
        if self._beats:
            now = self._beats[max(bisect.bisect_right(self._beats, now) - 1, 0)]
        since = now - self.submitted[number]
        task = self._tasks[number]
        return "succeeded" if since >= task.end else "queued" if since < task.queue else "in_progress"

    def visible(self, number: int) -> float:
        """Return when the row of a task says that it has ended."""
        end = self.submitted[number] + self._tasks[number].end
        return self._beats[bisect.bisect_left(self._beats, end)] if self._beats else end


class VirtualRuntime:
    """A `Runtime` whose requests reach a `Gateway` and whose time is that of a `World`."""

    can_await = True

    def __init__(self, world: World, gateway: Gateway) -> None:
        self._world, self._gateway = world, gateway

    def now(self) -> float:
        """See `Runtime`."""
        return self._world.now

    def utcnow(self) -> datetime:
        """See `Runtime`."""
        return START + timedelta(seconds=self._world.now)

    async def sleep(self, seconds: float) -> None:
        """See `Runtime`."""
        if seconds > 0:
            await pause(seconds)

    async def send(self, request: WireRequest, **_: object) -> Reply:
        """See `Runtime`."""
        if request.paid:
            return self._reply({"task_id": self._gateway.submit(), "status": "queued"})
        await pause(LATENCY / 2)
        task_id = request.target.rpartition("/")[2]
        status = self._gateway.look(int(task_id.partition("-")[2]))
        await pause(LATENCY / 2)
        return self._reply({"task_id": task_id, "status": status, "url": "https://v.example.com/v.mp4"})

    async def call(self, func: Callable[..., T], *args: object, **kwargs: object) -> T:
        """See `Runtime`."""
        return func(*args, **kwargs)

    async def run_to_completion(self, flow: Coroutine[Any, Any, T]) -> T:
        """See `Runtime`."""
        return await flow

    @contextlib.asynccontextmanager
    async def session(self, *_: object) -> AsyncIterator[Any]:
        """See `Runtime`: there are no connections, no places and nothing in the background."""
        yield self

    turn = submit_slot = keep_alive = paused = session

    def _reply(self, body: dict[str, Any]) -> Reply:
        return Reply(status=200, headers={}, body=json.dumps(body).encode(), received_at=self.utcnow())


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the generators that are made without a seed, so that a run can be repeated: each task has one."""
    plain, numbers = random.Random.seed, itertools.count()

    def seed_anew(self: random.Random, a: Any = None, version: int = 2) -> None:
        plain(self, f"{seed}-{next(numbers)}" if a is None else a, version)

    with patch.object(random.Random, "seed", seed_anew):
        random.seed(seed)
        yield


def follow_with_ours(tasks: list[Planned], seed: int, moves: Sequence[float] = ()) -> list[Result]:
    """Run the real lifecycle over all tasks."""
    world = World()
    gateway = Gateway(world, tasks, moves)
    GATEWAYS["nebula"] = NEBULA if moves else replace(NEBULA, beat_seconds=None)
    lifecycle = Lifecycle(
        Options(api_key="k", base_url="https://g.example.com"), cast("Runtime", VirtualRuntime(world, gateway))
    )
    known: dict[int, float] = {}
    numbers = iter(range(len(tasks)))

    async def work(place: int) -> None:
        await pause(place * USUAL / AT_ONCE)
        for _ in numbers:
            request = VideoRequest(prompt=f"{len(gateway.submitted)}", image="https://example.com/cat.jpg")
            video = await lifecycle.generate(request)
            known[int(video.task_id.partition("-")[2])] = world.now

    with seeded(seed):
        world.run([work(place) for place in range(AT_ONCE)])
    return [Result(gateway.looks[number], known[number] - gateway.visible(number)) for number in range(len(tasks))]


def follow(task: Planned, moments: Iterator[float], visible: float) -> Result:
    """Look at a task at these moments after its submit; each look takes its time before the next pause begins."""
    spent = 0.0
    for looks, moment in enumerate(moments, 1):
        asked = moment + spent
        spent += LATENCY
        if asked + LATENCY / 2 >= visible:
            return Result(looks, asked + LATENCY - visible)
    raise AssertionError(task)


def dashscope(_: Planned) -> Iterator[float]:
    """Yield the moments of the SDK's loop. Before every third look, the pause is doubled, up to five seconds."""
    moment, seconds = 0.0, 1.0
    for step in itertools.count(1):
        if seconds < 5 and step % 3 == 0:
            seconds = min(seconds * 2, 5.0)
        yield moment
        moment += seconds


def every_five_seconds(_: Planned) -> Iterator[float]:
    """Yield a moment every five seconds."""
    return itertools.count(5.0, 5.0)


def rule_of_thumb(task: Planned) -> Iterator[float]:
    """Yield moments every 40 s in the queue, then after 0.6 of the usual time, then every 4 s."""
    moment = 0.6 * USUAL
    if task.queue:
        moment = 40.0
        while moment < task.queue:
            yield moment
            moment += 40.0
        yield moment
        moment += 0.6 * USUAL - 20.0
    while True:
        yield moment
        moment += 4.0


def optimum(regime: Regime, looks: float) -> float:
    """Return the least lag for so many looks, if only the distribution of the ends is known.

    With looks every d seconds, the lag is d / 2 where tasks end and the cost is 1 / d while they run. The best d makes
    their product half the square of the integral of sqrt(density x survival).
    """
    rng = random.Random(0)
    ends = sorted(task.end for _ in range(40) for task in regime.make(rng)[regime.counted])
    count, step = len(ends), len(ends) // 100
    parts = [(ends[i + step] - ends[i], 1 - i / count) for i in range(0, count - step, step)]
    return sum(math.sqrt(step / count * width * alive) for width, alive in parts) ** 2 / 2 / (looks - 0.5) + LATENCY / 2


# --- the regimes ---


def spread_out(rng: random.Random, median: float, sigma: float = SIGMA) -> Planned:
    """Return a task that takes about `median` seconds."""
    return Planned(0.0, median * math.exp(rng.gauss(0, sigma)))


def steady(median: float) -> Callable[[random.Random], list[Planned]]:
    """Return tasks that take about as long, after half as many usual ones."""
    before = 0 if median == USUAL else TASKS // 2
    return lambda rng: [spread_out(rng, USUAL) for _ in range(before)] + [spread_out(rng, median) for _ in range(TASKS)]


def bimodal(rng: random.Random) -> list[Planned]:
    """Return tasks of which half take about 30 s, and half about 150 s."""
    return [spread_out(rng, rng.choice([30.0, 150.0]), 0.08) for _ in range(TASKS)]


def long_queue(rng: random.Random) -> list[Planned]:
    """Return usual tasks that wait for 100 to 300 s before."""
    return [Planned(rng.uniform(100, 300), spread_out(rng, USUAL).work) for _ in range(TASKS)]


TURN = TASKS // 2
faster = steady(USUAL / 3)
REGIMES = [
    Regime("usual", steady(USUAL)),
    Regime("3 x faster, 300 tasks after the turn", faster, slice(TURN, None)),
    Regime("3 x faster, tasks 61 to 120 after it", faster, slice(TURN + 60, TURN + 120)),
    Regime("bimodal, 30 or 150 s", bimodal),
    Regime("long queue", long_queue),
    Regime("3 x slower, the last 100", steady(USUAL * 3), slice(-100, None)),
    Regime("rows move every 15.4 s, tasks 50 to 300", steady(USUAL), slice(50, None), beat=True),
    Regime("the same, restarted at half, tasks 50 to 300", steady(USUAL), slice(50, None), beat=True, restart=1800.0),
]
TARGETS = {  # of looks and of lag, in those of the SDK; with a beat, of looks a task and of seconds
    "usual": (0.45, 0.85),
    "3 x faster, 300 tasks after the turn": (0.5, 1.1),
    "3 x faster, tasks 61 to 120 after it": (None, 0.8),
    "bimodal, 30 or 150 s": (None, 1.4),
    "long queue": (0.25, 1.0),
    "3 x slower, the last 100": (0.25, 2.0),
    "rows move every 15.4 s, tasks 50 to 300": (5.0, 1.5),
    "the same, restarted at half, tasks 50 to 300": (5.0, 2.5),
}


def beats(rng: random.Random, regime: Regime) -> list[float]:
    """Return the moments at which the gateway's loop comes by: about every 15.4 s, from any phase."""
    moments = [rng.uniform(0, BEAT)]
    while moments[-1] < TASKS * 300:
        moments.append(moments[-1] + BEAT + rng.gauss(0, 0.05))
    shift = rng.uniform(0.2, 0.8) * BEAT
    return [at + shift if regime.restart and at > regime.restart else at for at in moments]


def average(results: Sequence[Result]) -> tuple[float, float]:
    """Return the mean of looks and of lag."""
    return mean(result.looks for result in results), mean(result.lag for result in results)


_followed: dict[tuple[Callable[..., list[Planned]], bool, float | None, int], list[Result]] = {}


def measure(regime: Regime, seeds: int) -> dict[str, tuple[float, float]]:
    """Return looks a task and mean lag by client."""
    results: dict[str, list[Result]] = {}
    for seed in range(seeds):
        rng = random.Random(seed)
        tasks = regime.make(rng)
        moves = beats(rng, regime) if regime.beat else []
        run = (regime.make, regime.beat, regime.restart, seed)
        if run not in _followed:
            _followed[run] = follow_with_ours(tasks, seed, moves)
        results.setdefault("ours", []).extend(_followed[run][regime.counted])
        for peer in (dashscope, every_five_seconds, rule_of_thumb):
            for task in tasks[regime.counted]:
                phase = rng.uniform(0, BEAT)
                visible = phase + math.ceil((task.end - phase) / BEAT) * BEAT if regime.beat else task.end
                results.setdefault(peer.__name__, []).append(follow(task, peer(task), visible))
    found = {name: average(some) for name, some in results.items()}
    if not regime.beat:
        found["optimum"] = found["ours"][0], optimum(regime, found["ours"][0])
    return found


def compare(seeds: int) -> list[dict[str, Any]]:
    """Return a row for each regime: looks a task and mean lag by client, and ours beside the target."""
    rows = []
    for regime in REGIMES:
        found = measure(regime, seeds)
        (looks, lag), (their_looks, their_lag) = found["ours"], found["dashscope"]
        of = (1.0, 1.0) if regime.beat else (their_looks, their_lag)
        ours = (looks / of[0], lag / of[1])
        wanted = TARGETS[regime.name]
        goal = " and ".join(f"{word} ≤ {most}" for word, most in zip(("looks", "lag"), wanted, strict=True) if most)
        rows.append({
            "regime": regime.name,
            "found": {name: [round(value, 2) for value in pair] for name, pair in found.items()},
            "ours": [round(value, 2) for value in ours],
            "goal": f"{goal} (looks a task and seconds)" if regime.beat else goal,
            "kept": all(most is None or got <= most for got, most in zip(ours, wanted, strict=True)),
        })  # fmt: skip
    return rows


def main(seeds: int, *, write: bool) -> None:
    """Measure, print, and keep the results."""
    rows = compare(seeds)
    for row in rows:
        cells = ", ".join(f"{name} {looks:.1f} / {lag:.2f}" for name, (looks, lag) in row["found"].items())
        print(f"{row['regime']}: looks a task / lag in s: {cells}")
        print(
            f"    ours {row['ours'][0]:.2f}, {row['ours'][1]:.2f}; {row['goal']}: {'kept' if row['kept'] else 'missed'}"
        )
    if write:
        save("schedules", {"seeds": seeds, "rows": rows})


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    main(*(numbers or [2]), write="--write" in sys.argv)
