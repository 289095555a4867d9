"""What the database saw: every move of an item, written down by a trigger of the chaos's own."""

from __future__ import annotations

import bisect
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.chaos.fleet_herd import Process

_RECORD = """
CREATE TABLE chaos_moves (id bigint GENERATED ALWAYS AS IDENTITY, key text, before text, after text, worker text,
    at double precision NOT NULL DEFAULT extract(epoch FROM clock_timestamp()));
CREATE FUNCTION chaos_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO chaos_moves (key, before, after, worker)
    VALUES (NEW.key, OLD.state, NEW.state, coalesce(NEW.worker, OLD.worker));
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_note AFTER UPDATE ON nebula_fleet_items
    FOR EACH ROW WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION chaos_note();
"""
_MOVES = "SELECT key, before, after, worker, at FROM chaos_moves ORDER BY id"
_DEAD = "SELECT id, pid, extract(epoch FROM ended_at)::float8 FROM nebula_fleet_workers WHERE died"
_CAME_BACK = "SELECT id, pid FROM nebula_fleet_workers WHERE comebacks > 0"
_WRONG_COUNTS = """
SELECT count(*) FROM (
    SELECT batch_id, state, sum(items) AS items, sum(usd) AS usd, sum(reserved) AS reserved FROM (
        SELECT batch_id, state, items, usd, reserved FROM nebula_fleet_counts
        UNION ALL SELECT batch_id, state, -1, -usd, CASE WHEN reserved THEN -usd ELSE 0 END FROM nebula_fleet_items
    ) AS both_sides GROUP BY batch_id, state
) AS differences WHERE items <> 0 OR usd <> 0 OR reserved <> 0
"""


def install_record(url: str) -> None:
    """Begin to write down the moves of items."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_RECORD)


def count_wrong_counts(connection: psycopg.Connection[Any]) -> int:
    """Return how many of the fleet's counts differ from the items, in one snapshot of the database."""
    row = connection.execute(_WRONG_COUNTS).fetchone()
    return int(row[0]) if row else 0


@dataclass
class TakeUps:
    """How long the items of killed workers waited until another worker had them.

    In seconds from the kill, or from the moment at which the database was there again, if it was away in between.
    """

    seconds: list[float] = field(default_factory=list)
    by_kill: list[float] = field(default_factory=list)
    """For each kill that met items, the longest of its items."""
    never: int = 0
    """Items that nobody has taken up although they had not ended."""

    def __str__(self) -> str:
        if not self.by_kill:
            return "none"
        found = self.seconds
        last = spread(self.by_kill)
        return f"{spread(found)} s for {len(found)} items; the last of each of {len(self.by_kill)} kills: {last} s"


def spread(values: Sequence[float], places: int = 1) -> str:
    """Return the least, the middle and the greatest of some values."""
    least, middle, greatest = min(values), statistics.median(values), max(values)
    return f"{least:.{places}f}, {middle:.{places}f}, {greatest:.{places}f}"


@dataclass
class Record:
    """The moves of a run, and what they say."""

    moves: dict[str, list[tuple[str, str, str, float]]]
    """Of each key: from, to, worker, moment."""
    dead: list[tuple[str, int, float]]
    """Workers that others took for dead: name, process, moment."""
    came_back: list[tuple[str, int]]
    """Workers that others took for dead, and that went on: name, process."""

    @classmethod
    def read(cls, connection: psycopg.Connection[Any]) -> Record:
        """Read it from the database."""
        moves: dict[str, list[tuple[str, str, str, float]]] = defaultdict(list)
        for key, *move in connection.execute(_MOVES).fetchall():
            moves[key].append((move[0], move[1], move[2] or "", move[3]))
        return cls(dict(moves), connection.execute(_DEAD).fetchall(), connection.execute(_CAME_BACK).fetchall())

    @property
    def runs(self) -> list[int]:
        """How often each item was begun."""
        return [sum(after == "running" for _, after, _, _ in moves) for moves in self.moves.values()]

    def swept_alive(self, processes: Sequence[Process]) -> list[str]:
        """Return the workers that were taken for dead while they lived and did not stand still."""
        found = [name for name, pid, at in self.dead if process_at(processes, pid, at).lived_at(at)]
        frozen = {process.pid for process in processes if process.frozen}
        return found + [name for name, pid in self.came_back if pid not in frozen]

    def taken_from_the_living(self, processes: Sequence[Process]) -> list[str]:
        """Return items that were given back although their worker lived, did not stand still, and was not stopped."""
        found = []
        for key, moves in self.moves.items():
            for before, after, worker, at in moves:
                if (before, after) == ("running", "waiting"):
                    process = process_at(processes, pid_of(worker), at)
                    if process.lived_at(at) and process.terminated is None:
                        found.append(f"{key} of {worker}")
        return found

    def take_ups(self, processes: Sequence[Process], returns: Sequence[float]) -> TakeUps:
        """Return how long the items of the killed workers waited.

        Args:
            processes: All that ran.
            returns: When the database was there again after it had been away.
        """
        found = TakeUps()
        last = defaultdict[int, float](float)
        for moves in self.moves.values():
            for (_, after, worker, at), following in zip(moves, [*moves[1:], None], strict=True):
                kill = process_at(processes, pid_of(worker), at).killed if after == "running" else None
                if kill is None or at > kill or (following is not None and following[3] <= kill):
                    continue
                if following is not None and following[1] != "waiting":  # what it had sent before, it ended after
                    continue
                again = next((move[3] for move in moves if move[1] == "running" and move[3] > kill), None)
                if again is None:
                    found.never += 1
                    continue
                back = bisect.bisect_left(returns, again) - 1
                waited = again - max(kill, returns[back] if back >= 0 else 0.0)
                found.seconds.append(waited)
                pid = pid_of(worker)
                last[pid] = max(last[pid], waited)
        found.by_kill = list(last.values())
        return found


def process_at(processes: Sequence[Process], pid: int, moment: float) -> Process:
    """Return the process that had a number at a moment, or last before it: numbers are given again."""
    return max(
        (each for each in processes if each.pid == pid and each.started <= moment), key=lambda each: each.started
    )


def pid_of(worker: str) -> int:
    """Return the process of a worker, from its name."""
    return int(worker.rsplit("-", 2)[1]) if worker.count("-") >= 2 else 0
