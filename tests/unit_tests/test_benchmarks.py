"""docs/benchmarks.md says what the kept results of the benchmarks say."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def own_modules() -> Any:
    """A benchmark imports its neighbours by their bare names; nobody else shall find them."""
    before, path = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == BENCHMARKS:
            del sys.modules[name]


def page() -> Any:
    """The program that writes the page, as a module."""
    return type("Page", (), {"names": runpy.run_path(str(BENCHMARKS / "page.py"))}).names  # type: ignore[attr-defined]


def test_the_page_and_its_pictures_are_those_of_the_kept_results() -> None:
    assert page()["main"](check=True) == 0


def test_a_page_of_other_results_is_found(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    names = page()
    shutil.copytree(BENCHMARKS / "results", tmp_path / "results")
    results = tmp_path / "results" / "clients.json"
    found = json.loads(results.read_text(encoding="utf-8"))
    found["faults"]["fal"]["lost"]["paid"] = 99
    results.write_text(json.dumps(found), encoding="utf-8")
    names["read"].__globals__["FOLDER"] = tmp_path / "results"
    assert names["main"](check=True) == 1
    told = capsys.readouterr().err
    assert told.startswith(
        "Not current: benchmarks.md, benchmark-cost.svg, benchmark-faults.svg, benchmark-waiting.svg."
    )


def test_a_video_that_is_paid_twice_stands_out() -> None:
    paid = page()["paid"]
    assert (paid({"paid": 0}), paid({"paid": 1}), paid({"paid": 2})) == ("0", "1", "**2**")
