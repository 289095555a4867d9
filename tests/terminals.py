"""A terminal of a given size, and what a person sees in it while a command runs."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyte

__all__ = ["Terminal"]

_STILL_SECONDS = 0.03
"""The program writes a picture at once, and the next one an eighth of a second later."""


class Terminal:
    """Runs `nebula-video` in a pseudo-terminal.

    Args:
        columns: Its width.
        lines: Its height.
    """

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._size = struct.pack("HHHH", lines, columns, 0, 0)
        self._ours = -1
        self.code: int | None = None
        """The exit code, once the command has ended."""

    def run(self, *arguments: str, cwd: Path, env: Mapping[str, str]) -> Iterator[list[str]]:
        """Run the command, and yield what the screen shows each time that it is still for a moment: all lines."""
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, self._size)
        kept = {name: value for name, value in env.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
        command = [sys.executable, "-m", "langchain_nebula_video.cli", *arguments]
        with subprocess.Popen(
            command, cwd=cwd, env={**kept, "TERM": "xterm-256color"}, stdin=theirs, stdout=theirs, stderr=theirs
        ) as process:
            os.close(theirs)
            ended = False
            try:
                while piece := self._read():
                    self._stream.feed(piece)
                    if not select.select([self._ours], [], [], _STILL_SECONDS)[0]:
                        yield list(self._screen.display)
                ended = True
            finally:
                os.close(self._ours)
                if not ended:  # whoever looks has seen enough
                    process.kill()
        self.code = process.returncode

    def write(self, text: str) -> None:
        """Type something."""
        os.write(self._ours, text.encode())

    def _read(self) -> bytes:
        try:
            return os.read(self._ours, 65536)
        except OSError:  # how Linux says that the other side has been closed
            return b""
