"""Videos as runs of a LangGraph server. A run that it forgets is asked for again, and the key keeps it one video.

    langgraph dev --n-jobs-per-worker 50
    python langgraph_videos.py order-17 order-18

It needs `NEBULA_API_KEY`, and `LANGGRAPH_URL` if the server is elsewhere.
"""

from __future__ import annotations

import asyncio
import os
import sys
import uuid

from langgraph_sdk import get_client
from langgraph_sdk.errors import ConflictError

from langchain_nebula_video import AsyncNebulaVideoClient
from langchain_nebula_video.graph import video_graph

URL = os.environ.get("LANGGRAPH_URL", "http://127.0.0.1:2024")

# A journal in memory would be gone with the server, and each run that it resumes would pay again.
film = video_graph(
    AsyncNebulaVideoClient(journal=os.environ.get("NEBULA_JOURNAL", "sqlite:///videos.db")),
    save_to=os.environ.get("FOLDER", "videos") + "/{key}.mp4",
    name="film",
)


async def order(keys: list[str]) -> None:
    """Ask for videos, each in a thread that its key names."""
    async with get_client(url=URL) as client:
        for key in keys:
            thread = str(uuid.uuid5(uuid.NAMESPACE_URL, f"videos/{key}"))
            await client.threads.create(thread_id=thread, if_exists="do_nothing")
            request = {"prompt": f"The cat blinks, {key}", "image": "https://example.com/cat.jpg"}
            try:
                # The key is the order's. The run's id is another one whenever somebody asks again.
                await client.runs.create(
                    thread, "film", input={"request": request, "key": key}, multitask_strategy="reject"
                )
            except ConflictError:
                print(key, "is under way.")


if __name__ == "__main__":
    asyncio.run(order(sys.argv[1:]))
