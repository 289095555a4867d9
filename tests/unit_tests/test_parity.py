"""The two clients, the tool and the runnable offer the same."""

from __future__ import annotations

import inspect
from typing import Any

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    NebulaVideoClient,
    NebulaVideoRunnable,
    NebulaVideoTool,
)
from langchain_nebula_video._options import ClientOptions, Options


def _methods(kind: type) -> dict[str, Any]:
    return {name: member for name, member in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}


def test_both_clients_have_the_same_methods_with_the_same_arguments() -> None:
    blocking, asynchronous = _methods(NebulaVideoClient), _methods(AsyncNebulaVideoClient)
    assert set(blocking) == set(asynchronous)
    for name, method in blocking.items():
        assert inspect.signature(method) == inspect.signature(asynchronous[name]), name


def test_every_method_but_quote_is_awaited_in_the_async_client() -> None:
    plain = {
        name for name, member in _methods(AsyncNebulaVideoClient).items() if not inspect.iscoroutinefunction(member)
    }
    assert plain == {"quote"}


def test_the_typed_keywords_are_the_options() -> None:
    assert set(ClientOptions.__annotations__) == set(Options.model_fields)


def test_tool_and_runnable_take_every_option() -> None:
    assert set(Options.model_fields) <= set(NebulaVideoTool.model_fields)
    assert set(Options.model_fields) <= set(NebulaVideoRunnable.model_fields)
