"""The command line: `nebula-video`. Importing it needs no extra; running it needs `cli`."""

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
        if getattr(sys, name) is None:  # closed by whoever started the command: no reason to lose a paid video
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 to the end
    try:
        from langchain_nebula_video.cli.app import app  # noqa: PLC0415 the extra may be missing
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.stderr.write(f"{_HINT} ({error.name} is missing.)\n")
        sys.exit(2)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a sign that the terminal lacks is no reason to fail
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the journal knows what goes on
    app(prog_name="nebula-video")
