"""Without what a fleet needs, its import says what to install."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.tables import each_row


@each_row(
    ("missing", "remedy"),
    [
        (
            "sys.modules['procrastinate'] = None",
            'pip install "langchain-nebula-video[fleet]" (procrastinate is missing)',
        ),
        ("os.environ['PSYCOPG_IMPL'] = 'nothing'", "apt-get install libpq5"),
    ],
)
def test_a_fleet_without_its_extra_or_without_libpq_names_what_to_install(missing: str, remedy: str) -> None:
    program = f"import os, sys; {missing}; from langchain_nebula_video.fleet import FleetWorker"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env={**os.environ}
    )
    assert done.returncode == 1
    assert remedy in done.stderr.strip().splitlines()[-1]
