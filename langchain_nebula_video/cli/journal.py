"""The journal that the command line keeps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.journal import Entry, Journal, SqlJournal

if TYPE_CHECKING:
    from langchain_nebula_video.journal import Budget

__all__ = ["VARIABLE", "Book"]

VARIABLE = "NEBULA_JOURNAL"


def _default() -> str:
    """SQLite in the folder that this system keeps a user's data in."""
    import platformdirs  # noqa: PLC0415 many commands need no journal

    folder = Path(platformdirs.user_data_path("nebula-video"))
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise InvalidRequestError(
            f"The journal of paid tasks cannot be kept in {folder}: {error.strerror}.",
            hint=f"Name another place: export {VARIABLE}=sqlite:////path/to/journal.db",
        ) from None
    return f"sqlite:///{folder / 'journal.db'}"


class Book:
    """The journal that all commands share, opened when it is first needed.

    It remembers which entry this command has made or goes on with.
    """

    blocking = True

    def __init__(self) -> None:
        self._journal: Journal | None = None
        self._own: str | None = None

    def reserve(self, entry: Entry, budget: Budget | None, *, adopt: bool = False) -> Entry:
        """See `Journal.reserve`."""
        owner = self.journal.reserve(entry, budget, adopt=adopt)
        self._own = owner.id
        return owner

    @property
    def journal(self) -> Journal:
        """The journal itself.

        Raises:
            InvalidRequestError: it cannot be opened.
        """
        if self._journal is None:
            self._journal = SqlJournal(os.environ.get(VARIABLE) or _default())
        return self._journal

    def own(self) -> Entry | None:
        """The entry of this command, as it is now."""
        if self._own is None:
            return None
        return next((entry for entry in self.journal.entries(newest_first=True) if entry.id == self._own), None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.journal, name)
