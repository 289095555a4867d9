"""The options that several commands share, and groups of them."""

# Typer reads the annotations, so they are evaluated here.
import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from decimal import Decimal, InvalidOperation
from functools import wraps
from typing import Annotated, Any

import typer

from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.catalog.models import MODELS
from langchain_nebula_video.journal import Budget

__all__ = [
    "DEFAULT_GATEWAY",
    "DEFAULT_OUT",
    "NO_IMAGE",
    "AllowHttp",
    "AsJson",
    "Audio",
    "DownloadHosts",
    "Duration",
    "GatewayFilter",
    "GatewayName",
    "GatewayOptions",
    "GroupRatio",
    "ImageStore",
    "LookOptions",
    "ModelName",
    "Out",
    "PaymentOptions",
    "PollInterval",
    "Price",
    "RequestOptions",
    "Resolution",
    "TaskId",
    "Timeout",
    "Yes",
    "flatten_groups",
    "option_name",
    "parse_budget",
]


DEFAULT_GATEWAY = "nebula"
STORE_VARIABLE = "NEBULA_VIDEO_IMAGE_STORE"
DEFAULT_OUT = "."
NO_IMAGE = "none"


def parse_budget(text: str) -> Budget:
    """Return an amount of dollars as a budget."""
    try:
        return Budget(text.removeprefix("$"))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise typer.BadParameter(f"{text!r} is no number.") from None


def _price(text: str) -> Decimal:
    # A currency sign is not removed: it could be that of another currency.
    price = _decimal(text)
    if not price.is_finite() or price < 0:
        raise typer.BadParameter(f"{text!r} is no price.")
    return price


_every_tier = {tier for row in MODELS.values() for tier in row.resolutions}
_tiers = ", ".join(sorted(_every_tier, key=lambda tier: (len(tier), tier)))
_every_length = {seconds for row in MODELS.values() for seconds in row.durations}
_proportions = ", ".join(dict.fromkeys(ratio for row in MODELS.values() for ratio in row.aspect_ratios))
_SEE = "see: nebula-video models MODEL"

TaskId = Annotated[str, typer.Argument(help="The id that submit or generate printed.")]
Duration = Annotated[
    int | None,
    typer.Option("--duration", help=f"Seconds of video, {min(_every_length)} to {max(_every_length)}; {_SEE}."),
]
Resolution = Annotated[str | None, typer.Option("--resolution", help=f"One of: {_tiers}; {_SEE}.")]
Out = Annotated[
    str,
    typer.Option(
        "--out",
        metavar="PLACE",
        help="Save to this folder, this .mp4 file, or a bucket (s3://…); in names: {date}, {model}, {task_id}, …",
    ),
]
Fit = Annotated[
    bool,
    typer.Option("--fit", help="Turn, scale and convert the image as the gateway needs it, instead of refusing it."),
]
ImageStore = Annotated[
    str | None,
    typer.Option(
        "--image-store",
        metavar="BUCKET",
        help="Lend local images an address in this bucket (s3://…) while their task needs them. "
        f"Default: {STORE_VARIABLE}.",
    ),
]
DownloadHosts = Annotated[
    list[str] | None,
    typer.Option(
        "--download-host",
        metavar="HOST",
        help="Allow downloads from this host, although it is not on the public internet; may be repeated.",
    ),
]
GroupRatio = Annotated[
    Decimal | None,
    typer.Option(
        "--group-ratio", parser=_decimal, metavar="FACTOR", help="What your group's prices are multiplied by."
    ),
]
Price = Annotated[
    Decimal | None,
    typer.Option(
        "--price",
        parser=_price,
        metavar="AMOUNT",
        help="Your price per second of video, in the gateway's currency, if it is not documented or differs.",
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="A model that this lists: nebula-video models. Default: that of the gateway.",
        autocompletion=lambda: [*MODELS],
    ),
]
GatewayName = Annotated[
    str,
    typer.Option("--gateway", help=f"One of: {', '.join(GATEWAYS)}.", autocompletion=lambda: [*GATEWAYS]),
]
GatewayFilter = Annotated[
    str | None, typer.Option("--gateway", help="Only at this gateway.", autocompletion=lambda: [*GATEWAYS])
]
Timeout = Annotated[float | None, typer.Option("--timeout", help="Longest wait, in seconds.")]
PollInterval = Annotated[
    float | None, typer.Option("--poll-interval", help="Seconds between two requests for the status.")
]
SoleAccount = Annotated[
    bool,
    typer.Option(
        "--sole-account",
        help="Only this journal submits on this account: a lost submit takes the listed task with its prompt.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, for errors too.")]

_Image = Annotated[
    str,
    typer.Argument(
        help="The first frame: a file, an https URL, a data: URI, or - for bytes on stdin; "
        f"{NO_IMAGE}: a video without it, where the model makes them (./{NO_IMAGE} is a file of that name)."
    ),
]
_Prompt = Annotated[str, typer.Argument(help="What should happen in the video. Ignored with --template.")]
_LastImage = Annotated[
    str | None, typer.Option("--last-image", metavar="IMAGE", help="The last frame: a file, an https URL, a data: URI.")
]
_References = Annotated[
    list[str] | None,
    typer.Option(
        "--reference",
        metavar="IMAGE",
        help="Who or what should appear; may be repeated. In the prompt: @Image1, @Image2.",
    ),
]
_Negative = Annotated[str | None, typer.Option("--negative", metavar="PROMPT", help="What the video should not show.")]
_Template = Annotated[str | None, typer.Option("--template", help=f"An effect, instead of a prompt; {_SEE}.")]
_AspectRatio = Annotated[
    str | None, typer.Option("--aspect-ratio", help=f"Proportions of a video without a first frame: {_proportions}.")
]
Audio = Annotated[bool, typer.Option("--audio", help="Let the model make sound.")]
_AudioUrl = Annotated[
    str | None, typer.Option("--audio-url", help="Your own sound: the https URL of an MP3 or WAV file.")
]
_SmartRewrite = Annotated[bool, typer.Option("--smart-rewrite", help="Let the gateway enrich the prompt.")]
_Seed = Annotated[int | None, typer.Option("--seed", help="The same seed gives a similar video.")]
_Watermark = Annotated[bool, typer.Option("--watermark", help="Let the vendor add its watermark.")]
_MaxCost = Annotated[
    Budget | None,
    typer.Option("--max-cost", parser=parse_budget, metavar="USD", help="Send nothing if the estimate is higher."),
]
AllowHttp = Annotated[
    bool,
    typer.Option(
        "--allow-http",
        help="Allow plain http to a gateway on another host: everybody on that network can then read the key.",
    ),
]
_BaseUrl = Annotated[
    str | None, typer.Option("--base-url", help="The gateway's base URL. It wins over the variable and the default.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Pay without being asked.")]


@dataclass(frozen=True, kw_only=True)
class LookOptions:
    """What the video should show, besides the first frame and the prompt: fields of a `VideoRequest`."""

    duration: Duration = None
    resolution: Resolution = None
    last_image: _LastImage = None
    reference_images: _References = None
    aspect_ratio: _AspectRatio = None
    negative_prompt: _Negative = None
    template: _Template = None
    generate_audio: Audio = False
    audio_url: _AudioUrl = None
    smart_rewrite: _SmartRewrite = False
    seed: _Seed = None
    watermark: _Watermark = False


@dataclass(frozen=True, kw_only=True)
class _Arguments:
    image: _Image
    prompt: _Prompt = ""


@dataclass(frozen=True, kw_only=True)
class RequestOptions(LookOptions, _Arguments):
    """What the video should show: the fields of a `VideoRequest`, under the same names."""


@dataclass(frozen=True, kw_only=True)
class PaymentOptions:
    """Prices, and what may be paid."""

    max_cost: _MaxCost = None
    price: Price = None
    group_ratio: GroupRatio = None
    yes: Yes = False


@dataclass(frozen=True, kw_only=True)
class GatewayOptions:
    """The gateway and the model."""

    gateway: GatewayName = DEFAULT_GATEWAY
    model: ModelName = None
    base_url: _BaseUrl = None
    allow_http: AllowHttp = False


def option_name(field: Field[Any]) -> str:
    """Return the name on the command line of a group's field: an option, or an argument in capitals."""
    (info,) = field.type.__metadata__  # type: ignore[union-attr]
    # Typer's first parameter is called `default`, but in an annotation it holds the option's name.
    return info.default if isinstance(info.default, str) else field.name.upper()


def flatten_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Replace each parameter that is a group by the group's fields, because Typer knows no groups."""
    parameters = inspect.signature(command).parameters
    groups: dict[str, Any] = {
        name: each.annotation for name, each in parameters.items() if is_dataclass(each.annotation)
    }

    @wraps(command)
    def call(**given: Any) -> None:
        grouped = {
            name: group(**{field.name: given.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**given, **grouped)

    flat = [
        plain
        for name, each in parameters.items()
        for plain in (map(_parameter, fields(groups[name])) if name in groups else [each])
    ]
    only_named = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in flat]
    call.__signature__ = inspect.Signature(only_named)  # type: ignore[attr-defined]
    return call


def _parameter(field: Field[Any]) -> inspect.Parameter:
    default = inspect.Parameter.empty if field.default is MISSING else field.default
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=field.type)
