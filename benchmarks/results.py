"""Where results are kept, and on which machine they came out."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """Return what a figure depends on besides the code."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }


def save(name: str, found: dict[str, Any]) -> None:
    """Write the results of one benchmark, with the machine."""
    FOLDER.mkdir(exist_ok=True)
    parts = (f"{json.dumps(key)}: {_in_lines(value)}" for key, value in {"machine": machine(), **found}.items())
    (FOLDER / f"{name}.json").write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def _in_lines(value: Any) -> str:
    """Return JSON with a row on a line, so that a change of one row is one changed line."""
    if isinstance(value, dict) and any(isinstance(each, dict) for each in value.values()):
        rows = [f" {json.dumps(key)}: {json.dumps(row)}" for key, row in value.items()]
        return "{\n" + ",\n".join(rows) + "\n}"
    if isinstance(value, list):
        return "[\n" + ",\n".join(f" {json.dumps(row)}" for row in value) + "\n]"
    return json.dumps(value)


def read(name: str) -> dict[str, Any]:
    """Read the results of one benchmark."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found
