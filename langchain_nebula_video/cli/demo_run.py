"""What the command `demo` does: an agent animates a photograph, with the emulator as the gateway."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from langchain_nebula_video.catalog.models import find_model
from langchain_nebula_video.cli.emulator import require_emulator_extra
from langchain_nebula_video.cli.output import Output
from langchain_nebula_video.cli.progress_bar import TaskProgressBar
from langchain_nebula_video.saving.targets import check_target
from langchain_nebula_video.schema import dollars

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_nebula_video.emulator import Emulator

__all__ = ["run_demo"]

_USER_MESSAGE = "Make my cat come alive."
_PROMPT = "The camera glides towards the cat, which looks straight ahead and slowly blinks."
_STATUS = {"PENDING": "queued", "RUNNING": "running", "SUCCEEDED": "saving", "FAILED": "failed"}


def run_demo(out: Path, *, audio: bool, speed: float) -> None:
    """Make the video, save it and describe it. A file of one's own is never overwritten."""
    output = Output()
    with output.report_errors():
        check_target(out)
        with require_emulator_extra(output):
            from langchain_nebula_video.emulator import Emulator  # noqa: PLC0415 an extra
            from langchain_nebula_video.emulator.rendering import encoder  # noqa: F401, PLC0415 an extra
        with Emulator(speed=speed) as emulator, _no_proxy():
            # Async, because with threads Ctrl-C would wait until the video is finished.
            artifact = asyncio.run(_run(output, emulator, out, audio=audio, speed=speed))
            bill = emulator.bill.usd
    output.print_fields(
        {
            "Saved": artifact["path"],
            "Seen in it": _describe_file(Path(artifact["path"])),
            "Cost": f"{dollars(bill)} on the emulator's bill, which is play money: this cost you nothing",
            "URL": artifact["url"],
            "Task": artifact["task_id"],
        }
    )
    output.print_message(
        "\nThe URL ended with the emulator; a gateway's works for 24 hours. The emulator only moves a camera over"
    )
    output.print_message("the photograph: that the cat blinks, it leaves to the gateway's model.")
    output.print_message("With a key of your own: export NEBULA_API_KEY=… and nebula-video generate IMAGE PROMPT")


async def _run(output: Output, emulator: Emulator, out: Path, *, audio: bool, speed: float) -> dict[str, Any]:
    """Print the conversation, and return the artifact of the tool."""
    from langchain_core.messages import ToolMessage  # noqa: PLC0415 slow to import
    from langsmith import tracing_context  # noqa: PLC0415

    from langchain_nebula_video.cli.demo_agent import conversation  # noqa: PLC0415 slow to import
    from langchain_nebula_video.langchain.tools import NebulaVideoTool  # noqa: PLC0415

    photograph = files("langchain_nebula_video").joinpath("assets", "cat.jpg").read_bytes()
    call = {"prompt": _PROMPT, "resolution": "720p", "generate_audio": audio}
    tool = NebulaVideoTool(
        api_key=SecretStr(emulator.api_key),
        base_url=emulator.url,
        poll_interval=0.5,
        save_to=out,
        handle_tool_error=False,
    )
    output.print_message(
        f"The gateway is an emulator on this machine, {emulator.url}, {speed:g} times as fast.", style="dim"
    )
    output.print_message(f"User:   {_USER_MESSAGE} [cat.jpg, {len(photograph) // 1024} KB]")
    artifact: dict[str, Any] = {}
    bar = TaskProgressBar(output, status="submitting", expected=find_model(tool.model).typical(None)[1] / speed)
    # Even if the environment turns tracing on, a demo sends nothing to a network.
    with tracing_context(enabled=False), _follow(bar, emulator):
        async for message in conversation(tool, photograph, _USER_MESSAGE, call):
            if isinstance(message, ToolMessage):
                artifact = message.artifact
            elif message.tool_calls:
                arguments = ", ".join(f"{name}={value!r}" for name, value in message.tool_calls[0]["args"].items())
                output.print_message(f"Agent:  {tool.name}({arguments})")
            else:
                output.print_message(f"Agent:  {message.text}")
    return artifact


@contextmanager
def _no_proxy() -> Iterator[None]:
    """Bypass a proxy named by the environment: it cannot reach the emulator on this machine."""
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
def _follow(bar: TaskProgressBar, emulator: Emulator) -> Iterator[None]:
    """Show the status of the emulator's task while the body runs."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            for task in emulator.tasks:
                bar.task_id = task.id
                bar.set_status(_STATUS[task.status])

    watcher = threading.Thread(target=watch, name="nebula-video-demo", daemon=True)
    with bar.show():
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()


def _describe_file(path: Path) -> str:
    """Decode the whole file, and describe its streams."""
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
