"""Imports go one way, downwards, and never sideways."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import langchain_nebula_video

ROOT = Path(langchain_nebula_video.__file__).parent
PACKAGE = "langchain_nebula_video"

# From the ground up; a module may import what stands in the rows before its own.
LAYERS = [
    {"errors", "_urls", "_mp4"},
    {"schema", "_formats"},
    {"models", "gateways", "images", "protocols"},
    {"journal", "_runtime", "_offers", "registry"},
    {"_options", "_retry", "_schedule", "_watch", "_ceilings"},
    {"_targets"},
    {"storage"},
    {"_tasks", "_orders", "_likeness"},
    {"_context"},
    {"_lease"},
    {"_looking", "_uploads"},
    {"_search"},
    {"_submitting"},
    {"_lifecycle"},
    {"_doors"},
    {"client"},
    {"conversation", "_tool_schema", "_tool_errors", "_tracing", "progress"},
    {"_replay"},
    {"_tool_base"},
    {"tools", "runnable"},
    {"toolkit", "graph"},
    {"_consent"},
    {"middleware"},
    {"cli"},
]
RANK = {module: rank for rank, row in enumerate(LAYERS) for module in row}
# LangChain belongs to the layers that face it; HTTP to one package.
LANGCHAIN = {
    *("conversation", "progress", "_tool_schema", "_tool_errors", "_tool_base", "_tracing", "_replay"),
    *("tools", "runnable", "toolkit", "graph", "_consent", "middleware", "cli"),
}


def _home(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


@functools.cache
def _imports(path: Path) -> tuple[str, ...]:
    """What a module imports when it runs; imports for the type checker alone do not count."""
    return tuple(_named(path))


def _named(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    for_types = {
        node
        for outer in ast.walk(tree)
        if isinstance(outer, ast.If) and ast.unparse(outer.test) == "TYPE_CHECKING"
        for node in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 or _home(path) in {"emulator", "cli"}, f"{path}: a relative import"
            base = node.module or ""
            yield from (f"{base}.{alias.name}" for alias in node.names) if base == PACKAGE else [base]


def _modules() -> Iterator[tuple[Path, str]]:
    for path in ROOT.rglob("*.py"):
        yield path, _home(path)


def test_every_module_has_its_layer() -> None:
    assert {home for _, home in _modules()} - {"emulator", "__init__"} == set(RANK)


def test_imports_go_downwards() -> None:
    for path, home in _modules():
        if home in {"emulator", "__init__", "cli"}:
            continue
        for name in _imports(path):
            parts = name.split(".")
            if parts[0] == PACKAGE and len(parts) > 1 and parts[1] != home:
                assert RANK[parts[1]] < RANK[home], f"{path.name} imports {name}"


def test_the_emulator_imports_nothing_of_the_client() -> None:
    for path, home in _modules():
        if home == "emulator":
            for name in _imports(path):
                assert not name.startswith(PACKAGE) or name.startswith(f"{PACKAGE}.emulator"), f"{path}: {name}"


def test_http_is_named_in_one_package() -> None:
    for path, home in _modules():
        if home not in {"_runtime", "emulator"}:
            assert not any(name.split(".")[0] in {"httpx", "httpx2", "httpcore"} for name in _imports(path)), path


def test_the_lifecycle_waits_for_nothing_but_its_runtime() -> None:
    for name in (
        *("_context", "_lease", "_looking", "_uploads", "_search", "_submitting", "_lifecycle"),
        *("_retry", "_schedule", "storage"),
    ):
        imported = {module.split(".")[0] for module in _imports(ROOT / f"{name}.py")}
        assert not imported & {"asyncio", "threading", "time", "httpx"}, name


def test_langchain_stays_in_the_layers_that_face_it() -> None:
    for path, home in _modules():
        if home not in LANGCHAIN:
            assert not any(name.split(".")[0].startswith("lang") and not name.startswith(PACKAGE)
                           for name in _imports(path)), path  # fmt: skip


def test_files_can_be_read_at_a_sitting() -> None:
    assert {path.name: n for path, _ in _modules() if (n := len(path.read_text().splitlines())) > 450} == {}
