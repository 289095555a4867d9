"""Many videos on many machines: a list of any length, workers anywhere, one PostgreSQL. Needs the extra `fleet`.

Public from here: `Fleet`, `FleetWorker`, and what `Fleet` returns. procrastinate, which fetches and runs the jobs, is
named in `engine` and `schema` alone.
May import: client and the rooms below it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_nebula_video.fleet.enqueue import Added
    from langchain_nebula_video.fleet.failures import Failure
    from langchain_nebula_video.fleet.fleet import Fleet
    from langchain_nebula_video.fleet.keeper import Timing
    from langchain_nebula_video.fleet.options import BatchClientOptions
    from langchain_nebula_video.fleet.preview import Preview
    from langchain_nebula_video.fleet.results import Result
    from langchain_nebula_video.fleet.states import BatchState, ItemState
    from langchain_nebula_video.fleet.status import AccountStatus, BatchStatus, FleetStatus, ItemError, WorkerStatus
    from langchain_nebula_video.fleet.worker import FleetWorker

__all__ = [
    "AccountStatus",
    "Added",
    "BatchClientOptions",
    "BatchState",
    "BatchStatus",
    "Failure",
    "Fleet",
    "FleetStatus",
    "FleetWorker",
    "ItemError",
    "ItemState",
    "Preview",
    "Result",
    "Timing",
    "WorkerStatus",
]

_MODULES = {
    "AccountStatus": "status",
    "Added": "enqueue",
    "BatchClientOptions": "options",
    "BatchState": "states",
    "BatchStatus": "status",
    "Failure": "failures",
    "Fleet": "fleet",
    "FleetStatus": "status",
    "FleetWorker": "worker",
    "ItemError": "status",
    "ItemState": "states",
    "Preview": "preview",
    "Result": "results",
    "Timing": "keeper",
    "WorkerStatus": "status",
}
_HINT = 'A fleet needs its extra: pip install "langchain-nebula-video[fleet]"'
_NO_LIBPQ = (
    "A fleet needs libpq, PostgreSQL's client library, which was not found. Install it (apt-get install libpq5, "
    'brew install libpq), or run: pip install "psycopg[binary]"'
)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 only here

    try:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    except ImportError as error:
        if (error.name or "").startswith("langchain_nebula_video"):
            raise
        # psycopg names no module if it finds none of its three ways to libpq.
        told = _NO_LIBPQ if error.name is None else f"{_HINT} ({error.name} is missing)."
        raise ImportError(told, name=error.name) from None
