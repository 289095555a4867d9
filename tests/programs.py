"""Programs for the tests: servers on loopback, each started by a test and ended by its process id."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["find_program", "free_port", "running"]

_PATIENCE = 90.0
_FOLDERS = "/usr/sbin:/usr/local/sbin:/sbin"
"""Where servers are, and a user's PATH does not lead."""


def find_program(name: str) -> str | None:
    """Return the path of a program: on the PATH, or where Debian keeps servers."""
    return shutil.which(name) or shutil.which(name, path=_FOLDERS)


def free_port() -> int:
    """Return a port of loopback on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(
    command: list[str], port: int, folder: Path, env: Mapping[str, str] | None = None, *, host: str = "127.0.0.1"
) -> Iterator[None]:
    """Run a server until the block is left. It listens when the block begins."""
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **(env or {})},
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )
    try:
        _wait_until_it_listens(process, (host, port), log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_listens(process: subprocess.Popen[bytes], place: tuple[str, int], log: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(place, timeout=1).close()
            return
        time.sleep(0.05)
    raise RuntimeError(f"the server does not listen: {log.read_text(errors='replace')[-500:]}")
