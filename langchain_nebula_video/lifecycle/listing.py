"""Lists of an account's tasks, in which the task of a lost submit is looked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Protocol

from langchain_nebula_video.catalog.gateways import Gateway
from langchain_nebula_video.errors import RequestError
from langchain_nebula_video.journal import Entry
from langchain_nebula_video.lifecycle.context import Context
from langchain_nebula_video.protocols import Extensions, ListedTask, Reply, TaskSnapshot
from langchain_nebula_video.transport import FIRST_BYTE_SECONDS
from langchain_nebula_video.transport.retry import retry

__all__ = [
    "MAX_CLOCK_SKEW",
    "GatewayTaskList",
    "Listing",
    "TaskList",
    "clock_offset",
    "delivery_end",
    "delivery_window",
    "is_model",
    "windows_overlap",
]

MAX_CLOCK_SKEW = timedelta(minutes=10)
"""The clock skew assumed for a gateway that sends no `Date` header."""
_MAX_EARLY, _MAX_LATE = timedelta(seconds=10), timedelta(seconds=30)
"""How much before and after the submit the gateway may date its task."""
_UNSURE_MARGIN = timedelta(seconds=60)
"""How wrong the clock of a dead process may have been. A task this close to the window proves nothing."""
_MAX_SUBMIT_DURATION = timedelta(minutes=15)
_TASK_RETENTION = timedelta(hours=23)
"""One hour less than the gateway keeps its tasks."""
_MAX_PAGES = 20


def delivery_end(entry: Entry, gateway: Gateway) -> datetime:
    """Return the moment after which no server can deliver the entry's submit to the gateway any more.

    The journal records `sent_at` before the first byte leaves, which may take `FIRST_BYTE_SECONDS`.
    """
    return (entry.sent_at or entry.created_at) + timedelta(seconds=FIRST_BYTE_SECONDS + gateway.max_hold)


def delivery_window(entry: Entry, gateway: Gateway) -> tuple[datetime, datetime]:
    """Return from when until when the entry's submit may have been delivered."""
    since = entry.sent_at or entry.created_at
    return since, max(entry.lost_at or since + _MAX_SUBMIT_DURATION, delivery_end(entry, gateway))


def windows_overlap(entry: Entry, other: Entry, gateway: Gateway) -> bool:
    """Return whether both submits may have been delivered at the same moment."""
    since, until = delivery_window(entry, gateway)
    begin, end = delivery_window(other, gateway)
    return begin - _MAX_EARLY <= until + _MAX_LATE and since - _MAX_EARLY <= end + _MAX_LATE


@dataclass(frozen=True, slots=True)
class Listing:
    """The tasks of one model in one window."""

    rows: tuple[ListedTask, ...]
    read_at: datetime
    """When the list was requested, on this machine's clock."""
    offset: timedelta
    """How far the gateway's clock is ahead."""
    slack: timedelta
    """How uncertain that is."""
    complete: bool = True
    """Whether a task that it does not show does not exist."""
    snapshots: Mapping[str, TaskSnapshot] = field(default_factory=dict)
    """What is known of its tasks already, by id."""

    def candidates(self, entry: Entry, model: str, gateway: Gateway) -> dict[str, bool]:
        """Return the tasks created in or near the submit's window; by id, whether inside it."""
        since, until = delivery_window(entry, gateway)
        earliest, latest = since - _MAX_EARLY - self.slack + self.offset, until + _MAX_LATE + self.slack + self.offset
        return {
            row.task_id: earliest <= row.created_at <= latest
            for row in self.rows
            if earliest - _UNSURE_MARGIN <= row.created_at <= latest + _UNSURE_MARGIN and is_model(row.model, model)
        }

    def find_request(self, request_id: str | None) -> str | None:
        """Return the task that a request with this id has submitted. An id that several tasks have proves nothing."""
        found = {row.task_id for row in self.rows if request_id and row.request_id == request_id}
        return found.pop() if len(found) == 1 else None


def is_model(reported: str | None, model: str) -> bool:
    """Whether a listed task is of this model, if it says. One of the names may end in a date."""
    name = reported or model
    return name.startswith(model) or model.startswith(name)


class TaskList(Protocol):
    """A list of an account's tasks."""

    def check(self, entry: Entry) -> None:
        """Check that the list can show the task of an entry.

        Raises:
            RequestError: it cannot.
        """
        ...

    async def read(self, model: str, since: datetime, until: datetime, deadline: float) -> Listing:
        """Return the tasks of a model whose submits were delivered in a window.

        Args:
            model: The gateway's name for it.
            since: On this machine's clock.
            until: On this machine's clock.
            deadline: On the runtime's clock.

        Raises:
            RequestError: the gateway does not answer, or its list is incomplete.
        """
        ...


class GatewayTaskList:
    """The list that a gateway documents."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def check(self, entry: Entry) -> None:
        """See `TaskList`."""
        context = self._context
        if context.protocol.extensions is None:
            calls = context.protocol.account_calls
            logs = calls is not None and calls.build_log(key_in_address=False) is not None
            log = " Once the task has succeeded, reconcile() can look in the key's log." if logs else ""
            raise RequestError(f"The gateway documents no list of its tasks, in which it could be looked for.{log}")
        if context.runtime.utcnow() - entry.created_at > _TASK_RETENTION:
            raise RequestError("The gateway keeps its tasks for 24 hours: that it shows none says nothing any more.")

    async def read(self, model: str, since: datetime, until: datetime, deadline: float) -> Listing:
        """See `TaskList`."""
        context, extensions = self._context, self._extensions
        rows: dict[str, ListedTask] = {}
        read_at = context.runtime.utcnow()
        for page in range(1, _MAX_PAGES + 1):
            wire = extensions.build_list(model, since - MAX_CLOCK_SKEW, until + MAX_CLOCK_SKEW, page)
            reply = await retry(context.runtime, partial(context.send, wire, deadline), deadline=deadline)
            listed = extensions.parse_list(reply)
            if listed is None:
                raise RequestError("The gateway's list of tasks cannot be read.", status_code=reply.status)
            found, total = listed
            offset, slack = clock_offset(reply)
            before = len(rows)
            rows |= {row.task_id: row for row in found}
            if len(rows) >= total:
                return Listing(tuple(rows.values()), read_at, offset, slack)
            if len(rows) == before:
                raise RequestError("The gateway's list of tasks has fewer than it says: one may be missing.")
        raise RequestError("The gateway lists more tasks of that moment than can be looked at.")

    @property
    def _extensions(self) -> Extensions:
        extensions = self._context.protocol.extensions
        assert extensions is not None  # noqa: S101 for the type checker; `check` refuses it
        return extensions


def clock_offset(reply: Reply) -> tuple[timedelta, timedelta]:
    """Return how far the gateway's clock is ahead, by its `Date` header, and how uncertain that is.

    Raises:
        RequestError: it is so far ahead, or behind, that its moments say nothing.
    """
    try:
        reported: datetime = parsedate_to_datetime(reply.headers.get("date", ""))
    except (ValueError, IndexError, TypeError, OverflowError):
        return timedelta(0), MAX_CLOCK_SKEW
    offset = (reported if reported.tzinfo else reported.replace(tzinfo=UTC)) - reply.received_at
    if abs(offset) > MAX_CLOCK_SKEW:
        raise RequestError("The gateway's clock and this one are too far apart to tell the moment.")
    return offset, timedelta(seconds=1)
