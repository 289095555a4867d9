"""The documentation is run: its Python on the emulator, its commands, its links, its tables."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import importlib
import inspect
import io
import itertools
import os
import re
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

import langchain_nebula_video
from langchain_nebula_video import NebulaVideoRunnable, quote
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.catalog.models import MODELS, find_model
from langchain_nebula_video.cli.app import app
from langchain_nebula_video.cli.exit_codes import MEANINGS
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.fleet import Fleet
from langchain_nebula_video.testing import on_emulator
from langchain_nebula_video.transport import SystemClock
from tests.fleets import fresh_url, until, working
from tests.gateways import all_gateways, reached, standing_clock

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(page for page in DOCS.rglob("*.md") if page.parent.name != "zh")]
CHINESE = sorted((DOCS / "zh").glob("*.md"))
"""Their code is that of the pages in English, and runs there."""
ALL_PAGES = [*PAGES, *CHINESE, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md"]
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
GROUPS = {name: command.commands for name in COMMANDS if hasattr(command := COMMANDS[name], "commands")}
"""The commands of each group, such as `fleet`."""
TIMES = 1000
"""How many times faster the world turns here: the emulator works so, and the client's clock sleeps so."""


def _named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    output: str | None
    """The `text` block that follows at once: what the block prints."""


_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _blocks(page: Path, *languages: str) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = list(_FENCED.finditer(text))
    blocks = []
    for match, following in itertools.zip_longest(found, found[1:]):
        printed = following is not None and following[1] == "text" and not text[match.end() : following.start()].strip()
        output = following[2] if following is not None and printed else None
        blocks.append(Block(page, text.count("\n", 0, match.start()) + 2, match[1], match[2], output))
    return [block for block in blocks if block.language in languages]


# What differs from run to run, and stands in the docs as it once was.
_VARYING = [
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    r"https?://\S+",
    r"\d{4}-\d\d-\d\d(?: \d\d:\d\d(?::\d\d)?)?",
    r"\b\d+:\d\d\b(?!:)",
]
_SPLIT = re.compile("|".join(f"({pattern})" for pattern in ["…", *_VARYING]))


def _pattern(documented: str) -> re.Pattern[str]:
    """What a documented output must look like; `…` stands for anything."""
    parts, at = [], 0
    for match in _SPLIT.finditer(documented):
        parts.append(re.escape(documented[at : match.start()]))
        parts.append(r"[\s\S]*?" if match[0] == "…" else _VARYING[(match.lastindex or 0) - 2])
        at = match.end()
    return re.compile("".join([*parts, re.escape(documented[at:])]))


def _same(printed: str, documented: str) -> bool:
    told = "\n".join(line.rstrip() for line in printed.strip().splitlines())
    return _pattern(documented.strip()).fullmatch(told) is not None


@pytest.fixture
def reader(behaviour: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Emulator]:
    """A reader's machine: a folder with a picture, every gateway in the environment, and time that flies.

    What a page registers is gone after it.

    The clock is patched, not injected: an option for it would have to stand in every example.
    """
    slept = 0.0  # what the clock is ahead, so that a wait that was slept through is over for whoever looks at the clock

    def pause(seconds: float) -> float:
        nonlocal slept
        slept += seconds
        return seconds / TIMES

    async def asleep(_: SystemClock, seconds: float) -> None:
        await asyncio.sleep(pause(seconds))

    monkeypatch.setattr(SystemClock, "monotonic", lambda _: time.monotonic() + slept)
    monkeypatch.setattr(SystemClock, "sleep", lambda _, seconds: time.sleep(pause(seconds)))
    monkeypatch.setattr(SystemClock, "asleep", asleep)
    monkeypatch.chdir(tmp_path)
    cat = files("langchain_nebula_video").joinpath("assets", "cat.jpg").read_bytes()
    Path("cat.jpg").write_bytes(cat)
    with Image.open(io.BytesIO(cat)) as picture:
        picture.resize((160, 106)).save("thumbnail.jpg")
    with all_gateways(speed=TIMES) as emulator, mock.patch.dict(GATEWAYS), mock.patch.dict(MODELS):
        for name, row in GATEWAYS.items():
            where = reached(emulator, name)
            monkeypatch.setenv(row.url_variable, where["base_url"])
            monkeypatch.setenv(row.key_variable, where["api_key"])
        # The gateway that docs/adding-a-model.md adds; it speaks as Nebula does.
        monkeypatch.setenv("ACME_BASE_URL", emulator.url)
        monkeypatch.setenv("ACME_API_KEY", emulator.api_key)
        yield emulator


@pytest.fixture
def database(page: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """What the pages about the fleet have besides: an empty database of PostgreSQL as `NEBULA_JOURNAL`."""
    if page.stem.startswith("fleet"):
        monkeypatch.setenv("NEBULA_JOURNAL", fresh_url(request.getfixturevalue("server")))


def _compiled(block: Block) -> Any:
    padded = "\n" * (block.line - 1) + block.text  # so that a traceback names the line of the page
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return compile(padded, str(block.page), "exec", flags=flags, dont_inherit=True)


_JOURNEYS = (
    "README.md",
    *(f"docs/{name}.md" for name in ("quickstart", "tool-and-chain", "agents", "approval", "graphs", "graph-approval")),
    *(f"docs/{name}.md" for name in ("graph-reruns", "tasks-and-recovery", "repeats", "lost-submits")),
)
"""Pages that also have to hold where Nebula does as its published code."""
_RUN = [(page, "page") for page in PAGES if _blocks(page, "python")] + [(ROOT / name, "source") for name in _JOURNEYS]
_ESTIMATED = " (estimated)"
"""What the code does not confirm, because no answer of it tells the account's ratio."""


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
@pytest.mark.filterwarnings("ignore:The v3 streaming protocol")
@pytest.mark.parametrize(
    ("page", "behaviour"),
    _RUN,
    ids=lambda value: value if isinstance(value, str) else _named(value),
    indirect=["behaviour"],
)
@pytest.mark.usefixtures("database")
async def test_the_python_of_a_page_runs_and_prints_what_the_page_says(
    page: Path, behaviour: str, reader: Emulator
) -> None:
    namespace: dict[str, Any] = {"__name__": "docs"}
    for block in _blocks(page, "python"):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            running = eval(_compiled(block), namespace)
            if inspect.isawaitable(running):
                await running
        if block.output is not None:
            told, documented = printed.getvalue(), block.output
            if behaviour == "source":
                told, documented = (text.replace(_ESTIMATED, "") for text in (told, documented))
            assert _same(told, documented), f"{_named(page)}:{block.line} prints {told}"
    for name, test in namespace.items():
        if name.startswith("test_"):
            with Emulator(clock=standing_clock()) as emulator, on_emulator(emulator) as options:
                fixtures = {"emulator": emulator, "nebula_video": options}
                test(**{wanted: fixtures[wanted] for wanted in inspect.signature(test).parameters})


def _commands(block: Block) -> Iterator[tuple[str, str]]:
    """Each command of a `console` block, with the output that is shown."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


async def _work() -> None:
    """Do what a worker does until all batches have ended."""
    url = os.environ["NEBULA_JOURNAL"]

    async def has_ended() -> bool:
        return not any(batch.left for batch in (await Fleet(url).status()).batches)

    async with working(url):
        await until(has_ended, "the end of the batches")


@pytest.mark.parametrize("page", [page for page in PAGES if _blocks(page, "console")], ids=_named)
@pytest.mark.usefixtures("database")
def test_the_commands_of_a_page_run_and_print_what_the_page_says(page: Path, reader: Emulator) -> None:
    code = 0
    for block in _blocks(page, "console"):
        for command, documented in _commands(block):
            if command == "echo $?":
                assert documented.strip() == str(code), f"{_named(page)}:{block.line}"
                continue
            for documented_id in re.findall(_VARYING[0], command):
                command = command.replace(documented_id, reader.tasks[-1].id)  # noqa: PLW2901 the id of today
            name, *arguments = shlex.split(command)
            assert name == "nebula-video"
            if arguments[0] == "emulator":  # it runs until Ctrl-C; test_cli has it
                continue
            if arguments[:2] == ["fleet", "worker"]:  # it runs until Ctrl-C; test_fleet_processes has it
                asyncio.run(_work())
                continue
            result = CliRunner().invoke(app, arguments)
            code = result.exit_code
            assert _same(result.output, documented), f"{_named(page)}:{block.line}: {command} prints {result.output}"


def _shell_lines() -> Iterator[tuple[Path, str]]:
    for page in ALL_PAGES:
        for block in _blocks(page, "bash", "console"):
            for line in block.text.splitlines():
                yield page, line.removeprefix("$ ")
        for code in re.findall(r"`((?:nebula-video|make|python) [^`\n]+)`", page.read_text(encoding="utf-8")):
            yield page, code


def test_every_command_and_option_that_is_named_exists() -> None:
    found = {(tuple(words[1 : 3 if words[1] in GROUPS else 2]), tuple(re.findall(r"--[\w-]+", line)))
             for _, line in _shell_lines() if (words := line.split())[:1] == ["nebula-video"]}  # fmt: skip
    assert len(found) > 5
    for command, options in found:
        result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"})
        assert result.exit_code == 0, command
        for option in options:
            assert option in result.output, f"{command} {option}"


def test_every_make_target_that_is_named_exists() -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = {words[1] for _, line in _shell_lines() if (words := line.split())[:1] == ["make"]}
    assert {"demo", "test"} <= named <= set(targets)


def test_every_example_that_is_named_exists() -> None:
    named = {words[1:3] for _, line in _shell_lines() if (words := (*line.split(), ""))[0] == "python"}
    modules = {module for option, module in named if option == "-m"}
    assert modules == {"langchain_nebula_video"}
    assert [name for name, _ in named if name != "-m" and not (ROOT / name).is_file()] == []


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ALL_PAGES, ids=_named)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", _FENCED.sub("", page.read_text(encoding="utf-8"))):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    named = [page.relative_to(DOCS).as_posix() for page in [*PAGES[1:], *CHINESE]]
    assert [name for name in named if name != "index.md" and f"({name})" not in index] == []


def test_the_price_table_is_that_of_the_default_model() -> None:
    model = find_model(GATEWAYS["nebula"].default_model)
    text = (DOCS / "costs.md").read_text(encoding="utf-8")
    rows = []
    for resolution, price in model.prices["nebula"].items():
        label = f"{resolution} (default)" if resolution == model.default_resolution else resolution
        costs = [str(quote(duration=seconds, resolution=resolution)).split()[0] for seconds in model.durations]
        rows.append(f"| {label} | ${price} | {' | '.join(costs)} |")
    heads = " | ".join(f"{seconds} s" for seconds in model.durations)
    table = "\n".join([f"| Resolution | Per second | {heads} |", "|---|---|---|---|", *rows])
    assert f"\n\n{table}\n\n" in text


def test_the_readme_counts_right() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"[{len(MODELS)} models](docs/models.md) on {len(GATEWAYS)} gateways" in text
    assert f"5 seconds at 720p for {str(quote()).split()[0]}" in text
    chinese = (DOCS / "zh" / "README.md").read_text(encoding="utf-8")
    assert f"{len(GATEWAYS)} 个网关上选用 [{len(MODELS)} 个模型](../models.md)" in chinese


_ORIGINALS = {
    "README.md": ROOT / "README.md",
    "quickstart.md": DOCS / "quickstart.md",
    "nebula.md": DOCS / "gateways" / "nebula.md",
    "dashscope.md": DOCS / "gateways" / "dashscope.md",
}
"""The page in English of each page in Chinese."""


@pytest.mark.parametrize("page", CHINESE, ids=_named)
def test_every_block_of_a_page_in_chinese_is_one_of_the_page_in_english(page: Path) -> None:
    languages = ("bash", "console", "python", "text")
    blocks = [(block.language, block.text) for block in _blocks(page, *languages)]
    assert blocks
    original = [(block.language, block.text) for block in _blocks(_ORIGINALS[page.name], *languages)]
    assert [block for block in blocks if block not in original] == []


def test_every_gateway_has_a_page_and_stands_in_the_index() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    pages = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "gateways").glob("*.md"))
    for row in GATEWAYS.values():
        assert f'"{row.name}"' in index
        assert f'gateway="{row.name}"' in pages or f'`"{row.name}"`' in pages
        assert f"`{row.key_variable}`" in pages
        assert f"`{row.url_variable}`" in pages


@pytest.mark.parametrize("page", ["security.md", "networks.md"])
def test_every_threat_and_every_symptom_names_tests_that_are_there(page: str) -> None:
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    tables = [list(table) for is_row, table in itertools.groupby(lines, lambda line: line[:1] == "|") if is_row]
    rows = [row for head, _, *rows in tables if head.endswith("| Tests |") for row in rows]
    named = [re.findall(r"`(test_\w+\.py)(?:::(\w+))?`", row.split(" | ")[-1]) for row in rows]
    assert all(named)
    for file, test in itertools.chain.from_iterable(named):
        found = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob(file)]
        assert any(f"def {test}(" in text for text in found) if test else found, (file, test)


def test_every_public_name_is_in_the_api_page() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    assert [name for name in langchain_nebula_video.__all__ if f"`{name}`" not in text] == []


def test_every_public_name_of_a_public_module_is_in_the_api_page() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    public = sorted(
        {*re.findall(r"`langchain_nebula_video\.([a-z_.]+)`", text)} - {"emulator"}
    )  # has a page of its own
    assert {"catalog.gateways", "catalog.models", "errors", "graph", "journal", "middleware", "schema"} <= set(public)
    named = {n for module in public for n in importlib.import_module(f"langchain_nebula_video.{module}").__all__}
    assert sorted(name for name in named if not re.search(rf"\b{name}\b", text)) == []


def test_every_error_is_in_the_errors_page() -> None:
    text = (DOCS / "errors.md").read_text(encoding="utf-8")
    assert [name for name in langchain_nebula_video.__all__ if name.endswith("Error") and name not in text] == []


def test_every_option_and_every_field_of_a_request_is_in_the_options_page() -> None:
    text = (DOCS / "options.md").read_text(encoding="utf-8")
    names = {*NebulaVideoRunnable.model_fields, *langchain_nebula_video.VideoRequest.model_fields} - {"name"}
    assert sorted(name for name in names if f"`{name}`" not in text) == []


def test_every_command_and_every_exit_code_is_in_the_command_line_page() -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"`nebula-video {name}" not in text] == []
    table = "\n".join(f"| {code.value} | {meaning} |" for code, meaning in MEANINGS.items())
    assert table in text
