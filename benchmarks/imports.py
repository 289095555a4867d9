"""What importing us costs over importing LangChain's tools, in one run on one machine.

`python benchmarks/imports.py [rounds]` starts fresh interpreters in turn and prints medians in milliseconds.
"""

from __future__ import annotations

import compileall
import importlib.util
import statistics
import subprocess
import sys

STATEMENTS = {
    "nothing": "pass",
    "langchain_nebula_video": "import langchain_nebula_video",
    "langchain_core.tools": "from langchain_core.tools import BaseTool",
    "the tool": "from langchain_nebula_video import NebulaVideoTool",
}
TIMER = "import time; t = time.perf_counter(); {}; print((time.perf_counter() - t) * 1000)"


def measure(statement: str) -> float:
    """Milliseconds that a statement takes in an interpreter of its own."""
    command = [sys.executable, "-c", TIMER.format(statement)]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def main(rounds: int) -> None:
    """Take turns, so that a busy moment of the machine falls on all of them."""
    spec = importlib.util.find_spec("langchain_nebula_video")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        compileall.compile_dir(folder, quiet=1)  # as pip does on installing; a checkout may not be compiled
    times: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for _ in range(rounds):
        for name, statement in STATEMENTS.items():
            times[name].append(measure(statement))
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    for name, median in medians.items():
        print(f"{name:24} {median:8.1f} ms")
    base, tool = medians["langchain_core.tools"], medians["the tool"]
    pairs = [mine - theirs for mine, theirs in zip(times["the tool"], times["langchain_core.tools"], strict=True)]
    print(f"the tool over langchain_core.tools: {statistics.median(pairs):+.1f} ms, ratio {tool / base:.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
