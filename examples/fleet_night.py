"""A night's list, made by two worker processes that share nothing but a PostgreSQL. One of them is killed."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from _gateway import PHOTOGRAPH, gateway

from langchain_nebula_video.fleet import Fleet, FleetWorker

SHOTS = ["wide", "close", "from above", "at dusk"]


def scenes(night: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of the list, as a stream: it may have millions."""
    for number in range(1, 4):
        for shot in SHOTS:
            scene = f"scene {number}, {shot}"
            yield {"key": f"{night}: {scene}", "tag": scene, "prompt": f"The cat, {scene}", "image": PHOTOGRAPH}
    yield {"prompt": "A row whose image is no image", "image": b"...", "place": "the last row"}


def work(url: str) -> None:
    """Be a worker. Its key is in the environment, and all else in the database."""
    logging.basicConfig(stream=sys.stdout, format="A worker says: %(message)s")
    asyncio.run(FleetWorker(url, concurrency=6).run(signals=True))


async def make_night(url: str, options: dict[str, Any], folder: str) -> None:
    """Hand the list over, watch what comes, and say what it cost."""
    fleet, night = Fleet(url), f"night-{uuid.uuid4().hex[:6]}"
    await fleet.init()
    added = await fleet.submit_many(
        scenes(night), batch=night, save_to=folder, defaults={"resolution": "480p"}, budget="3.00", **options
    )
    print(f"{added.added} videos to make for ${added.usd}, and {added.broken} row that cannot become one")
    workers = [get_context("spawn").Process(target=work, args=(url,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    ends: Counter[str] = Counter()
    async for result in fleet.results(night):
        ends[result.state] += 1
        if ends.total() == 3:
            workers[0].kill()
            print("A worker is killed. The other one takes its items up within 15 seconds.", flush=True)
    (batch,) = (await fleet.status(night)).batches
    print(f"{ends['done']} of {batch.size} made for ${batch.spent} of ${batch.budget}")
    for place, reason in await fleet.broken(night):
        print(f"Not made: {place}: {reason}")
    workers[1].terminate()  # SIGTERM: it ends when nothing of it runs
    for worker in workers:
        worker.join()
    await fleet.forget(night)


if __name__ == "__main__":
    database = os.environ.get("NEBULA_JOURNAL", "")
    if not database.startswith("postgresql"):
        sys.exit("Set NEBULA_JOURNAL to a PostgreSQL: postgresql://user:password@host/database")
    with gateway(speed=60, most_usd="3.00") as where, tempfile.TemporaryDirectory() as videos:
        os.environ.update({"NEBULA_API_KEY": where["api_key"]} if where else {})
        asyncio.run(make_night(database, where, videos))
        print(len(list(Path(videos).glob("*.mp4"))), "files saved")
