#!/usr/bin/env bash
# pydantic-ai-slim 2.68.0: after `tool_timeout` a blocking tool runs on, and the model is asked to call it again.
#
# The agent gives up on the thread of the tool and tells the model that the call timed out. A model that repeats the
# call starts the body a second time while the first is at work, and both finish. The repetition has another
# `tool_call_id`, so a key made of that does not join the two; `run_id` and the arguments are the same. An async tool
# is cancelled at the timeout. The model is a script that calls the tool until it gets an answer.
#
# Seen:
#   blocking: 2 bodies started, 2 finished, 2 at once; 2 call ids, 1 run id
#   async: 2 bodies started, 1 finished, 1 at once; 2 call ids, 1 run id
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pydantic-ai-slim==2.68.0

"$work/venv/bin/python" -I - <<'EOF'
import asyncio
import sys
import time

from pydantic_ai import Agent, RunContext
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import FunctionModel

SECONDS = (3, 0.5)  # the first body takes longer than the timeout, the second does not


class Count:
    """What the bodies of one tool did."""

    def __init__(self):
        self.started, self.finished, self.running, self.most = 0, 0, 0, 0
        self.calls, self.runs = set(), set()

    def begin(self, context):
        """The seconds to take."""
        self.calls.add(context.tool_call_id)
        self.runs.add(context.run_id)
        self.running += 1
        self.most = max(self.most, self.running)
        self.started += 1
        return SECONDS[min(self.started, 2) - 1]


def script(messages, info):
    """Call the tool until it has answered."""
    answers = [part.content for part in messages[-1].parts if isinstance(part, ToolReturnPart)]
    if answers == ["done"]:
        return ModelResponse(parts=[TextPart("Here it is.")])
    return ModelResponse(parts=[ToolCallPart("make", {"subject": "a cat"})])


async def run(name, tool, count):
    agent = Agent(FunctionModel(script), tools=[tool], tool_timeout=1)
    await agent.run("A cat.")
    await asyncio.sleep(3)  # for a first body that runs on
    seen = count.started, count.finished, count.most, len(count.calls), len(count.runs)
    print("{}: {} bodies started, {} finished, {} at once; {} call ids, {} run id".format(name, *seen))
    return seen


async def main():
    threads, loop = Count(), Count()

    def make(context: RunContext, subject: str) -> str:
        """Take a while."""
        try:
            time.sleep(threads.begin(context))
            threads.finished += 1
        finally:
            threads.running -= 1
        return "done"

    blocking = await run("blocking", make, threads)

    async def make(context: RunContext, subject: str) -> str:
        """Take a while."""
        try:
            await asyncio.sleep(loop.begin(context))
            loop.finished += 1
        finally:
            loop.running -= 1
        return "done"

    asynchronous = await run("async", make, loop)
    if (blocking, asynchronous) != ((2, 2, 2, 2, 1), (2, 1, 1, 2, 1)):
        sys.exit("The behaviour changed: two blocking bodies should run at once and finish, and one async body.")


asyncio.run(main())
EOF
