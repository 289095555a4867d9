"""What a command says: one JSON object or the bare answer on stdout, the story for people on stderr."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import typer
from rich.console import Console, ConsoleRenderable
from rich.text import Text

from langchain_nebula_video.cli.exit_codes import Exit, exit_for
from langchain_nebula_video.errors import Money, NebulaVideoError, TaskNotFoundError
from langchain_nebula_video.schema import Cost, Task, Video, dollars, money

__all__ = ["Voice", "plain", "priced", "printable", "tell_video", "told_cost"]


def printable(text: object) -> str:
    """Text from outside, without what would steer a terminal."""
    return "".join(
        char if char == "\n" or not unicodedata.category(char).startswith("C") else "�" for char in str(text)
    )


def priced(cost: Cost) -> str:
    """A cost in the gateway's currency; where that is yuan, in dollars too."""
    if cost.usd is None or cost.cny is None:
        return "unknown"
    if cost.currency == "USD":
        return dollars(cost.usd)
    return f"{money(cost.cny, 'CNY')} ({dollars(cost.usd.quantize(_CENT))})"


_CENT = Decimal("0.01")


def told_cost(cost: Cost) -> str:
    """A cost, and whether it is a bill or an estimate."""
    return "unknown" if cost.usd is None else f"{priced(cost)} {cost.basis}"


class Voice:
    """Both outputs of one command.

    Args:
        as_json: Whether a machine reads stdout.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        # No markup anywhere: gateways send brackets too.
        self.people = Console(stderr=True, markup=False, highlight=False, emoji=False)
        self.live = sys.stderr.isatty() and not self.people.is_dumb_terminal

    def say(self, text: str = "", style: str = "", *, whole: bool = False) -> None:
        """A line for people; `whole`: to be copied, so never broken into several."""
        self.people.print(Text(printable(text), style=style), soft_wrap=whole or not self.people.is_terminal)

    def facts(self, facts: Mapping[str, object]) -> None:
        """Names and values for people, one to a line; those without a value are left out."""
        self.people.print(_lines(facts), soft_wrap=True)

    def answer(self, data: Mapping[str, Any], bare: str | ConsoleRenderable | Mapping[str, object] = "") -> None:
        """What was asked for, alone on stdout: to a machine the data, else `bare`."""
        try:
            self._answer(data, bare)
        except OSError as error:  # a full disk, a pipe that nobody reads: the paid work is done all the same
            self.say(f"The answer cannot be written: {error.strerror or error}. {json.dumps(data)}", whole=True)
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 what is left in it fails again
            raise typer.Exit(Exit.FAILURE) from None

    def _answer(self, data: Mapping[str, Any], bare: str | ConsoleRenderable | Mapping[str, object]) -> None:
        if self.as_json:
            sys.stdout.write(json.dumps(data) + "\n")
        elif isinstance(bare, str):
            sys.stdout.write(printable(bare) + "\n" if bare else "")
        else:
            shown, whole = (_lines(bare), True) if isinstance(bare, Mapping) else (bare, False)
            Console(markup=False, highlight=False, emoji=False, soft_wrap=whole).print(shown, crop=False)
        sys.stdout.flush()

    @contextmanager
    def reporting(
        self,
        *,
        resume: Callable[[str], str] | None = None,
        interrupted: Callable[[], NebulaVideoError | None] = lambda: None,
    ) -> Iterator[None]:
        """End the command with a told error and its exit code instead of a traceback.

        Args:
            resume: The command that goes on with a task.
            interrupted: What Ctrl-C means at the moment, as an error; `None`: nothing was paid for.
        """
        try:
            yield
        except NebulaVideoError as error:
            self._failed(error, type(error).__name__, exit_for(error), resume)
        except KeyboardInterrupt as error:
            told = interrupted() or NebulaVideoError("Interrupted.", money=Money.REFUSED)
            self._failed(told, type(error).__name__, exit_for(error), resume)

    def _failed(self, error: NebulaVideoError, name: str, code: Exit, resume: Callable[[str], str] | None) -> None:
        task = getattr(error, "task", None)
        self.say(str(error), style="bold red" if code is not Exit.INTERRUPTED else "yellow")
        goes_on = error.money in _GOES_ON and not isinstance(error, TaskNotFoundError)
        url = getattr(error, "url", None)
        if url:
            self.say(f"The video: {url}", whole=True)
        if resume is not None and error.task_id and goes_on:
            self.say(f"Go on with: {resume(error.task_id)}", whole=True)
        if self.as_json:
            told = {
                "error": name,
                "message": str(error),
                "spent": error.spent,
                "task_id": error.task_id,
                "code": getattr(error, "code", None) or getattr(task, "code", None),
            }
            self.answer({**told, "url": url} if url else told)
        raise typer.Exit(code)


def plain(record: Task | Video) -> dict[str, Any]:
    """A task or a video for a machine; without the gateway's raw answer."""
    return record.model_dump(mode="json", exclude={"raw"})


def tell_video(voice: Voice, video: Video) -> None:
    """A finished video: to a machine all of it, through a pipe its file, to people what they need."""
    voice.facts(
        {
            "Saved": video.path,
            "Cost": told_cost(video.cost),
            "URL": video.url,
            "Works until": f"{video.expires_at:%Y-%m-%d %H:%M} UTC",
            "Task": video.task_id,
        }
    )
    voice.answer({"status": "succeeded", **plain(video)}, "" if sys.stdout.isatty() else str(video.path))


def _lines(facts: Mapping[str, object]) -> Text:
    known = {name: value for name, value in facts.items() if value is not None}
    width = max(map(len, known))
    return Text("\n").join(
        Text.assemble((f"{name:<{width}}  ", "dim"), printable(value)) for name, value in known.items()
    )


_GOES_ON = frozenset({Money.RUNNING, Money.MAYBE, Money.SPENT})
