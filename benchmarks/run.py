"""All benchmarks that end by themselves, one after the other, each in a process of its own.

`make bench` runs them and writes docs/benchmarks.md. `python benchmarks/run.py --quick` takes a few minutes, the whole
run half an hour. `run.py clients call` runs two of them. Each writes its results below `benchmarks/results`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["NEBULA_PEERS"] = "1"  # make the environments that are missing

from results import save

from tests.environments import NotInstalledError, environment

HERE = Path(__file__).parent
BENCHMARKS = {  # the file, its arguments, and those of a quick run
    "clients": ("clients", ["--write"], ["--write", "--quick"]),
    "schedules": ("schedules", ["2", "--write"], ["1", "--write"]),
    "load": ("load", ["waiting", "--tasks", "120"], ["waiting", "--tasks", "40", "--median", "40"]),
    "looks": ("load", ["burst", "--tasks", "1000"], ["burst", "--tasks", "300"]),
    "call": ("call", ["--calls", "200"], ["--calls", "40"]),
    "many": ("many", ["10000"], ["1000", "--kinds", "httpx", "--median", "20"]),
    "imports": ("imports", ["15"], ["5"]),
    "journal": ("journal", ["500"], ["100"]),
    "journal_growth": ("journal_growth", ["1000000"], ["100000"]),
    "emulator_video": ("emulator_video", ["5"], ["2"]),
}
WRITE_THEMSELVES = {"clients", "schedules"}
"""They write their results; of the others, what they print is kept."""
PATIENCE = 1800


def run(name: str, *, quick: bool) -> None:
    """Run one benchmark and keep its results."""
    file, whole, short = BENCHMARKS[name]
    arguments = short if quick else whole
    command = [sys.executable, str(HERE / f"{file}.py"), *arguments]
    env = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    began = time.monotonic()
    out = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, timeout=PATIENCE, check=True).stdout
    print(f"{out.rstrip()}\n\n{name}: {time.monotonic() - began:.0f} s\n", flush=True)
    if name not in WRITE_THEMSELVES:
        told = " ".join(["python", f"benchmarks/{file}.py", *arguments])
        save(name, {"command": told, "printed": [line.rstrip() for line in out.strip("\n").splitlines()]})


def main() -> None:
    """Run them, draw the pictures, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(BENCHMARKS)}; all if none is named")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and videos of 20 s")
    options = parser.parse_args()
    for name in options.names or BENCHMARKS:
        run(name, quick=options.quick)
    pins = (HERE / "requirements-pictures.txt").read_text(encoding="utf-8").split()
    try:
        python = environment("bench-pictures", pins, borrows=False)
    except NotInstalledError as error:
        sys.exit(f"no pictures: {error}")
    subprocess.run([str(python), str(HERE / "pictures.py")], check=True)
    subprocess.run([sys.executable, str(HERE / "page.py")], check=True)


if __name__ == "__main__":
    main()
