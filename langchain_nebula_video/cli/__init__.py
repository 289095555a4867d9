"""The command line `nebula-video`.

Public from here: `main`. Importing it needs no extra; running it needs the extra `cli`.
May import every other room.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path

__all__ = ["main"]

_EXTRA = frozenset({"typer", "rich", "click", "shellingham", "platformdirs"})
_HINT = 'The command line needs its extra: pip install "langchain-nebula-video[cli]" (or [all], with the emulator).'


def main() -> None:
    """Run the command that `sys.argv` names."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the parent process closed it: no reason to lose a paid video
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 to the end
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # whatever the terminal can print
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C: the journal knows the task
    try:  # a command is imported when it runs
        from langchain_nebula_video.cli.app import app  # noqa: PLC0415 the extra may be missing

        if "_NEBULA_VIDEO_COMPLETE" in os.environ:  # a shell asks; see the command `completion`
            from typer.completion import completion_init  # type: ignore[attr-defined]  # noqa: PLC0415

            completion_init()
        app(prog_name="nebula-video")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.stderr.write(f"{_HINT} ({error.name} is missing.)\n")
        sys.exit(2)
