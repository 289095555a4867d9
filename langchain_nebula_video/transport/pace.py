"""How fast the requests of one account leave: at the documented rate, and slower after a 429.

A 429 is about the account, not about one task. So it slows all clients of the account in this process together: the
rate is halved, and grows again by a step each second without another one (additive increase, multiplicative decrease).
Whoever came first leaves first.

Only rates are kept here. Alibaba works on five Wan 2.5 tasks of an account at once and queues the others itself, so to
hold them back here would only cost their place in its queue.
"""

from __future__ import annotations

import math
import os
import threading
from dataclasses import dataclass
from weakref import WeakSet

__all__ = ["AccountPace", "Pace", "pace_of"]

_BURST_SECONDS = 0.1
"""So much of the rate may leave at once after a pause."""
_STEPS = 20
"""In so many seconds without a 429, a rate grows from nothing to where it was."""
_LEAST = 0.2
"""Requests a second, whatever is refused."""
_PAUSE_SECONDS = 1.0
"""How long nothing leaves after a 429 that names no time. Others that were under way then say nothing new."""
_LOOKS_PAUSE_SECONDS = 30.0
"""The longest pause of all looks of an account. The task whose look was refused waits as long as it was asked to; the
others keep their leases meanwhile, which last a minute."""
_FORGOTTEN = 2.0
"""At so many times the rate that was refused, a gateway without a documented rate has no limit any more."""
_paces: WeakSet[Pace] = WeakSet()


class Pace:
    """The pace of one kind of request of one account. Thread-safe. All times are monotonic seconds.

    Args:
        documented: Requests a second that the vendor's page allows; `None`: it names no limit.
        longest_pause: The most seconds for which nothing leaves, whatever a 429 asks for.
    """

    def __init__(self, documented: float | None, longest_pause: float = math.inf) -> None:
        self._documented = documented
        self._longest_pause = longest_pause
        self._rate = documented
        self._ceiling = documented or 0.0
        self._lock = threading.Lock()
        self._tickets = 0
        self._allowed = 0.0
        """So many tickets may have left until `_since`."""
        self._since = 0.0
        self._grown = 0.0
        self._second = 0.0
        self._left = self._left_before = 0
        _paces.add(self)

    def forget_lock(self) -> None:
        """In a child process: a thread of the parent may have held the lock, and is not here to give it back."""
        self._lock = threading.Lock()

    def join(self, now: float) -> int | None:
        """Take a place in the line and return its number; `None`: there is no line, leave at once."""
        with self._lock:
            if self._rate is None:
                if now - self._second >= 1.0:
                    self._left_before = self._left if now - self._second < 2.0 else 0
                    self._second, self._left = now, 0
                self._left += 1
                return None
            self._advance(now)
            ticket, self._tickets = self._tickets, self._tickets + 1
            return ticket

    def delay(self, ticket: int, now: float) -> float:
        """Return the seconds until a ticket's turn, as it looks now; 0: it is its turn."""
        with self._lock:
            if self._rate is None:
                return 0.0
            self._advance(now)
            missing = max(0.0, ticket + 1 - self._allowed)
            return 0.0 if missing < 1e-6 else max(0.0, self._since - now) + missing / self._rate

    def pause(self, now: float) -> float:
        """Return for how many seconds nothing leaves at all, because a 429 asked for that."""
        with self._lock:
            return 0.0 if self._rate is None else max(0.0, self._since - now)

    def leave(self, now: float) -> None:
        """Give up a ticket without leaving: those behind it move up."""
        with self._lock:
            self._advance(now)
            self._allowed += 1

    def refuse(self, now: float, retry_after: float | None = None) -> None:
        """Slow down: a request was answered with 429."""
        with self._lock:
            self._advance(now)
            until = now + min(_PAUSE_SECONDS if retry_after is None else retry_after, self._longest_pause)
            if now < self._since:  # it was under way when the one before it was refused
                self._since = max(self._since, until)
                return
            if self._rate is None:
                self._ceiling = float(max(self._left, self._left_before, 1))
                self._rate, self._allowed = self._ceiling, float(self._tickets)
            self._rate = max(_LEAST, self._rate / 2)
            self._since = self._grown = until

    def accept(self, now: float) -> None:
        """Speed up again: a request was answered otherwise."""
        with self._lock:
            if self._rate is None or self._rate == self._documented or now <= self._grown:
                return
            self._advance(now)
            self._rate += self._ceiling / _STEPS * min(1.0, now - self._grown)
            self._grown = now
            if self._documented is not None:
                self._rate = min(self._rate, self._documented)
            elif self._rate >= _FORGOTTEN * self._ceiling:
                self._rate = None

    def _advance(self, now: float) -> None:
        if self._rate is not None and now > self._since:
            most = self._tickets + max(1.0, self._rate * _BURST_SECONDS)
            self._allowed = min(most, self._allowed + self._rate * (now - self._since))
            self._since = now


@dataclass(frozen=True, slots=True)
class AccountPace:
    """The paces of one account."""

    looks: Pace
    submits: Pace


_shared: dict[tuple[str, float | None, float | None], AccountPace] = {}


def pace_of(account: str, looks: float | None, submits: float | None, *, share: bool) -> AccountPace:
    """Return the pace of an account.

    Args:
        account: Its id.
        looks: Looks a second that are documented, if they are.
        submits: Submits a second, likewise.
        share: Whether all clients of the account in this process have it together. They must have one clock for it.
    """
    made = AccountPace(Pace(looks, _LOOKS_PAUSE_SECONDS), Pace(submits))
    return _shared.setdefault((account, looks, submits), made) if share else made


def _forget_locks() -> None:
    for pace in [*_paces]:
        pace.forget_lock()


if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(after_in_child=_forget_locks)
