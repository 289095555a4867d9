#!/usr/bin/env bash
# langgraph 1.2.24: an approval that is sent six times at once is carried out six times.
#
# A thread waits in `interrupt()`. Six clients send the same `Command(resume="yes")` at the same time, as a button that
# is pressed repeatedly does. All six calls succeed, and the node behind the interrupt runs six times. Each call makes
# a branch of its own from the same checkpoint; nothing claims the interrupt. A seventh call, after the others ended,
# runs nothing.
#
# Seen:
#   six at once: 6 calls succeeded, the node ran 6 times
#   one more afterwards: the node ran 0 times
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet langgraph==1.2.24

"$work/venv/bin/python" -I - <<'EOF'
import asyncio
import sys
from typing import TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

payments = []


class State(TypedDict, total=False):
    answer: str


def ask(state: State) -> State:
    return {"answer": interrupt("Pay?")}


def pay(state: State) -> State:
    payments.append(state["answer"])
    return {}


async def main():
    builder = StateGraph(State)
    builder.add_node("ask", ask)
    builder.add_node("pay", pay)
    builder.add_edge(START, "ask")
    builder.add_edge("ask", "pay")
    builder.add_edge("pay", END)
    graph = builder.compile(checkpointer=InMemorySaver())
    thread = {"configurable": {"thread_id": "1"}}
    await graph.ainvoke({}, thread)
    calls = (graph.ainvoke(Command(resume="yes"), thread) for _ in range(6))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    succeeded = answers.count({"answer": "yes"})
    at_once = len(payments)
    print(f"six at once: {succeeded} calls succeeded, the node ran {at_once} times")
    await graph.ainvoke(Command(resume="yes"), thread)
    afterwards = len(payments) - at_once
    print(f"one more afterwards: the node ran {afterwards} times")
    if (succeeded, at_once, afterwards) != (6, 6, 0):
        sys.exit("The behaviour changed: six calls at once should run the node six times, a later one never.")


asyncio.run(main())
EOF
