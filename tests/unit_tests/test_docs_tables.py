"""The tables of the docs are those of the package's rows, and every model is in them once."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import sys
import tomllib
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from langchain_nebula_video import quote
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.catalog.models import MODELS
from langchain_nebula_video.schema import VideoRequest, money
from tests.tables import each_row

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "models_table.py"
LICENCES = ROOT / "scripts" / "licences.py"
LICENCES_PAGE = ROOT / "docs" / "licences.md"
LICENCES_MCP_PAGE = ROOT / "docs" / "licences-mcp.md"
MODELS_PAGE = ROOT / "docs" / "models.md"
SOURCES_PAGE = ROOT / "docs" / "model-sources.md"
NONE = "\N{EN DASH}"


def run(*arguments: str | Path) -> tuple[int, str]:
    """The script of the models' tables as its own program, within this process."""
    return run_script(SCRIPT, *arguments)


def run_script(script: Path, *arguments: str | Path) -> tuple[int, str]:
    """A script as its own program, within this process: its exit code, and what it writes to stderr."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(io.StringIO()) as stderr:
        patch.setattr(sys, "argv", [str(script), *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(script), run_name="__main__")
    return int(ended.value.code or 0), stderr.getvalue()


def test_the_tables_are_current() -> None:
    assert run("--check") == (0, "")


def test_a_stale_page_is_found_and_written_anew(tmp_path: Path) -> None:
    page, current = tmp_path / "models.md", MODELS_PAGE.read_text(encoding="utf-8")
    stale = current.replace("$0.0738", "$0.0739")
    assert stale != current
    page.write_text(stale, encoding="utf-8")
    assert run("--check", page) == (1, "Not current: models.md. Run: python scripts/models_table.py\n")
    assert page.read_text(encoding="utf-8") == stale
    assert run(page) == (0, "")
    assert page.read_text(encoding="utf-8") == current


def test_what_stands_around_the_tables_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Before.\n\n<!-- table: effects -->\n<!-- /table -->\n\n| a | b |\n|---|---|\n", encoding="utf-8")
    assert run(page)[0] == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("Before.\n\n<!-- table: effects -->\n\n| Model | `template` |\n")
    assert text.endswith("|\n\n<!-- /table -->\n\n| a | b |\n|---|---|\n")


def rows(name: str, page: Path = MODELS_PAGE) -> list[dict[str, str]]:
    """A table of the models page, read as a reader does."""
    return cells_of(page, rf"<!-- table: {name} -->\n\n(.*?)\n\n<!-- /table -->")


def licences(page: Path = LICENCES_PAGE, mark: str = "licences") -> list[dict[str, str]]:
    """A table of licences."""
    return cells_of(page, rf"<!-- {mark} -->\n\n(.*?)\n\n<!-- /{mark} -->")


def cells_of(page: Path, pattern: str) -> list[dict[str, str]]:
    text = page.read_text(encoding="utf-8")
    lines = re.findall(pattern, text, re.DOTALL)[0].splitlines()
    head, _, *body = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(head, cells, strict=True)) for cells in body]


def named(cell: str) -> list[str]:
    """The models that a first cell names: braces spread, and a beginning stands for all that begin so."""
    found = []
    for pattern in re.findall(r"`([^`]+)`", cell):
        if pattern.endswith("…"):
            found += [name for name in MODELS if name.startswith(pattern[:-1])]
            continue
        parts = [part.strip("{}").split(",") for part in re.split(r"(\{[^}]*\})", pattern)]
        found += ["".join(words) for words in product(*parts)]
    return found


@each_row("table", ["models", "prices"])
def test_every_model_is_in_the_table_once(table: str) -> None:
    told = [name for row in rows(table) for name in named(row["Model"])]
    assert sorted(told) == sorted(MODELS)


def test_a_line_for_several_models_holds_for_each_of_them() -> None:
    for row in rows("models"):
        for model in (MODELS[name] for name in named(row["Model"])):
            seconds = [int(number) for number in re.findall(r"\d+", row["Seconds"])]
            assert {*model.durations} >= {*seconds}
            assert f"**{model.default_duration}**" in row["Seconds"]
            assert (min(seconds), max(seconds)) == (model.durations[0], model.durations[-1])
            if row["Resolutions"] == "in the name":
                assert re.findall(r"(?<=-)\d+p", model.name) == [*model.resolutions]
            else:
                assert re.findall(r"\d+p", row["Resolutions"]) == [*model.resolutions]
                assert f"**{model.default_resolution}**" in row["Resolutions"]
            assert row["fps"] == str(model.fps)
            assert row["Prompt"] == (str(model.max_prompt) if model.max_prompt else "not documented")
            assert ("always" in row["Sound"]) is model.always_sound
            assert ("generated" in row["Sound"]) is ("generate_audio" in model.takes)
            assert ("yours" in row["Sound"]) is ("audio_url" in model.takes)
            fields = model.takes | model.requires
            for field in ("image", "last_image", "reference_images"):
                assert (f"`{field}`" in row["Made of"]) is (field in fields), (model.name, field)
            for field in ("template", "negative_prompt", "watermark", "smart_rewrite", "aspect_ratio"):
                assert (f"`{field}`" in row["Besides"]) is (field in fields), (model.name, field)


def test_every_price_is_that_of_a_quote() -> None:
    for row in rows("prices"):
        for name, gateway in product(named(row["Model"]), GATEWAYS):
            cell, served = row.get(f"`{gateway}`"), gateway in MODELS[name].prices
            if cell is None:
                assert (f"`{gateway}`" in row["Price not documented"]) is served
                cell = "not documented"
            if not served:
                assert cell in {NONE, "not documented"}
                continue
            told: dict[str, Any] = dict(re.findall(r"(\d+p) (\S+?)(?:,|$| )", cell))
            silent: dict[str, Any] = dict(re.findall(r"(\d+p) \S+ \(silent (\S+)\)", cell))
            assert (cell == "not documented") is (told == {})
            for tier in told or MODELS[name].resolutions:
                for sound in {False, bool(silent)}:
                    cost = quote(gateway=gateway, model=name, resolution=tier, generate_audio=sound)
                    each = cost.price_per_second
                    expected = told.get(tier) if sound or not silent else silent[tier]
                    assert expected == (None if each is None else money(each, cost.currency))


def test_every_field_of_a_request_is_in_the_table() -> None:
    assert [row["Field"].strip("`") for row in rows("fields")] == [
        name for name in VideoRequest.model_fields if name != "model"
    ]
    for row in rows("fields"):
        for gateway in GATEWAYS.values():
            (cell,) = [cell for head, cell in row.items() if f"`{gateway.name}`" in head]
            assert (cell != NONE) is (row["Field"].strip("`") in gateway.carries)


def test_every_row_tells_its_source_a_date_and_how_many_agree() -> None:
    told = {name: row for row in rows("sources", SOURCES_PAGE) for name in named(row["Model"])}
    assert sorted(told) == sorted(MODELS)
    for name, row in told.items():
        assert re.fullmatch(r"\d{4}-\d\d(-\d\d)?", row["As of"]), name
        assert MODELS[name].source.startswith(f"{row['Source']}, {row['As of']}; ")


def test_every_dependency_of_every_extra_is_in_the_table_of_licences() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: lines for name, lines in project["optional-dependencies"].items() if name != "all"}
    pages = {"licences": LICENCES_PAGE, "licences mcp": LICENCES_MCP_PAGE}
    tables = {
        mark: {row["Distribution"].strip("`"): row for row in licences(page, mark)} for mark, page in pages.items()
    }
    for extra, lines in {"always": project["dependencies"], **extras}.items():
        table = tables["licences mcp" if extra == "mcp" else "licences"]
        for line in lines:
            row = table[canonicalize_name(Requirement(line).name)]
            assert row["Licence"], line
            assert row["Comes with"] == "always" or extra in re.findall(r"[\w-]+", row["Comes with"]), line


def test_a_table_of_licences_written_here_has_the_rows_of_the_docs(tmp_path: Path) -> None:
    page = tmp_path / "licences.md"
    page.write_text("<!-- licences -->\n<!-- /licences -->\n", encoding="utf-8")
    assert run_script(LICENCES, "--check", page) == (
        1,
        "Not current: licences.md. Run: python scripts/licences.py\n",
    )
    assert run_script(LICENCES, page) == (0, "")
    assert run_script(LICENCES, "--check", page) == (0, "")
    stated = {row["Distribution"]: row["Licence"] for row in licences()}
    for row in licences(page):  # another Python or system needs a few more
        assert stated.get(row["Distribution"], row["Licence"]) == row["Licence"]


@pytest.mark.parametrize("page", ["stores.md", "journal-in-production.md"])
def test_every_error_in_a_table_of_symptoms_has_a_test(page: str) -> None:
    table = (ROOT / "docs" / page).read_text(encoding="utf-8").partition("| You see |")[2].partition("\n\n")[0]
    symptoms = re.findall(r"`([^`]*)`", " ".join(row.split("|")[1] for row in table.splitlines()[2:]))
    tests = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/test_*.py"))
    assert len(symptoms) > 5
    assert [symptom for symptom in symptoms if symptom not in tests.replace("\\", "")] == []
