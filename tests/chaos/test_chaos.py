"""A short run of the chaos; `make chaos` is the long one."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.chaos.run import Plan, run


@pytest.mark.parametrize("gateway", ["nebula", "dashscope"])
def test_killed_and_faulted_processes_neither_pay_twice_nor_lose_a_video(tmp_path: Path, gateway: str) -> None:
    figures = run(Plan(generations=80, kills=5, seed=7, processes=3, gateway=gateway), tmp_path)
    assert figures.zeros == (0, 0, 0, Decimal(0)), figures
    assert figures.kills >= 1  # a fast machine is done before the fifth
    assert figures.peak_submits <= 4
    assert figures.states["succeeded"] >= 60, figures
