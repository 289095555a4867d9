"""The pictures of docs/benchmarks.md, drawn from `benchmarks/results/clients.json` with matplotlib.

They have no background, and colours that can be read on white and on black. Each carries a digest of its results.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import matplotlib as mpl
from page import PICTURES, digest
from results import read

mpl.use("svg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

TEXT, OURS, PEER = "#768390", "#2f81f7", "#8b949e"
Value = Callable[[dict[str, Any]], float]


def bars(axes: Axes, title: str, values: Mapping[str, float], *, form: str = "{:.1f}", log: bool = False) -> None:
    """Draw one bar for each client, with its value beside it."""
    names = list(values)
    colours = [OURS if name.startswith("ours") else PEER for name in names]
    axes.barh(names, list(values.values()), color=colours, height=0.65)
    axes.set_title(title, color=TEXT, fontsize=9, loc="left")
    axes.tick_params(colors=TEXT, labelsize=8, length=0)
    axes.set_xticks([])
    if log:
        axes.set_xscale("log")
        axes.set_xticks([])
        axes.minorticks_off()
        axes.set_xlim(min(values.values()) / 2, max(values.values()) * 3)
    else:
        axes.set_xlim(0, max(values.values()) * 1.2)
    for place, value in enumerate(values.values()):
        axes.annotate(
            form.format(value), (value, place), (3, 0), textcoords="offset points", va="center", color=TEXT, fontsize=8
        )
    for side in axes.spines.values():
        side.set_visible(False)


def draw(name: str, panels: Sequence[tuple[str, Mapping[str, float], dict[str, Any]]]) -> None:
    """Draw a picture of some panels, side by side."""
    height = 0.24 * len(panels[0][1]) + 0.5
    figure, all_axes = plt.subplots(1, len(panels), figsize=(8.6, height), sharey=True, layout="constrained")
    for axes, (title, values, options) in zip(all_axes, panels, strict=True):
        bars(axes, title, values, **options)
    all_axes[0].invert_yaxis()  # shared: the first client is at the top
    PICTURES.mkdir(exist_ok=True)
    figure.savefig(
        PICTURES / f"benchmark-{name}.svg", transparent=True, metadata={"Date": None, "Description": digest()}
    )
    plt.close(figure)


def main() -> None:
    """Draw them."""
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "benchmarks", "font.family": "sans-serif"})
    found = read("clients")

    def of(part: str, value: Value) -> dict[str, float]:
        return {name: value(row) for name, row in found[part].items()}

    looks = of("waiting", lambda row: row["looks"] / row["tasks"])
    draw(
        "waiting",
        [
            ("looks a task (logarithmic)", looks, {"log": True}),
            (
                "mean lag in s (logarithmic)",
                of("waiting", lambda row: row["mean_lag"]),
                {"log": True, "form": "{:.2f}"},
            ),
        ],
    )
    whole = {"form": "{:.0f}"}
    draw(
        "faults",
        [
            ("paid: one answer lost", of("faults", lambda row: row["lost"]["paid"]), whole),
            ("each answer lost", of("faults", lambda row: row["always lost"]["paid"]), whole),
            ("each answer a 500", of("faults", lambda row: row["always 500"]["paid"]), whole),
        ],
    )
    draw(
        "cost",
        [
            (
                "CPU ms a generation",
                of("waiting", lambda row: 1000 * row["cpu"] / row["tasks"]),
                {"log": True, **whole},
            ),
            ("kB a waiting task", of("burst", lambda row: row["memory"]), whole),
            ("CPU ms of the start", of("startup", lambda row: 1000 * row["opened"]), whole),
        ],
    )


if __name__ == "__main__":
    main()
