#!/usr/bin/env bash
# google-adk 2.13.0 with langchain-core 1.8.3: a tool with an async body is run by its blocking one, on the event loop.
#
# LangChain calls the coroutine of a StructuredTool in async code, and moves a blocking function to a thread.
# google-adk's `LangchainTool` takes the blocking function even where a coroutine exists, and calls it on the event
# loop. Nothing else in the process runs until it returns. A tool with a coroutine alone does not block.
# The lateness is that of a task which sleeps 10 ms at a time, while a scripted model calls the tool once.
#
# Seen:
#   both bodies: ran the blocking one, loop late by 1.50 s
#   coroutine alone: ran the coroutine, loop late by 0.01 s
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet google-adk==2.13.0 langchain-core==1.8.3

"$work/venv/bin/python" -I - <<'EOF'
import asyncio
import sys
import time

from google.adk.agents import LlmAgent
from google.adk.integrations.langchain import LangchainTool
from google.adk.models import BaseLlm, LlmResponse
from google.adk.runners import InMemoryRunner
from google.genai import types
from langchain_core.tools import StructuredTool

SECONDS = 1.5


def blocking(subject: str) -> str:
    """Take a while."""
    time.sleep(SECONDS)
    return "the blocking one"


async def coroutine(subject: str) -> str:
    """Take a while."""
    await asyncio.sleep(SECONDS)
    return "the coroutine"


class Script(BaseLlm):
    """A model that calls the tool once, then repeats its answer."""

    async def generate_content_async(self, llm_request, stream=False):
        answers = [
            part.function_response.response["result"]
            for content in llm_request.contents
            for part in content.parts
            if part.function_response
        ]
        call = types.FunctionCall(id="1", name="work", args={"subject": "a cat"})
        part = types.Part(text=answers[-1]) if answers else types.Part(function_call=call)
        yield LlmResponse(content=types.Content(role="model", parts=[part]))


async def run(tool):
    """Which body ran, and by how many seconds the event loop was late at worst."""
    worst = 0.0

    async def watch():
        nonlocal worst
        while True:
            start = time.monotonic()
            await asyncio.sleep(0.01)
            worst = max(worst, time.monotonic() - start - 0.01)

    agent = LlmAgent(name="agent", model=Script(model="script"), tools=[LangchainTool(tool)])
    runner = InMemoryRunner(agent)
    session = await runner.session_service.create_session(app_name=runner.app_name, user_id="user")
    message = types.Content(role="user", parts=[types.Part(text="Go.")])
    watcher = asyncio.create_task(watch())
    texts = []
    async for event in runner.run_async(user_id="user", session_id=session.id, new_message=message):
        texts += [part.text for part in event.content.parts if part.text]
    watcher.cancel()
    await runner.close()
    return texts[-1], worst


async def main():
    both, late = await run(StructuredTool.from_function(blocking, coroutine=coroutine, name="work"))
    print(f"both bodies: ran {both}, loop late by {late:.2f} s")
    alone, in_time = await run(StructuredTool.from_function(coroutine=coroutine, name="work"))
    print(f"coroutine alone: ran {alone}, loop late by {in_time:.2f} s")
    if (both, alone) != ("the blocking one", "the coroutine") or not in_time < SECONDS * 0.9 < late:
        sys.exit("The behaviour changed: only the tool with both bodies should block the event loop.")


asyncio.run(main())
EOF
