"""Saving to real stores whose packages are in an environment of their own, as `tests/stores` tells it."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.environments import CHECKOUT, NotInstalledError, environment, give_up
from tests.stores.servers import STORES

PINS = (
    "adlfs==2026.8.0",
    "gcsfs==2026.10.1",
    "gcp-storage-emulator==2026.7.19",
    "ossfs==2025.5.0",
    "sshfs==2026.8.0",
    "universal-pathlib==0.3.10",
    "webdav4==0.11.0",
    "wsgidav==4.4.0",
    "cheroot==11.1.2",
)
HERE = frozenset({"local", "s3"})
"""Whose packages the tests' own environment has: `tests/stores` runs with them by itself."""


@pytest.mark.parametrize("store", sorted(STORES.keys() - HERE))
def test_saving_to_a_real_store(store: str) -> None:
    try:
        python = environment("stores", PINS)
    except NotInstalledError as error:
        give_up(error)
    ended = subprocess.run(
        [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/stores"],
        cwd=CHECKOUT,
        env={**os.environ, "NEBULA_STORE": store},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    if "passed" not in ended.stdout:  # every test was skipped: its server is not installed
        pytest.skip(ended.stdout.strip().splitlines()[-2])
