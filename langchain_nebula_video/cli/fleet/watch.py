"""How a fleet is, again and again: in place on a terminal, elsewhere a line whenever it changes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.text import Text

from langchain_nebula_video.cli.fleet.report import describe_throughput, report
from langchain_nebula_video.errors import JournalError

if TYPE_CHECKING:
    from langchain_nebula_video.cli.output import Output
    from langchain_nebula_video.fleet import FleetStatus
    from langchain_nebula_video.fleet.troubles import Trouble

__all__ = ["sparkline", "watch_fleet"]

_SECONDS = 2.0
_HISTORY = 60
"""Looks that the picture of the throughput shows: two minutes."""
_BLOCKS = "▁▂▃▄▅▆▇█"

Look = Callable[[], "tuple[FleetStatus, list[Trouble]]"]


def watch_fleet(output: Output, look: Look) -> None:
    """Show how a fleet is until Ctrl-C. A database that is away for a while is told, and looked for again."""
    try:
        if output.live:
            _show(output, look)
        else:
            _tell(output, look)
    except KeyboardInterrupt:
        return


def _show(output: Output, look: Look) -> None:
    rates: deque[float] = deque(maxlen=_HISTORY)
    lines: list[Text] = []
    with Live(console=output.console, auto_refresh=False, screen=True) as live:
        while True:
            try:
                status, troubles = look()
            except JournalError as error:
                lines = [Text(error.what, style="bold red"), *lines[1:]]
            else:
                rates.append(status.per_minute)
                history = f"{sparkline(rates)}  videos/min, the last {len(rates) * _SECONDS:.0f} s"
                lines = report(status, troubles, history=history)
            live.update(_fitted(lines, output.console.height), refresh=True)
            time.sleep(_SECONDS)


def _fitted(lines: list[Text], height: int) -> Group:
    """Return as many lines as fit, each cut at the edge: so none moves because another one is long."""
    shown = lines if len(lines) < height else [*lines[: height - 2], Text(f"… {len(lines) - height + 2} lines more")]
    for line in shown:
        line.no_wrap, line.overflow = True, "ellipsis"
    return Group(*shown)


def _tell(output: Output, look: Look) -> None:
    last: tuple[str, Any, Any] | None = None
    while True:
        try:
            status, troubles = look()
        except JournalError as error:
            line = error.what
            change = line, 0, ""
        else:
            ended, size = (sum(getattr(each, name) for each in status.batches) for name in ("ended", "size"))
            worst = f", {troubles[0].about}: {troubles[0].what}" if troubles else ""
            line = f"{ended:,} of {size:,} ended, {describe_throughput(status)}{worst}"
            change = worst, ended, size
        if change != last:  # the throughput alone changes with each look
            output.write(f"{time.strftime('%H:%M:%S')}  {line}\n")
            last = change
        time.sleep(_SECONDS)


def sparkline(rates: Sequence[float]) -> str:
    """Return a picture of numbers over time, a block each: the highest is the greatest of them."""
    most = max(rates, default=0.0)
    steps = len(_BLOCKS) - 1
    return "".join(_BLOCKS[round(steps * rate / most) if most else 0] for rate in rates)
