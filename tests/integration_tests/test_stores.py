"""Saving to real stores whose packages are in an environment of their own, as `tests/stores` tells it."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.environments import CHECKOUT, NotInstalledError, give_up
from tests.stores.servers import HERE, STORES, store_python


@pytest.mark.parametrize("store", sorted(STORES.keys() - HERE))
def test_saving_to_a_real_store(store: str) -> None:
    try:
        python = store_python(store)
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
