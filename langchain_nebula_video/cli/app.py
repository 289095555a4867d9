"""The Typer application: the table of commands."""

# Typer reads the annotations, so they are evaluated here.
import sys
from typing import Annotated

import typer

from langchain_nebula_video.cli.exit_codes import EPILOG
from langchain_nebula_video.cli.groups import CommandTable, LazyGroup

__all__ = ["app"]

# By name: where the command is, and what the list of commands says: the first paragraph of its docstring.
_COMMANDS: CommandTable = {
    "generate": (
        "generate.generate",
        "Make a video of an image, wait for it, and save it.",
    ),
    "batch": (
        "batch.command.batch",
        "Make many videos: of a folder, a glob, or a table of images and prompts. A second run pays for no row again.",
    ),
    "fleet": (
        "fleet.app.fleet",
        "Make many videos on many machines: lists of any length in PostgreSQL, and workers that take from them.",
    ),
    "quote": (
        "quote.quote",
        "Show what a video would cost. Needs no network and no key.",
    ),
    "models": (
        "models.models",
        "List the models by gateway, with their inputs, durations and prices per second.",
    ),
    "submit": (
        "generate.submit",
        "Start a video and return at once, with the task's id.",
    ),
    "wait": (
        "single_task.wait",
        "Wait for a task that was submitted, here or elsewhere, and save its video. Costs nothing more.",
    ),
    "status": (
        "single_task.status",
        "Show a task's status. The exit code is 0 for every status, as long as the gateway knows the task.",
    ),
    "cancel": (
        "single_task.cancel",
        "Cancel a task that still waits in the queue. Only DashScope itself supports this.",
    ),
    "tasks": (
        "tasks.tasks",
        "List every task that this command line has submitted, with the totals.",
    ),
    "gallery": (
        "gallery.gallery",
        "Look at your videos, prompts and costs in a browser. It reads the journal, and changes nothing.",
    ),
    "forget": (
        "forget.forget",
        ("Let go of a task or submit that nobody can settle any more. What it may have cost counts in no budget then."),
    ),
    "resume": (
        "resume.resume",
        (
            "Wait for every unfinished task and save its video. Also save what is finished but not saved, while "
            "its URL works."
        ),
    ),
    "reconcile": (
        "reconcile.reconcile",
        "Look in the key's log at the gateway for lost submits and for what was really paid. Costs nothing.",
    ),
    "doctor": (
        "doctor.doctor",
        "Check options, key, network, journal and where videos are saved, and say what to do. Free, without --live.",
    ),
    "mcp": (
        "mcp.mcp",
        "Serve the tools over MCP: to desktop clients, editors, and agents of any framework.",
    ),
    "docs": (
        "docs.docs",
        "Show where the documentation is, or open it in the browser.",
    ),
    "completion": (
        "completion.completion",
        "Print what makes a shell complete commands and options: bash, zsh, fish or powershell.",
    ),
    "emulator": (
        "emulator.emulate",
        "Run an emulator of all gateways on this machine: no network, no real key, no real money.",
    ),
    "demo": (
        "demo.demo",
        "See it work, with no key, no network and no money: an agent animates a photograph on the emulator.",
    ),
}


class _Commands(LazyGroup):
    table = _COMMANDS


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they show local variables, which may hold a key
    rich_markup_mode="rich",
    epilog=EPILOG,
    help="Image-to-video: an image and a prompt in; the video and what it cost out. "
    "The key is read from the gateway's variable, for Nebula NEBULA_API_KEY; "
    "NEBULA_BASE_URL replaces its address.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 it takes as long as all the rest

        sys.stdout.write(f"nebula-video {version('langchain-nebula-video')}\n")
        raise typer.Exit


@app.callback()
def _main(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass
