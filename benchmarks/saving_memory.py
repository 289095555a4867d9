"""How much memory saving a video of 200 MB takes beyond what the process had: `python benchmarks/saving_memory.py`.

Takes names of stores; without one, all. Their servers run on loopback, each in a process of its own. The packages are
in an environment that `NEBULA_PEERS=1 make test` makes, or that this script makes with the same variable.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from langchain_nebula_video.saving.targets import make_target
from tests.environments import CHECKOUT, NotInstalledError
from tests.stores.servers import STORES, store_python
from tests.stores.videos import VIDEO

MEGABYTES = int(os.environ.get("MEGABYTES", "200"))


def measure(url: str) -> float:
    """Save a video, and return the peak of memory above the level before, in MB. Linux only."""

    def save(name: str, size: int) -> None:
        target = make_target(f"{url}/{name}.mp4", VIDEO)
        part = target.begin()
        with part.open("wb") as file:
            for _ in range(size):
                file.write(os.urandom(1_000_000))
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before.append(_status("VmRSS"))
        target.publish(part)
        part.unlink(missing_ok=True)

    before: list[int] = []
    save("warm", 1)  # imports, connections
    save("measured", MEGABYTES)
    return (_status("VmHWM") - before[-1]) / 1000


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def main() -> None:
    """Print the table."""
    print("| store | MB |\n|---|---|")
    for name in sys.argv[1:] or STORES:
        try:
            python = store_python(name)
            command = [str(python), __file__, "--serve", name]
            ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT)
            told = f"{json.loads(ended.stdout):.0f}" if ended.returncode == 0 else ended.stderr.strip()[-200:]
        except NotInstalledError as error:
            told = str(error)
        print(f"| {name} | {told} |", flush=True)


def serve(name: str) -> None:
    """Run a store's server, and measure in another process."""
    with tempfile.TemporaryDirectory() as folder, STORES[name](Path(folder)) as store:
        command = [sys.executable, __file__, "--measure", store.url]
        subprocess.run(command, env={**os.environ, **store.env}, check=True, cwd=CHECKOUT)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--serve", name]:
            serve(name)
        case ["--measure", url]:
            print(json.dumps(measure(url)))
        case _:
            main()
