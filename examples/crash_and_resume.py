"""The process of a graph is killed while it waits. Another process resumes the run with the same paid task."""

from __future__ import annotations

import os
import tempfile
from multiprocessing import get_context
from typing import Any

from _gateway import PHOTOGRAPH, gateway
from langgraph.checkpoint.sqlite import SqliteSaver

from langchain_nebula_video import NebulaVideoClient, SqlJournal
from langchain_nebula_video.graph import video_graph

THREAD: Any = {"configurable": {"thread_id": "film-1"}}
REQUEST = {"prompt": "The cat blinks", "image": PHOTOGRAPH, "resolution": "480p"}


def run(folder: str, options: dict[str, Any], *, dies: bool) -> None:
    """Start the run, or resume it."""
    client = NebulaVideoClient(journal=SqlJournal(f"sqlite:///{folder}/journal.db"), **options)
    with SqliteSaver.from_conn_string(f"{folder}/checkpoints.db") as saver:
        graph = video_graph(client, save_to=folder, checkpointer=saver)
        begun = bool(graph.get_state(THREAD).values)
        print("Process", "2 resumes at:" if begun else "1 begins.", *graph.get_state(THREAD).next, flush=True)
        given = None if begun else {"request": REQUEST}
        # "sync" stores the result of submit before wait begins.
        for event in graph.stream(given, THREAD, stream_mode="custom", durability="sync"):
            if dies:
                print("Process 1 is killed while its task is", event["status"], flush=True)
                os._exit(9)
        video = graph.get_state(THREAD).values["video"]
        print("Saved:", os.path.basename(video["path"]), "for", video["cost"]["usd"], "dollars", flush=True)  # noqa: PTH119


if __name__ == "__main__":
    with gateway(speed=60) as where, tempfile.TemporaryDirectory() as work:
        for dies in (True, False):
            process = get_context("spawn").Process(target=run, args=(work, where), kwargs={"dies": dies})
            process.start()
            process.join()
        entries = SqlJournal(f"sqlite:///{work}/journal.db").entries()
        print("Tasks in the journal:", len(entries))
