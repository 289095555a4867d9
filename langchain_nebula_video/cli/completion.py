"""The command `completion`: prints the lines with which a shell completes commands, options, gateways and models."""

# Typer reads the annotations, so they are evaluated here.
from enum import StrEnum
from typing import Annotated

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined]

from langchain_nebula_video.cli.output import Output

__all__ = ["VARIABLE", "completion"]

VARIABLE = "_NEBULA_VIDEO_COMPLETE"
"""With it, the shell asks the program for completions."""
_PROGRAM = "nebula-video"


class Shell(StrEnum):
    """A shell that can complete."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
    POWERSHELL = "powershell"


_Shell = Annotated[Shell, typer.Argument(help="The shell.")]


def completion(*, shell: _Shell) -> None:
    """Print what makes a shell complete commands and options: bash, zsh, fish or powershell.

    For bash and zsh, in ~/.bashrc or ~/.zshrc: eval "$(nebula-video completion bash)". For fish: nebula-video
    completion fish > ~/.config/fish/completions/nebula-video.fish
    """
    output = Output()
    with output.report_errors():
        output.write(get_completion_script(prog_name=_PROGRAM, complete_var=VARIABLE, shell=shell.value) + "\n")
