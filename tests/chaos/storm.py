"""The storm: processes that share a journal, under faults and kills at random moments."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langchain_nebula_video import MemoryJournal, NebulaVideoClient, SqlJournal
from langchain_nebula_video.emulator import Emulator
from tests.chaos.herd import Herd
from tests.chaos.ledger import Figures, Ledger, read_deliveries
from tests.chaos.plan import Plan, host_picture, new_emulator, reach, spread_faults
from tests.chaos.worker import FULL

Disturbance = Callable[[random.Random, Herd, Emulator], str]
"""Called now and then while it runs; what it did, or `""`."""


def storm(plan: Plan, folder: Path, disturb: Disturbance, *, give_up_after: float = 0.0) -> Figures:
    """Run the whole storm in a folder.

    Args:
        plan: What is to happen.
        folder: Where journal, videos and logs are.
        disturb: What else goes wrong.
        give_up_after: Seconds of journal errors after which a process ends, and is started again; 0: never.
    """
    rng = random.Random(plan.seed)
    url, videos = plan.journal_url(folder), folder / "videos"
    began = time.monotonic()
    with new_emulator() as emulator:
        image, where = host_picture(emulator), reach(emulator, plan.gateway)
        each = NebulaVideoClient(**where, journal=MemoryJournal()).quote(resolution="480p", image=image).usd
        assert each is not None
        budget = each * plan.generations * plan.budget_share
        spread_faults(emulator, plan.generations, rng)
        options = {
            **where,
            "journal": url,
            "folder": videos,
            "budget": budget,
            "image": image,
            "count": plan.generations,
            "step": plan.processes,
            "give_up_after": give_up_after,
            "full_disks": int(plan.full_disks),
            "delivered": folder / "delivered",
        }
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        disturbances = _run_herd(plan, rng, arguments, folder, lambda herd: disturb(rng, herd, emulator))
        _settle(url, where, videos)
        rows = SqlJournal(url).entries()
        figures = Ledger(emulator).judge(rows, read_deliveries(folder / "delivered"), videos=videos, budget=budget)
    figures.generations = plan.generations
    figures.states["refused by the budget"] = plan.generations - len(rows)
    disturbances["full_disks"] = (folder / "workers.log").read_text(errors="replace").count(FULL)
    figures.disturbances += disturbances
    figures.seconds = time.monotonic() - began
    return figures


def _run_herd(
    plan: Plan, rng: random.Random, arguments: list[str], folder: Path, disturb: Callable[[Herd], str]
) -> Counter[str]:
    """Run the processes until all have finished."""
    deadline = time.monotonic() + 60 + plan.generations * 0.5
    disturbances = Counter[str]()
    with (folder / "workers.log").open("ab") as log:
        herd = Herd(plan, rng, arguments, log)
        try:
            while herd.busy:
                if time.monotonic() > deadline:
                    raise TimeoutError("the chaos run did not finish")
                time.sleep(rng.uniform(0.4, 1.6) if herd.kills < plan.kills else 0.5)
                did = disturb(herd)
                disturbances.update([did] if did else [])
                herd.look_after()
                herd.kill_one()
        finally:
            herd.end()
    disturbances.update(kills=herd.kills, falls=herd.falls)
    return disturbances


def _settle(url: str, where: dict[str, Any], videos: Path) -> None:
    """Do what any operator does afterwards: finish what the journal holds unfinished."""
    client = NebulaVideoClient(**where, journal=SqlJournal(url), save_to=videos, poll_interval=0.05)
    for task in client.resume():
        try:
            client.wait(task, timeout=30)
        except RuntimeError as error:
            sys.stderr.write(f"{task.task_id}: {error}\n")
