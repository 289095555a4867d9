"""Groups of commands, of which only the one that runs is imported."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from langchain_nebula_video.catalog.suggestions import did_you_mean
from langchain_nebula_video.cli.exit_codes import Exit

__all__ = ["CommandTable", "LazyGroup"]

CommandTable = Mapping[str, tuple[str, str]]
"""By name: where the command is, and what the list of commands says: the first paragraph of its docstring."""

# Newer versions of Typer bundle click, where this class has no public name, but its subclass has.
_UsageError: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError")


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

    def __init__(self, table: CommandTable) -> None:
        super().__init__(dict.fromkeys(table))
        self._table = table

    def __getitem__(self, name: str) -> Any:
        found = super().__getitem__(name)
        if found is None:
            module, _, function = self._table[name][0].rpartition(".")
            command = getattr(import_module(f"langchain_nebula_video.cli.{module}"), function)
            if not isinstance(command, typer.Typer):  # one command, and not a group of its own
                single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
                single.command(name, cls=_Command)(command)
                command = single
            found = self[name] = typer.main.get_command(command)
        return found

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401 `dict.get` would not load it


class LazyGroup(TyperGroup):
    """A group of commands. With `--json`, a usage error is printed as JSON too."""

    table: ClassVar[CommandTable]
    _only_listed = False

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Loader(self.table)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 the interface of Typer
        """See Typer."""
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """See Typer. The list of commands needs no more than what each is for."""
        if self._only_listed and cmd_name in self.table:
            return TyperCommand(cmd_name, help=self.table[cmd_name][1])
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
