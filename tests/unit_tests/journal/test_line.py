"""The thread of a journal: calls of event loops wait in line, and none that was begun is lost."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import os
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from langchain_nebula_video import JournalError, SqlJournal
from langchain_nebula_video.journal.line import Line, asked_at
from tests.journals import entry
from tests.unit_tests.journal.test_patience import locked

_name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")


async def test_calls_run_in_one_thread_in_the_order_in_which_they_come_with_the_callers_context() -> None:
    line, seen = Line(), list[tuple[int, int, str]]()

    def note(number: int) -> int:
        seen.append((number, threading.get_ident(), _name.get()))
        return number

    _name.set("caller")
    futures = [line.submit(partial(note, number)) for number in range(20)]
    assert await asyncio.gather(*futures) == list(range(20))
    (thread,) = {thread for _, thread, _ in seen}
    assert thread != threading.get_ident()
    assert [(number, name) for number, _, name in seen] == [(number, "caller") for number in range(20)]


async def test_an_error_reaches_its_caller_and_the_next_call_is_served() -> None:
    line = Line()

    def fail() -> None:
        raise KeyError("gone")

    failing, next_one = line.submit(fail), line.submit(lambda: 1)
    with pytest.raises(KeyError, match="gone"):
        await failing
    assert await next_one == 1


async def test_the_thread_ends_with_its_line() -> None:
    line = Line()
    thread: threading.Thread = await line.submit(threading.current_thread)
    assert thread.is_alive()
    del line
    gc.collect()
    await asyncio.to_thread(thread.join, 60)
    assert not thread.is_alive()


async def test_without_room_for_a_thread_the_call_fails_and_the_next_one_finds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = Line()

    def no_room(_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_room)
        with pytest.raises(RuntimeError, match="can't start"):
            line.submit(lambda: 1)
    assert await line.submit(lambda: 2) == 2


def test_a_call_ends_although_its_loop_is_closed() -> None:
    line, begun, go, done = Line(), threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go.wait(60)
        done.set()

    async def leave() -> None:
        line.submit(work)
        line.submit(lambda: None)
        await asyncio.to_thread(begun.wait, 60)

    asyncio.run(leave())
    go.set()
    assert done.wait(60)
    assert asyncio.run(_answer(line)) == "again"


async def _answer(line: Line) -> str:
    return await line.submit(lambda: "again")


def test_a_process_ends_after_the_calls_in_the_line(tmp_path: Path) -> None:
    """Whoever leaves an event loop without waiting for what it has begun: the id of a paid task gets on record."""
    path = tmp_path / "journal.db"
    program = f"""
import asyncio, time
from functools import partial
from pathlib import Path
from langchain_nebula_video import SqlJournal
from tests.journals import entry

journal = SqlJournal(Path({str(path)!r}))
journal.reserve(entry(), None)

async def leave():
    journal.line.submit(partial(time.sleep, 0.3))
    journal.line.submit(partial(journal.update, "1", task_id="t"))

loop = asyncio.new_event_loop()
loop.run_until_complete(leave())
loop.close()
"""
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120, cwd=root)
    assert [each.task_id for each in SqlJournal(path).entries()] == ["t"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_of_a_fork_has_a_thread_of_its_own() -> None:
    line, go = Line(), threading.Event()

    async def leave_one_under_way() -> None:
        line.submit(lambda: go.wait(60))

    asyncio.run(leave_one_under_way())
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os._exit(0 if asyncio.run(_answer(line)) == "again" else 1)
        os._exit(2)
    go.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_all_calls_that_wait_for_a_locked_file_give_up_together(tmp_path: Path) -> None:
    """Not one after the other: each has waited from the moment at which it came."""
    path = tmp_path / "journal.db"
    journal = SqlJournal(path, patience=1)
    journal.reserve(entry(), None)
    line = journal.line
    assert line is not None

    async def hold_all() -> list[object]:
        entries = [entry(id=f"{number}", key=f"{number}") for number in range(30)]
        futures = [line.submit(partial(journal.reserve, each, None)) for each in entries]
        return await asyncio.gather(*futures, return_exceptions=True)

    began = time.monotonic()
    with locked(path):
        found = asyncio.run(hold_all())
    assert {type(each) for each in found} == {JournalError}
    assert time.monotonic() - began < 15
    journal.close()


def test_a_long_line_that_moves_leaves_each_call_its_patience(tmp_path: Path) -> None:
    """Else the id of a paid task that waited in it would be given up when another process locks the file briefly."""
    path = tmp_path / "journal.db"
    journal = SqlJournal(path, patience=60)
    reserved = journal.reserve(entry(), None)

    def come_long_ago() -> None:
        asked_at.set(time.monotonic() - 1000)
        journal.hold(reserved.id, holder="me", now=reserved.created_at, until=reserved.created_at)
        with locked(path, 0.3):
            journal.update(reserved.id, task_id="t-1")

    contextvars.copy_context().run(come_long_ago)
    assert [each.task_id for each in journal.entries()] == ["t-1"]
    journal.close()


def test_a_journal_in_postgres_has_no_line() -> None:
    assert SqlJournal("postgresql+psycopg://nobody@127.0.0.1:1/none").line is None
