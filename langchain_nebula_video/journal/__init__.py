"""The durable record of paid tasks, and the budgets that are enforced in it.

Public from here: `Budget`, `Entry`, `EntryState`, `Journal`, `MemoryJournal`, `Repeats`,
`SqlJournal`. Limits on code: `limits`.
May import catalog, errors and schema. SQLAlchemy stays inside `sql`.
"""

from __future__ import annotations

from langchain_nebula_video.journal.budget import Budget
from langchain_nebula_video.journal.entries import Entry, EntryState, Repeats
from langchain_nebula_video.journal.memory import MemoryJournal
from langchain_nebula_video.journal.protocol import Journal
from langchain_nebula_video.journal.sql.journal import SqlJournal

__all__ = ["Budget", "Entry", "EntryState", "Journal", "MemoryJournal", "Repeats", "SqlJournal"]
