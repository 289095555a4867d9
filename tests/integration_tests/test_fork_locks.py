"""Forks while other threads work: neither the parent nor the child ever waits for a lock that nobody will release.

Each program runs in a process of its own, which a watchdog ends.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no forks")

_HELPERS = """
import os, signal, sys, threading, time, warnings
from datetime import UTC, datetime
from decimal import Decimal

warnings.simplefilter("ignore", DeprecationWarning)  # Python itself warns of forks among threads
from langchain_nebula_video import Budget, MemoryJournal, NebulaVideoClient, SqlJournal
from langchain_nebula_video.journal import Entry, EntryState

def entry(name):
    return Entry(id=name, gateway="nebula", model="m", request={"n": name}, created_at=datetime.now(UTC),
                 reserved_usd=Decimal("0.1"))

def fork(work):
    '''Run the work in a child, which must end well within ten seconds.'''
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child

def ended(child):
    status = os.waitpid(child, 0)[1]
    assert status == 0, f"the child ended with {status}"

def in_threads(*works):
    failed, end = [], time.monotonic() + 2
    def until_the_end(work):
        try:
            while True:
                work()
                if time.monotonic() > end: break
        except BaseException as error:
            failed.append(error)
            raise
    threads = [threading.Thread(target=until_the_end, args=[work]) for work in works]
    for each in threads: each.start()
    for each in threads: each.join()
    assert not failed, failed
"""


def run(program: str, *arguments: object) -> None:
    command = [sys.executable, "-c", _HELPERS + textwrap.dedent(program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "done\n"


@pytest.mark.parametrize("kind", ["sqlite", "memory"])
def test_threads_that_fork_at_once_leave_the_journal_usable(tmp_path: Path, kind: str) -> None:
    run(
        """
        journals = [MemoryJournal() if sys.argv[1] == "memory" else SqlJournal(f"sqlite:///{sys.argv[2]}/{n}.db")
                    for n in range(3)]
        for each in journals: each.reserve(entry("first"), None)

        def forks():
            ended(fork(lambda: [each.update("first", state=EntryState.RUNNING) for each in journals]))

        in_threads(forks, forks, forks)
        for each in journals: assert each.reserve(entry("last"), None).id == "last"
        print("done")
        """,
        kind,
        tmp_path,
    )


@pytest.mark.parametrize("kind", ["sqlite", "memory"])
def test_a_child_forked_while_another_thread_uses_the_journal_can_use_it(tmp_path: Path, kind: str) -> None:
    run(
        """
        journal = MemoryJournal() if sys.argv[1] == "memory" else SqlJournal(f"sqlite:///{sys.argv[2]}/j.db")
        for number in range(200): journal.reserve(entry(str(number)), None)
        reads = lambda: journal.entries()
        writes = lambda: journal.update("7", state=EntryState.RUNNING)

        def forks():
            def child():
                assert len(journal.entries()) == 200
                assert journal.reserve(entry(f"child {os.getpid()}"), None)
                journal.forget(f"child {os.getpid()}")
            ended(fork(child))

        in_threads(reads, writes, forks)
        print("done")
        """
        if kind == "memory"
        else """
        journal = SqlJournal(f"sqlite:///{sys.argv[2]}/j.db")
        for number in range(20): journal.reserve(entry(str(number)), None)
        writes = lambda: journal.update("7", state=EntryState.RUNNING)
        in_threads(writes, writes, lambda: ended(fork(lambda: journal.update("7", reason="child"))))
        print("done")
        """,
        kind,
        tmp_path,
    )


def test_a_child_forked_while_another_thread_waits_for_its_turn_gets_its_own(tmp_path: Path) -> None:
    run(
        """
        from langchain_nebula_video.transport.pace import Pace

        pace = Pace(20.0)
        held, free = threading.Event(), threading.Event()

        def holds():
            with pace._lock:
                held.set()
                free.wait()

        holder = threading.Thread(target=holds)
        holder.start()
        held.wait()
        ended(fork(lambda: pace.join(0.0)))
        free.set()
        holder.join()
        print("done")
        """,
        tmp_path,
    )


def test_a_child_forked_while_another_thread_reserves_under_a_limit_can_reserve(tmp_path: Path) -> None:
    run(
        """
        from langchain_nebula_video import BudgetExceededError
        from langchain_nebula_video.journal import limits

        journal = SqlJournal(f"sqlite:///{sys.argv[1]}/j.db")
        limit = limits.SpendLimit(Decimal(1000), ("run",), lambda *_: BudgetExceededError("no"), scope="run")
        names = iter(range(1_000_000))

        def reserves():
            began = time.monotonic()
            with limits.apply_limit(limit), limits.watch_journal([journal], limit):
                limits.reserve(journal, entry(f"{os.getpid()} {next(names)}"), None, repeats=None)
            return time.monotonic() - began

        def child():
            assert reserves() < 4  # nobody holds the lock here

        in_threads(reserves, reserves, lambda: ended(fork(child)))
        assert limit.seen.of("run") == [journal]
        print("done")
        """,
        tmp_path,
    )


def test_a_child_forked_while_another_thread_makes_a_client_can_make_one() -> None:
    run(
        """
        from langchain_nebula_video.lifecycle.factory import LifecycleOptions

        def makes():
            LifecycleOptions(api_key="k").blocking_lifecycle()

        makes()  # pydantic has a lock of its own while it builds a class
        in_threads(makes, makes, makes, lambda: ended(fork(makes)))
        print("done")
        """
    )


def test_a_fork_of_a_fork_uses_the_journal_too(tmp_path: Path) -> None:
    run(
        """
        journal = SqlJournal(f"sqlite:///{sys.argv[1]}/j.db")
        journal.reserve(entry("1"), None)
        ended(fork(lambda: ended(fork(lambda: journal.update("1", reason="grandchild")))))
        assert journal.entries()[0].reason == "grandchild"
        print("done")
        """,
        tmp_path,
    )
