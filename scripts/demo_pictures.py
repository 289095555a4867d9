#!/usr/bin/env python3
"""scripts/demo_pictures.py [FOLDER]: run the demo, and take its terminal (SVG) and its video (WebP) for the docs.

The default folder is docs/pictures. The clip has every third picture of the first three seconds, 360 pixels wide.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import av
from PIL import Image
from rich.console import Console
from rich.text import Text

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
COMMAND = ("nebula-video", "demo", "--speed", "100")
COLUMNS = 105
EACH, SECONDS, WIDTH = 3, 3, 360
_FONT_FACE = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
"""rich takes its font from a server elsewhere; a picture loads nothing."""


def terminal(output: str) -> str:
    """Return a picture of the command and its output as a terminal shows them."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.assemble(("$ ", "dim"), (" ".join(COMMAND), "bold")))
    for line in output.rstrip().splitlines():
        text = Text.from_ansi(line)
        text.truncate(COLUMNS, overflow="ellipsis")
        text.highlight_regex(r"^(User:|Agent:|Saved|Seen in it|Cost|URL|Task)", "bold cyan")
        text.highlight_regex(r"\$\d[\d.]*\d", "green")
        console.print(text)
    return _FONT_FACE.sub("", console.export_svg(title="nebula-video demo"))


def clip(video: Path) -> bytes:
    """Return the beginning of a video as an animated WebP."""
    with av.open(str(video)) as container:
        rate = int(container.streams.video[0].average_rate or 24)
        frames: list[Image.Image] = []
        for number, frame in enumerate(container.decode(video=0)):
            if number >= SECONDS * rate:
                break
            if number % EACH == 0:
                picture: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]
                frames.append(picture.resize((WIDTH, WIDTH * picture.height // picture.width)))
    buffer = io.BytesIO()
    frames[0].save(
        buffer, "WEBP", save_all=True, append_images=frames[1:], duration=1000 * EACH // rate, loop=0, quality=60
    )
    return buffer.getvalue()


def main(folder: Path) -> None:
    """Run the demo in an empty folder and write the two pictures."""
    with tempfile.TemporaryDirectory() as empty:
        program = Path(sys.executable).with_name(COMMAND[0])
        done = subprocess.run(  # noqa: S603 the package's own command
            [program, *COMMAND[1:]], cwd=empty, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
        )
        (folder / "demo.svg").write_text(terminal(done.stdout), encoding="utf-8")
        (folder / "demo.webp").write_bytes(clip(Path(empty) / "nebula-demo.mp4"))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
