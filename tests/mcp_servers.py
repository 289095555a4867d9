"""MCP servers for tests: in an environment of their own, since fastmcp 4 needs mcp 2 and LangChain's adapters mcp 1.

It has the extra `mcp` and borrows nothing: the extra alone has to suffice.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from langchain_nebula_video.emulator import Emulator
from tests.environments import CHECKOUT, environment

__all__ = ["TOKEN", "HttpServer", "run_new_client", "serve_http", "server_python", "settings", "stdio_command"]

TOKEN = "t0ken-t0ken-t0ken-t0ken"
_CLIENT = Path(__file__).with_name("mcp_new_client.py")
_STARTING = 120.0


def server_python() -> Path:
    """The Python of an environment with the extra `mcp` and nothing else.

    Raises:
        NotInstalledError: pip cannot install it.
    """
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needs = [*project["dependencies"], *project["optional-dependencies"]["mcp"]]
    return environment("mcp", [*needs, "--editable", f"{CHECKOUT}[mcp]"], borrows=False)


def settings(emulator: Emulator, journal: Path) -> dict[str, str]:
    """The environment variables of a server on the emulator."""
    return {
        **os.environ,
        "NEBULA_BASE_URL": emulator.url,
        "NEBULA_API_KEY": emulator.api_key,
        "NEBULA_JOURNAL": f"sqlite:///{journal}",
        "NEBULA_VIDEO_MCP_TOKEN": TOKEN,
        "PYTHONPATH": str(CHECKOUT),
    }


def stdio_command(*options: str) -> list[str]:
    """The arguments of Python for a server that looks for its video often."""
    return ["-m", "langchain_nebula_video.cli", "mcp", "--poll-interval", "0.05", *options]


class HttpServer:
    """A server that speaks HTTP."""

    def __init__(self, process: subprocess.Popen[str], url: str, errors: Path) -> None:
        self.process = process
        self.url = url
        self.errors = errors

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2].partition("/")[0])

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=30)


@contextlib.contextmanager
def serve_http(
    python: Path, variables: Mapping[str, str], folder: Path, *options: str, port: int = 0
) -> Iterator[HttpServer]:
    """A running server; stopped at the end, if it was not killed."""
    errors = folder / f"server-{port}-{len(list(folder.iterdir()))}.log"
    command = [str(python), *stdio_command("--http", "--port", str(port), *options)]
    with errors.open("w") as sink:
        process = subprocess.Popen(command, env=dict(variables), cwd=folder, stderr=sink, stdout=sink, text=True)
    try:
        yield HttpServer(process, _wait_for_url(process, errors), errors)
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _wait_for_url(process: subprocess.Popen[str], errors: Path) -> str:
    end = time.monotonic() + _STARTING
    while time.monotonic() < end and process.poll() is None:
        for line in errors.read_text().splitlines():
            if line.startswith("MCP server: ") and _listens(url := line.split()[-1]):
                return url
        time.sleep(0.05)
    raise RuntimeError(f"The server did not start: {errors.read_text()[-2000:]}")


def _listens(url: str) -> bool:
    """Whether the server takes connections; it tells its address a moment before."""
    parts = urlsplit(url)
    try:
        socket.create_connection((str(parts.hostname), parts.port or 80), timeout=1).close()
    except OSError:
        return False
    return True


def run_new_client(python: Path, where: Mapping[str, Any], calls: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a client of mcp 2 gets for its calls; see `mcp_new_client.py`."""
    given = json.dumps({**where, "calls": calls})
    done = subprocess.run(
        [str(python), str(_CLIENT)], input=given, capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-3000:])
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
