"""The record of paid tasks; budgets are enforced in it.

`entries` has what a journal is; `MemoryJournal` keeps it in the process, `SqlJournal` in a database.
"""

from __future__ import annotations

from langchain_nebula_video.journal.budget import Budget
from langchain_nebula_video.journal.entries import Entry, EntryState, Journal
from langchain_nebula_video.journal.memory import MemoryJournal
from langchain_nebula_video.journal.sql.journal import SqlJournal

__all__ = ["Budget", "Entry", "EntryState", "Journal", "MemoryJournal", "SqlJournal"]
