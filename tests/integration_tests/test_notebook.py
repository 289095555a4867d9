"""The notebook among the examples runs as it is, shows what it should, and keeps nothing that it should not."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import nbformat
import pytest
from nbclient import NotebookClient

from tests.chromium import chromium, findings, visiting

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "examples" / "quickstart.ipynb"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the notebook works in."""
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(scope="module")
def executed(folder: Path) -> Iterator[Any]:
    """The notebook after all of its cells."""
    own = {name: str(folder / name) for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    others = {name: value for name, value in os.environ.items() if not name.startswith(("NEBULA_", "LANG"))}
    with mock.patch.dict(os.environ, {**others, **own, "PYTHONPATH": str(ROOT)}, clear=True):
        book = nbformat.read(QUICKSTART, as_version=4)
        where = {"metadata": {"path": str(folder)}}
        NotebookClient(book, timeout=300, startup_timeout=300, kernel_name="python3", resources=where).execute()
        yield book


def outputs(book: Any, kind: str) -> list[str]:
    found = [output for cell in book.cells for output in cell.get("outputs", [])]
    return ["".join(output["data"][kind]) for output in found if kind in output.get("data", {})]


def test_the_notebook_runs_and_shows_bars_players_and_costs(executed: Any, folder: Path) -> None:
    bar, saved, task, later, kept = outputs(executed, "text/html")
    for finished in (bar, later):
        assert "Video succeeded" in finished
        assert '<progress max="1" value="1.0000"' in finished
    assert len(re.findall(r'<video src="data:video/mp4;base64,', saved)) == 1
    assert "Task queued" in task
    assert "no: client.download(video, path)" in kept
    streams = [output for cell in executed.cells for output in cell.get("outputs", []) if "text" in output]
    printed = "".join(output["text"] for output in streams)
    assert printed == "$0.1845 (estimated)\nThere it is.\n3 videos, 0.5535 dollars of play money\n"
    assert len(list((folder / "videos").glob("*.mp4"))) == 2


def test_the_notebook_keeps_no_signed_address_and_no_key(executed: Any) -> None:
    kept = json.dumps([cell.get("outputs", []) for cell in executed.cells])
    assert "[redacted]" in kept
    assert "Signature" not in kept
    assert "Expires=" not in kept
    assert "sk-emulator" not in kept


def test_what_the_notebook_keeps_plays_in_a_browser_and_keeps_nobody_out(executed: Any) -> None:
    body = "".join(outputs(executed, "text/html"))
    kept = f'<!doctype html><html lang="en"><title>Notebook</title><main><h1>Notebook</h1>{body}</main></html>'
    with chromium() as browser, visiting(browser) as page:
        page.set_content(kept)
        video = page.locator("video")
        video.evaluate("video => { video.muted = true; return video.play(); }")
        page.wait_for_function(
            "video => video.readyState >= 2 && video.currentTime > 0.2 && !video.error", arg=video.element_handle()
        )
        assert findings(page) == []


def test_the_notebook_is_committed_without_outputs() -> None:
    book = nbformat.read(QUICKSTART, as_version=4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert len(code) > 5
    assert [cell for cell in code if cell.outputs or cell.execution_count is not None] == []
