"""The command `emulator`: every gateway on this machine, until Ctrl-C."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from langchain_nebula_video.cli.exits import Exit
from langchain_nebula_video.cli.voice import Voice
from langchain_nebula_video.gateways import GATEWAYS
from langchain_nebula_video.schema import dollars

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["emulate", "extra_needed"]

_PORT = 8788
_REGIONS = {"dashscope": "beijing", "dashscope-intl": "singapore"}
"""The gateways whose keys are good at home only."""


@contextmanager
def extra_needed(voice: Voice) -> Iterator[None]:
    """Around imports of the emulator and of what it renders with: if they are missing, say how to get them."""
    try:
        yield
    except ImportError as error:
        if error.name is None or error.name.startswith("langchain_nebula_video"):
            raise
        voice.say(f'This needs the emulator: pip install "langchain-nebula-video[all]" ({error.name} is missing).')
        raise typer.Exit(Exit.INVALID) from None


def emulate(
    *,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = _PORT,
    speed: Annotated[float, typer.Option(min=0.01, help="How many times faster than the gateway it works.")] = 1.0,
    api_key: Annotated[
        str, typer.Option(help="The key that it accepts; with -beijing and -singapore behind it for DashScope.")
    ] = "sk-emulator",
    balance: Annotated[int, typer.Option(min=0, help="Play money in each account, in its currency.")] = 100,
) -> None:
    """Run an emulator of all gateways on this machine: no network, no real key, no real money."""
    voice = Voice()
    with extra_needed(voice):
        from langchain_nebula_video.emulator import Emulator  # noqa: PLC0415 an extra

        # Imported so late otherwise that a paid task would meet its absence.
        from langchain_nebula_video.emulator.rendering import encoder  # noqa: F401, PLC0415

    emulator = Emulator(host=host, port=port, speed=speed, api_key=api_key, balance=balance)
    for region in _REGIONS.values():
        emulator.add_account(f"{api_key}-{region}", balance=balance, name=region, region=region)

    def ready(_: str) -> None:
        voice.say("The emulator is running; Ctrl-C ends it. In another terminal:")
        for row in GATEWAYS.values():
            region = _REGIONS.get(row.name)
            url = emulator.dashscope_url(region) if region else emulator.passthrough_url if row.prefix else emulator.url
            voice.say(f"# --gateway {row.name}: {row.title}", style="dim", whole=True)
            voice.answer({}, f"export {row.url_variable}={url}")
            key = f"{api_key}-{region}" if region else api_key
            voice.answer({}, f"export {row.key_variable}={shlex.quote(key)}")
        if speed > 1:
            voice.say(f"It is {speed:g} times as fast as the gateway: have clients look sooner, with poll_interval=1.")

    try:
        emulator.serve_forever(ready)
    except OSError as error:
        voice.say(
            f"It cannot listen on {host}, port {port}: {error.strerror or error}. Try --port 0.", style="bold red"
        )
        raise typer.Exit(Exit.FAILURE) from None
    tasks = len(emulator.tasks)
    bill = emulator.bill
    yuan = f" and ¥{bill.cny.normalize():f}" if bill.cny else ""
    voice.say(f"\nEnded. {tasks} task{'' if tasks == 1 else 's'}, {dollars(bill.usd)}{yuan} in play money.")
