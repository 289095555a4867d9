"""Agents of every framework and behind every server, each in an environment of its own, pay once whatever happens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.environments import CHECKOUT, NotInstalledError, give_up
from tests.frameworks import FRAMEWORKS, HEADER, RECIPES, Framework, measure
from tests.server_talks import SERVERS

TABLE = CHECKOUT / "docs" / "frameworks.md"


def test_every_recipe_is_here() -> None:
    assert {path.stem for path in RECIPES.glob("[!_]*.py")} == {row.recipe for row in FRAMEWORKS.values()} - {*SERVERS}
    assert sum(row.required for row in FRAMEWORKS.values()) == 11
    assert HEADER in TABLE.read_text(encoding="utf-8")


@pytest.mark.parametrize("framework", FRAMEWORKS.values(), ids=list(FRAMEWORKS))
def test_a_framework_makes_one_video_and_pays_once(framework: Framework, tmp_path: Path) -> None:
    """Its model reads the video. A lost answer, a limit of time or an end in mid-wait costs no second one."""
    try:
        told = measure(framework, tmp_path)
    except NotInstalledError as error:
        give_up(error, required=framework.required)

    if framework.recipe not in SERVERS:
        _, made, refused, at_hand = told["shown"].splitlines()
        assert json.loads(made.removeprefix("Made:"))["status"] == "succeeded"
        assert refused.startswith(
            "Refused: The request is not valid: duration: Choose one of: 5, 10 (given: 7). Nothing was"
        )
        assert at_hand == "At hand: 0.369 dollars"

    lost = told["lost"]
    assert (lost["posts"], lost["ended"]) == (1, [])
    assert "Money may have been spent" in lost["answers"][0][0]
    assert "succeeded" not in lost["answers"][1][0]

    slow = told["slow"]
    assert (slow["posts"], slow["usd"]) == (1, "0.3690")
    assert slow["ended"] or "succeeded" not in slow["answers"][0][0], "no limit was reached"
    assert any('"status": "succeeded"' in text for text, _ in slow["answers"])

    ended = told["interrupted"]
    assert ended["ended"] == ["KeyboardInterrupt"]
    assert (ended["posts"], ended["usd"]) == (1, "0.3690")
    assert '"status": "succeeded"' in ended["answers"][-1][0]

    assert framework.row(told) in TABLE.read_text(encoding="utf-8").splitlines()
