"""What a type checker lets through and what not: mypy reads this file (`make lint`), and pytest runs it.

Each `type: ignore` says what is refused; one that is not needed is an error of its own.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, assert_type, get_type_hints

import pytest
from pydantic import SecretStr

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    Budget,
    InvalidRequestError,
    NebulaVideoClient,
    NebulaVideoRunnable,
    NebulaVideoTool,
)
from langchain_nebula_video.langchain.runnable import RunnableOptions
from langchain_nebula_video.langchain.tool_base import ToolOptions


def test_a_key_is_a_plain_text_or_a_secret_at_every_door() -> None:
    NebulaVideoClient(api_key="sk-x")
    NebulaVideoClient(api_key=SecretStr("sk-x"))
    AsyncNebulaVideoClient(api_key="sk-x")
    tool = NebulaVideoTool(api_key="sk-x")
    runnable = NebulaVideoRunnable(api_key="sk-x")
    for made in (tool, runnable, NebulaVideoTool(api_key=SecretStr("sk-x"))):
        assert_type(made.api_key, SecretStr | None)
        assert made.resolve_api_key().get_secret_value() == "sk-x"
        assert "sk-x" not in repr(made)


def test_whatever_form_an_option_may_have_is_taken_by_tool_and_runnable_too() -> None:
    tool = NebulaVideoTool(api_key="sk-x", budget="5.00", group_ratio="1.5", image_folder="images", model=None)
    runnable = NebulaVideoRunnable(api_key="sk-x", budget=5, download_hosts=["files.example.com"], prompt="A boat")
    assert assert_type(tool.budget, Budget | None) == assert_type(runnable.budget, Budget | None) == Budget(5)
    assert assert_type(tool.group_ratio, Decimal) == Decimal("1.5")
    assert assert_type(tool.image_folder, Path | None) == Path("images")
    assert assert_type(runnable.download_hosts, tuple[str, ...]) == ("files.example.com",)


@pytest.mark.parametrize("door", [NebulaVideoTool, NebulaVideoRunnable])
def test_an_option_that_there_is_not_is_refused_in_the_editor_and_here(door: Any) -> None:
    with pytest.raises(InvalidRequestError, match="is no option here"):
        door(api_key="sk-x", colour="red")


def test_what_cannot_be_is_refused_in_the_editor_already() -> None:
    with pytest.raises(InvalidRequestError, match="colour: is no option here"):
        NebulaVideoTool(api_key="sk-x", colour="red")  # type: ignore[call-arg]
    with pytest.raises(InvalidRequestError, match="colour: is no option here"):
        NebulaVideoRunnable(api_key="sk-x", colour="red")  # type: ignore[call-arg]
    with pytest.raises(InvalidRequestError, match="api_key"):
        NebulaVideoTool(api_key=7)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match="duration"):
        NebulaVideoRunnable(api_key="sk-x", duration="long")  # type: ignore[arg-type]


def test_the_keywords_that_a_type_checker_knows_are_those_that_there_are() -> None:
    made_here = {"args_schema"}  # from the model's row, whatever a caller gives
    assert set(get_type_hints(ToolOptions)) >= set(NebulaVideoTool.model_fields) - made_here
    assert set(get_type_hints(RunnableOptions)) == set(NebulaVideoRunnable.model_fields)
