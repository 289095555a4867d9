"""Forks while clients and journals are open: runs processes of `tests.chaos.forking` and judges them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

from langchain_nebula_video import NebulaVideoClient, SqlJournal
from tests.chaos.forking import FAILED, FORKED, HUNG
from tests.chaos.herd import start_process
from tests.chaos.ledger import Figures, Ledger, read_deliveries
from tests.chaos.plan import Plan, host_picture, new_emulator, reach

CHILDREN = 8
"""Of each of the two threads that fork at once."""
_SECONDS_PER_KEY = 0.4


def forks(plan: Plan, folder: Path) -> Figures:
    """Let processes fork; each child generates keys of its own."""
    began = time.monotonic()
    url, videos = plan.journal_url(folder), folder / "videos"
    with new_emulator() as emulator:
        emulator.faults.add("query", "late", seconds=0.3, times=None)  # so that answers cross, if they can
        image, where = host_picture(emulator), reach(emulator, plan.gateway)
        options = {
            **where,
            "journal": url,
            "folder": videos,
            "image": image,
            "delivered": folder / "delivered",
            "children": CHILDREN,
        }
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        share = plan.generations // plan.processes
        with (folder / "forks.log").open("ab") as log:
            deadline = time.monotonic() + 30 + share * _SECONDS_PER_KEY
            parents = [
                start_process(
                    "tests.chaos.forking",
                    [*arguments, f"--first={n * share}", f"--count={share}"],
                    log,
                    own_group=True,
                )
                for n in range(plan.processes)
            ]
            try:
                stuck = sum(_outlasts(parent, deadline) for parent in parents)
            finally:  # an interrupted run leaves no process behind
                for parent in parents:
                    _outlasts(parent, 0.0)
        client = NebulaVideoClient(**where, journal=SqlJournal(url), save_to=videos, poll_interval=0.05)
        for task in client.resume():
            client.wait(task)
        figures = Ledger(emulator).judge(
            SqlJournal(url).entries(), read_deliveries(folder / "delivered"), videos=videos
        )
    figures.generations, figures.seconds = share * plan.processes, time.monotonic() - began
    text = (folder / "forks.log").read_text(errors="replace")
    figures.disturbances += Counter(
        forks=text.count(FORKED), failed_calls=text.count(FAILED), hung_children=text.count(HUNG), hung_parents=stuck
    )
    return figures


def _outlasts(parent: subprocess.Popen[bytes], deadline: float) -> bool:
    try:
        parent.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        os.killpg(parent.pid, signal.SIGKILL)  # its children too
        parent.wait()
        return True
    return False
