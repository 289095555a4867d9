"""For the tests of programs that use this package: a scripted chat model, a clock that skips waiting, fixtures.

Public: the names below, and the pytest plugin `langchain_nebula_video.testing.plugin`. Only the plugin imports pytest.
May import: the emulator, and everything on the floors below it. Each name is imported on first use.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from langchain_nebula_video.testing.clock import EmulatorClock
    from langchain_nebula_video.testing.gateways import EmulatorAccess, on_emulator
    from langchain_nebula_video.testing.model import ScriptedChatModel, tool_call

__all__ = ["EmulatorAccess", "EmulatorClock", "ScriptedChatModel", "on_emulator", "tool_call"]

_MODULE_OF = {
    "EmulatorAccess": "gateways",
    "EmulatorClock": "clock",
    "ScriptedChatModel": "model",
    "on_emulator": "gateways",
    "tool_call": "model",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 late imports are what this file is for

    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
