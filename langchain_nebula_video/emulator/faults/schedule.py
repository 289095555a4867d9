"""The faults to inject into coming requests, and which request gets which fault."""

from __future__ import annotations

import inspect
import itertools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.records import FaultRecord

from .kinds import POINTS
from .nebula import ALL_KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_nebula_video.emulator.serving.exchange import Exchange, Handler

    from .kinds import FaultKind


@dataclass(slots=True)
class _ScheduledFault:
    number: int
    point: str
    name: str
    kind: FaultKind
    times: int | None
    after: int
    params: Mapping[str, Any]
    seen: int = field(default=0)
    played: int = field(default=0)

    def take(self) -> bool:
        """Count a request. Return True if the fault applies to it."""
        if self.times is not None and self.played >= self.times:
            return False
        self.seen += 1
        due = self.seen > self.after
        self.played += due
        return due

    def record(self) -> FaultRecord:
        params = dict(self.params)
        return FaultRecord(
            self.point, self.name, self.times, self.after, params, self.seen, self.played, number=self.number
        )


class Faults:
    """The faults of one emulator. Every method is thread-safe."""

    def __init__(self) -> None:
        """Start without faults."""
        self._lock = threading.Lock()
        self._faults: list[_ScheduledFault] = []
        self._numbers = itertools.count(1)

    def add(self, point: str, kind: str, *, times: int | None = 1, after: int = 0, **params: Any) -> None:
        """Inject a fault into coming requests.

        Faults are checked in the order of addition. The first one that is due takes the request. Later
        faults do not count that request.

        Args:
            point: ``submit``, ``query`` or ``download``; for DashScope also ``list``, ``cancel``,
                ``policy`` and ``upload``; for Nebula also ``account``, which is every free route; for all but
                DashScope also ``content``.
            kind: A kind from the table in the emulator's README.
            times: How many requests it applies to; None for all.
            after: How many requests it skips first.
            **params: Parameters of the kind.

        Raises:
            ValueError: The point, the kind or a parameter is unknown.
        """
        fault_kind = ALL_KINDS.get(kind)
        if point not in POINTS or fault_kind is None:
            message = f"no fault {kind!r} at {point!r}; points: {', '.join(POINTS)}; kinds: {', '.join(ALL_KINDS)}"
            raise ValueError(message)
        problem = _find_problem(fault_kind, point, params)
        if problem is not None:
            message = f"fault {kind!r} {problem}"
            raise ValueError(message)
        with self._lock:
            number, params = next(self._numbers), {**fault_kind.params, **params}
            self._faults.append(_ScheduledFault(number, point, kind, fault_kind, times, after, params))

    def clear(self, point: str | None = None) -> None:
        """Remove the faults of one point, or all faults."""
        with self._lock:
            self._faults = [fault for fault in self._faults if point not in {None, fault.point}]

    def remove(self, number: int) -> None:
        """Remove the fault with this number, if it is there."""
        with self._lock:
            self._faults = [fault for fault in self._faults if fault.number != number]

    def records(self) -> tuple[FaultRecord, ...]:
        """Return every fault that was not cleared, used up or not."""
        with self._lock:
            return tuple(fault.record() for fault in self._faults)

    async def play(self, point: str, exchange: Exchange, handler: Handler) -> None:
        """Serve a request, with the fault that is due for it, if any."""
        with self._lock:
            fault = next((each for each in self._faults if each.point == point and each.take()), None)
        if fault is None:
            await exchange.respond(await handler(exchange))
            return
        exchange.entry.fault = fault.name
        await fault.kind.play(exchange, handler, **fault.kind.fixed, **fault.params)


def _find_problem(kind: FaultKind, point: str, params: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a fault and its parameters; None if nothing is."""
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
