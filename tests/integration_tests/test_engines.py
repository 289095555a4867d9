"""Job engines of others, with real servers: `kill -9` of a worker costs no second video, and loses none."""

from __future__ import annotations

from pathlib import Path

import pytest

from langchain_nebula_video.emulator import Emulator
from tests.engines import ORDERS, RECIPES, SPEED, Ledger, Site
from tests.environments import CHECKOUT, NotInstalledError, environment, give_up
from tests.job_engines import ENGINES, HEADER, Engine
from tests.langgraph_runs import SLOTS, kill_the_server
from tests.langgraph_servers import PINS

# A test of paying once that fails is news, also if it passes the next time.
pytestmark = pytest.mark.flaky(reruns=0)

PAGE = CHECKOUT / "docs" / "other-engines.md"
ONCE = dict.fromkeys(ORDERS, 1)


def test_every_recipe_is_tried_and_told_of() -> None:
    told = PAGE.read_text(encoding="utf-8")
    assert {path.stem for path in RECIPES.glob("*.py")} == {row.recipe for row in ENGINES.values()} | {
        "langgraph_videos"
    }
    assert HEADER in told
    assert all(f"| {name} |" in told for name in [*ENGINES, "LangGraph server"])


def judge(told: Ledger) -> None:
    """Whatever died and whoever repeated an order: one POST, one bill, one file for each."""
    assert told.posts == ONCE
    assert told.bills == ONCE
    assert told.saved == set(ORDERS)
    assert told.again_after, "nobody was killed at work"


@pytest.mark.parametrize("engine", ENGINES.values(), ids=list(ENGINES))
def test_a_killed_worker_costs_no_second_video_and_loses_none(engine: Engine, tmp_path: Path) -> None:
    """In mid-wait the engine runs the job again. In mid-POST nobody does, until a person has looked."""
    try:
        told = engine.measure(tmp_path)
    except NotInstalledError as error:
        give_up(error)
    judge(told)
    assert told.again_after.keys() <= told.twice
    assert len(told.unconfirmed) == 1


def test_a_killed_langgraph_server_costs_no_second_video_and_each_wait_takes_a_slot(tmp_path: Path) -> None:
    """It may have forgotten its runs, so the caller asks again."""
    try:
        python = environment("langgraph-server", PINS)
    except NotInstalledError as error:
        give_up(error)
    with Emulator(speed=SPEED) as emulator:
        told, at_once = kill_the_server(Site(python, tmp_path, emulator))
    judge(told)
    assert at_once == SLOTS
