"""The command `gallery`: a page about the journal, served to a browser on this machine or written to a folder."""

# Typer reads the annotations, so they are evaluated here.
import asyncio
import socket
import webbrowser
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.exit_codes import Exit
from langchain_nebula_video.cli.journal import CommandJournal, journal_url
from langchain_nebula_video.cli.output import Output
from langchain_nebula_video.errors import JournalError
from langchain_nebula_video.journal import Journal

if TYPE_CHECKING:
    from langchain_nebula_video.fleet import Fleet

__all__ = ["gallery"]

_PORT = 8790
_LIMIT = 1000
_Export = Annotated[
    Path | None, typer.Option("--export", help="Write it into this folder instead, with the videos; needs no server.")
]
_Journal = Annotated[
    str | None, typer.Option("--journal", help="Another journal: a file or a database's URL. Default: NEBULA_JOURNAL.")
]


def gallery(
    *,
    export: _Export = None,
    journal: _Journal = None,
    limit: Annotated[int, typer.Option(min=1, help="How many entries it shows, the newest ones.")] = _LIMIT,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = _PORT,
    browser: Annotated[bool, typer.Option("--open", help="Open it in your browser.")] = False,
    as_json: opt.AsJson = False,
) -> None:
    """Look at your videos, prompts and costs in a browser. It reads the journal, and changes nothing."""
    output = Output(as_json=as_json)
    try:
        import uvicorn  # noqa: PLC0415 an extra

        from langchain_nebula_video.web.gallery import export_gallery, gallery_app  # noqa: PLC0415 an extra
    except ImportError as error:
        output.print_message(
            f'This needs the pages: pip install "langchain-nebula-video[web]" ({error.name} is missing).'
        )
        raise typer.Exit(Exit.INVALID) from None
    with output.report_errors():
        opened: Journal = CommandJournal(journal)
        if export is not None:
            fleet = _find_fleet(journal)
            page = export_gallery(opened, export, now=datetime.now(UTC), most=limit, fleet=fleet)
            output.print_result({"page": str(page)}, str(page))
            return
        opened.summarize()  # a journal that cannot be read is told now
        app = gallery_app(opened, most=limit, fleet=_find_fleet(journal))
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        output.print_message(
            f"It cannot listen on port {port}: {error.strerror or error}. Try --port 0.", style="bold red"
        )
        raise typer.Exit(Exit.FAILURE) from None
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    output.print_message("Your gallery; Ctrl-C ends it.")
    output.print_result({"url": url}, url)
    if browser:
        webbrowser.open(url)
    with listener:
        uvicorn.Server(uvicorn.Config(app, log_config=None, server_header=False)).run(sockets=[listener])


def _find_fleet(journal: str | None) -> "Fleet | None":
    """Return the fleet in the journal's database, if there is one."""
    url = journal_url(journal)
    if not url.startswith("postgresql"):
        return None
    try:
        from langchain_nebula_video.fleet import Fleet  # noqa: PLC0415 an extra

        fleet = Fleet(url)
        asyncio.run(fleet.status(errors=0))
    except (ImportError, JournalError):  # the extra is missing, or there are no tables
        return None
    return fleet
