"""A graph hands its videos to a fleet and ends its process. Another process makes them and resumes the graph."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import uuid
from multiprocessing import get_context
from typing import Any

from _gateway import PHOTOGRAPH, gateway
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph

from langchain_nebula_video.fleet import Fleet, FleetWorker
from langchain_nebula_video.graph import FleetState, fleet_node, resume_graphs


class Film(FleetState, total=False):
    """The state of the graph."""

    shots: list[str]
    cut: list[str]


def write(state: Film) -> Film:
    """Write the requests."""
    return {"requests": [{"prompt": f"The cat, {shot}", "image": PHOTOGRAPH} for shot in state["shots"]]}


def cut(state: Film) -> Film:
    """Put the shots together that were made."""
    return {"cut": [video["prompt"] for video in state["videos"] if video]}


def film_graph(fleet: Fleet, saver: AsyncSqliteSaver, options: dict[str, Any]) -> Any:
    """Write, make and cut."""
    graph = StateGraph(Film)
    graph.add_node("write", write)
    graph.add_node("make", fleet_node(fleet, batch="films", defaults={"resolution": "480p"}, **options))
    graph.add_node("cut", cut)
    for source, target in ((START, "write"), ("write", "make"), ("make", "cut"), ("cut", END)):
        graph.add_edge(source, target)
    return graph.compile(checkpointer=saver)


async def start(url: str, options: dict[str, Any], folder: str, thread: Any) -> None:
    """Run the graph until it waits."""
    fleet = Fleet(url)
    await fleet.init()
    async with AsyncSqliteSaver.from_conn_string(f"{folder}/checkpoints.db") as saver:
        graph = film_graph(fleet, saver, options)
        paused = await graph.ainvoke({"shots": ["wide", "close", "forbidden", "at dusk"]}, thread)
        waits = paused["__interrupt__"][0].value
        print(f"Process 1 ends. The graph waits for {waits['left']} videos, about ${waits['usd']}.", flush=True)


async def finish(url: str, options: dict[str, Any], folder: str, thread: Any) -> None:
    """Make the videos, and resume the graph."""
    fleet, worker = Fleet(url), FleetWorker(url, concurrency=10)
    async with AsyncSqliteSaver.from_conn_string(f"{folder}/checkpoints.db") as saver:
        graph = film_graph(fleet, saver, options)
        working = asyncio.create_task(worker.run())
        while (await graph.aget_state(thread)).next:
            await resume_graphs(fleet, graph, batch="films", once=True)
            await asyncio.sleep(1)
        worker.stop()
        await working
        state = (await graph.aget_state(thread)).values
    print("Process 2 resumed it:", ", ".join(state["cut"]), flush=True)
    for failed in state["failed"]:
        print(f"Shot {failed['number']} {failed['state']}: {failed['error'].splitlines()[0]}", flush=True)


def run(step: Any, *args: Any) -> None:
    """Run a step in this process."""
    asyncio.run(step(*args))


if __name__ == "__main__":
    database = os.environ.get("NEBULA_JOURNAL", "")
    if not database.startswith("postgresql"):
        sys.exit("Set NEBULA_JOURNAL to a PostgreSQL: postgresql://user:password@host/database")
    with gateway(most_usd="0.80") as where, tempfile.TemporaryDirectory() as work:
        os.environ.update({"NEBULA_API_KEY": where["api_key"]} if where else {})
        thread = {"configurable": {"thread_id": f"film-{uuid.uuid4().hex[:6]}"}}
        for step in (start, finish):
            process = get_context("spawn").Process(target=run, args=(step, database, where, work, thread))
            process.start()
            process.join()
