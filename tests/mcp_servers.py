"""MCP servers for tests: in an environment of their own, since fastmcp 4 needs mcp 2 and LangChain's adapters mcp 1."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_nebula_video.emulator import Emulator

__all__ = ["TOKEN", "HttpServer", "environment", "run_new_client", "serve_http", "settings", "stdio_command"]

ROOT = Path(__file__).parents[1]
TOKEN = "t0ken-t0ken-t0ken-t0ken"
_CLIENT = Path(__file__).with_name("mcp_new_client.py")
_STARTING = 120.0
_INSTALLING = 600


def environment() -> Path:
    """The Python of an environment with the extra `mcp`; made once, and again if pyproject.toml changes.

    Raises:
        RuntimeError: pip cannot install it; with the end of what pip says.
    """
    folder = ROOT / ".venvs" / f"mcp-{sys.version_info.major}.{sys.version_info.minor}"
    folder.parent.mkdir(exist_ok=True)
    python, ready = folder / "bin" / "python", folder / "ready"
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several workers of pytest want it at once
        if not ready.is_file() or ready.read_text() != wanted:
            venv.create(folder, with_pip=True)
            install = [str(python), "-m", "pip", "install", "--quiet", "--editable", f"{ROOT}[mcp]"]
            done = subprocess.run(install, capture_output=True, text=True, check=False, timeout=_INSTALLING)
            if done.returncode != 0:
                raise RuntimeError(f"pip cannot install the extra mcp: {done.stderr[-300:]}")
            ready.write_text(wanted)
    return python


def settings(emulator: Emulator, journal: Path) -> dict[str, str]:
    """The environment variables of a server on the emulator."""
    return {
        **os.environ,
        "NEBULA_BASE_URL": emulator.url,
        "NEBULA_API_KEY": emulator.api_key,
        "NEBULA_JOURNAL": f"sqlite:///{journal}",
        "NEBULA_VIDEO_MCP_TOKEN": TOKEN,
        "PYTHONPATH": str(ROOT),
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
    import time

    end = time.monotonic() + _STARTING
    while time.monotonic() < end and process.poll() is None:
        for line in errors.read_text().splitlines():
            if line.startswith("MCP server: "):
                return line.split()[-1]
        time.sleep(0.05)
    raise RuntimeError(f"The server did not start: {errors.read_text()[-2000:]}")


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
