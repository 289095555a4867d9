"""Several clients, threads and processes on one journal: one payment, one download, and nothing left lying."""

from __future__ import annotations

import asyncio
import functools
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    NebulaVideoClient,
    NotSentError,
    SqlJournal,
    SubmissionUnconfirmedError,
)
from langchain_nebula_video.emulator import Emulator, Status
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.lifecycle.lease import LEASE_DURATION, is_dead, new_holder
from tests.gateways import ASK, HurriedClock, all_gateways, reached


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with all_gateways() as running:
        yield running


@pytest.fixture
def journal(tmp_path: Path) -> SqlJournal:
    return SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}")


def entry(name: str, **fields: Any) -> Entry:
    now = datetime.now(UTC)
    given: dict[str, Any] = {"gateway": "nebula", "model": "wan2.5-i2v-preview", "request": {}, "created_at": now}
    return Entry(id=name, **{**given, **fields})


def downloads(emulator: Emulator) -> int:
    return sum(request.point == "download" for request in emulator.requests)


HOLDER = "from langchain_nebula_video.lifecycle.lease import new_holder; print(new_holder())"


@functools.cache
def gone() -> str:
    """The holder that a process was which has ended."""
    return subprocess.run([sys.executable, "-c", HOLDER], capture_output=True, text=True, check=True).stdout.strip()


def test_the_same_key_in_several_clients_at_once_is_paid_and_downloaded_once(
    emulator: Emulator, tmp_path: Path
) -> None:
    def generate(_: int) -> str:
        own = SqlJournal(journal_url(tmp_path))
        client = NebulaVideoClient(**reached(emulator, "nebula"), journal=own, save_to=tmp_path / "videos")
        return str(client.generate(**ASK, key="k").path)

    with ThreadPoolExecutor(6) as pool:
        paths = set(pool.map(generate, range(6)))
    assert len(paths) == len(emulator.tasks) == downloads(emulator) == 1


def journal_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'journal.db'}"


def test_a_finished_entry_is_held_by_nobody(emulator: Emulator, journal: SqlJournal, tmp_path: Path) -> None:
    client = NebulaVideoClient(**reached(emulator, "nebula"), journal=journal, save_to=tmp_path)
    client.generate(**ASK, key="a")
    client.submit(**{**ASK, "prompt": "Another"}, key="b")
    assert [(e.holder, e.held_until) for e in journal.entries()] == [(None, None)] * 2


def test_what_a_dead_process_left_is_seen_to_at_once(emulator: Emulator, journal: SqlJournal) -> None:
    """Its lease would last a minute more; that its process is gone is known on the same machine."""
    now = datetime.now(UTC)
    holder = gone()
    for name in ("unsent", "sent"):
        journal.reserve(entry(name, key=name, holder=holder, held_until=now + LEASE_DURATION), None)
    assert journal.begin("sent", holder=holder, now=now, until=now + LEASE_DURATION, cap=4)
    client = NebulaVideoClient(**reached(emulator, "nebula"), journal=journal)
    assert client.resume() == []
    (left,) = journal.entries()
    assert (left.id, left.state) == ("sent", EntryState.UNCONFIRMED)


def test_the_key_of_a_dead_process_is_free_if_nothing_was_sent(emulator: Emulator, journal: SqlJournal) -> None:
    held = {"holder": gone(), "held_until": datetime.now(UTC) + LEASE_DURATION}
    journal.reserve(entry("old", key="k", **held), None)
    client = NebulaVideoClient(**reached(emulator, "nebula"), journal=journal)
    assert client.generate(**ASK, key="k").task_id == emulator.tasks[0].id


def test_the_key_of_a_dead_process_is_in_doubt_if_its_post_had_left(emulator: Emulator, journal: SqlJournal) -> None:
    client = NebulaVideoClient(**reached(emulator, "nebula"), journal=journal)
    emulator.faults.add("submit", "reset_after")
    with pytest.raises(SubmissionUnconfirmedError):
        client.generate(**ASK, key="k")
    (lost,) = journal.entries()
    held = {"holder": gone(), "held_until": datetime.now(UTC) + LEASE_DURATION}
    journal.update(lost.id, state=EntryState.SUBMITTING, abandoned=False, lost_at=None, **held)
    with pytest.raises(SubmissionUnconfirmedError):
        client.generate(**ASK, key="k")
    assert len(emulator.tasks) == 1


def test_what_another_process_is_at_work_on_is_left_to_it(emulator: Emulator, journal: SqlJournal) -> None:
    client = NebulaVideoClient(**reached(emulator, "nebula"), journal=journal)
    task = client.submit(**ASK)
    (held,) = journal.entries()
    now = datetime.now(UTC)
    journal.hold(held.id, holder="elsewhere:1:x", now=now, until=now + LEASE_DURATION)
    assert client.resume() == []
    journal.hold(held.id, holder="elsewhere:1:x", now=now, until=now - timedelta(seconds=1))
    assert [found.task_id for found in client.resume()] == [task.task_id]


def test_submits_of_all_clients_together_keep_below_the_cap(emulator: Emulator, tmp_path: Path) -> None:
    def submit(number: int) -> None:
        own = SqlJournal(journal_url(tmp_path))
        NebulaVideoClient(**reached(emulator, "nebula"), journal=own).submit(**{**ASK, "prompt": f"p{number}"})

    emulator.faults.add("submit", "late", times=None, seconds=0.3)
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(submit, range(10)))
    assert emulator.peaks.submits <= 4


def test_a_drained_client_submits_nothing_more_and_the_key_stays_free(emulator: Emulator, journal: SqlJournal) -> None:
    client = NebulaVideoClient(**reached(emulator, "nebula"), journal=journal, clock=HurriedClock())
    assert client.drain() is True
    with pytest.raises(NotSentError, match="shut down") as caught:
        client.generate(**ASK, key="k")
    assert caught.value.spent is False
    assert journal.entries() == []


async def test_draining_waits_for_the_submit_under_way(emulator: Emulator, journal: SqlJournal) -> None:
    emulator.faults.add("submit", "late", seconds=0.5)
    client = AsyncNebulaVideoClient(**reached(emulator, "nebula"), journal=journal)
    running = asyncio.create_task(client.submit(**ASK))
    while emulator.peaks.submits == 0:  # noqa: ASYNC110 the emulator counts in a thread of its own
        await asyncio.sleep(0.01)
    assert await client.drain(grace=10) is True
    task = await running
    assert journal.find(gateway="nebula", task_id=task.task_id) is not None


def test_a_holder_is_dead_when_its_process_is() -> None:
    assert not is_dead(new_holder())
    assert is_dead(gone())
    assert not is_dead(None)
    assert not is_dead("another-machine:1:x")
    assert not is_dead("nonsense")


def test_a_holder_of_another_container_or_boot_is_judged_by_its_lease_alone() -> None:
    """Two containers of one image may have one host name, and each a process of that number."""
    here, process, call = gone().rsplit(":", 2)
    host = here.partition("/")[0]
    assert is_dead(f"{here}:{process}:{call}")
    assert not is_dead(f"{host}/00000000:{process}:{call}")


@pytest.mark.skipif(sys.platform != "linux", reason="containers are Linux's")
def test_a_holder_of_an_older_version_is_read_and_judged_by_its_lease_alone() -> None:
    here, process, call = gone().rsplit(":", 2)
    assert not is_dead(f"{here.partition('/')[0]}:{process}:{call}")


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
def test_a_pid_namespace_of_its_own_has_holders_of_its_own() -> None:
    command = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", sys.executable, "-c", HOLDER]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"unshare does not work here: {done.stderr.strip()[:80]}")
    there = done.stdout.strip()
    assert there.partition("/")[0] == new_holder().partition("/")[0]
    assert there.rsplit(":", 2)[0] != new_holder().rsplit(":", 2)[0]
    assert not is_dead(there)


def test_resume_finds_a_lost_submit_where_tasks_are_listed(emulator: Emulator, journal: SqlJournal) -> None:
    here = reached(emulator, "dashscope")
    emulator.faults.add("submit", "reset_after")
    emulator.faults.add("list", "status", times=None, code=403)
    client = NebulaVideoClient(**here, journal=journal, clock=HurriedClock(), sole_account=True)
    with pytest.raises(SubmissionUnconfirmedError):
        client.generate(**ASK)
    emulator.faults.clear()
    while emulator.tasks[0].status is not Status.SUCCEEDED:  # a list tells what a task was asked for once it has ended
        time.sleep(0.01)
    (task,) = client.resume()
    assert client.wait(task).task_id == emulator.tasks[0].id
    assert [e.state for e in journal.entries()] == [EntryState.SUCCEEDED]
