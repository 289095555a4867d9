"""The Typer application: the table of commands."""

# Typer reads the annotations, so they are evaluated here.
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from langchain_nebula_video.cli.demo import demo
from langchain_nebula_video.cli.doctor import doctor
from langchain_nebula_video.cli.emulator import emulate
from langchain_nebula_video.cli.exit_codes import EPILOG, Exit
from langchain_nebula_video.cli.generate import generate, submit
from langchain_nebula_video.cli.mcp import mcp
from langchain_nebula_video.cli.models import models
from langchain_nebula_video.cli.output import Output
from langchain_nebula_video.cli.quote import quote
from langchain_nebula_video.cli.reconcile import reconcile
from langchain_nebula_video.cli.resume import resume
from langchain_nebula_video.cli.single_task import cancel, status, wait
from langchain_nebula_video.cli.tasks import tasks

__all__ = ["app"]

# Newer versions of Typer bundle click, where this class has no public name, but its subclass has.
_UsageError: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError")


class _Commands(TyperGroup):
    """The group of commands. With `--json`, a usage error is printed as JSON too."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """See Typer."""
        run = partial(super().main, args, prog_name, complete_var, windows_expand_args=windows_expand_args, **extra)
        if not standalone_mode or "--json" not in (sys.argv[1:] if args is None else args):
            return run(standalone_mode=standalone_mode)
        try:
            code = run(standalone_mode=False)
        except _UsageError as error:
            output = Output(as_json=True)
            reason = str(getattr(error, "format_message", error.__str__)()).rstrip(".")
            message = f"{reason}. Nothing was sent and nothing was spent."
            output.print_message(message, style="bold red")
            data = {"error": "UsageError", "message": message, "spent": False, "task_id": None, "code": None}
            output.print_result(data)
            sys.exit(Exit.INVALID)
        sys.exit(code or Exit.OK)


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


_COMMANDS: dict[str, Callable[..., None]] = {
    "generate": generate,
    "quote": quote,
    "models": models,
    "submit": submit,
    "wait": wait,
    "status": status,
    "cancel": cancel,
    "tasks": tasks,
    "resume": resume,
    "reconcile": reconcile,
    "doctor": doctor,
    "mcp": mcp,
    "emulator": emulate,
    "demo": demo,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)
