"""Write a journal with an entry in every state, and its entries as JSON: `python write_journal.py NAME`.

Run it with an older version of the package, in an empty folder. It uses names only that every version has. It makes
NAME.db and NAME.json in that folder, and saves one video to the folder /videos.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from langchain_nebula_video import NebulaVideoClient, SqlJournal, errors
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.journal import Entry, EntryState, Repeats

IMAGE = "https://example.com/cat.jpg"
FAST, REAL = 500, 1


def write_with_clients(journal: SqlJournal, emulator: Emulator) -> None:
    """Write an entry in each state that a client reaches, against the emulator."""
    options: dict[str, Any] = {"base_url": emulator.url, "api_key": emulator.api_key, "journal": journal}
    client = NebulaVideoClient(poll_interval=0.05, save_to="/videos", **options)
    client.generate(prompt="The cat blinks", image=IMAGE, key="succeeded")
    with contextlib.suppress(errors.TaskFailedError):
        client.generate(prompt="The cat [fail]", image=IMAGE, key="failed")
    emulator.faults.add("submit", "reset_after")
    with contextlib.suppress(errors.SubmissionUnconfirmedError):
        client.generate(prompt="The cat leaves", image=IMAGE, key="unconfirmed")
    emulator.speed = REAL
    client.submit(prompt="The cat yawns", image=IMAGE, duration=10, key="submitted")
    task = client.submit(prompt="The cat walks", image=IMAGE, key="running")
    while client.fetch(task.task_id).status != "running":
        emulator.clock.advance(1)
    with contextlib.suppress(errors.TaskTimeoutError):
        hasty = NebulaVideoClient(poll_interval=0.05, timeout=0.5, **options)
        hasty.generate(prompt="The cat sleeps", image=IMAGE, resolution="720p", key="abandoned")
    emulator.add_account("sk-beijing", region="beijing")
    dashscope = NebulaVideoClient(
        gateway="dashscope", base_url=emulator.dashscope_url("beijing"), api_key="sk-beijing", journal=journal
    )
    waiting = dashscope.submit(prompt="The cat jumps", image=IMAGE, key="canceled")
    dashscope.cancel(waiting.task_id)


def write_directly(journal: SqlJournal) -> None:
    """Write an entry that a process left in mid-submit, and let retries adopt the two abandoned ones."""
    now = datetime.now(UTC)
    entry = Entry(
        id="left-in-mid-submit",
        gateway="nebula",
        model="wan2.5-i2v-preview",
        request={"prompt": "The cat hides", "image": "sha256:" + "a" * 64, "duration": 5},
        created_at=now,
        key="submitting",
        reserved_usd=Decimal("0.369"),
        holder="a-process-that-died",
        held_until=now + timedelta(minutes=2),
    )
    journal.reserve(entry, None)
    journal.begin(entry.id, holder="a-process-that-died", now=now, until=now + timedelta(minutes=2), cap=8)
    for key in ("unconfirmed", "abandoned"):
        first = journal.find(key=key)
        assert first is not None
        retry = replace(
            first, id=f"retry-{key}", key=f"{key}-retry", created_at=datetime.now(UTC), state=EntryState.SUBMITTING,
            task_id=None, sent_at=None, lost_at=None, updated_at=None, abandoned=False,
        )  # fmt: skip
        assert journal.reserve(retry, None, repeats=Repeats()).id == first.id


def as_json(entry: Entry) -> dict[str, Any]:
    """Return an entry as JSON data: moments in ISO 8601, amounts as texts."""
    plain = {
        name: value.isoformat() if isinstance(value, datetime) else str(value) if isinstance(value, Decimal) else value
        for name, value in asdict(entry).items()
    }
    return {**plain, "state": entry.state.value}


def main(name: str) -> None:
    """Write both files."""
    path = Path(f"{name}.db").absolute()
    journal = SqlJournal(f"sqlite:///{path}")
    with Emulator(speed=FAST, port=8788) as emulator:
        write_with_clients(journal, emulator)
    write_directly(journal)
    found = {"entries": [as_json(entry) for entry in journal.entries()], "spent_usd": str(journal.spent())}
    Path(f"{name}.json").write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    journal.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("VACUUM")


if __name__ == "__main__":
    main(sys.argv[1])
