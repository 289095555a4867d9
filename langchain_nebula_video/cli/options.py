"""The options that several commands have in common."""

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

from langchain_nebula_video.models import MODELS
from langchain_nebula_video.schema import Budget

__all__ = [
    "GATEWAY",
    "HERE",
    "MODEL",
    "AsJson",
    "Audio",
    "AudioUrl",
    "BaseUrl",
    "Duration",
    "GatewayName",
    "GroupRatio",
    "Image",
    "MaxCost",
    "ModelName",
    "Out",
    "PollInterval",
    "Prompt",
    "Resolution",
    "Seed",
    "SmartRewrite",
    "TaskId",
    "Timeout",
    "Yes",
]


GATEWAY = "nebula"
MODEL = "wan2.5-i2v-preview"
HERE = Path()


def _budget(text: str) -> Budget:
    try:
        return Budget(text.removeprefix("$"))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise typer.BadParameter(f"{text!r} is no number.") from None


_tiers = ", ".join(dict.fromkeys(tier for row in MODELS.values() for tier in row.resolutions))
_seconds = ", ".join(dict.fromkeys(str(seconds) for row in MODELS.values() for seconds in row.durations))

Image = Annotated[
    str, typer.Argument(help="The first frame: a file, an https URL, a data: URI, or - for bytes on stdin.")
]
Prompt = Annotated[str, typer.Argument(help="What should happen in the video.")]
TaskId = Annotated[str, typer.Argument(help="The id that submit or generate printed.")]
Duration = Annotated[int | None, typer.Option("--duration", help=f"Seconds of video: {_seconds}.")]
Resolution = Annotated[str | None, typer.Option("--resolution", help=f"One of: {_tiers}.")]
Audio = Annotated[bool, typer.Option("--audio", help="Let the model make sound.")]
AudioUrl = Annotated[str | None, typer.Option("--audio-url", help="A sound of yours: https URL of an MP3 or WAV file.")]
SmartRewrite = Annotated[bool, typer.Option("--smart-rewrite", help="Let the gateway enrich the prompt.")]
Seed = Annotated[int | None, typer.Option("--seed", help="The same seed gives a similar video.")]
Out = Annotated[Path, typer.Option("--out", help="Save to this folder, or to this .mp4 file.")]
MaxCost = Annotated[
    Budget | None,
    typer.Option("--max-cost", parser=_budget, metavar="USD", help="Send nothing if the estimate is higher."),
]
ModelName = Annotated[str, typer.Option("--model", help="A row of: nebula-video models.")]
GatewayName = Annotated[str, typer.Option("--gateway", help="Where to send it.")]
BaseUrl = Annotated[
    str | None, typer.Option("--base-url", help="The gateway's address, instead of its variable or its own.")
]
GroupRatio = Annotated[
    Decimal,
    typer.Option(
        "--group-ratio", parser=_decimal, metavar="FACTOR", help="What your group's prices are multiplied by."
    ),
]
Timeout = Annotated[float | None, typer.Option("--timeout", help="Seconds to wait at most.")]
PollInterval = Annotated[float | None, typer.Option("--poll-interval", help="Seconds between two looks at the task.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, for errors too.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Pay without being asked.")]
