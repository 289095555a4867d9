"""The command `fleet worker`: makes videos until it is stopped."""

# Typer reads the annotations, so they are evaluated here.
import asyncio
import logging
import sys
from typing import Annotated

import typer

from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.fleet.place import DatabaseUrl, database_url
from langchain_nebula_video.cli.output import Output, sanitize
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.fleet.words import count_all
from langchain_nebula_video.journal import Budget

__all__ = ["worker"]

_FLEET = "langchain_nebula_video.fleet"
"""The logger of what a worker does. What it does for each single video is told by the one above."""

_REFUSALS = "langchain_nebula_video.refusals"
_REFUSAL_SECONDS = 10.0
"""Between two lines about refusals, such as 429."""

_Concurrency = Annotated[
    int, typer.Option("--concurrency", min=1, max=100_000, help="How many videos at once; each takes some 40 kB.")
]
_Grace = Annotated[
    float | None,
    typer.Option(
        "--grace",
        min=0,
        metavar="SECONDS",
        help="How long videos may go on after a stop. Then others take them up. Default: to their end.",
    ),
]
_Budget = Annotated[
    Budget | None,
    typer.Option(
        "--budget",
        parser=opt.parse_budget,
        metavar="USD",
        help="The most that the whole journal may spend, over all batches and workers.",
    ),
]
_Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log each video: submitted, running, saved.")]


def worker(
    *,
    concurrency: _Concurrency = 100,
    grace: _Grace = None,
    budget: _Budget = None,
    verbose: _Verbose = False,
    database: DatabaseUrl = None,
) -> None:
    """Make the fleet's videos, until it is stopped. SIGTERM or Ctrl-C drains it; a second one cuts off.

    It needs the database and, in the environment, the gateway's key; all else stands in the batches. What is cut off
    goes on at the gateway, and another worker takes it up by its key.
    """
    output = Output()
    with output.report_errors():
        url = database_url(output, database)
        try:
            from langchain_nebula_video.fleet import FleetWorker  # noqa: PLC0415 an extra
        except ImportError as error:
            raise InvalidRequestError(str(error), hint="") from None
        fleet_worker = FleetWorker(url, concurrency=concurrency, grace=grace, budget=budget)
        log = _log(verbose=verbose)
        asyncio.run(fleet_worker.run(signals=True))
        back = fleet_worker.given_back
        rest = f"; {count_all(back, 'video')} given back, for other workers" if back else ""
        log.info("drained: %s made%s", count_all(fleet_worker.made, "video"), rest)


class _Lines(logging.Formatter):
    """One line for each record, without control characters: a gateway's words must not steer a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return sanitize(super().format(record))


class _Seldom(logging.Filter):
    """Lets one record pass in a while: a gateway that refuses does so to all videos under way."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds, self._last = seconds, float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        passes = record.created - self._last >= self._seconds
        if passes:
            self._last = record.created
        return passes


def _log(*, verbose: bool) -> logging.Logger:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logger = logging.getLogger(_FLEET)
    logger.setLevel(logging.INFO)
    # The fleet's own logger tells once that the database is away; the pool of connections tells each attempt.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    refusals = logging.getLogger(_REFUSALS)
    refusals.setLevel(logging.INFO)
    refusals.addFilter(_Seldom(_REFUSAL_SECONDS))
    if verbose:
        logging.getLogger("langchain_nebula_video").setLevel(logging.INFO)
    return logger
