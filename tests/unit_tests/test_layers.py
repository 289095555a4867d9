"""The house: rooms on floors, read off the tree. Imports go one way, downwards."""

from __future__ import annotations

import ast
import functools
import graphlib
from pathlib import Path

import langchain_nebula_video
from tests.tables import each_row

PACKAGE = "langchain_nebula_video"
ROOT = Path(langchain_nebula_video.__file__).parent
# From the ground up. A room imports from the floors below its own, and from itself; never from its neighbours.
FLOORS = (
    *("display", "schema", "errors", "media", "protocols", "catalog transport", "journal saving", "lifecycle"),
    *("client", "fleet langchain", "graph middleware mcp notebook", "emulator", "testing web", "cli", "__main__"),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms.split()}
FILES = {
    ".".join((PACKAGE, *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}


def room_of(module: str) -> str:
    return f"{module}..".split(".")[1]


@functools.cache
def imports_of(module: str) -> frozenset[str]:
    """All that a file imports, anywhere in it: in functions and for the type checker too."""
    package = module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: 1 - node.level or None] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            found |= {name if (name := f"{base}.{alias.name}") in FILES else base for alias in node.names}
    return frozenset(found - {module})


def edges() -> list[tuple[str, str]]:
    return [(module, name) for module in FILES for name in imports_of(module)]


def test_every_room_has_its_floor() -> None:
    assert {room_of(module) for module in FILES} - {""} == set(FLOOR)


def test_rooms_import_from_the_floors_below() -> None:
    inside = [edge for edge in edges() if edge[0] != PACKAGE and edge[1] in FILES]
    assert [
        f"{module} imports {name}"
        for module, name in inside
        if room_of(module) != room_of(name) and FLOOR[room_of(name)] >= FLOOR[room_of(module)]
    ] == []


def test_no_files_import_each_other_in_a_circle() -> None:
    graphlib.TopologicalSorter({module: imports_of(module) & set(FILES) for module in FILES}).prepare()


def test_the_emulator_is_alone() -> None:
    """It is written from the vendors' pages, so that it can disagree with the client."""
    strangers = [name for module, name in edges() if room_of(module) == "emulator" and name.startswith(PACKAGE)]
    assert [name for name in strangers if room_of(name) != "emulator"] == []


def test_pages_share_a_look_that_knows_neither_the_emulator_nor_the_client() -> None:
    """So the console needs no client, and a page about a journal needs no emulator."""
    ours = [(module, name) for module, name in edges() if room_of(module) == "web" and name in FILES]
    console = f"{PACKAGE}.web.console"
    gallery = f"{PACKAGE}.web.gallery"
    outward = [(module, name) for module, name in ours if room_of(name) != "web"]
    assert {room_of(name) for module, name in outward if module.startswith(console)} == {"emulator"}
    assert {room_of(name) for module, name in outward if module.startswith(gallery)} <= set(FLOOR) - {"emulator"}
    assert [module for module, _ in outward if not module.startswith((console, gallery))] == []
    for page in (console, gallery):
        assert [module for module, name in ours if name.startswith(page) and not module.startswith(page)] == []


@each_row(
    ("libraries", "rooms"),
    [
        ({"httpx", "httpx2", "httpcore"}, {"transport"}),
        (
            {"asyncio", "threading", "time"},
            set(FLOOR) - {"catalog", "display", "errors", "media", "protocols", "schema"},
        ),
        ({"langchain", "langchain_core", "langgraph"}, {"langchain", "graph", "middleware", "testing", "cli"}),
        ({"sqlalchemy"}, {"journal"}),
        ({"psycopg"}, {"journal", "fleet"}),
        ({"procrastinate"}, {"fleet"}),
        ({"typer", "rich"}, {"cli"}),
        ({"jinja2", "python_multipart"}, {"web"}),
        ({"starlette"}, {"web", "mcp"}),
        ({"pytest"}, {"testing"}),
        ({"IPython"}, {"notebook"}),
        ({"fastmcp", "fastmcp_tasks", "mcp", "mcp_types"}, {"mcp"}),
    ],
)
def test_each_library_has_its_rooms(libraries: set[str], rooms: set[str]) -> None:
    users = {room_of(module) for module, name in edges() if name.split(".")[0] in libraries}
    assert users <= {*rooms, "emulator"}


def test_the_lifecycle_waits_for_its_runtime_alone() -> None:
    waiting = [module for module in FILES if room_of(module) == "lifecycle"]
    waiting.remove(f"{PACKAGE}.lifecycle.factory")  # makes lifecycles, under a lock
    waiting += [f"{PACKAGE}.transport.retry", f"{PACKAGE}.saving.save", f"{PACKAGE}.saving.download"]
    assert [module for module in waiting if imports_of(module) & {"asyncio", "threading", "time"}] == []


def test_the_root_holds_what_users_import_by_path() -> None:
    names = {path.name for path in ROOT.glob("*.py")}
    assert len(names) <= 8
    assert not any(name.startswith("_") for name in names - {"__init__.py", "__main__.py"})


def test_each_room_says_what_it_is_for() -> None:
    for path in ROOT.rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_files_can_be_read_at_a_sitting() -> None:
    lengths = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in FILES.items()}
    assert {module: lines for module, lines in lengths.items() if lines > 450} == {}
