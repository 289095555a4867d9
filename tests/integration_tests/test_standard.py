"""LangChain's own integration suite for tools, unmodified, against the emulator over loopback."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_tests.integration_tests import ToolsIntegrationTests

from langchain_nebula_video import NebulaVideoTool
from langchain_nebula_video.emulator import Emulator
from tests.gateways import INTERVAL


class TestNebulaVideoTool(ToolsIntegrationTests):
    @pytest.fixture(autouse=True)
    def _at_the_emulator(self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NEBULA_BASE_URL", emulator.url)
        monkeypatch.setenv("NEBULA_API_KEY", emulator.api_key)

    @property
    def tool_constructor(self) -> type[NebulaVideoTool]:
        return NebulaVideoTool

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        return {"poll_interval": INTERVAL}

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"prompt": "The cat opens its eyes", "image": "https://example.com/cat.jpg"}
