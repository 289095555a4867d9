"""The last answer about a task that goes on. Most looks bring the same one again, which need not be read again."""

from __future__ import annotations

from langchain_nebula_video.protocols import Reply, TaskSnapshot

__all__ = ["LastAnswer"]


class LastAnswer:
    """What the last look at one task was answered, while the task goes on."""

    __slots__ = ("_digest", "_snapshot", "repeated")

    def __init__(self) -> None:
        self.repeated = False
        """Whether the newest answer is the one before it again."""
        self._digest = b""
        self._snapshot: TaskSnapshot | None = None

    @property
    def snapshot(self) -> TaskSnapshot:
        """What it says."""
        assert self._snapshot is not None  # noqa: S101 for the type checker
        return self._snapshot

    def compare(self, reply: Reply) -> bool:
        """Take in an answer. Return whether it is the last one again, to the byte."""
        self.repeated = self._snapshot is not None and self._digest == reply.digest
        return self.repeated

    def keep(self, reply: Reply, snapshot: TaskSnapshot) -> None:
        """Remember an answer that was read and is about the task. How an end is read depends on when it came."""
        self._digest = reply.digest
        self._snapshot = None if snapshot.status.finished else snapshot
