"""The URL of a journal's database."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from langchain_nebula_video.errors import InvalidRequestError

__all__ = ["parse_url"]

_POSTGRES = frozenset({"postgres", "postgresql", "postgresql+psycopg"})
_SQLITE = frozenset({"sqlite", "sqlite+pysqlite"})


def parse_url(url: str | URL) -> URL:
    """Return the URL with the driver that is used, and a file as an absolute path.

    Raises:
        InvalidRequestError: no journal can be kept there.
    """
    hint = "Give sqlite:///path/to/file.db, or postgresql+psycopg://user:password@host/database."
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise InvalidRequestError("A journal's URL cannot be read.", hint=hint) from None
    if parsed.drivername in _POSTGRES:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in _SQLITE:
        raise InvalidRequestError(f"A journal cannot be kept in {parsed.drivername!r}.", hint=hint)
    if parsed.database in {None, "", ":memory:"} or parsed.query:
        raise InvalidRequestError("A SqlJournal in SQLite is a file.", hint=f"{hint} In memory: MemoryJournal().")
    return parsed.set(drivername="sqlite", database=str(Path(str(parsed.database)).expanduser().resolve()))
