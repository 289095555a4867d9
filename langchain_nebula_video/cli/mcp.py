"""The command `mcp`: runs the tools as an MCP server, over stdin and stdout or over HTTP."""

# Typer reads the annotations, so they are evaluated here.
import os
import secrets
import sys
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from langchain_nebula_video.catalog.gateways import find_gateway
from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.client import price_table
from langchain_nebula_video.cli.exit_codes import Exit
from langchain_nebula_video.cli.journal import journal_url
from langchain_nebula_video.cli.output import Output
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.journal import Budget
from langchain_nebula_video.mcp import Http, serve

__all__ = ["TOKEN_VARIABLE", "mcp"]

TOKEN_VARIABLE = "NEBULA_VIDEO_MCP_TOKEN"  # noqa: S105 the variable's name
_MIN_TOKEN = 16


class _When(StrEnum):
    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


_Http = Annotated[bool, typer.Option("--http", help="Serve streamable HTTP instead of stdin and stdout.")]
_Host = Annotated[str, typer.Option("--host", help="With --http: where to listen.")]
_Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="With --http; 0 takes a free one.")]
_AllowHost = Annotated[
    list[str] | None,
    typer.Option("--allow-host", metavar="NAME", help="With --http: a name of this server; may be repeated."),
]
_AllowOrigin = Annotated[
    list[str] | None,
    typer.Option("--allow-origin", metavar="ORIGIN", help="With --http: web pages that may use it; may be repeated."),
]
_BudgetUsd = Annotated[
    str | None, typer.Option("--budget", metavar="USD", help="The most that the journal's tasks may cost together.")
]
_BudgetDays = Annotated[
    float | None, typer.Option("--budget-days", metavar="DAYS", help="The budget is for so many last days.")
]
_Confirm = Annotated[
    _When,
    typer.Option(
        "--confirm",
        help="Ask a person for consent with the price. auto: if the client can ask; if not, only within a --budget.",
    ),
]
_Links = Annotated[
    _When,
    typer.Option(
        "--links", help="Answer with the video as a resource link too. auto: to clients that tell their name."
    ),
]
_ImageFolder = Annotated[
    Path | None, typer.Option("--image-folder", metavar="FOLDER", help="Clients may name images in this folder.")
]
_SaveTo = Annotated[
    str | None, typer.Option("--save-to", metavar="PLACE", help="Save each video here: a folder or a bucket.")
]
_Journal = Annotated[
    str | None,
    typer.Option(
        "--journal", metavar="URL", help="The record of paid tasks. Default: NEBULA_JOURNAL, or a file of yours."
    ),
]
_RepeatWindow = Annotated[
    float | None,
    typer.Option(
        "--repeat-window", metavar="SECONDS", help="An identical call joins the first one's video for so long."
    ),
]
_MaxWait = Annotated[
    float | None,
    typer.Option("--max-wait", metavar="SECONDS", help="Answer with the task instead of the video after so long."),
]


@opt.flatten_groups
def mcp(
    *,
    http: _Http = False,
    host: _Host = "127.0.0.1",
    port: _Port = 8789,
    allow_host: _AllowHost = None,
    allow_origin: _AllowOrigin = None,
    budget: _BudgetUsd = None,
    budget_days: _BudgetDays = None,
    confirm: _Confirm = _When.AUTO,
    links: _Links = _When.AUTO,
    image_folder: _ImageFolder = None,
    save_to: _SaveTo = None,
    journal: _Journal = None,
    repeat_window: _RepeatWindow = None,
    max_wait: _MaxWait = None,
    timeout: opt.Timeout = None,
    poll_interval: opt.PollInterval = None,
    download_host: opt.DownloadHosts = None,
    image_store: opt.ImageStore = None,
    fit: opt.Fit = False,
    price: opt.Price = None,
    group_ratio: opt.GroupRatio = None,
    target: opt.GatewayOptions,
) -> None:
    """Serve the tools over MCP: to desktop clients, editors, and agents of any framework.

    With --http, clients need the token in NEBULA_VIDEO_MCP_TOKEN. If it is not set, one is made and printed on stderr.
    """
    output = Output()
    with output.report_errors():
        listening = None
        if http:
            listening = Http(
                host=host,
                port=port,
                token=_token(output),
                allow_hosts=tuple(allow_host or ()),
                allow_origins=tuple(allow_origin or ()),
            )
        if image_folder is not None and not image_folder.expanduser().is_dir():
            raise InvalidRequestError(f"There is no folder {str(image_folder)!r}.", hint="Check --image-folder.")
        row = find_gateway(target.gateway)
        if not (target.base_url or row.base_url or os.environ.get(row.url_variable)):
            raise InvalidRequestError(
                f"The gateway {row.name} has no address of its own: every deployment has another.",
                hint=f"Set it with export {row.url_variable}=…, or with --base-url.",
            )
        try:
            serve(
                http=listening,
                gateway=target.gateway,
                model=target.model,
                base_url=target.base_url,
                allow_http=target.allow_http,
                prices=price_table(target, price),
                group_ratio=group_ratio,
                budget=_budget(budget, budget_days),
                journal=journal_url(journal),
                save_to=save_to,
                image_folder=image_folder.expanduser() if image_folder is not None else None,
                image_store=image_store or os.environ.get(opt.STORE_VARIABLE) or None,
                download_hosts=download_host or (),
                fit=fit,
                repeat_window=repeat_window,
                timeout=timeout,
                poll_interval=poll_interval,
                confirm=confirm.value,
                links=links.value,
                max_wait=max_wait,
            )
        except ImportError as error:
            if (error.name or "").startswith("langchain_nebula_video"):
                raise
            output.print_message(str(error))
            raise typer.Exit(Exit.INVALID) from None
        except KeyboardInterrupt:
            sys.stderr.write("Stopped. Videos under way go on, and the journal has them.\n")
            sys.stderr.flush()
            if not http:
                os._exit(Exit.OK)  # a thread of the transport may still wait for a line on stdin, and Python for it


def _budget(usd: str | None, days: float | None) -> Budget | None:
    if usd is None:
        if days is not None:
            raise InvalidRequestError("There is a --budget-days and no --budget.", hint="Give --budget USD.")
        return None
    return Budget(usd.removeprefix("$"), None if days is None else timedelta(days=days))


def _token(output: Output) -> str:
    """Return the token of the environment, or a new one, which is printed."""
    given = os.environ.get(TOKEN_VARIABLE, "")
    if given:
        if len(given) < _MIN_TOKEN or not given.isascii() or not given.isprintable() or " " in given:
            raise InvalidRequestError(
                f"{TOKEN_VARIABLE} is no token: it needs {_MIN_TOKEN} or more letters, digits and signs.",
                hint="Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
            )
        return given
    token = secrets.token_urlsafe(32)
    output.print_message(f"Token: {token} (of this run; set {TOKEN_VARIABLE} for one that stays)", no_wrap=True)
    return token
