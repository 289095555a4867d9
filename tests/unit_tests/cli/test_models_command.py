"""What the commands `models` and `quote` say of sound: its price, and where it cannot be switched off."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from langchain_nebula_video.catalog.models import MODELS
from langchain_nebula_video.catalog.registry import register_model
from langchain_nebula_video.cli.app import app

SCRIPT = Path(__file__).parents[3] / "scripts" / "models_table.py"
FLASH = "acme-flash"
SINGAPORE = ["--gateway", "dashscope-intl"]


@pytest.fixture(autouse=True)
def _flash() -> Iterator[None]:
    """A model that costs half without sound."""
    prices = {"720p": Decimal("0.05"), "1080p": Decimal("0.075")}
    silent = {"720p": Decimal("0.025"), "1080p": Decimal("0.0375")}
    row = replace(
        MODELS["wan2.5-i2v-preview"], name=FLASH, resolutions=("720p", "1080p"),
        prices={"dashscope-intl": prices}, silent_prices={"dashscope-intl": silent},
    )  # fmt: skip
    register_model(row)
    yield
    del MODELS[FLASH]


def shown(*args: str) -> str:
    result = CliRunner().invoke(app, [*args], env={"COLUMNS": "100"})
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def test_models_shows_both_prices() -> None:
    assert "acme-flash image 5, 10 1 to 3 min $0.05 $0.075 silent $0.025 silent $0.0375" in shown("models", *SINGAPORE)
    one = shown("models", FLASH)
    assert "Per second $0.05 at 720p, $0.075 at 1080p;" in one
    assert "Silent $0.025 at 720p, $0.0375 at 1080p" in one


def test_quote_shows_the_price_of_what_is_asked_for() -> None:
    asked = ["quote", *SINGAPORE, "--model", FLASH]
    assert shown(*asked) == "$0.125 (¥0.90): 5 s x $0.025, estimated"
    assert shown(*asked, "--audio") == "$0.25 (¥1.80): 5 s x $0.05, estimated"


def test_the_docs_table_shows_both_prices() -> None:
    table = runpy.run_path(str(SCRIPT))["prices"]()
    assert "720p $0.05 (silent $0.025), 1080p $0.075 (silent $0.0375)" in table


def test_a_machine_reads_both_and_what_is_always_on() -> None:
    text = CliRunner().invoke(app, ["models", FLASH, "--json"]).stdout
    (flash,) = json.loads(text)["models"]
    there = flash["gateways"]["dashscope-intl"]
    assert there["per_second"] == {"720p": "0.05", "1080p": "0.075"}
    assert there["silent_per_second"] == {"720p": "0.025", "1080p": "0.0375"}
    assert (there["always_on"], there["min_seed"]) == ([], 0)
    wan_text = CliRunner().invoke(app, ["models", "wan2.5-i2v-preview", "--json"]).stdout
    (wan,) = json.loads(wan_text)["models"]
    assert wan["gateways"]["nebula"]["always_on"] == ["generate_audio", "smart_rewrite"]
    assert wan["gateways"]["nebula"]["min_seed"] == 1


def test_models_says_what_nebula_does_unasked() -> None:
    one = shown("models", "wan2.5-i2v-preview", "--gateway", "nebula")
    assert "Always on --audio, --smart-rewrite: said or not Seeds from 1" in one
