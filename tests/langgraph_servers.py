"""A real LangGraph server in memory (`langgraph dev`), from an environment of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.environments import CHECKOUT

__all__ = ["PINS", "LangGraphServer"]

PINS = ("langgraph-cli[inmem]==0.4.40", "langgraph-api==0.16.7", "langgraph-runtime-inmem==0.36.7")
_SECONDS = 120.0


class LangGraphServer:
    """A server of graphs, which keeps what it knows in its folder.

    Args:
        python: The Python of its environment, which has `PINS`.
        folder: Where `graphs.py` and `langgraph.json` are written.
        code: The Python of `graphs.py`.
        graphs: The value of `graphs` in `langgraph.json`.
        variables: Environment variables.
    """

    def __init__(
        self, python: Path, folder: Path, code: str, graphs: Mapping[str, Any], variables: Mapping[str, str]
    ) -> None:
        self._program = python.parent / "langgraph"
        self.folder = folder
        self._variables = variables
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self.write(code)
        (folder / "langgraph.json").write_text(json.dumps({"dependencies": ["."], "graphs": graphs}), encoding="utf-8")

    def write(self, code: str) -> None:
        """Save `graphs.py`, as an editor does."""
        (self.folder / "graphs.py").write_text(textwrap.dedent(code), encoding="utf-8")

    @contextmanager
    def running(self, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run it until the body ends."""
        command: list[str] = [str(self._program), "dev", "--no-browser", "--port", str(self._port), *options]
        quiet = {"LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGSMITH_TRACING": "false", "PYTHONPATH": str(CHECKOUT)}
        with (self.folder / "server.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **quiet, **self._variables},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_until_ready(process)
            yield process
        finally:
            self.stop(process)

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Ask it to end (SIGTERM), and wait for that."""
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def log(self) -> str:
        """What it has written so far."""
        return (self.folder / "server.log").read_text(encoding="utf-8", errors="replace")

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end and process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.url}/ok", timeout=1).close()
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
            else:
                return
        raise RuntimeError(f"The server did not start: {self.log()[-2000:]}")
