"""What a journal costs as it grows: the CPU time of each step with 10,000 entries, and with more.

`python benchmarks/journal_growth.py [rows]` compares SQLite files with 10,000 and with a million rows, or so many, and
the command `tasks` with 10,000 and 100,000. It compares a journal in memory that waits for 400 and for 10,000 submits.
A ratio of 1 means that a step costs the same.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy

from langchain_nebula_video import Budget, MemoryJournal, SqlJournal
from langchain_nebula_video.journal import Entry, Journal
from langchain_nebula_video.journal.sql.rows import to_row
from langchain_nebula_video.journal.sql.totals import keep_totals

FEW, MANY, LISTED = 10_000, 1_000_000, 100_000
SPAN = timedelta(days=30)
ROUNDS = 200
NOW = datetime.now(UTC)
SEEN = {"task_id": "t", "url": f"https://results.example.com/{'s' * 300}"}


def new_entry(**fields: Any) -> Entry:
    """Return an entry of a request that nobody else makes."""
    name = uuid.uuid4().hex
    made: dict[str, Any] = {"id": name, "key": name, "gateway": "nebula", "model": "m", "request": {"prompt": name}}
    return Entry(**{**made, "created_at": datetime.now(UTC), "reserved_usd": Decimal("0.369"), **fields})


def fill(path: str, rows: int) -> SqlJournal:
    """Write so many finished generations, of the last 30 days, and return the journal."""
    journal = SqlJournal(f"sqlite:///{path}")
    journal.spent()
    journal.close()
    example = to_row(new_entry(state="succeeded", billed_usd=Decimal("0.369"), video=SEEN))
    names = ", ".join(example)
    marks = ", ".join(f":{name}" for name in example)
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for event in ("insert", "update", "delete"):
            connection.execute(f"DROP TRIGGER nebula_totals_{event}")
        connection.execute("DROP TABLE nebula_totals")
        step = SPAN / rows
        made = (
            {
                **example,
                **dict.fromkeys(("id", "key", "task_id"), f"{number:09}"),
                "digest": number,
                "created_at": round((NOW - SPAN + number * step).timestamp() * 1e6),
            }
            for number in range(rows)
        )
        connection.executemany(f"INSERT INTO nebula_entries ({names}) VALUES ({marks})", made)
        connection.commit()
    with engine.begin() as connection:
        keep_totals(connection)
    engine.dispose()
    return journal


def cpu(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the milliseconds of CPU time of one round: the median."""
    times = []
    for _ in range(rounds):
        began = time.process_time_ns()
        work()
        times.append((time.process_time_ns() - began) / 1e6)
    return statistics.median(times)


def begin(journal: Journal) -> Callable[[], object]:
    """Return a function that begins the POST of one entry, again and again."""
    entry = journal.reserve(new_entry(), None)
    return lambda: journal.begin(
        entry.id, holder="me", now=datetime.now(UTC), until=datetime.now(UTC) + timedelta(minutes=2), cap=8
    )


def steps(journal: Journal) -> dict[str, float]:
    """Return what each step costs."""
    day = Budget(10**9, per=timedelta(days=1))
    return {
        "reserve, with a budget": cpu(lambda: journal.reserve(new_entry(), Budget(10**9))),
        "reserve, with a budget per day": cpu(lambda: journal.reserve(new_entry(), day)),
        "begin": cpu(begin(journal)),
        "spent": cpu(journal.spent),
        "spent since 29 days ago": cpu(lambda: journal.spent(NOW - timedelta(days=29))),
    }


def list_tasks(path: str) -> float:
    """Return the milliseconds of CPU time of the command `tasks --limit 5`."""
    command = [sys.executable, "-m", "langchain_nebula_video.cli", "tasks", "--limit", "5"]
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            command, check=True, capture_output=True, env={**os.environ, "NEBULA_JOURNAL": f"sqlite:///{path}"}
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000)
    return statistics.median(times)


def waiting(submits: int) -> Journal:
    """Return a journal in memory in which so many submits wait for their turn."""
    journal = MemoryJournal()
    for _ in range(submits):
        journal.reserve(new_entry(key=None), Budget(10**9))
    return journal


def print_rows(title: str, few: dict[str, float], many: dict[str, float]) -> None:
    """Print what each step costs, and the ratio."""
    print(f"\n{title}")
    for name, before in few.items():
        print(f"{name:34}{before:10.3f}{many[name]:10.3f}{many[name] / before:8.2f}")


def main(rows: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        small, large = fill(f"{folder}/few.db", FEW), fill(f"{folder}/many.db", rows)
        print_rows(f"SQLite, CPU ms with {FEW:,} and {rows:,} rows", steps(small), steps(large))
        listed = fill(f"{folder}/listed.db", LISTED)
        few, many = list_tasks(f"{folder}/few.db"), list_tasks(f"{folder}/listed.db")
        print_rows(f"the command, CPU ms with {FEW:,} and {LISTED:,} rows", {"tasks": few}, {"tasks": many})
        for journal in (small, large, listed):
            journal.close()
    print_rows("memory, CPU ms while 400 and 10,000 submits wait", steps(waiting(400)), steps(waiting(10_000)))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else MANY)
