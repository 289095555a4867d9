"""The command `emulator`: runs the emulator of every gateway until Ctrl-C."""

from __future__ import annotations

import shlex
import threading
import webbrowser
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.cli.exit_codes import Exit
from langchain_nebula_video.cli.output import Output
from langchain_nebula_video.schema import dollars
from langchain_nebula_video.testing.gateways import add_regions, locate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_nebula_video.emulator import Emulator

__all__ = ["emulate", "require_emulator_extra"]

_PORT = 8788
_EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 not bound here
"""Hosts by which the emulator listens on this machine's own address too."""


@contextmanager
def require_emulator_extra(output: Output) -> Iterator[None]:
    """End the command with a hint if an import of the emulator, or of its renderer, fails in the body."""
    try:
        yield
    except ImportError as error:
        if error.name is None or error.name.startswith("langchain_nebula_video"):
            raise
        output.print_message(
            f'This needs the emulator: pip install "langchain-nebula-video[all]" ({error.name} is missing).'
        )
        raise typer.Exit(Exit.INVALID) from None


def _add_console(emulator: Emulator, host: str) -> str | None:
    """Add the console. Return why no browser gets it; None if one does."""
    from langchain_nebula_video.emulator.files import is_loopback  # noqa: PLC0415 an extra

    if not (is_loopback(host) or host in _EVERYWHERE):
        return f"It has no console at {host}: that answers at 127.0.0.1, [::1] and localhost alone."
    try:
        from langchain_nebula_video.web.console import add_console  # noqa: PLC0415 an extra
    except ImportError as error:
        return f"It has no console: {error}"
    add_console(emulator)
    return None


def _open(url: str) -> None:
    """Open a page in the browser. In a thread, because some browsers return only when they are closed."""
    threading.Thread(target=webbrowser.open, args=(url,), name="nebula-video-browser", daemon=True).start()


def emulate(
    *,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = _PORT,
    speed: Annotated[float, typer.Option(min=0.01, help="How many times faster than the gateway it works.")] = 1.0,
    api_key: Annotated[
        str, typer.Option(help="The key that it accepts. For DashScope, add the region, like -beijing.")
    ] = "sk-emulator",
    balance: Annotated[int, typer.Option(min=0, help="Play money in each account, in its currency.")] = 100,
    behaviour: Annotated[
        str,
        typer.Option(help="What Nebula is played from: its page, or its published code (source, source-older)."),
    ] = "page",
    open_console: Annotated[bool, typer.Option("--open", help="Open its console in a browser.")] = False,
) -> None:
    """Run an emulator of all gateways on this machine: no network, no real key, no real money."""
    output = Output()
    with require_emulator_extra(output):
        from langchain_nebula_video.emulator import Behaviour, Emulator  # noqa: PLC0415 an extra

        # If it is missing, fail now and not at the first task.
        from langchain_nebula_video.emulator.rendering import encoder  # noqa: F401, PLC0415

    if behaviour not in set(Behaviour):
        raise typer.BadParameter(f"{behaviour!r} is none of {', '.join(Behaviour)}.", param_hint="'--behaviour'")
    emulator = Emulator(host=host, port=port, speed=speed, api_key=api_key, balance=balance, behaviour=behaviour)
    add_regions(emulator, balance=balance)
    missing = _add_console(emulator, host)

    def ready(_: str) -> None:
        output.print_message("The emulator is running; Ctrl-C ends it.")
        output.print_message(missing or f"Look at it in a browser: {emulator.url}/", no_wrap=True)
        if open_console and missing is None:
            _open(f"{emulator.url}/")
        output.print_message("In another terminal:")
        for row in GATEWAYS.values():
            url, key = locate(emulator, row)
            output.print_message(f"# --gateway {row.name}: {row.title}", style="dim", no_wrap=True)
            output.print_result({}, f"export {row.url_variable}={url}")
            output.print_result({}, f"export {row.key_variable}={shlex.quote(key)}")
        if speed > 1:
            output.print_message(f"It is {speed:g} times as fast as the gateway. It says so, and clients look sooner.")

    try:
        emulator.serve_forever(ready)
    except OSError as error:
        output.print_message(
            f"It cannot listen on {host}, port {port}: {error.strerror or error}. Try --port 0.", style="bold red"
        )
        raise typer.Exit(Exit.FAILURE) from None
    tasks = len(emulator.tasks)
    bill = emulator.bill
    yuan = f" and ¥{bill.cny.normalize():f}" if bill.cny else ""
    output.print_message(f"\nEnded. {tasks} task{'' if tasks == 1 else 's'}, {dollars(bill.usd)}{yuan} in play money.")
