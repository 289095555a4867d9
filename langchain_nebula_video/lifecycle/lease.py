"""Who works on a journal entry.

A lease is kept up while somebody does, so that two processes do not save one video twice; what a dead process has
left is taken over.
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
    """A name for one call, which says what process it is in."""
    return f"{_host_id()}:{os.getpid()}:{uuid.uuid4().hex[:12]}"


def _host_id() -> str:
    """Within what a process's number names one process: this machine, since it was started, and on Linux one container.

    Containers may have the same host name, and a process 7 each.
    """
    host = socket.gethostname()
    try:
        scope = f"{_BOOT_ID.read_text()}{_PID_NAMESPACE.stat().st_ino}"
    except OSError:  # not on Linux
        return host
    return f"{host}/{hashlib.blake2b(scope.encode(), digest_size=4).hexdigest()}"


def is_dead(holder: str | None) -> bool:
    """Whether a holder was in a process within reach that is gone; of any other, its lease alone tells.

    So it is with a name of an older version, which does not say where its number holds.
    """
    host, _, process = (holder or "").rpartition(":")[0].rpartition(":")
    if os.name != "posix" or host != _host_id() or not process.isdigit():  # elsewhere signal 0 is no test
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except OSError:  # it lives, and is another user's
        return False
    return False


class Lease:
    """One call's hold on an entry. Of a task that the journal does not know there is nothing to hold."""

    def __init__(self, context: Context, entry: Entry | None, holder: str) -> None:
        self._context = context
        self._entry = entry
        self._holder = holder
        ours = entry is not None and entry.holder == holder
        self._returned = False
        self._renew_at = context.runtime.now() + LEASE_DURATION.total_seconds() / 2 if ours else 0.0

    async def renew(self) -> bool:
        """Take it, or prolong it once half of it is over; whether it is ours."""
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
        """Wait until it is ours, and give the entry as it is then; `None`: time is over, and another one has it.

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
        """What gives it back along with another change; for whoever has obtained it."""
        self._returned = True
        return {"holder": None, "held_until": None}

    async def release(self) -> None:
        """Give it back, if it is ours and has not been given back."""
        if self._entry is not None and not self._returned:
            await self._context.call_journal(self._context.journal.release, self._entry.id, self._holder)

    async def _reload(self) -> Entry | None:
        assert self._entry is not None  # noqa: S101 for the type checker
        return await self._context.find_entry(self._entry.task_id or "")
