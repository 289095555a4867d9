"""Videos as Temporal activities. A worker that dies misses its heartbeats, and the key keeps each order one video.

    temporal server start-dev
    python temporal_videos.py worker
    python temporal_videos.py order-17 order-18

It needs `NEBULA_API_KEY`, and `TEMPORAL_ADDRESS` if the server is elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.worker import Worker

# The workflow's sandbox imports this file anew for each workflow, and this package not.
with workflow.unsafe.imports_passed_through():
    from langchain_nebula_video import (
        AsyncNebulaVideoClient,
        DownloadError,
        JournalError,
        NebulaVideoError,
        NotSentError,
        TaskTimeoutError,
    )
    from langchain_nebula_video.errors import RateLimitError

QUEUE = "videos"
ADDRESS = os.environ.get("TEMPORAL_ADDRESS", "127.0.0.1:7233")
LONGEST = timedelta(minutes=15)
"""What a job may take, its wait for a place at the gateway included."""
HEARTBEAT = timedelta(seconds=10)
"""A worker that says nothing for so long counts as dead. Without it, its jobs wait for the end of `LONGEST`."""
AGAIN = (DownloadError, JournalError, NotSentError, RateLimitError, TaskTimeoutError)
"""What passes by itself. Anything else is for a person, a `SubmissionUnconfirmedError` above all."""


class Videos:
    """The activity, and the client that all its runs share: its connections, and what it learns about waiting."""

    def __init__(self, client: AsyncNebulaVideoClient) -> None:
        self.client = client

    @activity.defn
    async def animate(self, key: str, request: dict[str, Any]) -> str:
        """Make a video, or go on with it; the path of its file.

        Args:
            key: The caller's own name for this video, such as an order's number. The activity's id and its attempt
                change, where the order stays.
            request: The fields of a `VideoRequest`. An image is a URL or a path that every worker can read: a payload
                has at most 2 MB.
        """
        activity.logger.info("begins %s", key)
        beating = asyncio.create_task(beat())
        try:
            video = await self.client.generate(request, key=key)
        except AGAIN:
            raise
        except NebulaVideoError as error:
            raise ApplicationError(str(error), type=type(error).__name__, non_retryable=True) from error
        finally:
            beating.cancel()
        activity.logger.info("has made %s: %s", key, video.path)
        return str(video.path)


async def beat() -> None:
    """Tell the server that this worker lives. An activity that was cancelled hears of it in the answer."""
    while True:
        activity.heartbeat()
        await asyncio.sleep(HEARTBEAT.total_seconds() / 3)


@workflow.defn
class Order:
    """One video."""

    @workflow.run
    async def run(self, key: str, request: dict[str, Any]) -> str:
        """Have it made, however many workers that takes."""
        path: str = await workflow.execute_activity_method(
            Videos.animate,
            args=[key, request],
            start_to_close_timeout=LONGEST + timedelta(minutes=5),
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RetryPolicy(maximum_interval=timedelta(minutes=1)),
        )
        return path


async def work() -> None:
    """Run jobs until SIGTERM. Those under way then have some seconds to end, and run again elsewhere."""
    logging.basicConfig(level=logging.INFO)
    videos = Videos(
        AsyncNebulaVideoClient(
            # For several hosts: postgresql+psycopg://…
            journal=os.environ.get("NEBULA_JOURNAL", "sqlite:///videos.db"),
            save_to=os.environ.get("FOLDER", "videos") + "/{key}.mp4",
            timeout=LONGEST.total_seconds(),
        )
    )
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with (
        videos.client,
        Worker(
            await Client.connect(ADDRESS),
            task_queue=QUEUE,
            workflows=[Order],
            activities=[videos.animate],
            max_concurrent_activities=500,  # a video that is waited for needs no thread
            graceful_shutdown_timeout=timedelta(seconds=20),
        ),
    ):
        print("The worker takes jobs.", flush=True)
        await ended.wait()


async def order(keys: list[str]) -> None:
    """Ask for videos. The workflow has the order's number too, so a repeated order does not run twice at once."""
    client = await Client.connect(ADDRESS)
    for key in keys:
        request = {"prompt": f"The cat blinks, {key}", "image": "https://example.com/cat.jpg"}
        try:
            await client.start_workflow(
                Order.run,
                args=[key, request],
                id=key,
                task_queue=QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                # One that failed may be asked for again. This memory ends with the namespace's retention, 3 days
                # mostly. The journal's does not.
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            )
        except WorkflowAlreadyStartedError:
            print(key, "is done.")


async def main(arguments: list[str]) -> None:
    """Be a worker, or ask for videos."""
    await (work() if arguments == ["worker"] else order(arguments))
    # A Python 3.11 that ends while the SDK (1.35.0) still delivers the last answer aborts: seen in 2 of 15 runs.
    await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
