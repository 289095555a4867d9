"""The command `demo`. It says what it does before it imports what takes a second or two."""

# Typer reads the annotations, so they are evaluated here.
import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["demo"]


def demo(
    *,
    out: Annotated[Path, typer.Option(help="Save to this folder, or to this .mp4 file.")] = Path("nebula-demo.mp4"),
    audio: Annotated[bool, typer.Option("--audio", help="With sound.")] = False,
    speed: Annotated[float, typer.Option(min=1.0, help="How many times faster than the gateway.")] = 20.0,
) -> None:
    """See it work, with no key, no network and no money: an agent animates a photograph on the emulator."""
    sys.stderr.write("Starting the emulator, and an agent with a scripted model. No key, no network, no money.\n")
    sys.stderr.flush()
    from langchain_nebula_video.cli.demo_run import run_demo  # noqa: PLC0415 slow to import

    run_demo(out, audio=audio, speed=speed)
