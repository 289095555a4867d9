"""The table of docs/frameworks.md, measured anew: one row for each framework that installs."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.environments import NotInstalledError
from tests.frameworks import FRAMEWORKS, HEADER, measure

print(HEADER)
for framework in FRAMEWORKS.values():
    with tempfile.TemporaryDirectory() as home:
        try:
            print(framework.row(measure(framework, Path(home))), flush=True)
        except NotInstalledError as error:
            print(f"{framework.name} does not install: {error}", file=sys.stderr)
