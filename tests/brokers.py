"""Brokers for the tests: Redis and RabbitMQ on loopback, each in a folder of its own.

Debian's packages: `redis-server` and `rabbitmq-server`, which brings Erlang's `epmd` along.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.programs import find_program, free_port, running

__all__ = ["BROKERS", "rabbitmq", "redis"]

_HOST = "127.0.0.1"
# Debian's program of this name runs as another user, in the system's own folders.
_RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Run Redis, which keeps nothing on the disk; its URL."""
    port = free_port()
    settings = {"bind": _HOST, "port": str(port), "dir": str(folder), "save": "", "appendonly": "no"}
    command = [_program("redis-server"), *(word for name, value in settings.items() for word in (f"--{name}", value))]
    with running(command, port, folder):
        yield f"redis://{_HOST}:{port}/0"


@contextlib.contextmanager
def rabbitmq(folder: Path) -> Iterator[str]:
    """Run RabbitMQ and the name server of its Erlang node; its URL."""
    port, names, node = free_port(), free_port(), free_port()
    env = {
        "HOME": str(folder),  # where Erlang keeps its cookie
        "ERL_EPMD_PORT": str(names),
        "RABBITMQ_NODENAME": f"nebula-{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": _HOST,
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(node),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
        "RABBITMQ_CONFIG_FILE": str(folder / "none"),
    }
    (folder / "epmd").mkdir()
    finder = [_program("epmd"), "-address", _HOST, "-port", str(names)]
    # A server that finds no `epmd` starts one, which outlives it.
    with running(finder, names, folder / "epmd"), running([_program(_RABBITMQ)], port, folder, env):
        yield f"amqp://guest:guest@{_HOST}:{port}//"


def _program(name: str) -> str:
    """The path of a program. Without it the test is skipped, or fails if `NEBULA_REQUIRE_BROKERS=1` asks for it."""
    found = find_program(name)
    if found is None:
        missing = f"{Path(name).name} is not installed"
        if os.environ.get("NEBULA_REQUIRE_BROKERS") == "1":
            pytest.fail(f"{missing}, and NEBULA_REQUIRE_BROKERS=1 asks for it")
        pytest.skip(missing)
    return found


BROKERS: dict[str, Callable[[Path], AbstractContextManager[str]]] = {"redis": redis, "rabbitmq": rabbitmq}
"""Each runs until its block is left."""
