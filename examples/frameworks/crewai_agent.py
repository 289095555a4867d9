"""crewAI: the tool that waits and the tool that looks. crewAI never makes the same call twice in a row."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from typing import Any

from _recipe import Answer, Call, show
from crewai import Agent, BaseLLM, Crew, Task
from crewai.tools import BaseTool
from pydantic import BaseModel, Field, PrivateAttr, create_model

from langchain_nebula_video import NebulaVideoToolkit
from langchain_nebula_video.langchain.tool_base import OfferTool


def arguments(tool: OfferTool) -> type[BaseModel]:
    """The tool's arguments by name and type alone: what else is wrong the tool says, in shorter words than crewAI."""
    described = tool.function_schema().model_fields
    fields: dict[str, Any] = {
        name: (each.annotation, Field(default(each), description=described[name].description))
        for name, each in inspect.signature(tool.as_function()).parameters.items()
    }
    return create_model(tool.name, **fields)


def default(parameter: inspect.Parameter) -> Any:
    """Its default as pydantic has it, where `...` is none."""
    return ... if parameter.default is parameter.empty else parameter.default


class VideoTool(BaseTool):
    """One of the toolkit's tools."""

    _call: Any = PrivateAttr()

    def __init__(self, tool: OfferTool) -> None:
        super().__init__(name=tool.name, description=tool.function_description(), args_schema=arguments(tool))
        self._call = tool.as_function()

    def _run(self, **fields: Any) -> str:
        return self._call(**fields)


class Scripted(BaseLLM):
    """A model with fixed answers. Use your own model instead. It keeps what it read."""

    left: list[str]
    read: list[str] = Field(default_factory=list)

    def call(self, messages: Any, *_: Any, **__: Any) -> str:
        """Return the next answer."""
        said = [said["content"] for said in messages if said["role"] == "assistant"]
        self.read += [text.partition("Observation: ")[2] or text for text in said[-1:]]
        return self.left.pop(0) if self.left else "Thought: It is made.\nFinal Answer: Done."


def converse(options: dict[str, Any], calls: Sequence[Call], timeout: float | None = None) -> list[Answer]:
    """One run in which the model makes these calls. `timeout` is the agent's own: it ends the task."""
    animate, _, get, _ = NebulaVideoToolkit(conversation=False, **options).get_tools()
    steps = [f"Thought: A video.\nAction: {animate.name}\nAction Input: {json.dumps(call)}" for call in calls]
    model = Scripted(model="scripted", left=steps)
    agent = Agent(
        role="Animator",
        goal="Animate pictures.",
        backstory="You animate pictures.",
        llm=model,
        tools=[VideoTool(animate), VideoTool(get)],
        max_execution_time=None if timeout is None else round(timeout),
    )
    task = Task(description="Animate my cat.", expected_output="A video.", agent=agent)
    Crew(agents=[agent], tasks=[task]).kickoff()
    return [(text, None) for text in model.read]


if __name__ == "__main__":
    show(converse)
