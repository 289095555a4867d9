"""The journal of the command line, in the user's data folder or where `NEBULA_JOURNAL` says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.errors import (
    DownloadError,
    InvalidRequestError,
    Money,
    NebulaVideoError,
    SubmissionUnconfirmedError,
    TaskError,
)
from langchain_nebula_video.journal import Entry, EntryState, Journal, Repeats, SqlJournal

if TYPE_CHECKING:
    from langchain_nebula_video.journal import Budget
    from langchain_nebula_video.journal.budget import Ceiling

__all__ = ["VARIABLE", "CommandJournal", "interrupt_error", "journal_url"]

VARIABLE = "NEBULA_JOURNAL"


def journal_url(given: str | None = None) -> str:
    """Return the URL of the journal: the given one, that of the environment, or the default. Each may be a file's path.

    Raises:
        InvalidRequestError: the default folder cannot be made.
    """
    where = given or os.environ.get(VARIABLE) or _default_url()
    return where if "://" in where else f"sqlite:///{Path(where).absolute()}"


def _default_url() -> str:
    """Return the URL of a SQLite file in the folder where this system keeps a user's data."""
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


class CommandJournal:
    """The journal that all commands share, opened on first use.

    It remembers which entry the current command has reserved, for `own_entry`.

    Args:
        url: Where it is; `None`: where the environment says, else in the user's data folder.
    """

    blocking = True

    def __init__(self, url: str | None = None) -> None:
        self._url = url
        self._journal: Journal | None = None
        self._own: Entry | None = None

    def reserve(
        self,
        entry: Entry,
        budget: Budget | None,
        *,
        repeats: Repeats | None = None,
        ceilings: Sequence[Ceiling] = (),
    ) -> Entry:
        """See `Journal.reserve`."""
        owner = self.journal.reserve(entry, budget, repeats=repeats, ceilings=ceilings)
        self._own = owner
        return owner

    @property
    def journal(self) -> Journal:
        """The underlying journal.

        Raises:
            InvalidRequestError: it cannot be opened.
        """
        if self._journal is None:
            self._journal = SqlJournal(journal_url(self._url))
        return self._journal

    def own_entry(self) -> Entry | None:
        """Return the current state of the entry that this command reserved; `None` if it reserved none."""
        own = self._own
        if own is None:
            return None
        made_since = self.journal.entries(since=own.created_at - timedelta(microseconds=1))
        return next((entry for entry in made_since if entry.id == own.id), None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.journal, name)


def interrupt_error(journal: CommandJournal) -> NebulaVideoError:
    """Return the error that Ctrl-C amounts to: the journal knows how far the submit got."""
    entry = journal.own_entry()
    if entry is None:
        return NebulaVideoError("Interrupted before anything was sent.")
    if entry.task_id is None:
        return SubmissionUnconfirmedError(
            "Interrupted while the submit was under way.",
            hint="Look at the gateway's console for a task of this moment; if there is none, repeat the command.",
        )
    if entry.state is EntryState.SUCCEEDED:
        return DownloadError("Interrupted while the video was being saved.", task_id=entry.task_id)
    return TaskError(
        f"Interrupted. Task {entry.task_id} goes on at {entry.gateway}.",
        task_id=entry.task_id,
        money=Money.RUNNING,
        hint="Do not submit it again.",
    )
