"""The URL of a journal's database."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from langchain_nebula_video.errors import InvalidRequestError

__all__ = ["check_query", "parse_url", "split_prepare_threshold", "unreadable_url_error", "without_secrets"]

_MAX_DIGITS = 10
_PREPARE = "prepare_threshold"
_REMEDIES = {
    "schema": "For a schema, give options=-csearch_path%3DNAME; behind PgBouncer, set it for the role: "
    "ALTER ROLE … SET search_path = NAME.",
    "pgbouncer": "A journal works behind PgBouncer as it is.",
}

_HINT = "Give sqlite:///path/to/file.db, or postgresql+psycopg://user:password@host/database."
_SECRET = re.compile("pass|secret|token", re.IGNORECASE)
_POSTGRES = frozenset({"postgres", "postgresql", "postgresql+psycopg"})
_SQLITE = frozenset({"sqlite", "sqlite+pysqlite"})


def parse_url(url: str | URL | Path) -> URL:
    """Return the URL with the driver that is used, and a file as an absolute path. A path is a file of SQLite.

    Raises:
        InvalidRequestError: no journal can be kept there.
    """
    if isinstance(url, str) and url.partition(":")[0] in _POSTGRES and "@" in url.partition("@")[2]:
        raise InvalidRequestError(  # the end of the password would be taken for the host
            "A journal's URL has more than one @.",
            hint="In user and password write @ as %40: urllib.parse.quote(password, safe='') does it.",
        )
    try:
        parsed = URL.create("sqlite", database=str(url)) if isinstance(url, Path) else make_url(url)
    except (ArgumentError, ValueError):  # a port that is no number is a ValueError
        raise unreadable_url_error() from None
    if parsed.drivername in _POSTGRES:
        split_prepare_threshold(parsed)
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in _SQLITE:
        raise InvalidRequestError(f"A journal cannot be kept in {parsed.drivername!r}.", hint=_HINT)
    if parsed.database in {None, "", ":memory:"} or parsed.query:
        raise InvalidRequestError("A SqlJournal in SQLite is a file.", hint=f"{_HINT} In memory: MemoryJournal().")
    return parsed.set(drivername="sqlite", database=str(Path(str(parsed.database)).expanduser().resolve()))


def unreadable_url_error() -> InvalidRequestError:
    """Return the error for a URL that cannot be read. It repeats nothing of it: a password may be anywhere."""
    return InvalidRequestError("A journal's URL cannot be read.", hint=_HINT)


def without_secrets(url: URL) -> str:
    """Return the URL as text, with stars for its passwords, those among its parameters too."""
    secrets = {name: "***" for name in url.query if _SECRET.search(name)}
    return url.update_query_dict(secrets).render_as_string()


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
