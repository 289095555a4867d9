#!/usr/bin/env bash
# autogen-agentchat 0.7.5: a cancelled `agent.run` ends at once, and the tool that it waited for runs on to its end.
#
# `AssistantAgent` runs its tools in a task of its own, which nobody cancels with the run. What the tool pays for is
# paid, and its result reaches nobody. The model is a replay of one call.
#
# Seen:
#   the run has ended: True; its tool was cancelled: False; its tool finished later: True
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet autogen-agentchat==0.7.5 autogen-ext==0.7.5

"$work/venv/bin/python" -I - <<'EOF'
import asyncio
import sys

from autogen_agentchat.agents import AssistantAgent
from autogen_core import FunctionCall
from autogen_core.models import CreateResult, ModelFamily, ModelInfo, RequestUsage
from autogen_core.tools import FunctionTool
from autogen_ext.models.replay import ReplayChatCompletionClient


async def main():
    begun, cancelled, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def make(subject: str) -> str:
        begun.set()
        try:
            await asyncio.sleep(2)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        finished.set()
        return "done"

    call = FunctionCall(id="call_1", name="make", arguments='{"subject": "a cat"}')
    asked = CreateResult(finish_reason="function_calls", content=[call], usage=RequestUsage(0, 0), cached=False)
    abilities = {"vision": False, "function_calling": True, "json_output": False, "structured_output": False}
    model = ReplayChatCompletionClient([asked, "Here it is."], ModelInfo(family=ModelFamily.UNKNOWN, **abilities))
    agent = AssistantAgent("maker", model, tools=[FunctionTool(make, "Makes a picture.")])
    running = asyncio.create_task(agent.run(task="A cat."))
    await begun.wait()
    running.cancel()
    await asyncio.wait([running], timeout=1)
    ended = running.done()
    await asyncio.wait([asyncio.create_task(finished.wait())], timeout=5)
    print(f"the run has ended: {ended}; its tool was cancelled: {cancelled.is_set()}; "
          f"its tool finished later: {finished.is_set()}")
    return ended, cancelled.is_set(), finished.is_set()


seen = asyncio.run(main())
if seen != (True, False, True):
    sys.exit(f"This is no longer so: {seen}")
EOF
