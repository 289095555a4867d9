"""The packages as an index gets them: built, checked, and installed without and with each extra."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
import readme_renderer.markdown
import trove_classifiers
import uv
from packaging.specifiers import SpecifierSet

from tests.environments import PEERS

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Source"]

CORE = "from langchain_nebula_video import NebulaVideoTool, quote; NebulaVideoTool(api_key='sk-x'); print(quote())"
COMMAND = "import sys; from langchain_nebula_video.cli import main; sys.argv = ['nebula-video', 'quote']; main()"
SMOKE = {
    "": CORE,
    "cli": COMMAND,
    "emulator": "from langchain_nebula_video.emulator import Emulator\nwith Emulator() as e: assert not e.tasks",
    "web": "import langchain_nebula_video.web; import jinja2, starlette, multipart",
    "journal": "from langchain_nebula_video import SqlJournal; assert not SqlJournal('sqlite:///j.db').entries()",
    "postgres": "import sqlalchemy, importlib.metadata as m; m.version('psycopg')",  # psycopg needs the system's libpq
    "fleet": "import importlib.metadata as m; m.version('psycopg-pool'), m.version('procrastinate')",  # libpq, likewise
    "storage": "import fsspec; fsspec.filesystem('memory')",
    "fast": "import aiohttp; from langchain_nebula_video.transport import fast",
    "images": "import PIL.Image, pillow_heif",
    "socks": "import socksio",
    "http2": "import h2",
    "compression": "import brotli",
    "langgraph": "from langchain_nebula_video.graph import video_graph",
    "agents": "from langchain_nebula_video.middleware import VideoBudgetMiddleware; VideoBudgetMiddleware('1')",
    "mcp": "from langchain_nebula_video.mcp import create_server",
    "all": f"from langchain_nebula_video.web.console import add_console; {COMMAND}",
}
"""A line that works with an extra installed, besides that of the core."""


def run(*command: str, cwd: Path) -> str:
    """Run a program that is to succeed, without the checkout on its path."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NEBULA_"))}
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=600, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT), cwd=folder)
    return sorted(folder.iterdir(), key=lambda path: path.suffix)


@pytest.fixture(scope="module")
def sdist(packages: list[Path]) -> Path:
    return packages[0]


@pytest.fixture(scope="module")
def wheel(packages: list[Path]) -> Path:
    return packages[1]


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    """What the index reads."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_an_index_accepts_the_packages(packages: list[Path], tmp_path: Path) -> None:
    assert [path.name.rpartition("0.1.0")[2] for path in packages] == [".tar.gz", "-py3-none-any.whl"]
    run(sys.executable, "-m", "twine", "check", "--strict", *map(str, packages), cwd=tmp_path)


def test_the_page_on_the_index_is_the_readme_with_links_that_lead_into_the_repository(metadata: Message) -> None:
    assert metadata["Description-Content-Type"] == "text/markdown"
    page = readme_renderer.markdown.render(str(metadata.get_payload()))
    assert page is not None
    links = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert len(links) > 30
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    assert f"{REPOSITORY}/blob/main/docs/index.md" in links
    assert page.count("<table>") >= 2
    assert [link for link in links if link.startswith("https://raw.") and link.endswith("/docs/pictures/demo.webp")]
    for link in links:
        path, _, _ = link.removeprefix(f"{REPOSITORY}/blob/main/").partition("#")
        assert not link.startswith(f"{REPOSITORY}/blob/main/") or (ROOT / path).exists(), link


def test_the_classifiers_exist_and_name_every_python_that_is_supported(metadata: Message) -> None:
    named = set(metadata.get_all("Classifier", []))
    assert named <= trove_classifiers.classifiers
    supported = {f"Programming Language :: Python :: 3.{minor}" for minor in range(11, 15)}
    assert supported <= named
    pythons = SpecifierSet(metadata["Requires-Python"])
    assert [f"3.{minor}" in pythons for minor in range(10, 15)] == [False, True, True, True, True]


def test_the_wheel_has_all_files_of_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = ROOT / "langchain_nebula_video"
    there = {path.relative_to(ROOT).as_posix() for path in package.rglob("*") if path.is_file()}
    assert names == {name for name in there if "__pycache__" not in name}
    assert "langchain_nebula_video/py.typed" in names


def test_the_sdist_has_what_somebody_needs_who_builds_and_tests_it(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in (
        "tests/conftest.py",
        "docs/index.md",
        "examples/quickstart.ipynb",
        "Makefile",
        "SECURITY.md",
        "LICENSE",
    ):
        assert name in names, name
    assert not any(name.startswith((".venv", ".ci", "build/")) for name in names)


def test_no_extra_is_forgotten_here() -> None:
    assert set(SMOKE) == {"", *PROJECT["optional-dependencies"]}


@pytest.mark.skipif(not PEERS, reason="installs from an index: NEBULA_PEERS=1 make test does it")
def test_the_wheel_installs_and_works_without_and_with_each_extra(wheel: Path, tmp_path: Path) -> None:
    """Each in an environment of its own, with what an index has today."""
    program = uv.find_uv_bin()

    def install(extra: str) -> str:
        python = str(tmp_path / f"with-{extra}" / "bin" / "python")
        wanted = f"{wheel}[{extra}]" if extra else str(wheel)
        run(program, "venv", "--quiet", "--python", sys.executable, str(Path(python).parents[1]), cwd=tmp_path)
        run(program, "pip", "install", "--quiet", "--python", python, wanted, cwd=tmp_path)
        run(program, "pip", "check", "--quiet", "--python", python, cwd=tmp_path)
        return run(python, "-I", "-c", f"{CORE}\n{SMOKE[extra]}", cwd=tmp_path)

    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(install, SMOKE))
    assert [line.splitlines()[0] for line in told] == ["$0.369 (estimated)"] * len(SMOKE)


@pytest.mark.skipif(not PEERS, reason="installs from an index: NEBULA_PEERS=1 make test does it")
def test_without_its_extra_a_command_names_what_to_install(wheel: Path, tmp_path: Path) -> None:
    program, python = uv.find_uv_bin(), tmp_path / "bare" / "bin" / "python"
    run(program, "venv", "--quiet", "--python", sys.executable, str(python.parents[1]), cwd=tmp_path)
    run(program, "pip", "install", "--quiet", "--python", str(python), str(wheel), cwd=tmp_path)
    done = subprocess.run(
        [str(python.parent / "nebula-video"), "quote"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 2
    assert 'pip install "langchain-nebula-video[cli]"' in done.stderr
