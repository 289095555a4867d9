"""The command `docs`: where the documentation is."""

# Typer reads the annotations, so they are evaluated here.
import webbrowser
from importlib.metadata import metadata
from typing import Annotated

import typer

from langchain_nebula_video.cli.exit_codes import Exit
from langchain_nebula_video.cli.output import Output

__all__ = ["docs"]


def docs(
    *, open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser of this machine.")] = False
) -> None:
    """Show where the documentation is, or open it in the browser."""
    output = Output()
    with output.report_errors():
        # "Documentation, https://…": https://packaging.python.org/en/latest/specifications/core-metadata/
        listed = metadata("langchain-nebula-video").get_all("Project-URL") or []
        urls = dict(entry.split(", ", 1) for entry in listed)
        output.write(f"{urls['Documentation']}\n")
        if open_it and not webbrowser.open(urls["Documentation"]):
            output.print_message("There is no browser that this command could open.")
            raise typer.Exit(Exit.FAILURE)
