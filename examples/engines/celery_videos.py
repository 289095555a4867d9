"""Videos as Celery tasks. A worker that dies loses no job, and the key keeps each job one video.

    celery --app celery_videos worker --pool threads --concurrency 50
    python celery_videos.py order-17 order-18

It needs `NEBULA_API_KEY`, and `BROKER_URL`: `redis://…` or `amqp://…`.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import Any

from celery import Celery
from celery.utils.log import get_task_logger

from langchain_nebula_video import DownloadError, JournalError, NebulaVideoClient, NotSentError, TaskTimeoutError
from langchain_nebula_video.errors import RateLimitError

LONGEST = float(os.environ.get("LONGEST_JOB", "900"))
"""Seconds that a job may take, its wait for a place at the gateway included."""
AGAIN = (DownloadError, JournalError, NotSentError, RateLimitError, TaskTimeoutError)
"""What passes by itself. Anything else is for a person, a `SubmissionUnconfirmedError` above all."""

app = Celery("videos", broker=os.environ.get("BROKER_URL", "redis://127.0.0.1:6379/0"))
app.conf.update(
    # The broker keeps a job until it is done, and not only until some worker has it.
    task_acks_late=True,
    # The same if a process of the prefork pool dies below a worker that lives.
    task_reject_on_worker_lost=True,
    # No job waits in a worker that is busy. In another one it could run.
    worker_prefetch_multiplier=1,
    # Redis alone: a job that is not done by then is given to a second worker, whether the first one lives or not.
    # So it is longer than any job, and a killed worker's jobs wait for so long. RabbitMQ sees a death at once.
    # Celery looks for such jobs every 100 seconds, unless these two say otherwise.
    broker_transport_options={
        "visibility_timeout": 2 * LONGEST,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
    },
    # After SIGTERM, jobs have so many seconds to end. Then they go back to the broker, also to Redis.
    worker_soft_shutdown_timeout=20.0,
    # The video is in the folder and in the journal. No store of results is needed.
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
)
log = get_task_logger(__name__)


@functools.cache
def client() -> NebulaVideoClient:
    """The client of this process. It is made at the first job, so after the fork of a prefork pool.

    A task blocks its thread until it is done, because Celery has no async tasks. So the client is the blocking one,
    shared by all threads: its connections, and what it learns about how long videos take.
    """
    return NebulaVideoClient(
        # For several hosts: postgresql+psycopg://…
        journal=os.environ.get("NEBULA_JOURNAL", "sqlite:///videos.db"),
        save_to=os.environ.get("FOLDER", "videos") + "/{key}.mp4",
        timeout=LONGEST,
    )


# A retry waits in a worker, unacknowledged. So it waits less than the visibility timeout.
@app.task(name="videos.animate", autoretry_for=AGAIN, retry_backoff=True, retry_backoff_max=60)
def animate(key: str, request: dict[str, Any]) -> None:
    """Make a video, or go on with it.

    Args:
        key: The caller's own name for this video, such as an order's number. It is not the task's id: a caller that
            repeats `delay` gets another id, and with the same key still the same video.
        request: The fields of a `VideoRequest`. An image is a URL or a path that every worker can read.
    """
    log.info("begins %s", key)
    video = client().generate(request, key=key)
    log.info("has made %s: %s", key, video.path)


if __name__ == "__main__":
    for order in sys.argv[1:]:
        animate.delay(order, {"prompt": f"The cat blinks, {order}", "image": "https://example.com/cat.jpg"})
