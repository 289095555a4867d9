"""What a paid command does before it pays: read, check, price, ask. And what Ctrl-C means afterwards."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.client import NebulaVideoClient
from langchain_nebula_video.errors import (
    BudgetExceededError,
    DownloadError,
    InvalidRequestError,
    Money,
    NebulaVideoError,
    SubmissionUnconfirmedError,
    TaskError,
)
from langchain_nebula_video.gateways import find_gateway
from langchain_nebula_video.images import wire_image
from langchain_nebula_video.journal import EntryState, MemoryJournal
from langchain_nebula_video.models import as_request, complete, find_model
from langchain_nebula_video.schema import VideoRequest, dollars

if TYPE_CHECKING:
    from langchain_nebula_video.cli.voice import Voice
    from langchain_nebula_video.schema import Budget, Cost

__all__ = ["Access", "agree", "checked", "image_of", "interrupted"]

_DEFAULTS: dict[str, object] = {
    "gateway": opt.GATEWAY,
    "model": opt.MODEL,
    "base_url": None,
    "out": opt.HERE,
}
_SCHEME = re.compile(r"data:|[A-Za-z][A-Za-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where a command goes and how, from its options."""

    gateway: str
    model: str
    base_url: str | None = None
    out: Path | None = None
    """Where videos are saved; `None`: they are not."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Further keywords for the client."""
    journal: MemoryJournal = field(default_factory=MemoryJournal)

    def client(self) -> NebulaVideoClient:
        """The client. Its key comes from the environment alone: a command line is seen by others.

        Raises:
            InvalidRequestError: there is no key, or an option cannot work.
        """
        variable = find_gateway(self.gateway).key_variable
        if "api_key" not in self.settings and not os.environ.get(variable):
            raise InvalidRequestError(
                f"There is no key: {variable} is not set.",
                hint=f"Set it with export {variable}=…; without a key there is: nebula-video demo",
            )
        return NebulaVideoClient(
            gateway=self.gateway,
            model=self.model,
            base_url=self.base_url,
            save_to=self.out,
            journal=self.journal,
            **self.settings,
        )

    def resume(self, task_id: str) -> str:
        """The command that goes on with a task."""
        words = ["nebula-video", "wait", task_id]
        for name, default in _DEFAULTS.items():
            value = getattr(self, name)
            if value not in {default, None}:
                words += [f"--{name.replace('_', '-')}", str(value)]
        return shlex.join(words)


def image_of(argument: str, model: str) -> str | bytes | Path:
    """The image that a person means: here, unlike in the library, a string without a scheme is a file's name.

    Raises:
        InvalidRequestError: stdin is meant and nothing is piped into it.
    """
    if argument == "-":
        if sys.stdin.isatty():
            raise InvalidRequestError(
                "The image is - and nothing is piped in.", hint="Pipe an image in, or name a file."
            )
        return sys.stdin.buffer.read(find_model(model).max_image_bytes + 1)
    return argument if _SCHEME.match(argument) else Path(argument).expanduser()


def checked(fields: Mapping[str, Any], access: Access) -> VideoRequest:
    """The request with its model's defaults, all of it checked, the image too.

    Raises:
        InvalidRequestError: it cannot work.
    """
    completed, row = complete(as_request(None, fields), find_gateway(access.gateway), access.model)
    wire_image(completed.image, max_bytes=row.max_image_bytes, formats=row.image_formats)
    return completed


def agree(voice: Voice, request: VideoRequest, cost: Cost, *, budget: Budget | None, yes: bool) -> bool:
    """Show the price and have it accepted; whether it was.

    Raises:
        BudgetExceededError: it is above `--max-cost`.
        InvalidRequestError: nobody is there to be asked.
    """
    price = "an unknown price" if cost.usd is None else f"about {dollars(cost.usd)}"
    sound = ", with sound" if request.generate_audio or request.audio_url else ""
    voice.say(f"{request.model}: {request.duration} s at {request.resolution}{sound}, for {price}.")
    if budget is not None and cost.usd is not None and cost.usd > budget.usd:
        raise BudgetExceededError(
            f"This video would cost {dollars(cost.usd)}, and --max-cost is {dollars(budget.usd)}.",
            hint="Raise --max-cost, or ask for a shorter or smaller video.",
        )
    if yes:
        return True
    if voice.as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        why = "With --json nobody is asked" if voice.as_json else "There is no terminal to ask on"
        raise InvalidRequestError(f"{why}, and this costs money.", hint="Add --yes to pay without being asked.")
    # Not input(): its prompt may go to stdout, which is the answer's.
    voice.people.print("Pay for it? [y/N] ", end="")
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        voice.say()
    return answer.strip().lower() in {"y", "yes"}


def interrupted(journal: MemoryJournal) -> NebulaVideoError:
    """What Ctrl-C means now: the journal knows how far the submit got."""
    entry = next(iter(journal.entries()), None)
    if entry is None:
        return NebulaVideoError("Interrupted before anything was sent.")
    if entry.task_id is None:
        return SubmissionUnconfirmedError(
            "Interrupted while the submit was under way.",
            hint="Look at the gateway's console for a task of this moment; if there is none, repeat the command.",
        )
    if entry.state is EntryState.SUCCEEDED:
        return DownloadError("Interrupted while the video was being saved.", task_id=entry.task_id)
    return TaskError(
        f"Interrupted. Task {entry.task_id} goes on at {entry.gateway}.",
        task_id=entry.task_id,
        money=Money.RUNNING,
        hint="Do not submit it again.",
    )
