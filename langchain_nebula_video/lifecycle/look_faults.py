"""How long a look at a paid task may go wrong before the wait for it ends. Pure arithmetic on seconds.

A look costs nothing, and the task goes on whatever it is answered. So nearly every fault is taken for a passing one for
a while.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from langchain_nebula_video.errors import AuthenticationError, QuotaError, RequestError
from langchain_nebula_video.protocols import is_unknown_task
from langchain_nebula_video.transport import AnswerTooLargeError
from langchain_nebula_video.transport.retry import is_retryable

__all__ = ["FRESH_SECONDS", "REFUSED_STATUSES", "FaultKind", "LookFaults", "kind_of"]

FRESH_SECONDS = 60.0
"""A task that is younger may be unknown for a moment: new-api answers a submit before it writes the task's row
(its relay/relay_task.go, 2025-12), and a look may meet another copy of its database."""
_UNKNOWN_TASK_SECONDS = 20.0
"""The most for a task that neither the journal nor this call has ever had an answer about: most likely its id, the key
or base_url is mistyped."""
_KEY_STATUSES = frozenset({401, 402, 403, 407})
REFUSED_STATUSES = frozenset({401, 403})
"""A look that was refused to this key, while another path to the same task may be open to it."""


def _is_about_the_key(error: RequestError) -> bool:
    return isinstance(error, AuthenticationError | QuotaError) or error.status_code in _KEY_STATUSES


def _is_from_a_server_on_the_way(error: RequestError) -> bool:
    status = error.status_code or 0
    return 300 <= status < 400 or status == 451 or (error.body or "").lstrip()[:1] == "<"


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One row of the table."""

    name: str
    matches: Callable[[RequestError], bool]
    seconds: float
    """How long such faults in a row are passing ones, from the first of them."""
    looks: int = 1
    """How many it takes at least until they are believed."""
    passes_if_fresh: bool = False
    """Whether it does not count at all during the first `FRESH_SECONDS` after the submit."""


FAULT_KINDS = (
    # Three answers of 64 MB are enough. The reason does not pass: the video itself is in the answer.
    FaultKind("too large", lambda error: isinstance(error, AnswerTooLargeError), 0.0, looks=3),
    # No answer, 5xx, 408, 429, an answer that says nothing of this task: they tell nothing about it.
    FaultKind("no answer", is_retryable, math.inf),
    # A login page of a network, a maintenance page, a firewall of the gateway's host.
    FaultKind("a server on the way", _is_from_a_server_on_the_way, 300.0),
    # new-api gives 403 for each look of a key that is limited to certain models, and 401 once the key's quota is used
    # up, while the task goes on (its middleware/distributor.go and auth.go, 2025-12). A person can mend both in the
    # gateway's console, so a few minutes are waited. With the same key nothing else helps, so it is not longer.
    FaultKind("the key", _is_about_the_key, 300.0, looks=2),
    # The gateway's own word for it.
    FaultKind("no such task", lambda error: is_unknown_task(error) and bool(error.code), 0.0, 3, passes_if_fresh=True),
    # Nothing answers at this path: also while a gateway is being replaced by its next version.
    FaultKind("no such path", lambda error: error.status_code in {404, 405}, 60.0, 3, passes_if_fresh=True),
    # Anything else that is refused. No page tells a reason for which a look could be.
    FaultKind("refused", lambda _: True, 60.0, looks=3),
)


def kind_of(error: RequestError) -> FaultKind:
    """Return the first row that a fault matches."""
    return next(kind for kind in FAULT_KINDS if kind.matches(error))


@dataclass(slots=True)
class LookFaults:
    """The faulty looks in a row of one wait."""

    begun: float
    """When the wait began, in monotonic seconds."""
    known: bool
    """Whether the journal has the task, or an answer has told of it."""
    count: int = 0
    first_of_its_kind: bool = False
    """Whether the one before the last was of another kind, or a look that was answered."""
    _kind: FaultKind | None = field(default=None)
    _looks: int = 0
    _since: float = 0.0

    def end(self) -> None:
        """Forget all: a look was answered."""
        self.known, self.count, self._kind = True, 0, None

    def add(self, error: RequestError, now: float, age: float) -> bool:
        """Count a fault. Return whether it has to be believed now; else it may pass.

        Args:
            error: The fault.
            now: Monotonic seconds.
            age: Seconds since the submit, by the wall clock.
        """
        kind = kind_of(error)
        self.count += 1
        self.first_of_its_kind = kind is not self._kind
        if self.first_of_its_kind:
            self._kind, self._looks, self._since = kind, 0, now
        if kind.passes_if_fresh and self.known and max(age, now - self.begun) < FRESH_SECONDS:
            self._since = now
            return False
        self._looks += 1
        seconds = kind.seconds if self.known or math.isinf(kind.seconds) else min(kind.seconds, _UNKNOWN_TASK_SECONDS)
        return self._looks >= kind.looks and now - self._since >= seconds
