"""Unit tests open no socket, keep no examples on disk, and collect no garbage while they import."""

from __future__ import annotations

import gc

import pytest
from hypothesis import HealthCheck, settings
from pytest_socket import disable_socket

# The same examples on every machine, and none kept on disk. A loaded machine is no fault of a test.
settings.register_profile(
    "unit_tests",
    max_examples=40,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("unit_tests")
gc.disable()  # until everything is imported


@pytest.fixture(autouse=True)
def _no_sockets() -> None:
    disable_socket(allow_unix_socket=True)


def pytest_collection_finish() -> None:
    """Leave the imported modules out of every later garbage collection: they are many, and stay to the end."""
    gc.freeze()
    gc.enable()
