#!/usr/bin/env bash
# langchain-core 1.8.3: passing on the config that a tool is given makes its custom events fail.
#
# A tool with a parameter `config: RunnableConfig` is given the caller's config, not the config of its own run.
# So `adispatch_custom_event(..., config=config)` in a tool that is called alone raises RuntimeError, because it finds
# no parent run. The error's advice is to pass `config`, which is the cause. Without `config` the event arrives.
#
# Seen:
#   config=config: RuntimeError: Unable to dispatch an adhoc event without a parent run id.
#   handler received: ['without config']
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet langchain-core==1.8.3

"$work/venv/bin/python" -I - <<'EOF'
import asyncio
import sys

from langchain_core.callbacks import AsyncCallbackHandler, adispatch_custom_event
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool

errors, received = [], []


class Recorder(AsyncCallbackHandler):
    async def on_custom_event(self, name, data, **kwargs):
        received.append(name)


@tool
async def work(steps: int, config: RunnableConfig) -> str:
    """Work and report progress."""
    try:
        await adispatch_custom_event("with config", steps, config=config)
    except RuntimeError as error:
        errors.append(str(error))
    await adispatch_custom_event("without config", steps)
    return "done"


asyncio.run(work.ainvoke({"steps": 1}, config={"callbacks": [Recorder()]}))
print("config=config:", f"RuntimeError: {errors[0].split('.')[0]}." if errors else "no error")
print("handler received:", received)
if len(errors) != 1 or received != ["without config"]:
    sys.exit("The behaviour changed: only the event without config should arrive.")
EOF
