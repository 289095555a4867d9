"""Where the fleet is: its database, and the options that name it and its batches."""

# Typer reads the annotations, so they are evaluated here.
import asyncio
import os
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import urlsplit

import typer

from langchain_nebula_video.cli.journal import VARIABLE, journal_url
from langchain_nebula_video.cli.output import Output
from langchain_nebula_video.errors import InvalidRequestError

if TYPE_CHECKING:
    from langchain_nebula_video.fleet import BatchStatus, Fleet

__all__ = ["BatchName", "DatabaseUrl", "database_url", "do", "find_batch", "open_fleet"]

T = TypeVar("T")

_FORM = "postgresql://user:password@host/database"

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        help=f"PostgreSQL, where fleet and journal are. Default: {VARIABLE}, which keeps its password out of sight.",
    ),
]
BatchName = Annotated[str, typer.Argument(metavar="BATCH", help="The batch's name.")]


def database_url(output: Output, given: str | None) -> str:
    """Return the URL of the fleet's database.

    Raises:
        InvalidRequestError: none is named.
    """
    if given is None and not os.environ.get(VARIABLE):
        raise InvalidRequestError(
            f"There is no database: {VARIABLE} is not set.", hint=f"Set it with export {VARIABLE}={_FORM}"
        )
    if given is not None and _has_password(given):
        output.print_message(
            f"Other users of this machine can read the password on the command line. {VARIABLE} keeps it out of sight.",
            style="yellow",
        )
    return journal_url(given)


def _has_password(url: str) -> bool:
    try:
        return urlsplit(url).password is not None
    except ValueError:  # whoever opens it says what is wrong with it
        return False


def open_fleet(output: Output, given: str | None) -> "Fleet":
    """Return the fleet of the database that the options or the environment name.

    Raises:
        InvalidRequestError: none is named, it is none of PostgreSQL, or the extra is missing.
    """
    url = database_url(output, given)
    try:
        from langchain_nebula_video.fleet import Fleet  # noqa: PLC0415 an extra
    except ImportError as error:
        raise InvalidRequestError(str(error), hint="") from None
    return Fleet(url)


def do(work: Coroutine[Any, Any, T]) -> T:
    """Wait for a method of the fleet."""
    return asyncio.run(work)


def find_batch(fleet: "Fleet", name: str) -> "BatchStatus":
    """Return how a batch is.

    Raises:
        InvalidRequestError: there is none of this name.
    """
    return do(fleet.status(name, errors=0)).batches[0]
