"""Which frameworks, clients and servers call the tools in docs/frameworks.md, and what is measured with each of them.

`python -m tests.frameworks NAME` prints the measurements as JSON. It runs in the framework's own environment.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import runpy
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import langgraph_servers, mcp_servers
from tests.environments import CHECKOUT, environment
from tests.framework_adapters import call_adapter
from tests.framework_talks import ask_until_made, ask_with_a_lost_answer, interrupt_and_ask_again
from tests.server_talks import SERVERS, recipe

RECIPES = CHECKOUT / "examples" / "frameworks"


@dataclass(frozen=True)
class Framework:
    """A framework and the recipe for it, or a server and a client of it."""

    name: str
    pins: tuple[str, ...]
    recipe: str
    """A file in examples/frameworks, or a name of `SERVERS`."""
    required: bool = True
    """Whether a run with `NEBULA_PEERS=1` fails where it does not install."""
    asks_again: bool = False
    """Whether its model reads that a limit was reached, and may ask again in the same run."""
    version: str = ""
    """As the table has it; else that of the first pin."""
    link: str = ""
    """Where its row leads; else to the recipe."""

    def row(self, told: dict[str, Any]) -> str:
        """What was measured, as a row of the table."""
        lost, slow, ended = told["lost"], told["slow"], told["interrupted"]
        cells = [
            f"[{self.name}]({self.link or f'../examples/frameworks/{self.recipe}.py'})",
            self.version or self.pins[0].rpartition("==")[2],
            _adapter(told["adapter"]),
            "yes" if any(facts for _, facts in slow["answers"]) else "in the text",
            f"{lost['posts']} POST; {_again(lost)}",
            _limit(slow),
            _bill(slow),
            _bill(ended),
        ]
        return f"| {' | '.join(cells)} |"


HEADER = (
    "| Framework | Version | The LangChain tool itself | Artifact | Lost answer, asked again | A limit is reached "
    "| Asked again until it is there | Ended in mid-wait, asked again |\n|---|---|---|---|---|---|---|---|"
)
"""Of the table that the rows make."""

# The newest of each on 2026-11-27. google-adk without a version resolves to 1.4.2, autogen-ext to an empty 0.0.1.
FRAMEWORKS = {
    row.name: row
    for row in (
        Framework("LangChain", ("langchain==1.5.2",), "langchain_agent"),
        Framework("Deep Agents", ("deepagents==0.7.32",), "deepagents_agent"),
        Framework("pydantic-ai", ("pydantic-ai-slim==2.68.0",), "pydantic_ai_agent", asks_again=True),
        Framework("smolagents", ("smolagents==1.26.0",), "smolagents_agent", asks_again=True),
        Framework("dspy", ("dspy==3.4.1",), "dspy_agent"),
        Framework("llama-index", ("llama-index-core==0.14.25",), "llama_index_agent"),
        Framework("google-adk", ("google-adk==2.13.0",), "google_adk_agent"),
        Framework("haystack", ("haystack-ai==3.4.1",), "haystack_agent"),
        Framework("agno", ("agno==3.1.10",), "agno_agent", required=False),
        Framework("autogen", ("autogen-agentchat==0.7.5", "autogen-ext==0.7.5"), "autogen_agent", required=False),
        Framework("crewai", ("crewai==1.15.30",), "crewai_agent", required=False),
        Framework("LangGraph server", langgraph_servers.PINS, "langgraph_server", version="0.16.7", link="servers.md"),
        Framework("MCP, client of mcp 1", ("mcp==1.30.0",), "mcp_1", asks_again=True, link="mcp.md"),
        Framework("MCP, client of mcp 2", (), "mcp_2", asks_again=True, version="2", link="mcp.md"),
    )
}


def measure(framework: Framework, home: Path) -> dict[str, Any]:
    """Run a framework's recipe in its environment; `home` is where it may write.

    Raises:
        NotInstalledError: the environment could not be made.
        RuntimeError: the recipe failed.
    """
    server = ""
    if framework.recipe.startswith("mcp_"):
        server = str(mcp_servers.server_python())
    own = f"frameworks-{framework.name}" if framework.recipe not in SERVERS else framework.recipe.replace("_", "-")
    python = environment(own, framework.pins) if framework.pins else Path(sys.executable)
    settings = ("NEBULA_", "DASHSCOPE_", "UNIALL_", "LANG", "PYTHON")
    env = {name: value for name, value in os.environ.items() if not name.startswith(settings)}
    quiet = {"OTEL_SDK_DISABLED": "true", "CREWAI_DISABLE_TELEMETRY": "true", "CREWAI_TRACING_ENABLED": "false"}
    env |= {**quiet, "PYTHONPATH": str(CHECKOUT), "HOME": str(home)}
    command = [str(python), "-m", "tests.frameworks", framework.name, server or str(python)]
    ended = subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, timeout=480, check=False)
    if ended.returncode:
        raise RuntimeError(f"{framework.name}: {ended.stderr[-3000:]}")
    told: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return told


def _adapter(told: str | None) -> str:
    if told is None:
        return "no adapter"
    return "works" if '"status": "succeeded"' in told else f"refused: `{told}`"


def _again(lost: dict[str, Any]) -> str:
    return "the same" if "The same video was submitted" in lost["answers"][1][0] else "is not let through"


def _limit(slow: dict[str, Any]) -> str:
    if slow["ended"]:
        return f"the run ends: `{slow['ended'][0]}`"
    first = slow["answers"][0][0]
    looked = any(status in first for status in ('"queued"', '"running"'))
    return "nothing: each look ends in time" if looked else f"the model reads “{first}”"


def _bill(told: dict[str, Any]) -> str:
    return f"{told['posts']} POST, ${told['usd'].rstrip('0')}"


def main(name: str, python: str) -> None:
    """Run one recipe as a program, then in three situations.

    An answer is lost; a video is slower than a limit; the program is ended while it waits.
    """
    framework = FRAMEWORKS[name]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background lets children ignore it
    sys.path.insert(0, str(RECIPES))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if framework.recipe in SERVERS:
            opened = SERVERS[framework.recipe](Path(python))
        else:
            runpy.run_path(str(RECIPES / f"{framework.recipe}.py"), run_name="__main__")
            opened = recipe(importlib.import_module(framework.recipe).converse)
        told = {
            "shown": printed.getvalue(),
            "lost": ask_with_a_lost_answer(opened),
            "adapter": call_adapter(framework.recipe),
            "slow": ask_until_made(opened, in_one_run=framework.asks_again),
            "interrupted": interrupt_and_ask_again(opened),
        }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
