"""The request log, and how many requests were in flight at once."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.records import Peaks, RequestRecord, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from langchain_nebula_video.emulator.clock import SupportsNow
    from langchain_nebula_video.emulator.enums import Dialect

# The field of `Peaks` for each point.
_PEAK_OF = {"submit": "submits", "query": "queries", "download": "downloads"}


@dataclass(slots=True)
class LogEntry:
    """The entry of one request, completed while it is served."""

    opened: RequestRecord
    status: int | None = None
    task_id: str | None = None
    fault: str | None = None
    dialect: Dialect | None = None

    def record(self) -> RequestRecord:
        """Return a snapshot of the entry."""
        return replace(self.opened, status=self.status, task_id=self.task_id, fault=self.fault, dialect=self.dialect)


class RequestLog:
    """Every request of one emulator. Every method is thread-safe."""

    def __init__(self, clock: SupportsNow) -> None:
        """Start with an empty log."""
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: list[LogEntry] = []
        self._in_flight: Counter[str] = Counter()
        self._peaks: Counter[str] = Counter()
        self._violations: list[Violation] = []

    @contextmanager
    def track(
        self, point: str, *, method: str, path: str, headers: Mapping[str, str], connection: int | None
    ) -> Iterator[LogEntry]:
        """Log one request, and count it as in flight while the block runs."""
        counters = ("requests", *filter(None, [_PEAK_OF.get(point)]))
        with self._lock:
            record = RequestRecord(
                number=len(self._entries) + 1,
                at=self._clock.now(),
                point=point,
                method=method,
                path=path,
                headers=headers,
                connection=connection,
            )
            entry = LogEntry(record)
            self._entries.append(entry)
            self._in_flight.update(counters)
            self._peaks |= self._in_flight
        try:
            yield entry
        finally:
            with self._lock:
                self._in_flight.subtract(counters)

    def add_violation(self, rule: str, entry: LogEntry) -> None:
        """Record that a request broke a rule."""
        opened = entry.opened
        with self._lock:
            self._violations.append(Violation(self._clock.now(), rule, opened.number, opened.path))

    def records(self) -> tuple[RequestRecord, ...]:
        """Return every request, in order of arrival."""
        with self._lock:
            return tuple(entry.record() for entry in self._entries)

    def peaks(self) -> Peaks:
        """Return the highest numbers of requests in flight."""
        with self._lock:
            return Peaks(**self._peaks)

    def violations(self) -> tuple[Violation, ...]:
        """Return every violation, in order."""
        with self._lock:
            return tuple(self._violations)
