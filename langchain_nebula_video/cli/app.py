"""The commands: `nebula-video --help`."""

# Typer reads the annotations, so they are evaluated here.
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from langchain_nebula_video.cli.catalog import models, quote
from langchain_nebula_video.cli.demo import demo
from langchain_nebula_video.cli.emulator import emulate
from langchain_nebula_video.cli.exit_codes import EPILOG, Exit
from langchain_nebula_video.cli.generate import generate, submit
from langchain_nebula_video.cli.history import resume, tasks
from langchain_nebula_video.cli.output import Voice
from langchain_nebula_video.cli.tasks import cancel, status, wait

__all__ = ["app"]

# Newer Typers carry their own click, in which this class has no public name; its child has.
_UsageError: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError")


class _Commands(TyperGroup):
    """The commands; with `--json`, a wrong command line is told as JSON too."""

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
            voice = Voice(as_json=True)
            what = str(getattr(error, "format_message", error.__str__)()).rstrip(".")
            message = f"{what}. Nothing was sent and nothing was spent."
            voice.say(message, style="bold red")
            told = {"error": "UsageError", "message": message, "spent": False, "task_id": None, "code": None}
            voice.answer(told)
            sys.exit(Exit.INVALID)
        sys.exit(code or Exit.OK)


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # it shows local variables, and a key may be one
    rich_markup_mode="rich",
    epilog=EPILOG,
    help="Image-to-video: an image and a prompt in; the video and what it cost out. "
    "The key is read from the gateway's variable, for Nebula NEBULA_API_KEY; "
    "NEBULA_BASE_URL names another address than its own.",
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
    "emulator": emulate,
    "demo": demo,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)
