"""Leases on journal entries.

A call holds and renews a lease while it works on an entry, so that two processes do not save the same video. A lease of
a dead process is taken over.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import socket
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from langchain_nebula_video.errors import JournalError, printable
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.lifecycle.context import Context
from langchain_nebula_video.transport import KeepAlive

__all__ = [
    "LEASE_DURATION",
    "RELEASED",
    "Lease",
    "is_alive",
    "is_dead",
    "judge_leases",
    "keep_lease",
    "new_holder",
    "process_name",
    "working",
]

logger = logging.getLogger("langchain_nebula_video")

LEASE_DURATION = timedelta(seconds=60)
RELEASED: Mapping[str, Any] = {"holder": None, "held_until": None}
"""The changes of an entry that release its lease, to be written along with others."""
_BOOT_ID, _PID_NAMESPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
_ENDED = "ZX"
"""The states of a process that has ended, in `proc(5)`: zombie and dead."""
_PEER_PAUSE_SECONDS = 1.0
_SPARED = timedelta(seconds=10)
"""The lease that a living holder gets from a process that sweeps."""
_MAX_SPARED = timedelta(hours=1)
"""How long after its lease a living process is still taken to be at work on an entry."""
_working: set[str] = set()
"""The holders of this process whose submit is under way."""


def new_holder() -> str:
    """Return a unique name for one call: host, process id, and the process's start with a random part."""
    return f"{_own_name(os.getpid())}-{uuid.uuid4().hex[:12]}"


def process_name(holder: str) -> str:
    """Return what the names of all holders of a holder's process begin with."""
    return f"{holder.rpartition('-')[0]}-"


@functools.lru_cache(maxsize=1)
def _own_name(process: int) -> str:
    """Return the name of this process. It is read once in each: a child of a fork has another number."""
    return f"{_host_id(process)}:{process}:{_start_of(process)}"


@contextmanager
def working(holder: str) -> Iterator[None]:
    """Mark a holder as at work in this process; see `is_alive`."""
    _working.add(holder)
    try:
        yield
    finally:
        _working.discard(holder)


@functools.lru_cache(maxsize=1)
def _host_id(_: int) -> str:
    """Return the scope in which a process id is unique: this host and, on Linux, its boot and PID namespace.

    Two containers may share a host name and each have a process 7. It is read once in each process.
    """
    host = socket.gethostname()
    try:
        scope = f"{_BOOT_ID.read_text()}{_PID_NAMESPACE.stat().st_ino}"
    except OSError:  # not on Linux
        return host
    return f"{host}/{hashlib.blake2b(scope.encode(), digest_size=4).hexdigest()}"


def _start_of(process: int | str) -> str:
    """Return when a process started, in ticks since the boot; `""`: unknown, or there is no such process.

    A process id is given again, at once in a container that restarts; with the start it is unique. A process that has
    ended has no start any more, although its id lives until the parent asks for its exit code, which some never do.
    """
    try:
        state, *facts = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return _ENDED if state in _ENDED else facts[18]
    except (OSError, ValueError, IndexError, UnicodeDecodeError):
        return ""


def is_dead(holder: str | None) -> bool:
    """Whether a holder's process ran in this scope and is gone. For other scopes, only the lease's expiry counts.

    That includes names from older versions, which do not name their scope.
    """
    return _is_running(holder) is False


def is_alive(holder: str | None) -> bool:
    """Whether a holder's process runs in this scope, and in this very process: whether its call is at work."""
    if holder and _process_of(holder)[1] == str(os.getpid()) and holder not in _working:
        return False
    return _is_running(holder) is True


def _process_of(holder: str) -> tuple[str, str, str]:
    """Return a holder's scope, process id and the start of its process (`""`: not named)."""
    name, _, call = holder.rpartition(":")
    scope, _, process = name.rpartition(":")
    return scope, process, call.rpartition("-")[0]


def _is_running(holder: str | None) -> bool | None:
    """Whether a holder's process runs; `None`: that cannot be told from here."""
    if holder is not None and holder.rpartition("-")[0] == _own_name(os.getpid()):
        return True
    scope, process, start = _process_of(holder or "")
    if (
        os.name != "posix" or scope != _host_id(os.getpid()) or not process.isdigit()
    ):  # on Windows, signal 0 tests no process
        return None
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except OSError:  # it lives and belongs to another user
        pass
    return not start or _start_of(process) in {start, ""}


class Lease:
    """One call's lease on an entry. Without an entry there is nothing to hold."""

    def __init__(self, context: Context, entry: Entry | None, holder: str) -> None:
        self._context = context
        self._entry = entry
        self.holder = holder
        ours = entry is not None and entry.holder == holder
        self._returned = False
        # The wall clock, by which other processes judge the lease. It goes on while the machine sleeps.
        self._renew_at = context.runtime.utcnow() + LEASE_DURATION / 2 if ours else None

    async def renew(self, ahead: float = 0.0) -> bool:
        """Take the lease, or renew it after half its duration; whether this call holds it.

        Args:
            ahead: Seconds for which this call will sleep now, and cannot renew it. It counts as dead once its lease
                is over.
        """
        runtime, journal = self._context.runtime, self._context.journal
        now, sleep = runtime.utcnow(), timedelta(seconds=ahead)
        if self._entry is None or (self._renew_at is not None and now + sleep < self._renew_at):
            return True
        found = await self._context.call_journal(
            journal.hold, self._entry.id, holder=self.holder, now=now, until=now + sleep + LEASE_DURATION
        )
        self._renew_at = now + sleep + LEASE_DURATION / 2 if found else None
        self._returned = False
        return found is not None

    @property
    def renew_at(self) -> datetime | None:
        """From when on it wants to be renewed; `None`: it is not held."""
        return self._renew_at

    async def acquire(self, deadline: float, on_wait: Callable[[], Awaitable[object]]) -> Entry | None:
        """Wait for the lease and return the reloaded entry; `None`: another call held it until the deadline.

        Another holder may have saved the video meanwhile. The reloaded entry then has it.

        Args:
            deadline: On the runtime's clock.
            on_wait: Called again and again while another call holds it.
        """
        context, runtime = self._context, self._context.runtime
        if self._entry is None:
            return None
        while not await self.renew():
            known = await self._reload()
            if known is not None and is_dead(known.holder):
                await context.call_journal(context.journal.release, known.id, known.holder)
                continue
            if known is None or runtime.now() + _PEER_PAUSE_SECONDS >= deadline:
                return None
            await runtime.sleep(_PEER_PAUSE_SECONDS)
            await on_wait()
        return await self._reload()

    def was_released(self) -> None:
        """Note that another update of the entry has released the lease, with `RELEASED`."""
        self._returned = True

    async def release(self) -> None:
        """Release the lease, unless that has been done. If the journal fails, the lease ends by itself."""
        if self._entry is None or self._returned or self._renew_at is None:  # it is not held
            return
        try:
            await self._context.call_journal(self._context.journal.release, self._entry.id, self.holder)
        except JournalError as error:
            logger.warning("a lease was not released, and ends by itself: %s", printable(error.what))

    async def _reload(self) -> Entry | None:
        assert self._entry is not None  # noqa: S101 for the type checker
        return await self._context.find_entry(self._entry.task_id or "")


def keep_lease(context: Context, entry: Entry) -> AbstractAsyncContextManager[KeepAlive]:
    """Renew the lease of a reserved entry in the background, while its call waits for its turn.

    A failure is left to the call itself: it finds out when it begins its POST.
    """
    assert entry.holder is not None  # noqa: S101 for the type checker
    lease = Lease(context, entry, entry.holder)

    async def renew() -> datetime | None:
        try:
            await lease.renew()
        except Exception as error:  # noqa: BLE001 whatever a journal raises
            logger.debug("the lease of a waiting submit was not renewed: %s", error)
        return lease.renew_at

    return context.runtime.keep_alive(renew)


async def judge_leases(context: Context, now: datetime) -> None:
    """Before a sweep: end the leases of dead holders, and renew those of holders that are at work on this machine.

    A frozen process, or one whose journal was locked, may have let its lease run out.
    """
    journal = context.journal
    for entry in await context.call_journal(journal.entries, states=[EntryState.SUBMITTING]):
        if is_dead(entry.holder):
            with suppress(KeyError):  # somebody else has settled it meanwhile
                await context.update_entry(entry, held_until=now)
        elif (
            entry.held_until is not None
            and entry.held_until <= now < entry.held_until + _MAX_SPARED
            and is_alive(entry.holder)
        ):
            await context.call_journal(journal.hold, entry.id, holder=entry.holder, now=now, until=now + _SPARED)
