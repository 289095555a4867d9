"""The Typer application: the table of commands. Only the command that runs is imported."""

# Typer reads the annotations, so they are evaluated here.
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from langchain_nebula_video.catalog.suggestions import did_you_mean
from langchain_nebula_video.cli.exit_codes import EPILOG, Exit

__all__ = ["app"]

# Newer versions of Typer bundle click, where this class has no public name, but its subclass has.
_UsageError: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError")


# By name: where the command is, and what the list of commands says: the first paragraph of its docstring.
_COMMANDS: dict[str, tuple[str, str]] = {
    "generate": (
        "generate.generate",
        "Make a video of an image, wait for it, and save it.",
    ),
    "batch": (
        "batch.command.batch",
        "Make many videos: of a folder, a glob, or a table of images and prompts. A second run pays for no row again.",
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


def _suggest_option(error: Any, names: Sequence[str]) -> None:
    """Name the nearest right option in the error about a wrong one. Typer's own suggestions are many."""
    wrong, message = getattr(error, "option_name", None), getattr(error, "message", None)
    if isinstance(message, str):
        error.message = message.removeprefix("Value error, ")  # pydantic's, which converts for Typer
    if isinstance(wrong, str) and isinstance(message, str):
        options = [name for name in names if name.startswith("--")]
        error.message = f"{message.rstrip('.')}.{did_you_mean(wrong, options)}"
        error.possibilities = None


class _Command(TyperCommand):
    """A command that tells the nearest right option to a wrong one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See Typer."""
        try:
            return super().parse_args(ctx, args)
        except _UsageError as error:
            _suggest_option(error, [name for each in self.params for name in (*each.opts, *each.secondary_opts)])
            raise


class _Loader(dict[str, Any]):
    """The commands by name. Each is built when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        found = super().__getitem__(name)
        if found is None:
            module, _, function = _COMMANDS[name][0].rpartition(".")
            command = getattr(import_module(f"langchain_nebula_video.cli.{module}"), function)
            single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
            single.command(name, cls=_Command)(command)
            found = self[name] = typer.main.get_command(single)
        return found

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401 `dict.get` would not load it


class _Commands(TyperGroup):
    """The group of commands. With `--json`, a usage error is printed as JSON too."""

    _only_listed = False

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Loader(dict.fromkeys(_COMMANDS))

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 the interface of Typer
        """See Typer."""
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """See Typer. The list of commands needs no more than what each is for."""
        if self._only_listed and cmd_name in _COMMANDS:
            return TyperCommand(cmd_name, help=_COMMANDS[cmd_name][1])
        return super().get_command(ctx, cmd_name)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """See Typer."""
        with self._listing():
            return super().shell_complete(ctx, incomplete)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """See Typer."""
        with self._listing():
            super().format_help(ctx, formatter)

    @contextmanager
    def _listing(self) -> Iterator[None]:
        self._only_listed = True
        try:
            yield
        finally:
            self._only_listed = False

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
            from langchain_nebula_video.cli.output import Output  # noqa: PLC0415 most commands import it themselves

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
