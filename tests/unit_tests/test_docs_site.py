"""The site of the docs, apart from Zensical: its navigation, its links, its reference; and that the pages are short."""

from __future__ import annotations

import importlib
import runpy
from pathlib import Path
from typing import Any

import pytest

import langchain_nebula_video

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REPOSITORY = "https://github.com/langchain-nebula-video/langchain-nebula-video"


@pytest.fixture(scope="module")
def site() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "docs_site.py"))


def test_every_page_is_in_the_navigation_once(site: dict[str, Any]) -> None:
    pages = [page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")]
    written = [f"reference/{name}.md" for name in site["REFERENCE"]]
    assert sorted(site["navigation"]()) == sorted([*pages, *written])


@pytest.mark.parametrize(
    ("link", "there"),
    [
        ("models.md#prices", "models.md#prices"),
        ("#local-images", "#local-images"),
        ("https://example.com/a.md", "https://example.com/a.md"),
        ("../README.md#setup", f"{REPOSITORY}/blob/main/README.md#setup"),
        ("../examples", f"{REPOSITORY}/tree/main/examples"),
    ],
)
def test_a_link_that_leaves_the_docs_leads_to_the_repository(site: dict[str, Any], link: str, there: str) -> None:
    text = "[a]({0}) and\n```python\nx = f[a]({0})\n```\n[b]({0})\n"
    assert site["rewritten"](text.format(link), DOCS / "page.md") == text.replace("{0}", there, 1).replace(
        "[b]({0})", f"[b]({there})"
    ).format(link)


def test_a_link_of_a_page_in_a_folder_is_read_from_there(site: dict[str, Any]) -> None:
    rewritten = site["rewritten"]("[a](../models.md) [b](../../LICENSE)", DOCS / "gateways" / "page.md")
    assert rewritten == f"[a](../models.md) [b]({REPOSITORY}/blob/main/LICENSE)"


def test_a_link_of_the_built_site_that_leads_nowhere_is_found(site: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "index.html").write_text('<h1 id="top">There</h1><img src="../cat.jpg">', encoding="utf-8")
    (tmp_path / "index.html").write_text(
        '<a href="there/">1</a><a href="there/#top">2</a><a href="there/#end">3</a><a href="gone/">4</a>'
        '<a href="https://example.com/gone">5</a><a href="#here">6</a>',
        encoding="utf-8",
    )
    assert site["broken"](tmp_path) == [
        "index.html: #here",
        "index.html: gone/",
        "index.html: there/#end",
        "there/index.html: ../cat.jpg",
    ]


def test_every_public_name_is_in_the_reference(site: dict[str, Any]) -> None:
    modules, names = set(), set()
    for _, identifiers in site["REFERENCE"].values():
        for identifier in identifiers:
            module, _, name = identifier.rpartition(".")
            if name[:1].isupper():
                names.add(getattr(importlib.import_module(f"langchain_nebula_video.{module}"), name))
            else:
                modules.add(importlib.import_module(f"langchain_nebula_video.{identifier}"))
    told = names | {getattr(module, name) for module in modules for name in module.__all__ if name[:1].isalpha()
                    if callable(getattr(module, name))}  # fmt: skip
    assert [name for name in langchain_nebula_video.__all__ if getattr(langchain_nebula_video, name) not in told] == []


def test_every_page_is_short_and_so_are_its_sentences() -> None:
    readability = runpy.run_path(str(ROOT / "scripts" / "readability.py"))
    found = [readability["read"](page) for page in readability["pages"]()]
    assert len(found) > 30
    assert [page.path.name for page in found if not page.is_readable] == []
