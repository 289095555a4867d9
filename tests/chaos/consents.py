"""Six consents at once: the same resumption of a graph arrives from six requests, as by a double click or a proxy."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from langchain_nebula_video import AsyncNebulaVideoClient, NebulaVideoClient, SqlJournal
from langchain_nebula_video.graph import video_graph
from tests.chaos.ledger import Delivery, Figures, Ledger
from tests.chaos.plan import Plan, fields, host_picture, new_emulator, reach

AT_ONCE = 6


def consents(plan: Plan, folder: Path) -> Figures:
    """Ask for one consent a generation, and give it six times at once; every other time without blocking."""
    began = time.monotonic()
    received: list[Delivery] = []
    errors = Counter[str]()
    with new_emulator() as emulator:
        image, where = host_picture(emulator), reach(emulator, "nebula")
        options: dict[str, Any] = {**where, "journal": SqlJournal(plan.journal_url(folder)), "poll_interval": 0.05}
        graphs = [
            video_graph(kind(**options), approve_over_usd=0, checkpointer=InMemorySaver())
            for kind in (NebulaVideoClient, AsyncNebulaVideoClient)
        ]
        for number in range(plan.generations):
            name, graph = f"c{number}", graphs[number % 2]
            request = fields(image, name)
            thread: Any = {"configurable": {"thread_id": name}}
            if number % 2:
                results = asyncio.run(_consent_without_blocking(graph, thread, request))
            else:
                results = _consent_in_threads(graph, thread, request)
            for result in results:
                if isinstance(result, BaseException):
                    errors[f"error_{type(result).__name__}"] += 1
                elif result.get("video"):
                    received.append(Delivery.of(name, result["video"]["url"]))
        figures = Ledger(emulator).judge(options["journal"].entries(), received)
    figures.generations, figures.seconds = plan.generations, time.monotonic() - began
    figures.disturbances += Counter(consents=plan.generations * AT_ONCE) + errors
    return figures


def _consent_in_threads(graph: Any, thread: Any, request: dict[str, Any]) -> list[Any]:
    graph.invoke({"request": request}, thread, durability="sync")
    barrier = threading.Barrier(AT_ONCE)

    def resume(_: int) -> Any:
        barrier.wait()
        try:
            return graph.invoke(Command(resume=True), thread, durability="sync")
        except Exception as error:  # noqa: BLE001 what a resumption that comes too late gets is the graph's business
            return error

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(resume, range(AT_ONCE)))


async def _consent_without_blocking(graph: Any, thread: Any, request: dict[str, Any]) -> list[Any]:
    await graph.ainvoke({"request": request}, thread, durability="sync")
    resumptions = [graph.ainvoke(Command(resume=True), thread, durability="sync") for _ in range(AT_ONCE)]
    return await asyncio.gather(*resumptions, return_exceptions=True)
