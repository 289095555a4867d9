"""smolagents: submit, then look. A step of its code ends after 30 seconds, so no tool may wait for a whole video."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from _recipe import Answer, Call, show
from smolagents import ActionStep, ChatMessage, CodeAgent, MessageRole, Model, Tool

from langchain_nebula_video import NebulaVideoToolkit
from langchain_nebula_video.langchain.tool_base import OfferTool

STEP = 30.0
"""Seconds that the executor gives to a step."""


class VideoTool(Tool):
    """One of the toolkit's tools, with its descriptions. It takes arguments by place, as generated code gives them."""

    skip_forward_signature_validation = True

    def __init__(self, tool: OfferTool, names: Sequence[str] = (), **fixed: Any) -> None:
        self.name, self.description, self.output_type = tool.name, tool.function_description(), "string"
        self.inputs = {name: field for name, field in tool.args.items() if name in names or not names}
        self.animate: Callable[..., str] = tool.as_function()
        self.fixed = fixed
        super().__init__()

    def forward(self, *args: Any, **fields: Any) -> str:
        """Call the tool."""
        return self.animate(*args, **fields, **self.fixed)


class Scripted(Model):
    """A model with fixed answers: for each call it submits, reads the task id and looks once. Use your own instead."""

    def __init__(self, calls: Sequence[Call]) -> None:
        super().__init__(model_id="scripted")
        self.left = iter(calls)
        self.looks = False

    def generate(self, messages: list[ChatMessage], *_: Any, **__: Any) -> ChatMessage:
        """Write the next step."""
        started = re.search(r'"task_id": "(.+?)"', str(messages[-1].content))
        self.looks = bool(started) and not self.looks
        if started and self.looks:
            code = f"print(nebula_get_video({started[1]!r}))"
        else:
            call = next(self.left, None)
            code = "final_answer('Done.')" if call is None else f"print(nebula_submit_video(**{call}))"
        return ChatMessage(MessageRole.ASSISTANT, f"<code>\n{code}\n</code>")


def converse(options: dict[str, Any], calls: Sequence[Call], timeout: float = STEP) -> list[Answer]:
    """One run in which the model makes these calls. `timeout` is the executor's own for each step."""
    _, submit, get, _ = NebulaVideoToolkit(conversation=False, **options).get_tools()
    tools = [VideoTool(submit), VideoTool(get, ["task_id"], wait_seconds=int(timeout * 2 / 3))]
    limit = {"timeout_seconds": timeout}
    agent = CodeAgent(tools, Scripted(calls), max_steps=2 * len(calls) + 1, verbosity_level=0, executor_kwargs=limit)
    agent.run("Animate my cat.")
    steps = [step for step in agent.memory.steps if isinstance(step, ActionStep)][:-1]
    read = [(step.code_action or "", step.observations or str(step.error)) for step in steps]
    texts = [text for code, text in read if "nebula_get_video(" in code or '"task_id"' not in text]
    return [(text.removeprefix("Execution logs:\n").splitlines()[0], None) for text in texts]


if __name__ == "__main__":
    show(converse)
