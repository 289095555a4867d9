"""One worker process of the fleet's chaos. It ends when it is told to by SIGTERM, or killed."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import socket
import sys

from langchain_nebula_video import JournalError
from langchain_nebula_video.fleet import FleetWorker

WITHOUT_DATABASE = 75
"""With which a worker ends that found no database when it began."""
_NEW_USERS, _NEW_NAMES = 0x10000000, 0x04000000  # CLONE_NEWUSER and CLONE_NEWUTS of <linux/sched.h>


def work(url: str, concurrency: int, budget: str, host: str | None) -> None:
    """Work until SIGTERM.

    Args:
        url: The fleet's database.
        concurrency: How many items at once.
        budget: Of the whole journal.
        host: A name for this machine, which only this process sees. To the others it then is on another machine.
    """
    logging.basicConfig(level=logging.WARNING, format="%(process)d %(asctime)s %(levelname)s %(name)s: %(message)s")
    if host and rename_host(host) is False:
        logging.getLogger(__name__).warning("this system gives processes no host name of their own")
    worker = FleetWorker(url, concurrency=concurrency, budget=budget)
    try:
        asyncio.run(worker.run(signals=True))
    except JournalError as error:
        logging.getLogger(__name__).warning("ended without a database: %s", error)
        sys.exit(WITHOUT_DATABASE)


def rename_host(name: str) -> bool:
    """Give the machine a name in this process alone; whether that is possible."""
    libc = ctypes.CDLL(None)
    if libc.unshare(_NEW_NAMES) != 0 and libc.unshare(_NEW_USERS | _NEW_NAMES) != 0:
        return False
    socket.sethostname(name)
    return True
