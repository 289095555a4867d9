"""Chaos: generations under random faults and random kills; then the emulator's ledger judges the journals.

    python -m tests.chaos --generations 5000 --kills 200 --seed 1

A run has several parts. Each has its own emulator, journal and share of the generations. Everything random is drawn
from the seed; the moment at which a kill meets a process is the machine's.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path

from tests.chaos.accounts import accounts
from tests.chaos.bodies import bodies
from tests.chaos.consents import consents
from tests.chaos.databases import Databases, databases
from tests.chaos.disturbances import FileTrouble, crash_now_and_then, lock_now_and_then
from tests.chaos.downloads import downloads
from tests.chaos.forks import forks
from tests.chaos.ledger import Figures
from tests.chaos.plan import Plan
from tests.chaos.rush import rush
from tests.chaos.storm import storm

Part = Callable[[Plan, Path], Figures]
ZEROS = (0, 0, 0, Decimal(0), 0)
GIVE_UP_AFTER = 2.0


def locked(plan: Plan, folder: Path) -> Figures:
    """Run the storm on SQLite, whose file another process locks now and then."""
    return storm(plan, folder, lock_now_and_then(folder / "journal.db"))


def replaced(plan: Plan, folder: Path) -> Figures:
    """Run the storm on SQLite, whose file is removed and put back, or replaced by a backup."""
    trouble = FileTrouble(folder / "journal.db", times=max(2, plan.generations // 40))
    figures = storm(plan, folder, trouble, give_up_after=GIVE_UP_AFTER)
    figures.disturbances += Counter(
        submits_without_the_file=trouble.submits_without_the_file, files_made_anew=trouble.files_made_anew
    )
    return figures


PARTS: dict[str, tuple[Part, float]] = {
    "storm": (locked, 0.55),
    "replaced": (replaced, 0.12),
    "forks": (forks, 0.1),
    "downloads": (downloads, 0.06),
    "accounts": (accounts, 0.06),
    "bodies": (bodies, 0.03),
    "consents": (consents, 0.03),
    "rush": (rush, 0.05),
}
"""The parts, and each one's share of the generations."""
FORBIDDEN = ("hung_children", "hung_parents", "failed_calls", "submits_without_the_file", "files_made_anew")
"""What must not happen either, although no money is lost by it."""
KILLED = {"storm": 0.9, "replaced": 0.1}
"""Each part's share of the kills."""


def run(
    plan: Plan, folder: Path, parts: Mapping[str, tuple[Part, float]], made: Databases | None
) -> dict[str, Figures]:
    """Run the parts one after the other; return the figures of each."""
    whole = sum(share for _, share in parts.values())
    all_kills = sum(KILLED.get(name, 0.0) for name in parts) or 1.0
    figures: dict[str, Figures] = {}
    for name, (part, share) in parts.items():
        own = Plan(
            generations=max(1, round(plan.generations * share / whole)),
            kills=round(plan.kills * KILLED.get(name, 0.0) / all_kills),
            seed=plan.seed,
            processes=plan.processes,
            gateway=plan.gateway,
            make_journal=made.create if made else None,
        )
        place = folder / name
        place.mkdir()
        figures[name] = part(own, place)
        sys.stderr.write(f"{name}: {figures[name]}\n")
    return figures


def on_postgres(plan: Plan, folder: Path, parts: Mapping[str, tuple[Part, float]]) -> dict[str, Figures]:
    """Run the parts with their journals in a PostgreSQL behind pgbouncer that crashes and comes back."""
    with databases(folder, pooled=True) as made:

        def crashing(plan: Plan, folder: Path) -> Figures:
            return storm(plan, folder, crash_now_and_then(made.server))

        chosen = {
            name: (crashing, share) if name == "storm" else (part, share) for name, (part, share) in parts.items()
        }
        chosen.pop("replaced", None)  # there is no file
        return run(plan, folder, chosen, made)


def main() -> int:
    """The command line; 0 if the five figures are 0, and nothing forbidden happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generations", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--gateway", choices=["nebula", "dashscope"], default="nebula")
    parser.add_argument("--postgres", action="store_true", help="PostgreSQL behind pgbouncer, which crashes")
    parser.add_argument("--part", action="append", choices=list(PARTS), help="only this part; may be repeated")
    asked = vars(parser.parse_args())
    postgres, chosen = asked.pop("postgres"), asked.pop("part") or list(PARTS)
    parts = {name: PARTS[name] for name in chosen}
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder, plan = Path(name), Plan(**asked)
        folder.chmod(0o755)  # PostgreSQL has a user of its own
        figures = on_postgres(plan, folder, parts) if postgres else run(plan, folder, parts, None)
    total = Figures()
    for part in figures.values():
        total.add(part)
    sys.stdout.write(json.dumps(total.as_json(), indent=2, ensure_ascii=False) + "\n")
    return 0 if total.zeros == ZEROS and not any(total.disturbances[name] for name in FORBIDDEN) else 1
