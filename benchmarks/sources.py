"""What reading a list costs: CPU time of a row beside that of the parser alone, and memory, by kind of source.

`python benchmarks/sources.py [rows]` reads 200,000 rows, or so many. A ratio of 1 means that a row costs as much as
`json.loads` of its line, or as `csv.reader` takes for it. Memory is the peak above what was there before, per row.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from langchain_nebula_video.cli.sources.reading import iterate_sources

ROUNDS = 5


def write_sources(rows: int) -> None:
    """Write the sources into the current folder."""
    lines = [
        {
            "image": f"https://example.com/cats/{number}.jpg",
            "prompt": f"Cat {number} blinks, then it turns its head and yawns",
            "duration": 5,
            "key": f"cat-{number}",
        }
        for number in range(rows)
    ]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    Path("web.jsonl").write_text(text, encoding="utf-8")
    Path("files.jsonl").write_text(text.replace("https://example.com/", ""), encoding="utf-8")
    with gzip.open("web.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(text)
    with Path("web.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    Path("folder").mkdir()
    for number in range(rows):
        Path("folder", f"cat-{number}.jpg").touch()


def parse_json(name: str) -> int:
    """Read the lines, and nothing but `json.loads`."""
    packed = name.endswith(".gz")
    with gzip.open(name, "rt", encoding="utf-8") if packed else Path(name).open(encoding="utf-8") as file:
        return sum(1 for line in file if json.loads(line))


def parse_csv(name: str) -> int:
    """Read the lines, and nothing but `csv.reader`."""
    with Path(name).open(newline="", encoding="utf-8") as file:
        return sum(1 for _ in csv.reader(file))


def list_names(name: str) -> int:
    """Read the names of a folder, sorted."""
    return len(sorted(os.listdir(name)))  # noqa: PTH208 the names alone


def read(name: str) -> int:
    """Read the rows as the commands do."""
    return sum(1 for _ in iterate_sources([name]))


def microseconds(work: Callable[[str], int], name: str) -> float:
    """Return the CPU time of a row, the best of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        count = work(name)
        best = min(best, (time.process_time() - began) / count * 1e6)
    return best


def peak(name: str) -> tuple[float, float]:
    """Return the peak of memory in MB, and in bytes a row."""
    tracemalloc.start()
    count = read(name)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found / 1e6, found / count


def main() -> None:
    """Print a line for each kind of source."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    beside = {"web.jsonl": parse_json, "web.jsonl.gz": parse_json, "files.jsonl": parse_json, "web.csv": parse_csv,
              "folder": list_names}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_sources(rows)
        print(f"{rows:,} rows      us a row   alone   ratio   more    MB at the peak, bytes a row")
        for name, alone in beside.items():
            ours, theirs = microseconds(read, name), microseconds(alone, name)
            megabytes, bytes_a_row = peak(name)
            print(f"{name:15} {ours:10.2f} {theirs:7.2f} {ours / theirs:7.1f} {ours - theirs:6.2f} "
                  f"{megabytes:8.2f} {bytes_a_row:13.1f}")  # fmt: skip
        os.chdir("/")


if __name__ == "__main__":
    main()
