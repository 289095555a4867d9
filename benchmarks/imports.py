"""What importing the tool costs in addition to LangChain's own tools, and what the command line's help costs.

`python benchmarks/imports.py [rounds]` starts fresh interpreters. Each imports LangChain's tools and then this package,
and the medians are printed in milliseconds. Both are measured in the same interpreter, because LangChain's own import
varies between interpreters by more than this package takes. `nebula-video --help` is compared with an interpreter that
does nothing, in turns, by their CPU.
"""

from __future__ import annotations

import compileall
import importlib.util
import resource
import statistics
import subprocess
import sys

PROGRAM = """
import time
start = time.perf_counter()
from langchain_core.tools import BaseTool
between = time.perf_counter()
from langchain_nebula_video import NebulaVideoTool
print(between - start, time.perf_counter() - between)
"""
ALONE = "import time; t = time.perf_counter(); import langchain_nebula_video; print(time.perf_counter() - t)"


def run(program: str) -> list[float]:
    """Run a program in a new interpreter, and return the times that it prints, in milliseconds."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    return [float(seconds) * 1000 for seconds in done.stdout.split()]


def cpu(*arguments: str) -> float:
    """Run a new interpreter, and return the milliseconds of CPU that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main(rounds: int) -> None:
    """Measure and print."""
    spec = importlib.util.find_spec("langchain_nebula_video")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        compileall.compile_dir(folder, quiet=1)  # pip compiles on installation; a checkout may not be compiled
    theirs, ours = zip(*(run(PROGRAM) for _ in range(rounds)), strict=True)
    alone = [run(ALONE)[0] for _ in range(rounds)]
    bare, help_ = zip(
        *((cpu("-c", ""), cpu("-m", "langchain_nebula_video.cli", "--help")) for _ in range(rounds)), strict=True
    )
    base, extra = statistics.median(theirs), statistics.median(ours)
    print(f"import langchain_nebula_video         {statistics.median(alone):7.1f} ms")
    print(f"langchain_core.tools                  {base:7.1f} ms")
    print(f"NebulaVideoTool on top of it          {extra:7.1f} ms, {extra / base:.1%} more")
    print(f"nebula-video --help, CPU over bare Python {statistics.median(help_) - statistics.median(bare):3.1f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
