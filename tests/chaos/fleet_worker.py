"""One worker process of the fleet's chaos. It ends when it is told to by SIGTERM, or killed."""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
import sys

from langchain_nebula_video import JournalError
from langchain_nebula_video.fleet import FleetWorker
from tests.chaos.fleet_herd import WITHOUT_DATABASE


def main() -> None:
    """Work until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--budget", required=True)
    parser.add_argument("--host", help="a name for this machine, in a namespace of its own")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(process)d %(asctime)s %(levelname)s %(name)s: %(message)s")
    if asked.host:
        socket.sethostname(asked.host)
    worker = FleetWorker(asked.url, concurrency=asked.concurrency, budget=asked.budget)
    try:
        asyncio.run(worker.run(signals=True))
    except JournalError as error:
        logging.getLogger(__name__).warning("ended without a database: %s", error)
        sys.exit(WITHOUT_DATABASE)


if __name__ == "__main__":
    main()
