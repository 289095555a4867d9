"""Faults to be played on the next requests: the list, and who takes which."""

from __future__ import annotations

import inspect
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.records import FaultRecord

from .kinds import KINDS, POINTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_nebula_video.emulator.serving.exchange import Exchange, Handler

    from .kinds import FaultKind


@dataclass(slots=True)
class _ScheduledFault:
    point: str
    name: str
    kind: FaultKind
    times: int | None
    after: int
    params: Mapping[str, Any]
    seen: int = field(default=0)
    played: int = field(default=0)

    def take(self) -> bool:
        """Count a request; True if the fault is for this one."""
        if self.times is not None and self.played >= self.times:
            return False
        self.seen += 1
        due = self.seen > self.after
        self.played += due
        return due

    def record(self) -> FaultRecord:
        return FaultRecord(self.point, self.name, self.times, self.after, dict(self.params), self.seen, self.played)


class Faults:
    """The faults of one emulator. All methods may be called from any thread."""

    def __init__(self) -> None:
        """Begin without any."""
        self._lock = threading.Lock()
        self._faults: list[_ScheduledFault] = []

    def add(self, point: str, kind: str, *, times: int | None = 1, after: int = 0, **params: Any) -> None:
        """Play a fault on requests to come.

        Faults are asked in the order they were added; the first that is due takes the request, and
        those behind it do not see it.

        Args:
            point: ``submit``, ``query`` or ``download``; of DashScope also ``list``, ``cancel``,
                ``policy`` and ``upload``.
            kind: One of the kinds in the table of this package's README.
            times: How many requests it is played on; None for all.
            after: How many requests it lets pass first.
            **params: The kind's own parameters.

        Raises:
            ValueError: There is no such point, kind or parameter.
        """
        fault_kind = KINDS.get(kind)
        if point not in POINTS or fault_kind is None:
            message = f"no fault {kind!r} at {point!r}; points: {', '.join(POINTS)}; kinds: {', '.join(KINDS)}"
            raise ValueError(message)
        problem = _find_problem(fault_kind, point, params)
        if problem is not None:
            message = f"fault {kind!r} {problem}"
            raise ValueError(message)
        with self._lock:
            self._faults.append(_ScheduledFault(point, kind, fault_kind, times, after, {**fault_kind.params, **params}))

    def clear(self, point: str | None = None) -> None:
        """Forget the faults of one point, or all."""
        with self._lock:
            self._faults = [fault for fault in self._faults if point not in {None, fault.point}]

    def records(self) -> tuple[FaultRecord, ...]:
        """Every fault added and not cleared, used up or not."""
        with self._lock:
            return tuple(fault.record() for fault in self._faults)

    async def play(self, point: str, exchange: Exchange, handler: Handler) -> None:
        """Serve a request: with the fault that is due for it, or in the ordinary way."""
        with self._lock:
            fault = next((each for each in self._faults if each.point == point and each.take()), None)
        if fault is None:
            await exchange.respond(await handler(exchange))
            return
        exchange.entry.fault = fault.name
        await fault.kind.play(exchange, handler, **fault.kind.fixed, **fault.params)


def _find_problem(kind: FaultKind, point: str, params: Mapping[str, Any]) -> str | None:
    """What is wrong with a fault that somebody wants to add."""
    if point not in kind.points:
        return f"is for {', '.join(kind.points)}, not for {point!r}"
    unknown = params.keys() - kind.params.keys()
    if unknown:
        return f"takes {', '.join(kind.params) or 'no parameters'}, not {', '.join(sorted(unknown))}"
    required = {name for name, default in kind.params.items() if default is inspect.Parameter.empty}
    if required - params.keys():
        return f"needs {', '.join(sorted(required - params.keys()))}"
    for name, choices in kind.choices.items():
        if params.get(name, choices[0]) not in choices:
            return f"takes one of {', '.join(choices)} as {name}, not {params[name]!r}"
    return None
