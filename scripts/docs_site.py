#!/usr/bin/env python3
"""scripts/docs_site.py stage | check: what `make docs` does before and after Zensical.

`stage` copies docs/ to build/docs. A link that leaves docs/, such as `../README.md`, becomes one to the repository, by
`project.urls` of pyproject.toml. It also writes the pages of the reference, which mkdocstrings fills from docstrings.
`check` follows every link within build/site to its file and its anchor, and ends with 1 if one leads nowhere.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

__all__ = ["REFERENCE", "broken", "navigation", "rewritten", "stage"]

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
STAGED = ROOT / "build" / "docs"
SITE = ROOT / "build" / "site"
PACKAGE = "langchain_nebula_video"

REFERENCE: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "clients": ("Clients", ("client",)),
    "tools": (
        "Tools and runnable",
        (
            "langchain.tools.NebulaVideoTool",
            "langchain.toolkit",
            "langchain.runnable",
            "langchain.conversation",
            "langchain.progress",
        ),
    ),
    "agents": ("Graphs and middleware", ("graph", "middleware")),
    "fleet": ("Fleet", ("fleet",)),
    "data": ("Requests, tasks, videos, costs", ("schema",)),
    "errors": ("Error classes", ("errors",)),
    "journals": ("Journals and budgets", ("journal",)),
    "catalog": (
        "Models and gateways",
        ("catalog.models", "catalog.gateways", "catalog.registry", "media.limits.ImageLimits"),
    ),
    "mcp": ("MCP server", ("mcp",)),
    "emulator": ("Emulator and console", ("emulator", "web.console")),
    "testing": (
        "Testing and notebooks",
        ("testing.model", "testing.clock", "testing.gateways", "testing.plugin", "notebook"),
    ),
}
"""The pages of the reference: the name of the file, its title, and the modules or names below the package."""

_FENCE = re.compile(r"^ {0,3}(```|~~~)")
_LINK = re.compile(r"(?<=\]\()[^)\s]+(?=\))")


def repository() -> str:
    """Return the address of the repository, as pyproject.toml has it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["urls"]["Source"])


def navigation() -> list[str]:
    """Return every page that the navigation of zensical.toml leads to."""
    found: list[str] = []

    def walk(entries: Iterable[Any]) -> None:
        for entry in entries:
            if isinstance(entry, str):
                found.append(entry)
                continue
            for inside in entry.values():
                walk([inside] if isinstance(inside, str) else inside)

    walk(tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"])
    return found


def rewritten(text: str, page: Path) -> str:
    """Return the text of a page of docs/ with each link that leaves docs/ as one to the repository."""

    def outside(match: re.Match[str]) -> str:
        path, mark, anchor = match[0].partition("#")
        target = Path(os.path.normpath(page.parent / path))
        if not path or ":" in path or target.is_relative_to(DOCS):
            return match[0]
        kind = "tree" if target.is_dir() else "blob"
        return f"{repository()}/{kind}/main/{target.relative_to(ROOT).as_posix()}{mark}{anchor}"

    lines, fenced = [], False
    for line in text.splitlines(keepends=True):
        fenced ^= bool(_FENCE.match(line))
        lines.append(line if fenced else _LINK.sub(outside, line))
    return "".join(lines)


def stage() -> None:
    """Write build/docs."""
    shutil.rmtree(STAGED, ignore_errors=True)
    shutil.copytree(DOCS, STAGED)
    for page in DOCS.rglob("*.md"):
        text = rewritten(page.read_text(encoding="utf-8"), page)
        (STAGED / page.relative_to(DOCS)).write_text(text, encoding="utf-8")
    (STAGED / "reference").mkdir()
    for name, (title, identifiers) in REFERENCE.items():
        blocks = "".join(f"\n::: {PACKAGE}.{identifier}\n" for identifier in identifiers)
        (STAGED / "reference" / f"{name}.md").write_text(f"# {title}\n{blocks}", encoding="utf-8")


class _Html(HTMLParser):
    """The anchors of a page, and where it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the anchors and links of an element."""
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif value and (name == "src" or (name == "href" and (tag, value[:4]) != ("link", "http"))):
                self.links.add(value)


def broken(site: Path) -> list[str]:
    """Return each link within a built site that leads to no file or no anchor, with its page."""
    pages = {}
    for path in sorted(site.rglob("*.html")):
        if path.name == "404.html":  # served for any address, so its links begin at the host
            continue
        pages[path] = _Html()
        pages[path].feed(path.read_text(encoding="utf-8"))
    found = []
    for path, html in pages.items():
        for link in sorted(html.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = Path(os.path.normpath(path.parent / unquote(parts.path))) if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            known = pages[target].anchors if target in pages else None
            if not target.is_file() or (parts.fragment and known is not None and unquote(parts.fragment) not in known):
                found.append(f"{path.relative_to(site)}: {link}")
    return found


def main(arguments: list[str]) -> int:
    """Do what the first argument says."""
    if arguments == ["stage"]:
        stage()
        return 0
    if arguments != ["check"]:
        sys.stderr.write("usage: python scripts/docs_site.py stage | check\n")
        return 2
    lost = broken(SITE)
    sys.stderr.write("".join(f"leads nowhere: {line}\n" for line in lost))
    return int(bool(lost))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
