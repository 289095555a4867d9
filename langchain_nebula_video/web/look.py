"""What every page shares: templates that escape, files of the look, and the headers that keep a page to itself."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_FOLDER = Path(__file__).parent
STATIC = _FOLDER / "static"
"""The files of the look."""
_SYMBOLS = {"USD": "$", "CNY": "¥"}

# https://www.w3.org/TR/CSP3/: no script or style but the files of the look, and nothing from elsewhere.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",  # not "no-referrer", by which a form without scripts has the origin "null"
    "x-content-type-options": "nosniff",
}


def templates(folder: Path, shown: Callable[[Any], Any] | None = None) -> Environment:
    """Return the templates of one page, and the shared ones. Everything that they print is escaped.

    Args:
        folder: The page's own templates.
        shown: Replaces each value that a template prints, before it is escaped.
    """
    loader = ChoiceLoader([FileSystemLoader(folder), FileSystemLoader(_FOLDER / "templates")])
    made = Environment(
        loader=loader, autoescape=True, finalize=shown, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters.update(clock=clock, iso=iso, money=money, seconds=seconds)
    return made


def static_files() -> StaticFiles:
    """Return the app that serves the files of the look."""
    return StaticFiles(directory=STATIC)


class Guarded:
    """An ASGI app behind a guard; every answer has `HEADERS`.

    Args:
        app: The app.
        refusal: Says why a request is not answered; None if it is.
    """

    def __init__(self, app: ASGIApp, refusal: Callable[[Scope], str | None]) -> None:
        self._app = app
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(scope)
        app = self._app if refusal is None else PlainTextResponse(f"{refusal}\n", 403)
        await app(scope, receive, send_with_headers)


def clock(at: float) -> str:
    """Format a time of day, by this machine's zone."""
    return f"{datetime.fromtimestamp(at).astimezone():%H:%M:%S}"


def iso(at: float) -> str:
    """Format a time for machines."""
    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")


def money(amount: Decimal, currency: Any) -> str:
    """Format an amount: all of its digits, and at least two decimals."""
    whole, _, decimals = f"{abs(amount):f}".partition(".")
    sign = "\N{MINUS SIGN}" if amount < 0 else ""
    return f"{sign}{_SYMBOLS[str(currency)]}{int(whole):,}.{decimals.rstrip('0').ljust(2, '0')}"


def seconds(amount: float) -> str:
    """Format a length of time: ``3 s``, ``2 min 5 s``, ``1 h 3 min``."""
    minutes, rest = divmod(round(amount), 60)
    if minutes < 1:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
