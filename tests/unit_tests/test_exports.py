"""The public names are a list that somebody decided on."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import langchain_nebula_video


def test_all_is_sorted_and_every_name_is_there() -> None:
    assert langchain_nebula_video.__all__ == sorted(langchain_nebula_video.__all__)
    for name in langchain_nebula_video.__all__:
        assert getattr(langchain_nebula_video, name).__name__ == name


def test_every_public_name_can_be_listed_and_is_documented() -> None:
    assert set(langchain_nebula_video.__all__) <= set(dir(langchain_nebula_video))
    assert [name for name in langchain_nebula_video.__all__ if not getattr(langchain_nebula_video, name).__doc__] == []


def test_what_rows_of_one_s_own_are_made_of_is_public() -> None:
    names = {"Gateway", "ImageLimits", "Model", "register_gateway", "register_model"}
    assert names <= set(langchain_nebula_video.__all__)


def test_the_fleet_s_names_are_sorted_documented_and_there() -> None:
    fleet = importlib.import_module("langchain_nebula_video.fleet")
    assert fleet.__all__ == sorted(fleet.__all__)
    assert [name for name in fleet.__all__ if not getattr(fleet, name).__doc__] == []
    methods = [member for kind in (fleet.Fleet, fleet.FleetWorker) for member in vars(kind).items()]
    assert [name for name, member in methods if not name.startswith("_") and not member.__doc__] == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(langchain_nebula_video, "NebulaVideoTol")


def test_the_version_is_that_of_the_distribution() -> None:
    assert langchain_nebula_video.__version__ == importlib.metadata.version("langchain-nebula-video")


# One process for all of it: what is loaded after each step, and then that a client and a tool need no extra.
_STEPS = """
import json, sys
sys.modules["httpx_aiohttp"] = None  # langsmith takes it, and httpx with it, where it is installed
loaded = []
import langchain_nebula_video
loaded.append([*sys.modules])
from langchain_nebula_video import NebulaVideoTool
loaded.append([*sys.modules])
print(json.dumps(loaded))

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in set(sys.argv[1:]):
            raise ModuleNotFoundError(name=name)

sys.meta_path.insert(0, Missing())
from langchain_nebula_video import NebulaVideoClient, NebulaVideoRunnable
for kind in (NebulaVideoClient, NebulaVideoRunnable, NebulaVideoTool):
    kind(api_key="sk-x")
from langchain_nebula_video import InvalidRequestError, SqlJournal
try:
    SqlJournal("sqlite:///journal.db")
except InvalidRequestError as error:
    print(error)
"""
CORE = {"langchain_core", "langchain", "httpx", "httpx2", "pydantic", "tenacity"}
EXTRAS = {
    *("starlette", "uvicorn", "av", "PIL", "typer", "rich", "langgraph", "langchain", "sqlalchemy", "psycopg"),
    *("procrastinate", "mcp"),
}


def test_imports_are_lazy_and_the_core_needs_no_extra() -> None:
    """The package imports no LangChain and no HTTP; the tool imports neither our HTTP library nor an extra."""
    command = [sys.executable, "-c", _STEPS, *EXTRAS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    listed, refusal = done.stdout.splitlines()
    package, tool = json.loads(listed)
    assert not CORE & set(package)
    assert not ({"httpx"} | EXTRAS) & set(tool)
    assert 'pip install "langchain-nebula-video[journal]"' in refusal


_HINTS = """
import ctypes.util, sys
class Missing:
    names = {"sqlalchemy"}
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
ctypes.util.find_library = lambda name: None
from langchain_nebula_video import InvalidRequestError, SqlJournal
for Missing.names in ({"sqlalchemy"}, {"psycopg"}, {"psycopg_c", "psycopg_binary"}):
    try:
        SqlJournal("postgresql://host/db")
    except InvalidRequestError as error:
        print(str(error).replace(chr(10), " "))
"""


def test_a_journal_names_the_extra_that_brings_the_missing_module() -> None:
    done = subprocess.run([sys.executable, "-c", _HINTS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sqlalchemy, psycopg, libpq = done.stdout.splitlines()
    assert 'Run: pip install "langchain-nebula-video[journal]"' in sqlalchemy
    assert 'Run: pip install "langchain-nebula-video[postgres]"' in psycopg
    assert "needs libpq" in libpq
    assert "apt-get install libpq5" in libpq
    assert 'pip install "psycopg[binary]"' in libpq


def test_sqlite_brings_no_postgresql_driver() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    named = {
        extra: {re.split(r"[^\w-]", line)[0] for line in extras[extra]} for extra in ("cli", "journal", "postgres")
    }
    assert named["journal"] == {"sqlalchemy"}
    assert "psycopg" not in named["cli"]
    assert named["postgres"] == {"sqlalchemy", "psycopg"}
    assert not any("binary" in line for line in extras["postgres"])


def test_all_brings_every_other_extra_but_mcp_which_needs_another_version_of_the_sdk() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    (everything,) = extras["all"]
    assert set(everything.partition("[")[2].rstrip("]").split(",")) == set(extras) - {"all", "mcp"}


def test_an_index_page_leads_to_the_docs_the_source_and_the_place_for_reports() -> None:
    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    urls = project["urls"]
    assert set(urls) == {"Homepage", "Documentation", "Source", "Issues", "Changelog"}
    assert all(url.startswith(urls["Homepage"]) for url in urls.values())
    for name in ("Documentation", "Changelog"):
        assert (root / urls[name].partition("/blob/main/")[2]).is_file()
    assert f"{urls['Homepage']}/security/advisories/new" in (root / "SECURITY.md").read_text(encoding="utf-8")


def test_no_upper_bound_blocks_a_library_that_has_a_new_major_version_every_few_months() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [line for extra in project["optional-dependencies"].values() for line in extra]
    assert [line for line in lines if re.match(r"(av|pillow|rich|uvicorn)\b", line) and "<" in line] == []
