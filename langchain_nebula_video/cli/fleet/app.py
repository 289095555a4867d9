"""The group of commands of a fleet."""

from __future__ import annotations

import typer

from langchain_nebula_video.cli.groups import CommandTable, LazyGroup

__all__ = ["fleet"]

_COMMANDS: CommandTable = {
    "init": (
        "fleet.init.init",
        "Make the fleet's tables in the database. Repeating it does no harm.",
    ),
    "enqueue": (
        "fleet.enqueue.enqueue",
        "Put a list of videos into a batch: folders, globs, tables of any length. A second run adds no row again.",
    ),
    "worker": (
        "fleet.worker.worker",
        "Make the fleet's videos, until it is stopped. SIGTERM or Ctrl-C drains it; a second one cuts off.",
    ),
    "status": (
        "fleet.status.status",
        "Show batches, money, workers, accounts, and what needs a person. The exit code tells whether anything does.",
    ),
    "pause": (
        "fleet.steering.pause",
        "Begin nothing more of a batch. What runs goes on.",
    ),
    "resume": (
        "fleet.steering.resume",
        "Go on with a batch that is paused or canceled, also under another budget or other hours. Asks for its price.",
    ),
    "cancel": (
        "fleet.steering.cancel",
        "Cancel what has not begun of a batch. What runs goes on to its end, because it is billed in any case.",
    ),
    "retry": (
        "fleet.steering.retry",
        "Try the failed videos of a batch again, or its unconfirmed ones. Asks for their price.",
    ),
    "account": (
        "fleet.account.account",
        "Limit, pause or resume an account, or give its batches a new key.",
    ),
    "forget": (
        "fleet.steering.forget",
        "Delete a batch from the fleet, with its images and errors. Videos and the journal of payments stay.",
    ),
}


class _Commands(LazyGroup):
    table = _COMMANDS


fleet = typer.Typer(
    name="fleet",
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Make many videos on many machines: lists of any length in PostgreSQL, and workers that take from them.\n\n"
    "All commands need the database in NEBULA_JOURNAL: postgresql://user:password@host/database. Workers and enqueue "
    "need the gateway's key too.",
)


@fleet.callback()
def _fleet() -> None:
    pass
