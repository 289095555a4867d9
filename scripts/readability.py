#!/usr/bin/env python3
"""How hard the pages are to read: sentences of more than 18 words in the mean, or pages of more than 150 lines.

`python scripts/readability.py` prints a line for each page and ends with 1 if one is over a limit. Only running text
counts: paragraphs and list items, not code, tables or headings. Limits of plain English: gov.uk asks for sentences of
at most 25 words, and a mean of 15 to 20 is the usual advice.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

__all__ = ["MOST_LINES", "MOST_WORDS", "Page", "pages", "read"]

ROOT = Path(__file__).parents[1]
MOST_WORDS = 18
"""Words of a sentence, in the mean of a page."""
MOST_LINES = 150
_END = re.compile(r"(?<=[.!?:])[)\"']*\s+(?=[A-Z`\"'(\d])")
_WORD = re.compile(r"[^\W_][\w'.-]*")
_CODE = "code"
"""A span of code is read as one word."""


@dataclass(frozen=True, slots=True)
class Page:
    """What was measured of a page."""

    path: Path
    lines: int
    sentences: tuple[str, ...]

    @property
    def words(self) -> float:
        """Words of a sentence, in the mean; 0 where there is no running text."""
        return sum(map(_count, self.sentences)) / len(self.sentences) if self.sentences else 0.0

    @property
    def longest(self) -> str:
        """The sentence with the most words."""
        return max(self.sentences, key=_count, default="")

    @property
    def is_readable(self) -> bool:
        """Whether both limits are kept."""
        return self.words < MOST_WORDS and self.lines <= MOST_LINES


def _count(sentence: str) -> int:
    return len(_WORD.findall(sentence))


def _text(token: Token) -> str:
    parts = [
        _CODE if each.type == "code_inline" else " " if each.type in {"softbreak", "hardbreak"} else each.content
        for each in token.children or ()
    ]
    return "".join(parts)


def read(path: Path) -> Page:
    """Measure a page in Markdown."""
    source = path.read_text(encoding="utf-8")
    tokens = MarkdownIt("commonmark").enable("table").parse(source)
    sentences: list[str] = []
    skipped = 0  # tables and headings that are open
    for token in tokens:
        if token.type in {"table_open", "heading_open"}:
            skipped += 1
        elif token.type in {"table_close", "heading_close"}:
            skipped -= 1
        elif token.type == "inline" and not skipped:
            sentences += [each for each in _END.split(_text(token)) if _WORD.search(each)]
    return Page(path, len(source.splitlines()), tuple(sentences))


def pages() -> list[Path]:
    """Return every page in English that a user reads."""
    return [ROOT / "README.md", *sorted(each for each in (ROOT / "docs").rglob("*.md") if "zh" not in each.parts)]


def main() -> int:
    """Print a line for each page; 1 if one is over a limit."""
    found = [read(each) for each in pages()]
    for page in found:
        mark = " " if page.is_readable else "!"
        print(f"{mark} {page.lines:4} lines {page.words:5.1f} words  {page.path.relative_to(ROOT)}")
        if page.words >= MOST_WORDS:
            print(f"      longest: {page.longest}")
    return int(not all(page.is_readable for page in found))


if __name__ == "__main__":
    sys.exit(main())
