"""Charts of steps and of bars, as plain SVG: paths in a box of 1000 by 1000, and the labels beside it.

The template stretches the box to its place and writes the labels as text, so that they stay readable on a phone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIDE = 1000
_MOST_STEPS = 300
"""More steps than this are thinned out: no screen shows them."""
_ROWS = 12
"""As many rows a table has at most."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A label at a place along an axis."""

    at: float
    """From 0 to 1000, from the left or from the top."""
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart."""

    name: str
    """An id for HTML."""
    title: str
    line: str
    """The `d` of the line's path."""
    area: str
    """The `d` of the path of the area below it."""
    y_ticks: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...]
    rows: tuple[tuple[str, str], ...]
    """The same as a table: time and value."""
    summary: str
    """The same as a sentence."""
    newest: str
    """The last value, or the sum."""
    column: str = "Time"
    """What the rows of the table are."""


def step_chart(
    name: str,
    title: str,
    steps: Sequence[tuple[float, float]],
    span: tuple[float, float],
    *,
    value_text: Callable[[float], str],
    time_text: Callable[[float], str],
    whole: bool = False,
) -> Chart | None:
    """Draw a value that changes in steps; None if it never changed.

    Args:
        name: An id for HTML.
        title: What is drawn.
        steps: Time in seconds and the value from then on, in order of time. Before the first one it is 0.
        span: From when to when to draw, in seconds. It is made wider if steps lie outside.
        value_text: Writes a value.
        time_text: Writes a time.
        whole: Whether values between whole numbers make no sense.
    """
    if not steps:
        return None
    start = min(span[0], steps[0][0])
    end = max(span[1], steps[-1][0], start + 1.0)
    top = _round_up(max(value for _, value in steps), whole=whole)
    points = [(SIDE * (at - start) / (end - start), SIDE * (1 - value / top)) for at, value in _thinned(steps)]
    line = f"M0 {SIDE}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in points) + f"H{SIDE}"
    highest = max(steps, key=lambda step: step[1])
    newest = value_text(steps[-1][1])
    every = max(1, math.ceil(len(steps) / _ROWS))
    shown = steps[len(steps) - 1 :: -every][::-1]
    return Chart(
        name=name,
        title=title,
        line=line,
        area=f"{line}V{SIDE}Z",
        y_ticks=tuple(Tick(SIDE * (1 - share), value_text(top * share)) for share in _shares(top, whole=whole)),
        x_ticks=tuple(Tick(SIDE * share, time_text(start + (end - start) * share)) for share in (0.0, 0.5, 1.0)),
        rows=tuple((time_text(at), value_text(value)) for at, value in shown),
        summary=(
            f"{title} from {time_text(start)} to {time_text(end)}: now {newest}, "
            f"at most {value_text(highest[1])}, reached at {time_text(highest[0])}."
        ),
        newest=newest,
    )


def bar_chart(
    name: str, title: str, bars: Sequence[tuple[str, float]], *, value_text: Callable[[float], str], column: str
) -> Chart:
    """Draw amounts beside each other.

    Args:
        name: An id for HTML.
        title: What is drawn.
        bars: The label and the amount of each, at least one.
        value_text: Writes an amount.
        column: What the labels are.
    """
    top = _round_up(max(value for _, value in bars), whole=False)
    width = SIDE / len(bars)
    gap = width * 0.15
    area = "".join(
        f"M{width * number + gap:.1f} {SIDE}V{SIDE * (1 - value / top):.1f}H{width * (number + 1) - gap:.1f}V{SIDE}Z"
        for number, (_, value) in enumerate(bars)
        if value > 0
    )
    label, highest = max(bars, key=lambda bar: bar[1])
    whole = value_text(sum(value for _, value in bars))
    shown = sorted({0, len(bars) // 2, len(bars) - 1} if len(bars) > 2 else range(len(bars)))
    return Chart(
        name=name,
        title=title,
        line="",
        area=area,
        y_ticks=tuple(Tick(SIDE * (1 - share), value_text(top * share)) for share in _shares(top, whole=False)),
        x_ticks=tuple(Tick(width * (number + 0.5), bars[number][0]) for number in shown),
        rows=tuple((text, value_text(value)) for text, value in bars if value > 0),
        summary=f"{title} from {bars[0][0]} to {bars[-1][0]}: {whole} in all, at most {value_text(highest)} ({label}).",
        newest=whole,
        column=column,
    )


def _round_up(highest: float, *, whole: bool) -> float:
    """Return the top of the axis: 1, 2 or 5 times a power of ten, at least as high as the highest value."""
    if highest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest))
    top = next(factor * power for factor in (1, 2, 4, 5, 10) if factor * power >= highest * 0.999)
    return max(top, 2.0) if whole else top


def _shares(top: float, *, whole: bool) -> tuple[float, ...]:
    """Return where the axis has labels, as shares of the top."""
    halves = not whole or top % 2 == 0
    return (1.0, 0.5, 0.0) if halves else (1.0, 0.0)


def _thinned(steps: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Return at most `_MOST_STEPS` steps: of each group the highest, so that no peak is lost, and the last one."""
    if len(steps) <= _MOST_STEPS:
        return steps
    size = math.ceil(len(steps) / (_MOST_STEPS - 1))
    groups = [steps[at : at + size] for at in range(0, len(steps), size)]
    return [*(max(group, key=lambda step: step[1]) for group in groups), steps[-1]]
