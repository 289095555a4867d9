"""A short run of the chaos; `make chaos` is the long one."""

from __future__ import annotations

import os
import tempfile
from decimal import Decimal
from pathlib import Path

import pytest

from tests.chaos.run import Plan, on_postgres, run
from tests.postgres import programs_folder


def test_killed_and_faulted_processes_neither_pay_twice_nor_lose_a_video(tmp_path: Path) -> None:
    figures = run(Plan(generations=80, kills=5, seed=7, processes=3), tmp_path)
    assert figures.zeros == (0, 0, 0, Decimal(0)), figures
    assert figures.kills >= 1  # a fast machine is done before the fifth
    assert figures.peak_submits <= 4
    assert figures.states["succeeded"] >= 60, figures


def test_they_share_a_postgresql_that_crashes_in_between() -> None:
    if programs_folder() is None and os.environ.get("NEBULA_REQUIRE_POSTGRES") != "1":
        pytest.skip("PostgreSQL's programs (initdb, pg_ctl) are not installed")
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        Path(name).chmod(0o755)  # PostgreSQL has a user of its own
        figures = on_postgres({"generations": 60, "kills": 4, "seed": 3, "processes": 3}, Path(name))
    assert figures.zeros == (0, 0, 0, Decimal(0)), figures
    assert figures.server_crashes >= 1
    assert figures.peak_submits <= 4
    assert figures.states["succeeded"] >= 45, figures
