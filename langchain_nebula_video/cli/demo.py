"""The command `demo`: an agent animates a photograph on the emulator."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import SecretStr

from langchain_nebula_video.cli.bar import Bar
from langchain_nebula_video.cli.emulate import extra_needed
from langchain_nebula_video.cli.voice import Voice
from langchain_nebula_video.models import find_model
from langchain_nebula_video.schema import dollars
from langchain_nebula_video.storage import check_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_nebula_video.emulator import Emulator

__all__ = ["demo"]

_WISH = "Make my cat come alive."
_PROMPT = "The camera glides towards the cat, which looks straight ahead and slowly blinks."
_HERE = Path("nebula-demo.mp4")
_STATUS = {"PENDING": "queued", "RUNNING": "running", "SUCCEEDED": "saving", "FAILED": "failed"}


def demo(
    *,
    out: Annotated[Path, typer.Option(help="Save to this folder, or to this .mp4 file.")] = _HERE,
    audio: Annotated[bool, typer.Option("--audio", help="With sound.")] = False,
    speed: Annotated[float, typer.Option(min=1.0, help="How many times faster than the gateway.")] = 20.0,
) -> None:
    """See it work, with no key, no network and no money: an agent animates a photograph on the emulator."""
    voice = Voice()
    with voice.reporting():
        check_target(out)
        if out == _HERE:  # a demo's video of before is nobody's work
            out.unlink(missing_ok=True)
        with extra_needed(voice):
            from langchain_nebula_video.emulator import Emulator  # noqa: PLC0415 an extra
            from langchain_nebula_video.emulator.rendering import encoder  # noqa: F401, PLC0415 an extra
        with Emulator(speed=speed) as emulator, _no_proxy():
            # Async, so that Ctrl-C does not wait for a thread that waits for the video.
            made = asyncio.run(_run(voice, emulator, out, audio=audio, speed=speed))
            bill = emulator.bill.usd
    voice.facts(
        {
            "Saved": made["path"],
            "Seen in it": _seen(Path(made["path"])),
            "Cost": f"{dollars(bill)} on the emulator's bill, which is play money: this cost you nothing",
            "URL": made["url"],
            "Task": made["task_id"],
        }
    )
    voice.say(
        "\nThe URL ended with the emulator; a gateway's works for 24 hours. The emulator only moves a camera over"
    )
    voice.say("the photograph: that the cat blinks, it leaves to the gateway's model.")
    voice.say("With a key of your own: export NEBULA_API_KEY=… and nebula-video generate IMAGE PROMPT")


async def _run(voice: Voice, emulator: Emulator, out: Path, *, audio: bool, speed: float) -> dict[str, Any]:
    """The conversation; what the tool made."""
    from langchain_core.messages import ToolMessage  # noqa: PLC0415 slow to import
    from langsmith import tracing_context  # noqa: PLC0415

    from langchain_nebula_video.cli.agent import conversation  # noqa: PLC0415 slow to import
    from langchain_nebula_video.tools import NebulaVideoTool  # noqa: PLC0415

    photograph = files("langchain_nebula_video").joinpath("assets", "cat.jpg").read_bytes()
    call = {"prompt": _PROMPT, "resolution": "720p", "generate_audio": audio}
    tool = NebulaVideoTool(
        api_key=SecretStr(emulator.api_key),
        base_url=emulator.url,
        poll_interval=0.5,
        save_to=out,
        handle_tool_error=False,
    )
    voice.say(f"The gateway is an emulator on this machine, {emulator.url}, {speed:g} times as fast.", style="dim")
    voice.say(f"User:   {_WISH} [cat.jpg, {len(photograph) // 1024} KB]")
    made: dict[str, Any] = {}
    bar = Bar(voice, status="submitting", expected=find_model(tool.model).typical(None)[1] / speed)
    # Whatever the environment says of tracing: a demo sends nothing anywhere.
    with tracing_context(enabled=False), _watched(bar, emulator):
        async for message in conversation(tool, photograph, _WISH, call):
            if isinstance(message, ToolMessage):
                made = message.artifact
            elif message.tool_calls:
                told = ", ".join(f"{name}={value!r}" for name, value in message.tool_calls[0]["args"].items())
                voice.say(f"Agent:  {tool.name}({told})")
            else:
                voice.say(f"Agent:  {message.text}")
    return made


@contextmanager
def _no_proxy() -> Iterator[None]:
    """The emulator is on this machine; a proxy that the environment names would not find it."""
    before = {name: os.environ.get(name) for name in ("NO_PROXY", "no_proxy")}
    os.environ.update(dict.fromkeys(before, "127.0.0.1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _watched(bar: Bar, emulator: Emulator) -> Iterator[None]:
    """Show what the emulator knows of its task."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            for task in emulator.tasks:
                bar.task_id = task.id
                bar.status(_STATUS[task.status])

    watcher = threading.Thread(target=look, name="nebula-video-demo", daemon=True)
    with bar.shown():
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()


def _seen(path: Path) -> str:
    """What is in the file, by decoding all of it."""
    import av  # noqa: PLC0415 an extra

    with av.open(str(path)) as container:
        video = container.streams.video[0]
        name, size, rate = video.codec_context.name, f"{video.width}x{video.height}", video.average_rate
        sounds = [stream.codec_context.name for stream in container.streams.audio]
        frames = sum(1 for _ in container.decode(video))
    seconds = frames / float(rate) if rate else 0.0
    return (
        f"{name}, {size}, {float(rate or 0):g} fps, {frames} frames, {seconds:.1f} s, "
        f"{' and '.join(sounds) or 'no'} sound, {path.stat().st_size / 1e6:.1f} MB"
    )
