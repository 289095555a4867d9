"""The output of a command: its result goes to stdout, everything written for people goes to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import typer
from rich.console import Console, ConsoleRenderable
from rich.text import Text

from langchain_nebula_video.cli.exit_codes import Exit, exit_for
from langchain_nebula_video.errors import Money, NebulaVideoError, TaskNotFoundError, printable
from langchain_nebula_video.schema import Cost, Task, Video, dollars, money

__all__ = [
    "JOINED",
    "NEEDS_KEY",
    "Output",
    "as_dict",
    "count_of",
    "describe_cost",
    "format_cost",
    "print_video",
    "sanitize",
    "total_cost",
]

_CENT = Decimal("0.01")
_RESUMABLE = frozenset({Money.RUNNING, Money.MAYBE, Money.SPENT})
"""After these errors the task may still give a video."""


def sanitize(text: object) -> str:
    """Escape every control character but the newlines, which the commands' own texts have."""
    return "\n".join(map(printable, str(text).split("\n")))


def format_cost(cost: Cost) -> str:
    """Format a cost in the gateway's currency, and yuan in dollars too."""
    if cost.usd is None or cost.cny is None:
        return "unknown"
    if cost.currency == "USD":
        return dollars(cost.usd)
    return f"{money(cost.cny, 'CNY')} ({dollars(cost.usd.quantize(_CENT))})"


def describe_cost(cost: Cost) -> str:
    """Format a cost, and say whether it is a bill or an estimate."""
    return "unknown" if cost.usd is None else f"{format_cost(cost)} {cost.basis}"


def count_of(number: int, noun: str) -> str:
    """Return a number and its noun, in the plural if need be."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def total_cost(costs: Sequence[Cost]) -> str:
    """Format the sum of estimates in the gateway's currency. What has no known price is told apart."""
    known = [cost for cost in costs if cost.usd is not None and cost.cny is not None]
    unknown = len(costs) - len(known)
    if unknown and not known:
        return "a price that is not known here"
    total = Cost(
        usd=sum((cost.usd or Decimal(0) for cost in known), Decimal(0)),
        cny=sum((cost.cny or Decimal(0) for cost in known), Decimal(0)),
        currency=known[0].currency if known else "USD",
        price_per_second=None,
        seconds=None,
        group_ratio=Decimal(1),
        basis="estimated",
    )
    return format_cost(total) + (f", and {unknown} whose price is not known here" if unknown else "")


class Output:
    """Writes what one command prints.

    Args:
        as_json: Whether stdout gets one JSON object instead of text.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        # No markup anywhere: answers of gateways contain brackets too.
        self.console = Console(stderr=True, markup=False, highlight=False, emoji=False)
        """Writes to stderr."""
        self.live = sys.stderr.isatty() and not self.console.is_dumb_terminal
        """Whether stderr can show a bar that moves."""

    @property
    def width(self) -> int:
        """The columns of the terminal."""
        return self.console.width

    def print_message(self, text: str = "", style: str = "", *, no_wrap: bool = False) -> None:
        """Print a line for people on stderr.

        Args:
            text: The line.
            style: A style of rich.
            no_wrap: Never break the line, so that it can be copied.
        """
        self.console.print(Text(sanitize(text), style=style), soft_wrap=no_wrap or not self.console.is_terminal)

    def print_fields(self, fields: Mapping[str, object]) -> None:
        """Print names and values on stderr, one pair to a line. A value of `None` is left out."""
        self.console.print(_format_fields(fields), soft_wrap=True)

    def print_result(self, data: Mapping[str, Any], text: str | ConsoleRenderable | Mapping[str, object] = "") -> None:
        """Print the result on stdout.

        Args:
            data: The result with `--json`.
            text: The result without it. A mapping is printed as fields, an empty string as nothing.
        """
        with self._told_if_unwritable(f" {json.dumps(data)}"):
            self._write_result(data, text)

    def write(self, text: str) -> None:
        """Write a text that programs read on stdout, as it is."""
        with self._told_if_unwritable(""):
            sys.stdout.write(text)
            sys.stdout.flush()

    @contextmanager
    def _told_if_unwritable(self, answer: str) -> Iterator[None]:
        """End the command with a message if stdout cannot be written; `answer` is what was to be written."""
        try:
            yield
        except OSError as error:  # a full disk or a closed pipe; the paid work is done all the same
            self.print_message(f"The answer cannot be written: {error.strerror or error}.{answer}", no_wrap=True)
            # What is left in the old buffer would fail again when Python exits.
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 open until the process ends
            raise typer.Exit(Exit.FAILURE) from None

    def _write_result(self, data: Mapping[str, Any], text: str | ConsoleRenderable | Mapping[str, object]) -> None:
        if self.as_json:
            sys.stdout.write(json.dumps(data) + "\n")
        elif isinstance(text, str):
            sys.stdout.write(sanitize(text) + "\n" if text else "")
        else:
            body, soft_wrap = (_format_fields(text), True) if isinstance(text, Mapping) else (text, False)
            Console(markup=False, highlight=False, emoji=False, soft_wrap=soft_wrap).print(body, crop=False)
        sys.stdout.flush()

    @contextmanager
    def report_errors(
        self,
        *,
        resume: Callable[[str], str] | None = None,
        interrupted: Callable[[], NebulaVideoError | None] = lambda: None,
    ) -> Iterator[None]:
        """Turn an error into a message and an exit code instead of a traceback.

        Args:
            resume: Returns the command that continues a task, from the task's id.
            interrupted: Returns the error that Ctrl-C amounts to. `None` means that nothing was paid for.
        """
        try:
            yield
        except NebulaVideoError as error:
            self._fail(error, type(error).__name__, exit_for(error), resume)
        except KeyboardInterrupt as interrupt:
            failure = interrupted() or NebulaVideoError("Interrupted.", money=Money.REFUSED)
            self._fail(failure, type(interrupt).__name__, exit_for(interrupt), resume)

    def _fail(self, error: NebulaVideoError, name: str, code: Exit, resume: Callable[[str], str] | None) -> None:
        task = getattr(error, "task", None)
        url = getattr(error, "url", None)
        message = str(error).removesuffix(f" Its URL: {url}")  # it gets a line that is never broken
        self.print_message(message, style="bold red" if code is not Exit.INTERRUPTED else "yellow")
        resumable = error.money in _RESUMABLE and not isinstance(error, TaskNotFoundError)
        if url and url[:5].lower() != "data:":
            self.print_message(f"The video: {printable(url)}", no_wrap=True)
        if resume is not None and error.task_id and resumable:
            self.print_message(f"Go on with: {printable(resume(error.task_id))}", no_wrap=True)
        if self.as_json:
            data = {
                "error": name,
                "message": str(error),
                "spent": error.spent,
                "task_id": error.task_id,
                "code": getattr(error, "code", None) or getattr(task, "code", None),
            }
            self.print_result({**data, "url": url} if url else data)
        raise typer.Exit(code)


def as_dict(record: Task | Video) -> dict[str, Any]:
    """Return a task or a video as JSON data, without the gateway's raw answer."""
    return record.model_dump(mode="json", exclude={"raw"})


JOINED = "an earlier identical request paid for it; nothing was paid again"
"""What a result says that joined an earlier request."""


NEEDS_KEY = "with your key only, not in a browser"
"""What a result says of a URL on the gateway itself."""


def print_video(output: Output, video: Video) -> None:
    """Print a finished video. Through a pipe, stdout gets the file's name alone."""
    output.print_fields(
        {
            "Saved": video.path,
            "Cost": describe_cost(video.cost),
            "Reused": JOINED if video.reused else None,
            "Warning": video.warning,
            "URL": video.url,
            "Opens": NEEDS_KEY if video.url_needs_key else None,
            "Works until": f"{video.expires_at:%Y-%m-%d %H:%M} UTC",
            "Task": video.task_id,
        }
    )
    output.print_result({"status": "succeeded", **as_dict(video)}, "" if sys.stdout.isatty() else printable(video.path))


def _format_fields(fields: Mapping[str, object]) -> Text:
    known = {name: value for name, value in fields.items() if value is not None}
    width = max(map(len, known))
    return Text("\n").join(
        Text.assemble((f"{name:<{width}}  ", "dim"), printable(value)) for name, value in known.items()
    )
