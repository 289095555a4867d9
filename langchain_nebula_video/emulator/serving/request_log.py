"""The log of requests, and how many were under way at once."""

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

# Which field of `Peaks` counts a point.
_PEAK_OF = {"submit": "submits", "query": "queries", "download": "downloads"}


@dataclass(slots=True)
class Entry:
    """The line of one request, filled in as things become known."""

    head: RequestRecord
    status: int | None = None
    task_id: str | None = None
    fault: str | None = None
    dialect: Dialect | None = None

    def record(self) -> RequestRecord:
        """The line as it stands."""
        return replace(self.head, status=self.status, task_id=self.task_id, fault=self.fault, dialect=self.dialect)


class Traffic:
    """Every request of one emulator. All methods may be called from any thread."""

    def __init__(self, clock: SupportsNow) -> None:
        """Begin with an empty log."""
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._under_way: Counter[str] = Counter()
        self._peaks: Counter[str] = Counter()
        self._violations: list[Violation] = []

    @contextmanager
    def request(
        self, point: str, *, method: str, path: str, headers: Mapping[str, str], connection: int | None
    ) -> Iterator[Entry]:
        """Log one request for as long as the block lasts."""
        counted = ("requests", *filter(None, [_PEAK_OF.get(point)]))
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
            entry = Entry(record)
            self._entries.append(entry)
            self._under_way.update(counted)
            self._peaks |= self._under_way
        try:
            yield entry
        finally:
            with self._lock:
                self._under_way.subtract(counted)

    def violation(self, rule: str, entry: Entry) -> None:
        """Keep that a request broke a rule."""
        head = entry.head
        with self._lock:
            self._violations.append(Violation(self._clock.now(), rule, head.number, head.path))

    def records(self) -> tuple[RequestRecord, ...]:
        """Every request, in order of arrival."""
        with self._lock:
            return tuple(entry.record() for entry in self._entries)

    def peaks(self) -> Peaks:
        """The most that was ever under way."""
        with self._lock:
            return Peaks(**self._peaks)

    def violations(self) -> tuple[Violation, ...]:
        """Every broken rule, in order."""
        with self._lock:
            return tuple(self._violations)
