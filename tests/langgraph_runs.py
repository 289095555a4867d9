"""A LangGraph server that runs the recipe: how many runs go at once, and what is left of them when it is killed."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

from langchain_nebula_video import SqlJournal
from langchain_nebula_video.journal import EntryState
from tests.engines import ORDERS, RECIPES, SPEED, Ledger, Site, wait_until
from tests.langgraph_servers import LangGraphServer

__all__ = ["SLOTS", "kill_the_server", "most_at_once"]

SLOTS = 4
_PAID = (EntryState.SUBMITTED, EntryState.RUNNING)
_RECIPE = RECIPES / "langgraph_videos.py"


def kill_the_server(site: Site) -> tuple[Ledger, int]:
    """Kill a server whose runs wait for videos, start it again, and repeat all orders.

    Returns:
        What came of it, and how many videos were made at once before.
    """
    folder, emulator = site.folder / "server", site.emulator
    folder.mkdir()
    code, graphs = _RECIPE.read_text(encoding="utf-8"), {"film": "./graphs.py:film"}
    server = LangGraphServer(site.python, folder, code, graphs, site.environment)
    site = replace(site, variables={"LANGGRAPH_URL": server.url})
    journal = SqlJournal(site.journal_url)
    options = ("--no-reload", "--n-jobs-per-worker", str(SLOTS))

    def runs() -> int:
        return server.log().count("Starting background run")

    emulator.speed = 1  # nothing is done before the kill, however slow the machine is
    with server.running(*options) as process:
        site.run("python", _RECIPE.name, *ORDERS)
        wait_until(lambda: len(journal.entries(states=_PAID)) >= SLOTS, "the runs have paid, and wait")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    killed, begun, at_once = time.monotonic(), runs(), most_at_once(site)
    waiting = {task.request["prompt"].rpartition(" ")[2] for task in emulator.tasks}
    emulator.speed = SPEED
    with server.running(*options):
        site.run("python", _RECIPE.name, *ORDERS)  # it may have forgotten them all, or none
        wait_until(lambda: runs() >= begun + len(waiting), "the killed runs go on")
        again = dict.fromkeys(waiting, time.monotonic() - killed)
        wait_until(lambda: site.saved() == set(ORDERS), "all are saved")
    return Ledger.of(site, again, twice=waiting), at_once


def most_at_once(site: Site) -> int:
    """How many videos were being made at one moment."""
    spans = [(task.accepted_at, task.finished_at) for task in site.emulator.tasks]
    return max(sum(begun <= moment < ended for begun, ended in spans) for moment, _ in spans)
