"""Leases on journal entries.

A call holds and renews a lease while it works on an entry, so that two processes do not save the same video. A lease of
a dead process is taken over.
"""

from __future__ import annotations

import hashlib
import os
import socket
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

from langchain_nebula_video.journal import Entry
from langchain_nebula_video.lifecycle.context import Context

__all__ = ["LEASE_DURATION", "Lease", "is_dead", "new_holder"]

LEASE_DURATION = timedelta(seconds=60)
_BOOT_ID, _PID_NAMESPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
_PEER_PAUSE_SECONDS = 1.0


def new_holder() -> str:
    """Return a unique name for one call: host, process id and a random part."""
    return f"{_host_id()}:{os.getpid()}:{uuid.uuid4().hex[:12]}"


def _host_id() -> str:
    """Return the scope in which a process id is unique: this host and, on Linux, its boot and PID namespace.

    Two containers may share a host name and each have a process 7.
    """
    host = socket.gethostname()
    try:
        scope = f"{_BOOT_ID.read_text()}{_PID_NAMESPACE.stat().st_ino}"
    except OSError:  # not on Linux
        return host
    return f"{host}/{hashlib.blake2b(scope.encode(), digest_size=4).hexdigest()}"


def is_dead(holder: str | None) -> bool:
    """Whether a holder's process ran in this scope and is gone. For other scopes, only the lease's expiry counts.

    That includes names from older versions, which do not name their scope.
    """
    host, _, process = (holder or "").rpartition(":")[0].rpartition(":")
    if (
        os.name != "posix" or host != _host_id() or not process.isdigit()
    ):  # on Windows, signal 0 does not test a process
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except OSError:  # it lives and belongs to another user
        return False
    return False


class Lease:
    """One call's lease on an entry. Without an entry there is nothing to hold."""

    def __init__(self, context: Context, entry: Entry | None, holder: str) -> None:
        self._context = context
        self._entry = entry
        self._holder = holder
        ours = entry is not None and entry.holder == holder
        self._returned = False
        self._renew_at = context.runtime.now() + LEASE_DURATION.total_seconds() / 2 if ours else 0.0

    async def renew(self) -> bool:
        """Take the lease, or renew it after half its duration; whether this call holds it."""
        runtime, journal = self._context.runtime, self._context.journal
        if self._entry is None or runtime.now() < self._renew_at:
            return True
        now = runtime.utcnow()
        found = await self._context.call_journal(
            journal.hold, self._entry.id, holder=self._holder, now=now, until=now + LEASE_DURATION
        )
        self._renew_at = runtime.now() + LEASE_DURATION.total_seconds() / 2 if found else 0.0
        return found is not None

    async def acquire(self, deadline: float) -> Entry | None:
        """Wait for the lease and return the reloaded entry; `None`: another call held it until the deadline.

        Another holder may have saved the video meanwhile. The reloaded entry then has it.
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
        return await self._reload()

    def release_fields(self) -> dict[str, Any]:
        """Return the changes that release the lease, to be written along with another update."""
        self._returned = True
        return {"holder": None, "held_until": None}

    async def release(self) -> None:
        """Release the lease, unless that has been done."""
        if self._entry is not None and not self._returned:
            await self._context.call_journal(self._context.journal.release, self._entry.id, self._holder)

    async def _reload(self) -> Entry | None:
        assert self._entry is not None  # noqa: S101 for the type checker
        return await self._context.find_entry(self._entry.task_id or "")
