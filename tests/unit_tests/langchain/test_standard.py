"""LangChain's own suite for tools, unmodified."""

from __future__ import annotations

from typing import Any

from langchain_tests.unit_tests import ToolsUnitTests

from langchain_nebula_video import NebulaVideoTool
from tests.conftest import KEY


class TestNebulaVideoTool(ToolsUnitTests):
    @property
    def tool_constructor(self) -> type[NebulaVideoTool]:
        return NebulaVideoTool

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        return {"api_key": KEY}

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"prompt": "The cat opens its eyes", "image": "https://example.com/cat.jpg"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"NEBULA_API_KEY": KEY}, {}, {"api_key": KEY}
