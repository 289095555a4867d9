"""Journals are compared with one in memory, and with a plain sum over their entries, whatever is done to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from langchain_nebula_video import Budget, BudgetExceededError, JournalError, MemoryJournal
from langchain_nebula_video.journal import Entry, EntryState, Journal, Repeats
from langchain_nebula_video.journal.budget import round_up
from tests.journals import MOMENT, entry

__all__ = ["compare_with_memory", "without_clock"]


def without_clock(found: Any) -> Any:
    """What two journals must agree on: all but the moments that they took from the clock."""
    if isinstance(found, list):
        return [without_clock(each) for each in found]
    if not isinstance(found, Entry):
        return found
    return {name: getattr(found, name) for name in Entry.__dataclass_fields__ if name != "updated_at"}


NAMES = st.sampled_from([str(number) for number in range(6)])
KEYS = st.sampled_from([None, None, "a", "b"])
HOLDERS = st.sampled_from(["x", "y"])
REPEATS = st.sampled_from([None, (None, ""), (30, ""), (None, "x"), (3600, "y")])
"""Seconds of the window, and the holder whose process is gone."""
SCOPES = st.sampled_from([(), ("run",), ("run", "thread")])


class _SameAsInMemory(RuleBasedStateMachine):
    """Whatever is done to both journals, in whatever order, they tell the same."""

    make: Callable[[], Journal]

    def __init__(self) -> None:
        super().__init__()
        self.other = type(self).make()
        self.memory = MemoryJournal()
        self.now = MOMENT
        self.made = 0

    def both(self, work: Any) -> Any:
        told = []
        for journal in (self.memory, self.other):
            try:
                told.append(without_clock(work(journal)))
            except (BudgetExceededError, JournalError, KeyError) as error:
                told.append((type(error), str(error)))
        assert told[0] == told[1]
        return told[0]

    def one(self, choice: int) -> str:
        entries = self.memory.entries()
        return entries[choice % len(entries)].id if entries else "none"

    def new_task(self) -> str:
        self.made += 1
        return f"t{self.made}"

    def a_task(self, choice: int) -> str:
        tasks = [found.task_id for found in self.memory.entries() if found.task_id]
        return tasks[choice % len(tasks)] if tasks else self.new_task()

    def of_use(self, entries: list[Entry]) -> list[Entry]:
        """The entries that a journal in memory keeps."""
        return [each for each in entries if not (each.is_done and each.is_outdated(self.now))]

    @rule(seconds=st.integers(1, 90))
    def time_goes_by(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(hours=st.integers(12, 30))
    def a_day_goes_by(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule(
        key=KEYS, request=st.integers(0, 1), usd=st.integers(0, 40), leased=st.booleans(), repeats=REPEATS,
        budget=st.sampled_from([None, Budget("1"), Budget("1", per=timedelta(minutes=1))]), scopes=SCOPES,
    )  # fmt: skip
    def reserve(
        self, key: str | None, request: int, usd: int, leased: bool, repeats: Any, budget: Any, scopes: tuple[str, ...]
    ) -> None:
        self.made += 1
        lease = {"holder": "x", "held_until": self.now + timedelta(seconds=60)} if leased else {}
        self.now += timedelta(microseconds=1)
        new = entry(
            id=f"e{self.made}", key=key, request={"n": request}, created_at=self.now,
            reserved_usd=Decimal(usd).scaleb(-2), scopes=scopes, **lease,
        )  # fmt: skip
        window, dead = repeats or (None, "")
        since = None if window is None else self.now - timedelta(seconds=window)
        given = None if repeats is None else Repeats(since=since, is_dead=lambda holder: holder == dead)
        self.both(lambda journal: journal.reserve(new, budget, repeats=given))

    @rule(choice=st.integers(0, 9), holder=HOLDERS, cap=st.integers(1, 2))
    def begin(self, choice: int, holder: str, cap: int) -> None:
        name, until = self.one(choice), self.now + timedelta(seconds=60)
        self.both(lambda journal: journal.begin(name, holder=holder, now=self.now, until=until, cap=cap))

    @rule(choice=st.integers(0, 9), holder=HOLDERS)
    def hold(self, choice: int, holder: str) -> None:
        name, until = self.one(choice), self.now + timedelta(seconds=60)
        self.both(lambda journal: journal.hold(name, holder=holder, now=self.now, until=until))

    @rule(choice=st.integers(0, 9), holder=HOLDERS)
    def release(self, choice: int, holder: str) -> None:
        self.both(lambda journal: journal.release(self.one(choice), holder))

    @rule(choice=st.integers(0, 9), state=st.sampled_from(EntryState), abandoned=st.booleans())
    def update(self, choice: int, state: EntryState, abandoned: bool) -> None:
        name = self.one(choice)
        self.both(lambda journal: journal.update(name, state=state, abandoned=abandoned, updated_at=self.now))

    @rule(choice=st.integers(0, 9), twice=st.booleans())
    def accepted(self, choice: int, twice: bool) -> None:
        name, task = self.one(choice), self.a_task(choice) if twice else self.new_task()
        if not any(found.task_id for found in self.memory.entries() if found.id == name):
            self.both(lambda journal: journal.update(name, task_id=task, state=EntryState.SUBMITTED))

    @rule(choice=st.integers(0, 9), usd=st.integers(0, 40))
    def billed(self, choice: int, usd: int) -> None:
        name = self.one(choice)
        self.both(lambda journal: journal.update(name, billed_usd=Decimal(usd).scaleb(-2)))

    @rule(choice=st.integers(0, 9), other=st.integers(0, 9), new=st.booleans())
    def claim(self, choice: int, other: int, new: bool) -> None:
        name, task = self.one(choice), self.new_task() if new else self.a_task(other)
        self.both(lambda journal: journal.claim(name, task))

    @rule(choice=st.integers(0, 9))
    def forget(self, choice: int) -> None:
        name = self.one(choice)
        self.both(lambda journal: journal.forget(name))

    @precondition(lambda self: self.made)
    @rule()
    def sweep(self) -> None:
        self.now += timedelta(microseconds=1)
        self.both(lambda journal: journal.sweep(self.now))

    @invariant()
    def they_tell_the_same(self) -> None:
        self.both(lambda journal: self.of_use(journal.entries()))
        self.both(lambda journal: self.of_use(journal.entries(scope="thread")))
        for one in self.memory.entries()[-1:]:
            self.both(lambda journal, one=one: self.of_use(journal.entries(same_request=one)))
            same = [found.id for found in self.memory.entries(same_request=one)]
            assert same == [found.id for found in self.memory.entries() if found.request == one.request]
        for key in "ab":
            self.both(lambda journal, key=key: journal.find(key=key))
        for task in {found.task_id for found in self.memory.entries()} - {None}:
            self.both(lambda journal, task=task: journal.find(gateway="nebula", task_id=task))

    @invariant()
    def sums_are_right(self) -> None:
        """Since the beginning, and since the moments around which entries were made."""
        entries = self.other.entries()
        some = [*entries[:1], *entries[-1:]]
        edges = {made.created_at + timedelta(microseconds=n) for made in some for n in (-1, 0)}
        for scope in (None, "run"):
            for since in (None, MOMENT - timedelta(days=400), self.now - timedelta(minutes=1), *edges):
                counted = [
                    made for made in entries
                    if (since is None or made.created_at > since) and (scope is None or scope in made.scopes)
                ]  # fmt: skip
                expected = sum((round_up(made.spent_usd) for made in counted), Decimal(0))
                assert (
                    self.both(lambda journal, since=since, scope=scope: journal.spent(since, scope=scope)) == expected
                )

    @invariant()
    def entries_are_counted(self) -> None:
        for journal in (self.memory, self.other):
            for states in (None, [EntryState.RUNNING, EntryState.UNCONFIRMED]):
                entries, summary = journal.entries(states=states), journal.summarize(states=states)
                assert summary.states == Counter(each.state for each in entries)
                assert summary.billed_usd == sum((each.billed_usd or 0 for each in entries), Decimal(0))
                assert summary.spent_usd == sum((each.spent_usd for each in entries), Decimal(0))

    def teardown(self) -> None:
        self.other.close()


def compare_with_memory(make: Callable[[], Journal], *, examples: int) -> None:
    """Do the same, at random, to a new journal and to one in memory, so many times."""
    bounded = settings(
        max_examples=examples, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
    )
    compared = type("SameAsInMemory", (_SameAsInMemory,), {"make": staticmethod(make)})
    run_state_machine_as_test(compared, settings=bounded)
