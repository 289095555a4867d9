"""The URL of a journal's database."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from langchain_nebula_video.errors import InvalidRequestError

__all__ = ["check_query", "parse_url", "split_prepare_threshold"]

_MAX_DIGITS = 10
_PREPARE = "prepare_threshold"
_REMEDIES = {
    "schema": "For a schema, give options=-csearch_path%3DNAME; behind PgBouncer, set it for the role: "
    "ALTER ROLE … SET search_path = NAME.",
    "pgbouncer": "A journal works behind PgBouncer as it is.",
}

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
        split_prepare_threshold(parsed)
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in _SQLITE:
        raise InvalidRequestError(f"A journal cannot be kept in {parsed.drivername!r}.", hint=hint)
    if parsed.database in {None, "", ":memory:"} or parsed.query:
        raise InvalidRequestError("A SqlJournal in SQLite is a file.", hint=f"{hint} In memory: MemoryJournal().")
    return parsed.set(drivername="sqlite", database=str(Path(str(parsed.database)).expanduser().resolve()))


def split_prepare_threshold(url: URL) -> tuple[URL, int | None]:
    """Return the URL for libpq, and after how many runs a statement is prepared; `None`: never, which is the default.

    Behind a pool a statement may be run where another one was prepared under its name. A journal's statements are few.

    Raises:
        InvalidRequestError: it is no number.
    """
    value = url.query.get(_PREPARE, "none")
    rest = url.difference_update_query([_PREPARE])
    if isinstance(value, str) and value.lower() == "none":
        return rest, None
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < _MAX_DIGITS:
        return rest, int(value)
    raise InvalidRequestError(
        "prepare_threshold in the journal's URL is neither a whole number nor none.",
        hint="Leave it out: then no statement is prepared.",
    )


def check_query(url: URL, known: Collection[str]) -> None:
    """Check the parameters of a PostgreSQL URL.

    Raises:
        InvalidRequestError: libpq does not know one; it may be written for another library.
    """
    unknown = sorted(set(url.query) - set(known))
    if unknown:
        remedies = [_REMEDIES[name] for name in unknown if name in _REMEDIES]
        raise InvalidRequestError(
            f"PostgreSQL's client library has no option {unknown[0]!r}, which is in the journal's URL.",
            hint=" ".join([f"Leave {', '.join(unknown)} out of the URL.", *remedies]),
        )
