"""Environments of their own for libraries that cannot live beside the others.

An environment is made once and kept under `.venvs`, by its pins. It borrows what `.venv` has and installs the rest, so
most take ten seconds. Two are made at once, whatever the number of workers.

All together they take minutes and gigabytes, so they are only made where `NEBULA_PEERS=1` asks for them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

__all__ = ["CHECKOUT", "NotInstalledError", "environment", "give_up", "node_package"]

CHECKOUT = Path(__file__).parents[1]
FOLDER = CHECKOUT / ".venvs"
PEERS = os.environ.get("NEBULA_PEERS") == "1"
PLACES = 2
PATIENCE = 600.0


class NotInstalledError(Exception):
    """An environment could not be made."""


def give_up(error: NotInstalledError, *, required: bool = True) -> NoReturn:
    """Skip a test whose environment is not there; fail it where it was asked for."""
    if PEERS and required:
        pytest.fail(str(error))
    pytest.skip(str(error))


def environment(name: str, pins: Sequence[str], *, borrows: bool = True) -> Path:
    """The Python of an environment with these requirements and everything that the tests' own one has.

    Args:
        name: Of the environment.
        pins: What it needs, as for pip.
        borrows: Whether it has what the tests' own environment has; `False`: the requirements have to suffice.

    Raises:
        NotInstalledError: the installer failed; its last line says why.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = FOLDER / f"{name}-{version}"
    wanted = hashlib.sha256("\n".join([sys.prefix, *pins]).encode()).hexdigest()
    python, mark = folder / "bin" / "python", folder / "pins"
    FOLDER.mkdir(exist_ok=True)
    with _locked(FOLDER / f"{folder.name}.lock"):
        if mark.exists() and mark.read_text() == wanted and python.exists():
            return python
        if not PEERS:
            raise NotInstalledError(f"{name} is not installed; NEBULA_PEERS=1 make test does it")
        with _a_place():
            shutil.rmtree(folder, ignore_errors=True)
            _run(sys.executable, "-m", "venv", "--without-pip", str(folder))
            if borrows:
                borrowed = folder / "lib" / f"python{version}" / "site-packages" / "borrowed.pth"
                borrowed.write_text(sysconfig.get_path("purelib") + "\n")
            uv = shutil.which("uv")
            installer = [uv, "pip", "install", "--python"] if uv else [sys.executable, "-m", "pip", "--python"]
            install = [] if uv else ["install"]
            _run(*installer, str(python), *install, "--quiet", *pins)
        mark.write_text(wanted)
    return python


def node_package(name: str, version: str) -> Path:
    """The folder of the programs of an npm package.

    Raises:
        NotInstalledError: the installer is missing or failed; its last line says why.
    """
    folder = FOLDER / f"{name}-{version}"
    programs = folder / "node_modules" / ".bin"
    FOLDER.mkdir(exist_ok=True)
    with _locked(FOLDER / f"{folder.name}.lock"):
        if not (folder / "package-lock.json").exists():
            npm = shutil.which("npm")
            if not PEERS or npm is None:
                missing = "npm is not installed" if PEERS else "NEBULA_PEERS=1 make test does it"
                raise NotInstalledError(f"{name} is not installed; {missing}")
            with _a_place():
                _run(npm, "install", "--no-fund", "--no-audit", "--prefix", str(folder), f"{name}@{version}")
    return programs


def _run(*command: str) -> None:
    """Run a part of the installation, behind whatever else the machine does."""
    try:
        ended = subprocess.run(["nice", *command], capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise NotInstalledError(f"no end of {command[-1]} within {PATIENCE:.0f} s") from None
    if ended.returncode:
        told = (ended.stderr or ended.stdout).strip().splitlines() or [f"exit code {ended.returncode}"]
        raise NotInstalledError(told[-1])


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a file's lock, which its process's death gives back."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _a_place() -> Iterator[None]:
    """Hold one of the places of those who may install at once."""
    until = time.monotonic() + 2 * PATIENCE
    while time.monotonic() < until:
        for number in range(PLACES):
            with (FOLDER / f"place-{number}.lock").open("w") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield
                return
        time.sleep(0.5)
    raise NotInstalledError("others were installing all the time")
