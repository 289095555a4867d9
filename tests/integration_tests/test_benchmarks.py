"""The benchmark of clients runs: ours, at its server on loopback. Its figures are no matter for a test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def measured(*arguments: str) -> dict[str, Any]:
    """What one part prints of our client."""
    command = [sys.executable, str(ROOT / "benchmarks" / "clients.py"), "ours", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout.partition(" ours ")[2])
    return found


def test_three_videos_are_made_and_counted() -> None:
    found = measured("waiting", "--tasks", "3", "--median", "0.5")
    assert found["ends"] == {"video": 4}  # one begins before the others
    assert found["tasks"] == 4
    assert found["looks"] >= 4
    assert found["cpu"] > 0
    assert found["mean_lag"] >= 0


def test_no_fault_makes_our_client_pay_twice() -> None:
    found = measured("faults")
    faults = {name: row for name, row in found.items() if isinstance(row, dict) and "paid" in row}
    assert len(faults) == 7
    assert {row["paid"] for row in faults.values()} == {1}
    assert faults["429"] == {"paid": 1, "posts": 2, "end": "video"}
    assert faults["lost"]["end"] == faults["always 500"]["end"] == "SubmissionUnconfirmedError"
