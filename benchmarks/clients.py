"""What the clients of the vendors do and cost, beside ours: each real client, against the local server.

`python benchmarks/clients.py waiting` lets all clients make videos at once that take 81 s in the median.
`clients.py waiting fal ours` measures two of them, by their names in `peers.py`. The other parts:

- waiting: looks a task, mean lag from a task's end to the look that sees it, CPU of a generation;
- burst: 200 videos begun at once: seconds until all are accepted, memory of a waiting task;
- faults: the paid submits that the server counts after a fault, and how the call ends;
- startup: CPU and memory of importing and opening the client.

Each client runs in a process of its own, with a server of its own that has the same finishing times, and in an
environment with pinned versions: `NEBULA_PEERS=1` makes those under `.venvs`. `--write` keeps the results for
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from load import Server
from peers import CLIENTS, PARTS
from results import save

from tests.environments import NotInstalledError, environment

HERE = Path(__file__).parent
AT_ONCE = {"waiting": len(CLIENTS), "faults": len(CLIENTS), "burst": 2, "startup": 1}
"""Clients that are measured at the same time. Most of the first two parts is waiting."""
TASKS = {"waiting": 24, "burst": 200, "faults": 1, "startup": 1}
USUAL = 81.0
"""Seconds of a video, in the median. If it is another number, the row of our model is told so."""
ROUNDS = 3
LATENCY = 0.1
"""Seconds until the server answers."""
SHORT = 0.3
"""Seconds of a video with a fault."""
LONG = 600.0
"""Seconds of the videos of a burst: none ends while it is measured."""
PATIENCE = 900


def python_of(name: str) -> Path:
    """Return the Python that has this client."""
    own = CLIENTS[name].environment
    if own == "ours":
        return Path(sys.executable)
    pins = (HERE / f"requirements-{own}.txt").read_text(encoding="utf-8").splitlines()
    return environment(f"bench-{own}", [pin for pin in pins if not pin.startswith("#")], borrows=False)


def measure_once(part: str, options: argparse.Namespace, name: str, python: Path) -> dict[str, Any]:
    """Measure one client in a process of its own, at a server of its own."""
    median = {"waiting": options.median, "burst": LONG}.get(part, SHORT)
    ours: dict[str, Any] = {}
    if name.startswith("ours"):
        unusual = {} if options.median == USUAL else {"median": options.median}
        ours = {"waiting": unusual, "faults": {"poll_interval": 0.5}}
    server = Server(median, 0.25 if part == "waiting" else 0.0, LATENCY)
    command = [str(python), str(HERE / "peers.py"), part, name, "--url", server.url]
    command += ["--tasks", str(options.tasks or TASKS[part]), "--options", json.dumps(ours.get(part, {}))]
    settings = ("NEBULA_", "DASHSCOPE_", "FAL_", "PYTHON", "LANGSMITH", "LANGCHAIN")
    env = {key: value for key, value in os.environ.items() if not key.startswith(settings)}
    ended = subprocess.run(
        command, env=env | {"PYTHONPATH": str(HERE.parent)} if name.startswith("ours") else env,
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    if ended.returncode:
        raise RuntimeError(f"{part} of {name}: {ended.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    stats = server.stats()
    server.close()
    return found | {key: stats[key] for key in ("tasks", "looks", "mean_lag", "connections")}


def measure(part: str, options: argparse.Namespace, name: str, python: Path) -> dict[str, Any]:
    """Measure one client; its start a few times, after one that fills the caches."""
    if part != "startup":
        return measure_once(part, options, name, python)
    measure_once(part, options, name, python)
    found = [measure_once(part, options, name, python) for _ in range(1 if options.quick else ROUNDS)]
    return found[0] | {key: statistics.median(each[key] for each in found) for key in ("opened", "rss")}


def run(parts: Sequence[str], names: Sequence[str], options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Measure these clients, and leave out those whose packages are not installed."""
    pythons = {}
    for name in names:
        try:
            pythons[name] = python_of(name)
        except NotInstalledError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    found: dict[str, dict[str, Any]] = {}
    for part in parts:
        with ThreadPoolExecutor(AT_ONCE[part]) as pool:
            rows = pool.map(partial(measure, part, options), pythons, pythons.values())
            found[part] = dict(zip(pythons, rows, strict=True))
        for name, row in found[part].items():
            print(part, name, json.dumps(shorten(row)), flush=True)
    return found


def shorten(row: Any) -> Any:
    """Round the numbers, as kept results need no more."""
    if isinstance(row, dict):
        return {key: shorten(value) for key, value in row.items()}
    if isinstance(row, list):
        return [shorten(value) for value in row]
    return float(f"{row:.4g}") if isinstance(row, float) else row


def main() -> None:
    """Measure, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help=f"parts: {', '.join(PARTS)}; clients: {', '.join(CLIENTS)}")
    parser.add_argument("--tasks", type=int, help="videos at once")
    parser.add_argument("--median", type=float, default=USUAL, help="seconds of a video, for `waiting`")
    parser.add_argument("--quick", action="store_true", help="videos of 20 s, and fewer rounds")
    parser.add_argument("--write", action="store_true", help="keep the results")
    options = parser.parse_args()
    unknown = [word for word in options.what if word not in PARTS and word not in CLIENTS]
    if unknown:
        parser.error(f"there is no part or client {unknown[0]!r}")
    if options.quick:
        options.median = 20.0
        TASKS.update(waiting=12, burst=60)
    parts = [part for part in PARTS if part in options.what] or list(PARTS)
    names = [name for name in CLIENTS if name in options.what] or list(CLIENTS)
    found = shorten(run(parts, names, options))
    if options.write:
        told = {
            "quick": options.quick,
            "median": options.median,
            "tasks": {part: options.tasks or TASKS[part] for part in parts},
        }
        save("clients", told | found)


if __name__ == "__main__":
    main()
