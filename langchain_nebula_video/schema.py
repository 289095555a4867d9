"""What goes in and what comes out: requests, tasks, videos, costs. Plain data; no I/O, no clock."""
# Annotations are not postponed here: pydantic would compile each of them anew, half of what importing costs.

import html
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = [
    "Cost",
    "OnProgress",
    "RequestFields",
    "Task",
    "TaskStatus",
    "Video",
    "VideoFields",
    "VideoProgress",
    "VideoRequest",
    "dollars",
    "money",
]

Currency = Literal["USD", "CNY"]
_SIGNS = {"USD": "$", "CNY": "¥"}


def money(amount: Decimal, currency: Currency) -> str:
    """An amount for people: `$0.369`, `¥5.00`: exact, with cents and without idle zeros behind them."""
    plain = amount.normalize()
    exponent = plain.as_tuple().exponent
    digits = f"{plain:.2f}" if isinstance(exponent, int) and exponent > -2 else f"{plain:f}"
    return _SIGNS[currency] + digits


def dollars(amount: Decimal) -> str:
    """US dollars for people."""
    return money(amount, "USD")


def is_encodable(text: str) -> bool:
    """Whether a text can be sent: half a surrogate pair, as of an emoji cut in two, cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def normalize_resolution(given: object) -> object:
    """A resolution as it is called here: `480p` for "480P", "480" and 480; anything else as it is."""
    if isinstance(given, bool) or not isinstance(given, str | int):
        return given
    text = str(given).lower()
    return f"{text}p" if text.isdecimal() else text


class TaskStatus(StrEnum):
    """Where a task stands. Every gateway's own word is mapped to one of these."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to the task."""
        return self in _FINISHED


_FINISHED = frozenset({TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELED})


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


class VideoRequest(_Record):
    """One video to be made. It is checked against the model's row before anything is sent.

    What the model does not take is refused, never dropped. `None` means the model's own default.
    """

    prompt: str = ""
    """What should happen in the video: action, camera, scene."""
    image: Any = None
    """The first frame: https or http URL, `data:` URI, bytes, `pathlib.Path`, open file, PIL image, or a
    LangChain image block. A string is never read as a local path (see `image_folder`)."""
    last_image: Any = None
    """The last frame, where the model takes one."""
    reference_images: tuple[Any, ...] = ()
    """Images that show who or what should appear, where the model takes them."""
    duration: int | None = None
    """Seconds of video."""
    resolution: str | None = None
    """The tier: `"480p"`, `"720p"`, `"1080p"`. The aspect ratio is the image's own."""
    smart_rewrite: bool = False
    """Let the gateway enrich the prompt."""
    generate_audio: bool = False
    """Let the model make sound that fits the video."""
    audio_url: str | None = None
    """A sound file of the caller's: https, MP3 or WAV, at most 15 MB. Wins over `generate_audio`."""
    seed: int | None = None
    """0 to 2147483647; the same seed, prompt and image give similar videos. `None`: the gateway's choice."""
    negative_prompt: str | None = None
    """What should not be seen, where the model takes it."""
    template: str | None = None
    """The name of an effect, where the model has them."""
    watermark: bool = False
    """Put the vendor's mark on the video, where the model can."""
    aspect_ratio: str | None = None
    """For models that make a video of text alone."""
    model: str | None = None
    """The model's name; `None`: the client's."""

    @field_validator("duration", "seed", mode="before")
    @classmethod
    def _no_booleans(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("must be a whole number, not true or false")  # noqa: TRY004 pydantic's contract
        return value

    @field_validator("resolution", mode="before")
    @classmethod
    def _is_a_tier(cls, value: object) -> object:
        return normalize_resolution(value)


class VideoFields(TypedDict, total=False):
    """The fields of `VideoRequest` except `model`, as keyword arguments."""

    prompt: str
    image: Any
    last_image: Any
    reference_images: list[Any] | tuple[Any, ...]
    """A `VideoRequest` holds a tuple. A list is converted."""
    duration: int | None
    resolution: str | int | None
    """A `VideoRequest` holds text. The number 720 is converted to `"720p"`."""
    smart_rewrite: bool
    generate_audio: bool
    audio_url: str | None
    seed: int | None
    negative_prompt: str | None
    template: str | None
    watermark: bool
    aspect_ratio: str | None


class RequestFields(VideoFields, total=False):
    """The fields of `VideoRequest`, as keyword arguments."""

    model: str | None


class Cost(_Record):
    """What one video costs: price per second x seconds x group ratio, in exact decimals."""

    usd: Decimal | None
    """US dollars; `None` where no price is known. Converted, and rounded to a millionth, where prices are in yuan."""
    cny: Decimal | None
    """Yuan; converted where prices are in US dollars. Both ways at the rate of the gateway's row, 7.2."""
    currency: Currency = "USD"
    """What the gateway's prices are in: that amount is exact."""
    price_per_second: Decimal | None
    """In `currency`, per second of video."""
    seconds: int | None
    group_ratio: Decimal
    """What the account's group multiplies prices by; 1 for most."""
    basis: Literal["estimated", "billed", "unknown"]
    """`billed`: from the gateway's figures after the bill, its price among them; `estimated`: from the price table,
    and once there is a video from the seconds and the resolution that the gateway tells."""

    def __str__(self) -> str:
        amount = self.usd if self.currency == "USD" else self.cny
        if self.usd is None or amount is None:
            return "unknown"
        notes = [] if self.currency == "USD" else [f"about {dollars(self.usd.quantize(_CENT))}"]
        notes += [] if self.basis == "billed" else ["estimated"]
        told = money(amount, self.currency)
        return f"{told} ({', '.join(notes)})" if notes else told


_CENT = Decimal("0.01")


class _Known(_Record):
    """What is known of a task and of its video alike."""

    task_id: str
    """The gateway's name for it; opaque."""
    gateway: str
    model: str
    cost: Cost
    """Estimated until the gateway has billed it."""
    duration: int | None = None
    """Seconds of video."""
    resolution: str | None = None
    prompt: str | None = None
    actual_prompt: str | None = None
    """The prompt after the gateway's rewriting, where it tells."""
    seed: int | None = None
    submitted_at: datetime
    """Aware; UTC, as every moment here."""
    request_id: str | None = None
    raw: dict[str, Any] = Field(default_factory=dict, repr=False)
    """The gateway's last answer as it came."""


class Task(_Known):
    """A task at the gateway, as last seen."""

    status: TaskStatus
    key: str | None = None
    """The caller's own name for it: the same key never pays twice."""
    progress: float | None = None
    """0 to 1, where the gateway tells."""
    url: str | None = None
    """The video, once succeeded."""
    code: str | None = None
    """Why it failed: the gateway's code."""
    reason: str | None = None
    """Why it failed: the gateway's words."""
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    """When the URL stops working."""


class Video(_Known):
    """A finished, paid video."""

    url: str
    """Signed; works until `expires_at`."""
    expires_at: datetime
    """24 hours after the task finished, unless the URL itself says otherwise."""
    finished_at: datetime
    path: str | None = None
    """Where it was saved, if it was."""

    def _repr_html_(self) -> str:
        """A player, for notebooks."""
        source = html.escape(self.url, quote=True)
        note = html.escape(f"{self.model}, {self.cost}, until {self.expires_at:%Y-%m-%d %H:%M} UTC")
        return f'<video src="{source}" controls loop style="max-width:100%"></video><p>{note}</p>'


@dataclass(frozen=True, slots=True)
class VideoProgress:
    """How far a generation is; handed to `on_progress` at each change and each poll."""

    task_id: str
    status: TaskStatus
    elapsed: float
    """Seconds since the submit was answered."""
    expected: float
    """Seconds that such a video usually takes, from the model's row."""
    fraction: float
    """0 to 1: the gateway's own figure, else elapsed over expected, below 1 until it has succeeded."""
    polls: int
    """How often the task was asked after."""
    cost: Cost

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data, with a `type`: what LangChain's and LangGraph's streams carry."""
        return {
            "type": "nebula_video_progress",
            "task_id": self.task_id,
            "status": self.status.value,
            "elapsed": round(self.elapsed, 3),
            "expected": self.expected,
            "fraction": round(self.fraction, 4),
            "polls": self.polls,
            "cost_usd": None if self.cost.usd is None else float(self.cost.usd),
        }


OnProgress = Callable[[VideoProgress], object]
"""Called at each look at a task. In an async client it may be a coroutine function."""
