#!/usr/bin/env bash
# smolagents 1.26.0 with langchain-core 1.8.3: wrapping a LangChain tool damages the original.
#
# `smolagents.Tool.from_langchain(tool)` sets the description of every field to "". It writes into `tool.args`, and
# langchain-core keeps that dictionary for the life of the tool. So every LangChain agent that shares the tool object
# now shows its model fields without a word of description. Another tool built the same way is not affected.
#
# Seen:
#   untouched tool: {'amount': 'Amount in cents.', 'currency': 'ISO code, such as EUR.'}
#   wrapped tool:   {'amount': '', 'currency': ''}
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet smolagents==1.26.0 langchain-core==1.8.3

"$work/venv/bin/python" -I - <<'EOF'
import sys
from typing import Annotated

from langchain_core.tools import StructuredTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from smolagents import Tool


def exchange(
    amount: Annotated[int, "Amount in cents."],
    currency: Annotated[str, "ISO code, such as EUR."],
) -> str:
    """Exchange money."""
    return f"{amount} {currency}"


def descriptions(tool):
    fields = convert_to_openai_tool(tool)["function"]["parameters"]["properties"]
    return {name: field.get("description") for name, field in fields.items()}


untouched = StructuredTool.from_function(exchange)
wrapped = StructuredTool.from_function(exchange)
Tool.from_langchain(wrapped)
print("untouched tool:", descriptions(untouched))
print("wrapped tool:  ", descriptions(wrapped))
if not all(descriptions(untouched).values()) or any(descriptions(wrapped).values()):
    sys.exit("The behaviour changed: the wrapped tool should have lost its descriptions, the other one none.")
EOF
