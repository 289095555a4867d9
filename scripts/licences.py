#!/usr/bin/env python3
"""scripts/licences.py [--check] [--extra NAME] [PAGE]: write the table of licences in docs/licences.md.

It reads the licences that the installed distributions state, for the package and each of its extras, with all that
these need in turn. The table stands between `<!-- licences -->` and `<!-- /licences -->`. With --check nothing is
written, and the exit code is 1 if the page is not current. Run it where `.[all]` is installed.

An extra that is not in `all` has a table of its own, between `<!-- licences NAME -->` and `<!-- /licences NAME -->`:
what it brings besides the rows `always`. Run it with --extra NAME where that extra is installed.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CORE = "always"

SPDX = {
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "BSD-3-Clause License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""What distributions write, and the SPDX identifier of the same licence."""

INSIDE = {
    # Seen in the wheel of av 18.1.0 for Linux, 2026-11: `library_meta` of `av._core`, and the files in `av.libs`.
    "av": "its wheel contains FFmpeg (LGPL-3.0-or-later), x264 and x265 (GPL-2.0-or-later)",
    # The licence of PostgreSQL's client library, https://www.postgresql.org/about/licence/.
    "psycopg": "uses libpq (PostgreSQL), which you install",
}
"""What a distribution brings or needs besides its own code, where the licence is another one."""


def requirements() -> dict[str, list[Requirement]]:
    """The direct dependencies of the package, and of each extra, by pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: lines for name, lines in project["optional-dependencies"].items() if name != "all"}
    return {
        name: [Requirement(line) for line in lines] for name, lines in {CORE: project["dependencies"], **extras}.items()
    }


def closure(direct: Iterable[Requirement]) -> set[str]:
    """The names of all distributions that these bring on this machine.

    Raises:
        PackageNotFoundError: one of them is not installed.
    """
    found: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(each.name), extra) for each in direct for extra in ("", *each.extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        for line in metadata.requires(name) or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(canonicalize_name(needed.name), each) for each in ("", *needed.extras)]
    return {name for name, _ in found}


def licence_of(name: str) -> str:
    """The licence that a distribution states: its expression, its field if that is short, or its classifiers."""
    stated = metadata.metadata(name)
    field = next((str(stated[key]).strip() for key in ("License-Expression", "License") if key in stated), "")
    short = len(field) < 60 and "\n" not in field  # the field may hold the whole text of a licence
    if short and field not in {"", "UNKNOWN"}:
        return SPDX.get(field, field)
    classified = [line for line in stated.get_all("Classifier") or () if line.startswith("License :: OSI Approved :: ")]
    if not classified:
        raise SystemExit(f"{name} states no licence that fits into a cell.")
    return " OR ".join(SPDX.get(word, word) for word in (line.rpartition(" :: ")[2] for line in classified))


def in_all() -> set[str]:
    """The extras that `all` brings."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (line,) = project["optional-dependencies"]["all"]
    return Requirement(line).extras


def table(extra: str | None = None) -> str:
    """The table, by name: of all extras in `all`, or of one that is not among them."""
    chosen = {CORE, *(in_all() if extra is None else [extra])}
    needs = {name: closure(direct) for name, direct in requirements().items() if name in chosen}
    lines = ["| Distribution | Licence | Comes with |", "|---|---|---|"]
    for name in sorted(set().union(*needs.values()) - (set() if extra is None else needs[CORE])):
        extras = [extra for extra, names in needs.items() if name in names]
        coming = CORE if CORE in extras else ", ".join(f"`{extra}`" for extra in extras)
        inside = f"; {INSIDE[name]}" if name in INSIDE else ""
        lines.append(f"| `{name}` | {licence_of(name)}{inside} | {coming} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Write the page, or only check it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--extra")
    parser.add_argument("page", nargs="?", type=Path)
    given = parser.parse_args(arguments)
    mark = "licences" if given.extra is None else f"licences {given.extra}"
    page = given.page or DOCS / f"{mark.replace(' ', '-')}.md"
    text = page.read_text(encoding="utf-8")
    marked = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
    current = marked.sub(lambda found: f"{found[1]}\n{table(given.extra)}\n\n{found[2]}", text)
    if current == text:
        return 0
    if given.check:
        sys.stderr.write(f"Not current: {page.name}. Run: python scripts/licences.py\n")
        return 1
    page.write_text(current, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
