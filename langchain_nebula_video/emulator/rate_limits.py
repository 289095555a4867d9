"""Rate limits: a maximum number of requests within any window of time."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from .refusals import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Hashable

    from .clock import SupportsNow


class RateLimiter:
    """Counts requests by key. Only the server's thread uses it."""

    def __init__(self, clock: SupportsNow, *, enforced: bool) -> None:
        """Start without requests.

        Args:
            clock: The emulator's clock.
            enforced: Whether limits apply at all.
        """
        self._clock = clock
        self._stored = enforced
        self._recent: dict[Hashable, collections.deque[float]] = {}

    def check(self, key: Hashable, limit: int, window: float = 1.0) -> None:
        """Count one request.

        Raises:
            Refusal: The last `window` seconds already had `limit` requests.
        """
        if not self._stored:
            return
        now = self._clock.now()
        recent = self._recent.setdefault(key, collections.deque())
        while recent and recent[0] <= now - window:
            recent.popleft()
        if len(recent) >= limit:
            raise Refusal(Reason.RATE, "Requests rate limit exceeded, please try again later.")
        recent.append(now)
