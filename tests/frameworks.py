"""Which frameworks have a recipe in examples/frameworks, and what is measured with each of them.

`python -m tests.frameworks NAME` prints the measurements as JSON. It runs in the framework's own environment.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import runpy
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_nebula_video import MemoryJournal, NebulaVideoTool
from langchain_nebula_video.emulator import Emulator
from tests.environments import CHECKOUT, environment
from tests.framework_adapters import call_adapter

RECIPES = CHECKOUT / "examples" / "frameworks"
VIDEO = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}
RUNS = 12
"""How often a program asks for what it gave up; a video takes about three of them."""


@dataclass(frozen=True)
class Framework:
    """A framework, and the recipe for it."""

    name: str
    pins: tuple[str, ...]
    recipe: str
    required: bool = True
    """Whether a run with `NEBULA_PEERS=1` fails where it does not install."""


# The newest of each on 2026-11-27. google-adk without a version resolves to 1.4.2, autogen-ext to an empty 0.0.1.
FRAMEWORKS = {
    row.name: row
    for row in (
        Framework("pydantic-ai", ("pydantic-ai-slim==2.68.0",), "pydantic_ai_agent"),
        Framework("smolagents", ("smolagents==1.26.0",), "smolagents_agent"),
        Framework("dspy", ("dspy==3.4.1",), "dspy_agent"),
        Framework("llama-index", ("llama-index-core==0.14.25",), "llama_index_agent"),
        Framework("google-adk", ("google-adk==2.13.0",), "google_adk_agent"),
        Framework("haystack", ("haystack-ai==3.4.1",), "haystack_agent"),
        Framework("agno", ("agno==3.1.10",), "agno_agent", required=False),
        Framework("autogen", ("autogen-agentchat==0.7.5", "autogen-ext==0.7.5"), "autogen_agent", required=False),
        Framework("crewai", ("crewai==1.15.30",), "crewai_agent", required=False),
    )
}


def measure(framework: Framework, home: Path) -> dict[str, Any]:
    """Run a framework's recipe in its environment; `home` is where it may write.

    Raises:
        NotInstalledError: the environment could not be made.
        RuntimeError: the recipe failed.
    """
    python = environment(f"frameworks-{framework.name}", framework.pins)
    settings = ("NEBULA_", "DASHSCOPE_", "UNIALL_", "LANG", "PYTHON")
    env = {name: value for name, value in os.environ.items() if not name.startswith(settings)}
    quiet = {"OTEL_SDK_DISABLED": "true", "CREWAI_DISABLE_TELEMETRY": "true", "CREWAI_TRACING_ENABLED": "false"}
    env |= {**quiet, "PYTHONPATH": str(CHECKOUT), "HOME": str(home)}
    command = [str(python), "-m", "tests.frameworks", framework.recipe]
    ended = subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, timeout=240, check=False)
    if ended.returncode:
        raise RuntimeError(f"{framework.name}: {ended.stderr[-3000:]}")
    told: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return told


def row(framework: Framework, told: dict[str, Any]) -> str:
    """What was measured, as a row of the table in docs/frameworks.md."""
    lost, slow = told["lost"], told["slow"]
    artifact = "yes" if any(facts for _, facts in slow["answers"]) else "in the text"
    itself = "works" if '"status": "succeeded"' in (told["adapter"] or "") else f"refused: `{told['adapter']}`"
    if told["adapter"] is None:
        itself = "no adapter"
    if slow["ended"]:
        stopped = f"the run ends: `{slow['ended'][0]}`"
    elif any(status in slow["answers"][0][0] for status in ('"queued"', '"running"')):
        stopped = "nothing: each look ends in time"
    else:
        stopped = f"the model reads “{slow['answers'][0][0]}”"
    again = "the same" if "The same video was submitted" in lost["answers"][1][0] else "is not let through"
    cells = [
        f"[{framework.name}](../examples/frameworks/{framework.recipe}.py)",
        " ".join(pin.rpartition("==")[2] for pin in framework.pins[:1]),
        itself,
        artifact,
        f"{lost['posts']} POST; {again}",
        stopped,
        f"{slow['posts']} POST, ${slow['usd'].rstrip('0')}",
    ]
    return f"| {' | '.join(cells)} |"


def converse(talk: Any, *, calls: int, speed: float = 500, fault: str | None = None, **limits: Any) -> dict[str, Any]:
    """Let a recipe's model make the same call so often, run after run, until a run is not given up.

    Returns:
        What the model read, what ended the other runs, and what the emulator was asked for.
    """
    with Emulator(speed=speed) as emulator:
        if fault:
            emulator.faults.add("submit", fault)
        where = {"base_url": emulator.url, "api_key": emulator.api_key, "poll_interval": 0.1}
        options = {**where, "journal": MemoryJournal()}
        answers: Any = None
        ended: list[str] = []
        while answers is None and len(ended) < RUNS:
            try:
                answers = talk(options, [VIDEO] * calls, **limits)
            except Exception as error:  # noqa: BLE001 each framework has an error of its own
                ended.append(type(error).__name__)
        return {
            "answers": answers,
            "ended": ended,
            "posts": sum(request.method == "POST" for request in emulator.requests),
            "usd": str(emulator.bill.usd),
        }


def adapter(name: str) -> str | None:
    """What comes of one call of the LangChain tool in the framework's own adapter."""
    with Emulator(speed=500) as emulator:
        where: dict[str, Any] = {"base_url": emulator.url, "api_key": emulator.api_key, "poll_interval": 0.1}
        return call_adapter(name, NebulaVideoTool(conversation=False, **where), VIDEO)


def main(name: str) -> None:
    """Run one recipe as a program, then in two situations: an answer is lost; a video is slower than a limit."""
    sys.path.insert(0, str(RECIPES))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        runpy.run_path(str(RECIPES / f"{name}.py"), run_name="__main__")
        recipe = importlib.import_module(name)
        told = {
            "shown": printed.getvalue(),
            "lost": converse(recipe.converse, calls=2, fault="reset_after"),
            "adapter": adapter(name),
            "slow": converse(recipe.converse, calls=6, speed=25, timeout=1.5),
        }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
