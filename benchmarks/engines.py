"""The table of docs/other-engines.md, measured anew: one row for each engine that installs."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from langchain_nebula_video.emulator import Emulator
from tests.engines import SPEED, Site
from tests.environments import NotInstalledError, environment
from tests.job_engines import ENGINES, HEADER
from tests.langgraph_runs import kill_the_server
from tests.langgraph_servers import PINS

print(HEADER)
for engine in ENGINES.values():
    with tempfile.TemporaryDirectory() as home:
        try:
            print(engine.measure(Path(home)).row(engine.name), flush=True)
        except NotInstalledError as error:
            print(f"{engine.name} does not install: {error}", file=sys.stderr)
with tempfile.TemporaryDirectory() as home, Emulator(speed=SPEED) as emulator:
    told, _ = kill_the_server(Site(environment("langgraph-server", PINS), Path(home), emulator))
    print(told.row("LangGraph server"))
