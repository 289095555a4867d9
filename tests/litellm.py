"""A real LiteLLM proxy, from a virtualenv of its own: its dependencies are not this package's."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

import httpx

from tests.environments import environment

__all__ = ["MASTER_KEY", "Proxy", "install"]

PINS = ("litellm[proxy]==1.108.7",)  # the newest whose proxy a package index has whole, 2026-11-27
MASTER_KEY = "sk-master-0123456789"
_START_SECONDS = 300.0
_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches its prices from the internet
    "LITELLM_TELEMETRY": "False",
    "DISABLE_ADMIN_UI": "True",
}


def install() -> Path:
    """Return the proxy's program.

    Raises:
        NotInstalledError: it cannot be installed.
    """
    return environment("litellm", PINS, borrows=False).parent / "litellm"


class Proxy:
    """One running proxy.

    Args:
        program: The program of `install`.
        config: Its configuration, as YAML or JSON.
        folder: Where it keeps the configuration and its log.
    """

    def __init__(self, program: Path, config: str, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{_free_port()}"
        self._log = folder / "litellm.log"
        path = folder / "config.yaml"
        path.write_text(config, encoding="utf-8")
        words = ["--config", str(path), "--host", "127.0.0.1", "--port", self.url.rpartition(":")[2]]
        with self._log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [str(program), *words, "--telemetry", "False"],
                env={**os.environ, **_ENVIRONMENT},
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            try:
                if httpx.get(f"{self.url}/health/readiness", timeout=5, trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        self.stop()
        raise RuntimeError(f"the proxy did not start: {self._log.read_text(encoding='utf-8')[-2000:]}")

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
