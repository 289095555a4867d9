"""Faults of the database: which ones are transient, and what to do about the others."""

from __future__ import annotations

import re

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

__all__ = [
    "PREPARED_FAULTS",
    "FileReplacedError",
    "error_code",
    "find_hint",
    "is_read_only",
    "is_stale",
    "is_transient",
]

# https://www.sqlite.org/rescode.html: BUSY, LOCKED, PROTOCOL (a race while locking)
_TRANSIENT_SQLITE = frozenset({5, 6, 15})
# https://www.postgresql.org/docs/current/errcodes-appendix.html: too many connections, a lock that was not available,
# a deadlock, a serialization failure, a statement that took too long (as one does that waits for a lock), a server
# that shuts down or starts, and a session that idled in a transaction
_TRANSIENT_POSTGRES = frozenset({"53300", "55P03", "40P01", "40001", "57014", "57P01", "57P02", "57P03", "25P03"})
_READ_ONLY = 8
PREPARED_FAULTS = frozenset({"26000", "42P05"})
"""A prepared statement is not there, or is there already: a pool gave another connection of the server."""
# A server that became a standby: a new connection may lead to the new primary.
_STALE = PREPARED_FAULTS | {"25006"}
# libpq gives no code when it cannot connect, and PgBouncer gives 08P01 for everything, so these words mark the errors
# that last: src/client.c of PgBouncer, fe-connect.c of libpq.
_PERMANENT_WORDS = (
    "authentication failed", "no password supplied", "does not exist", "no pg_hba.conf entry",
    "unsupported startup parameter", "no such database", "no such user", "not allowed in statement pooling mode",
    "does not support SSL", "invalid integer value", "invalid port number", "invalid connection option",
)  # fmt: skip
_INVALID_VALUE = re.compile(r"invalid \w+ value")

_HINTS: dict[int | str, str] = {
    5: "Another program keeps the file locked: `fuser FILE` names it. Let it end, or give the journal a file of its "
    "own; then repeat.",
    8: "Give the journal a file, and a folder, that this user may write to; then repeat.",
    11: "Keep the file, and begin a new journal elsewhere; the gateway's console shows what was paid for. "
    'What can be saved of it: sqlite3 FILE ".recover".',
    13: "Make room on the disk, then repeat.",
    14: "Give the journal a file in a folder that exists and that this user may write to; then repeat.",
    26: "Give the journal a file of its own, or a new one.",
    "53100": "Make room on the database server's disk, then repeat.",
    "25006": "Give the journal the primary server, not a standby; then repeat.",
}
"""What to do, by error code."""
_HINTS_BY_WORDS = {
    "unsupported startup parameter": "Behind PgBouncer: Leave options out of the journal's URL. Set a schema for the "
    "role instead: ALTER ROLE … SET search_path = NAME.",
    "not allowed in statement pooling mode": "Set PgBouncer's pool_mode to transaction or session.",
}


class FileReplacedError(SQLAlchemyError):
    """The path of a SQLite file does not lead to the file that was opened."""

    hint = (
        "Put the file back where it was. If another one is there on purpose, close() the journal or restart the "
        "process: then that one is used, and what only the first one knows may be paid for again."
    )

    def __init__(self) -> None:
        super().__init__("the file was deleted or replaced while it was in use")


def error_code(error: BaseException) -> int | str:
    """Return SQLite's primary result code, PostgreSQL's SQLSTATE, or an empty string."""
    orig = getattr(error, "orig", None)
    return getattr(orig, "sqlite_errorcode", 0) & 0xFF or getattr(orig, "sqlstate", None) or ""


def find_hint(error: BaseException) -> str | None:
    """Return what to do about a fault, if that is known."""
    hint = getattr(error, "hint", None)  # of an error of this package's own
    if isinstance(hint, str):
        return hint
    words = str(getattr(error, "orig", ""))
    return _HINTS.get(error_code(error)) or next(
        (_HINTS_BY_WORDS[key] for key in _HINTS_BY_WORDS if key in words), None
    )


def is_read_only(cause: BaseException) -> bool:
    """Return whether the driver's error says that the database can only be read."""
    return getattr(cause, "sqlite_errorcode", 0) & 0xFF == _READ_ONLY or getattr(cause, "sqlstate", "") == "25006"


def is_stale(error: BaseException) -> bool:
    """Return whether the fault stays with the connection, and another one may not have it."""
    return error_code(error) in _STALE


def is_transient(error: BaseException) -> bool:
    """Return whether the same work may succeed a moment later, or on another connection."""
    if isinstance(error, PoolTimeoutError):
        return False  # the pool has waited already
    if not isinstance(error, DBAPIError):
        return False
    code = error_code(error)
    if isinstance(code, int):
        return code in _TRANSIENT_SQLITE
    lasts = _lasts(str(error.orig))
    if code in _STALE:
        return False
    if code:
        passing = code in _TRANSIENT_POSTGRES or code.startswith("08") or error.connection_invalidated
        return passing and not lasts
    lost = error.connection_invalidated or type(error.orig).__name__ == "OperationalError"
    return lost and not lasts


def _lasts(words: str) -> bool:
    """Return whether the words of a failed connection say that the next one will fail too."""
    return any(word in words for word in _PERMANENT_WORDS) or _INVALID_VALUE.search(words) is not None
