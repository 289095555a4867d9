"""Faults of the database: which ones are transient, and what to do about the others."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

__all__ = ["HINTS", "error_code", "is_disk_full", "is_transient"]

# https://www.sqlite.org/rescode.html: BUSY, LOCKED, PROTOCOL (a race while locking)
_TRANSIENT_SQLITE = frozenset({5, 6, 15})
# https://www.postgresql.org/docs/current/errcodes-appendix.html: too many connections, a lock that was not available,
# a deadlock, a serialization failure, a server that shuts down or starts, and a session that idled in a transaction
_TRANSIENT_POSTGRES = frozenset({"53300", "55P03", "40P01", "40001", "57P01", "57P02", "57P03", "25P03"})
# A full disk, and a disk that fails.
_DISK_FULL = frozenset({10, 13, "53100"})
# libpq gives no code when it cannot connect, so these words mark the errors that last.
_PERMANENT_WORDS = ("authentication failed", "no password supplied", "does not exist", "no pg_hba.conf entry")

HINTS: dict[int | str, str] = {
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


def error_code(error: BaseException) -> int | str:
    """Return SQLite's primary result code, PostgreSQL's SQLSTATE, or an empty string."""
    orig = getattr(error, "orig", None)
    return getattr(orig, "sqlite_errorcode", 0) & 0xFF or getattr(orig, "sqlstate", None) or ""


def is_disk_full(error: BaseException) -> bool:
    """Return whether the disk was full or failed."""
    return error_code(error) in _DISK_FULL


def is_transient(error: BaseException) -> bool:
    """Return whether the same work may succeed a moment later, or on another connection."""
    if isinstance(error, PoolTimeoutError):
        return False  # the pool has waited already
    if not isinstance(error, DBAPIError):
        return False
    code = error_code(error)
    if isinstance(code, int):
        return code in _TRANSIENT_SQLITE
    if code:
        return code in _TRANSIENT_POSTGRES or code.startswith("08") or error.connection_invalidated
    lost = error.connection_invalidated or type(error.orig).__name__ == "OperationalError"
    return lost and not any(word in str(error.orig) for word in _PERMANENT_WORDS)
