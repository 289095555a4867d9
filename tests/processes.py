"""Processes that start at once, because they are forked from a server that has imported everything.

A new Python that imports LangChain needs a second or two of one core. A forked one needs a hundredth, and is as much a
process: it has its own memory, files, exit code and death.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

__all__ = ["barrier", "fork", "forked", "run_command", "run_script", "start"]

_FORKS = multiprocessing.get_context("forkserver")
# What a child would import by itself, late imports included. A name that is gone costs time and nothing else.
_FORKS.set_forkserver_preload(
    [
        "httpcore",
        "langchain.agents",
        "langchain_core.language_models.fake_chat_models",
        "langchain_core.messages.block_translators.langchain_v0",
        "langchain_core.tracers.run_collector",
        "langchain_core.tracers.stdout",
        "langgraph.checkpoint.sqlite",
        "langchain_nebula_video.cli.app",
        "langchain_nebula_video.emulator",
        "langchain_nebula_video.emulator.rendering.encoder",
        "langchain_nebula_video.fleet.worker",
        "langchain_nebula_video.graph",
        "langchain_nebula_video.journal.sql.store",
        "langchain_nebula_video.lifecycle.lifecycle",
        "langchain_nebula_video.middleware",
        "langchain_nebula_video.saving.save",
        "sqlalchemy.dialects.sqlite",
        "uvicorn.lifespan.off",
        "tests.processes",
        "tests.replay.worker",
    ]
)
_STREAMS = ("stdin", "stdout", "stderr")


def barrier(processes: int) -> Barrier:
    """Where so many forked processes wait for each other."""
    return _FORKS.Barrier(processes)


def fork(
    target: Callable[..., Any],
    *args: Any,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    timeout: float = 90.0,
) -> subprocess.CompletedProcess[bytes]:
    """Call a function in a process of its own and wait for its end.

    Args:
        target: A function that can be pickled.
        args: Its arguments.
        cwd: The folder that it works in.
        env: All of its environment; default: this process's own.
        stdin: What it can read.
        timeout: Seconds after which it is killed.

    Raises:
        subprocess.TimeoutExpired: It did not end in time.
    """
    with tempfile.TemporaryDirectory(prefix="fork-") as name:
        streams = Path(name)
        (streams / "stdin").write_bytes(stdin)
        environment = dict(os.environ if env is None else env)
        process = _FORKS.Process(target=_child, args=(streams, cwd, environment, target, args))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(str(target), timeout, (streams / "stdout").read_bytes())
        out, err = ((streams / each).read_bytes() for each in _STREAMS[1:])
        return subprocess.CompletedProcess(args, process.exitcode, out, err)


def start(target: Callable[..., Any], *args: Any, cwd: Path, env: Mapping[str, str] | None = None) -> BaseProcess:
    """Start a function in a process of its own.

    Args:
        target: A function that can be pickled.
        args: Its arguments.
        cwd: The folder that it works in, where its output goes too.
        env: All of its environment; default: this process's own.
    """
    environment = dict(os.environ if env is None else env)
    process = _FORKS.Process(target=_child, args=(cwd, cwd, environment, target, args))
    (cwd / "stdin").touch()
    process.start()
    return process


@contextlib.contextmanager
def forked(target: Callable[..., Any], *args: Any, cwd: Path) -> Iterator[BaseProcess]:
    """Run a function in a process of its own for the body, and kill what is left of it then; see `start`."""
    process = start(target, *args, cwd=cwd)
    try:
        yield process
    finally:
        process.kill()
        process.join()


def run_command(arguments: list[str], **how: Any) -> subprocess.CompletedProcess[bytes]:
    """Run `nebula-video` with these arguments; see `fork`."""
    return fork(_command, arguments, **how)


def run_script(path: Path, *arguments: str, **how: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a Python file as a program; see `fork`."""
    return fork(_script, path, *arguments, **how)


def _child(streams: Path, cwd: Path, env: dict[str, str], target: Callable[..., Any], args: tuple[Any, ...]) -> None:
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    encoding = env.get("PYTHONIOENCODING", "utf-8")
    for number, name in enumerate(_STREAMS):
        flags = os.O_RDONLY if name == "stdin" else os.O_WRONLY | os.O_CREAT
        opened = os.open(streams / name, flags)
        os.dup2(opened, number)
        os.close(opened)
        mode = "r" if name == "stdin" else "w"
        setattr(sys, name, open(number, mode, encoding=encoding, closefd=False))  # noqa: SIM115 to the end
    with contextlib.closing(sys.stdin):
        target(*args)


def _command(arguments: list[str]) -> None:
    from langchain_nebula_video.cli import main

    sys.argv = ["nebula-video", *arguments]
    main()


def _script(path: Path, *arguments: str) -> None:
    sys.argv = [str(path), *arguments]
    sys.path.insert(0, str(path.parent))
    runpy.run_path(str(path), run_name="__main__")
