"""The public names are a list that somebody decided on."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

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


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(langchain_nebula_video, "NebulaVideoTol")


def test_the_version_is_that_of_the_distribution() -> None:
    assert langchain_nebula_video.__version__ == importlib.metadata.version("langchain-nebula-video")


def _loaded_by(code: str) -> set[str]:
    listing = f"{code}; import sys; print(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True).stdout.split()
    )


def test_importing_the_package_imports_no_langchain_and_no_http() -> None:
    loaded = _loaded_by("import langchain_nebula_video")
    assert not {"langchain_core", "langchain", "httpx", "httpx2", "pydantic", "tenacity"} & loaded


def test_importing_the_tool_imports_neither_our_http_library_nor_an_extra() -> None:
    loaded = _loaded_by("from langchain_nebula_video import NebulaVideoTool")
    assert (
        not {
            "httpx",
            "starlette",
            "uvicorn",
            "av",
            "PIL",
            "typer",
            "rich",
            "langgraph",
            "langchain",
            "sqlalchemy",
            "psycopg",
        }
        & loaded
    )


_WITHOUT_EXTRAS = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"starlette", "uvicorn", "av", "PIL", "typer", "rich", "langgraph", "langchain",
                                  "sqlalchemy", "psycopg"}:
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Missing())
from langchain_nebula_video import NebulaVideoClient, NebulaVideoRunnable, NebulaVideoTool
for kind in (NebulaVideoClient, NebulaVideoRunnable, NebulaVideoTool):
    kind(api_key="sk-x")
from langchain_nebula_video import InvalidRequestError, SqlJournal
try:
    SqlJournal("sqlite:///journal.db")
except InvalidRequestError as error:
    assert 'pip install "langchain-nebula-video[journal]"' in str(error), error
else:
    raise AssertionError
"""


def test_the_core_needs_no_extra() -> None:
    subprocess.run([sys.executable, "-c", _WITHOUT_EXTRAS], check=True)
