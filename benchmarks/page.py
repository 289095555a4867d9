"""docs/benchmarks.md and docs/benchmarks-own.md, made from the results below `benchmarks/results`.

`python benchmarks/page.py` writes them; `--check` ends with 1 if one is not current, or if a picture was drawn
from other results.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from peers import CLIENTS
from results import FOLDER, read

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
OWN_PAGE = PAGE.parent / "benchmarks-own.md"
PICTURES = PAGE.parent / "pictures"
BASE = "dashscope1-aio"
"""Ratios are to this client."""
PRINTED = {
    "load": "Many waiting, beside Alibaba's client",
    "looks": "Looks at once, beside Alibaba's client",
    "call": "One call",
    "many": "Many in one process",
    "imports": "Import",
    "journal": "A journal",
    "journal_growth": "A journal as it grows",
    "emulator_video": "A video of the emulator",
}
"""The benchmarks whose page is what they print."""

INTRODUCTION = """\
# Benchmarks

`make bench` runs all of them, and writes this page from the files in `benchmarks/results`. `make bench QUICK=1` takes a
few minutes. Only ratios of one run mean something, as a busy machine needs more time for the same work.

[Waiting](waiting.md) and [Transport](explanations/transport.md) explain the reasons, and [Benchmarks of its own
parts](benchmarks-own.md) has what a call, a journal and the emulator cost.

{machine}

## Beside the clients of other vendors

Each row is a real client, called as its documentation shows, with its own defaults. Its server on loopback speaks that
vendor's interface, answers after 0.1 s, and has the same finishing times for all. Nothing is simulated. fal's address
was set by a constant of its module, the others' by an argument. Two LangChain tools got the client that they make
themselves, but with another address. `python benchmarks/clients.py PART NAME` measures one row; the parts are
`waiting`, `faults`, `burst` and `startup`.

{versions}
"""
OWN = """\
# Benchmarks of its own parts

`make bench` runs these after those of [Benchmarks](benchmarks.md). Each block is what a command printed.
"""
WAITING = """\
### Waiting

{tasks} videos are begun at once, after a first one. They take {median:.0f} s in the median. A look asks for a task's
state. Lag is the time from a task's end to the look that sees it. CPU is that of a generation, and its ratio is to
`{base}`. A call that did not end with its video is named.

![Looks and lag of each client](pictures/benchmark-waiting.svg)
"""
FAULTS = """\
### Paying after a fault

One video is made with each fault, and the server counts the submits that it accepted.

- Lost: the submit is accepted, and the connection ends without an answer, once or each time.
- 500: the submit is accepted, and the answer is a 500 with a JSON body, once or each time.
- 429: the first submit is refused with a 429 and `Retry-After: 1`. Nothing is accepted.
- Look: one look gets nginx's page for a 502, or no answer.

A number is the submits that were paid for, and the word how the call ended. No client here sends an idempotency key.
Ours raises `SubmissionUnconfirmedError`: the video may have been paid for, and its journal remembers the request.
[Comparison](comparison.md) tells more of what clients do then.

![Paid submits of one video](pictures/benchmark-faults.svg)
"""
FAULT_COLUMNS = ["name", "lost", "each lost", "500", "each 500", "429", "look: 502", "look: lost"]
BURST = """\
### A burst, and the start

{tasks} videos are begun at once: the seconds until the server has accepted all, at most 60, and the memory that a
waiting one adds. Ours opens a connection for each submit, and sends four at once. The start is the import and the
opening of the client.

![CPU, memory and start of each client](pictures/benchmark-cost.svg)
"""
FACTS = """\
### What explains the figures

Read in the code of these versions, and seen by the server:

- fal-client looks every 0.1 s, and sends a submit up to ten times after connection errors and timeouts.
- dashscope 1 sends a submit once more if the connection ends without an answer. Its blocking class opens a session for
  each look, and raises `InvalidTask` for whatever refused the submit.
- The newer client of dashscope 2 doubles its pause up to 8 s. It sends a submit three times, also after a 500. So do
  runwayml and openai. In openai, the methods for videos are deprecated: their API was to end on 2026-09-24.
- replicate repeats a look after a 429, 503 or 504 alone. One 502 ends the call, and the video is paid for all the same.
- langchain-wavespeed repeats no submit, and its error says that the task may exist. It has no coroutine of its own.
- The coroutine of magic_hour waits by `time.sleep(0.5)`, so all tasks of its event loop wait one after the other.

Not measured: a submit whose answer never comes, since the clients wait for 30 s to ten minutes, and a real network.
"""
SCHEDULES = """\
## When to look

The clock is virtual. Ours is the client's real code; the others are published rules. A look takes 0.25 s, and eight
tasks are under way at any time. A regime has 300 tasks, or 450 if the service turns. The usual task takes 81 s in the
median. `python benchmarks/schedules.py {seeds}` prints this.

| Column | Rule |
|---|---|
| dashscope SDK | the vendor's SDK, read at 2.0.2: at once, after 1, 1, 2, 2, 2, 4, 4, 4 s, then every 5 s |
| every 5 s | from the submit on |
| rule of thumb | 0.6 of 81 s after the submit or the end of the queue, then every 4 s; every 40 s in the queue |
| optimum | the least lag for as many looks as ours, from the distribution of the ends alone. Ours also sees the queue |
"""


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table in Markdown."""
    cells = [list(head)]
    lines = [f"| {' | '.join(cells[0])} |", "|---" * len(cells[0]) + "|"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join(lines)


def told_machine(machine: dict[str, Any]) -> str:
    """Return what a figure depends on, as a sentence."""
    return (
        f"{machine['date']}, Python {machine['python']}, {machine['system']}, {machine['cores']} cores, "
        f"load {machine['load']:.0f} before"
    )


def waiting_rows(part: dict[str, Any]) -> Iterable[list[object]]:
    """Return the table of waiting."""
    base = part[BASE]["cpu"] / part[BASE]["tasks"] if BASE in part else None
    for name, row in part.items():
        cpu = row["cpu"] / row["tasks"]
        others = "".join(f"; {count} {end}" for end, count in row["ends"].items() if end != "video")
        ratio = f"{cpu / base:.2f}" if base else ""
        figures = [f"{row['looks'] / row['tasks']:.1f}", f"{row['mean_lag']:.2f}", f"{1000 * cpu:.0f}", ratio]
        yield [f"`{name}`", CLIENTS[name].call + others, *figures]


def paid(row: dict[str, Any]) -> str:
    """Return how many were paid for, in bold if they are too many."""
    return f"**{row['paid']}**" if row["paid"] > 1 else str(row["paid"])


def fault_rows(part: dict[str, Any]) -> Iterable[list[object]]:
    """Return the table of faults."""
    for name, row in part.items():
        lost, failed = (f"{paid(row[fault])}, {row[fault]['end']}" for fault in ("lost", "500"))
        ends = [row[fault]["end"] for fault in ("429", "look 502", "look lost")]
        yield [f"`{name}`", lost, paid(row["always lost"]), failed, paid(row["always 500"]), *ends]


def burst_rows(burst: dict[str, Any], startup: dict[str, Any]) -> Iterable[list[object]]:
    """Return the table of the burst and of the start."""
    for name, row in burst.items():
        start = startup[name]
        failed = len([end for end in row["failed"] if end != "video"])
        yield [
            f"`{name}`", f"{row['seconds']:.1f}", row["accepted"], failed, f"{row['memory']:.0f}",
            f"{1000 * start['opened']:.0f}", f"{start['rss']:.0f}",
        ]  # fmt: skip


def schedule_rows(rows: list[dict[str, Any]]) -> Iterable[list[object]]:
    """Return the table of schedules."""
    for row in rows:
        cells = [f"{looks:.1f} / {lag:.2f}" for looks, lag in row["found"].values()]
        looks, lag = row["ours"]
        target = f"{looks:.2f}, {lag:.2f}; {row['goal']}: {'kept' if row['kept'] else 'missed'}"
        yield [row["regime"], *cells, *[""] * (5 - len(cells)), target]


def page() -> str:
    """Return the page."""
    found = read("clients")
    versions = {package: number for row in found["startup"].values() for package, number in row["versions"].items()}
    both = sorted({row["versions"]["dashscope"] for row in found["startup"].values() if "dashscope" in row["versions"]})
    listed = ", ".join(f"{name} {' and '.join(both) if name == 'dashscope' else n}" for name, n in versions.items())
    tasks = found["tasks"]
    parts = [
        INTRODUCTION.format(machine=f"The clients: {told_machine(found['machine'])}.", versions=f"Versions: {listed}."),
        WAITING.format(tasks=tasks["waiting"], median=found["median"], base=BASE),
        table(["name", "call", "looks a task", "lag in s", "CPU ms", "ratio"], waiting_rows(found["waiting"])),
        FAULTS,
        table(FAULT_COLUMNS, fault_rows(found["faults"])),
        BURST.format(tasks=tasks["burst"]),
        table(
            ["name", "s", "accepted", "failed", "kB a task", "start: CPU ms", "MB"],
            burst_rows(found["burst"], found["startup"]),
        ),
    ]
    parts.append(FACTS)
    schedules = read("schedules")
    names = ["ours", "dashscope SDK", "every 5 s", "rule of thumb", "optimum", "ours in the SDK's; target"]
    parts += [
        SCHEDULES.format(seeds=schedules["seeds"]),
        table(["looks a task / lag in s", *names], schedule_rows(schedules["rows"])),
    ]
    return _joined(parts)


def own_page() -> str:
    """Return the page of the benchmarks that compare nobody: what they print."""
    parts = [OWN]
    for name, title in PRINTED.items():
        if (FOLDER / f"{name}.json").exists():
            kept = read(name)
            parts.append(f"## {title}\n\n`{kept['command']}`, {told_machine(kept['machine'])}:")
            parts.append("\n".join(["```text", *kept["printed"], "```"]))
    return _joined(parts)


def _joined(parts: Iterable[str]) -> str:
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def digest() -> str:
    """Return what the pictures carry: a digest of the results that they show."""
    found = {part: rows for part, rows in read("clients").items() if part != "machine"}
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]


def main(*, check: bool) -> int:
    """Write the page, or tell what is not current."""
    pages = {PAGE: page(), OWN_PAGE: own_page()}
    if not check:
        for path, text in pages.items():
            path.write_text(text, encoding="utf-8")
        return 0
    stale = [path for path, text in pages.items() if path.read_text(encoding="utf-8") != text]
    stale += [picture for picture in sorted(PICTURES.glob("benchmark-*.svg")) if digest() not in picture.read_text()]
    if stale:
        names = ", ".join(path.name for path in stale)
        print(f"Not current: {names}. Run: python benchmarks/run.py", file=sys.stderr)
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv))
