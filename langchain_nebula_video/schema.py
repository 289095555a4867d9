"""Data types for requests, tasks, videos and costs. No I/O, no clock."""
# No postponed annotations here: pydantic would compile each one again: half of the import time.

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, TypedDict, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from langchain_nebula_video.display.cards import Card, Fact
from langchain_nebula_video.display.player import (
    EMBED_LIMIT,
    has_secrets,
    player,
    text_without_secrets,
    without_secrets,
)

__all__ = [
    "Cost",
    "LostSubmit",
    "OnProgress",
    "Reconciliation",
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
Basis = Literal["estimated", "billed", "unknown"]
_BASES = frozenset(get_args(Basis))
_CURRENCY_SYMBOLS = {"USD": "$", "CNY": "¥"}


def money(amount: Decimal, currency: Currency) -> str:
    """Format an amount exactly, with at least two decimals: `$0.369`, `¥5.00`."""
    plain = amount.normalize()
    exponent = plain.as_tuple().exponent
    digits = f"{plain:.2f}" if isinstance(exponent, int) and exponent > -2 else f"{plain:f}"
    return _CURRENCY_SYMBOLS[currency] + digits


def dollars(amount: Decimal) -> str:
    """Format an amount in US dollars."""
    return money(amount, "USD")


def is_encodable(text: str) -> bool:
    """Whether the text is valid UTF-8. Half a surrogate pair, such as an emoji cut in two, is not."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def normalize_resolution(value: object) -> object:
    """Return `"480p"` for `"480P"`, `"480"` and 480. Other types are returned unchanged."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return value
    text = str(value).lower()
    return f"{text}p" if text.isdecimal() else text


class TaskStatus(StrEnum):
    """The status of a task. Each gateway's own status words are mapped to these."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def finished(self) -> bool:
        """Whether the status is final."""
        return self in _FINISHED


_STATUSES = frozenset(status.value for status in TaskStatus)
_FINISHED = frozenset({TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELED})


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


class VideoRequest(_Record):
    """A request for one video. It is checked against the model's row before anything is sent.

    A field that the model does not accept is refused, never dropped. `None` means the model's default.
    """

    prompt: str = ""
    """Describes the video: action, camera, scene."""
    image: Any = None
    """The first frame: https or http URL, `data:` URI, bytes, `pathlib.Path`, open file, PIL image, or a
    LangChain image block. A string is never read as a local path, unless `image_folder` is set."""
    last_image: Any = None
    """The last frame, if the model accepts one."""
    reference_images: tuple[Any, ...] = ()
    """Images of the people or objects that should appear, if the model accepts them."""
    duration: int | None = None
    """Seconds of video."""
    resolution: str | None = None
    """`"480p"`, `"720p"` or `"1080p"`. The aspect ratio is that of the image."""
    smart_rewrite: bool = False
    """Let the gateway rewrite the prompt."""
    generate_audio: bool = False
    """Let the model generate sound for the video."""
    audio_url: str | None = None
    """The https URL of an MP3 or WAV file of at most 15 MB. Overrides `generate_audio`."""
    seed: int | None = None
    """0 to 2147483647. The same seed, prompt and image give similar videos. `None`: the gateway chooses."""
    negative_prompt: str | None = None
    """What the video should not show, if the model accepts it."""
    template: str | None = None
    """The name of an effect, if the model has effects."""
    watermark: bool = False
    """Add the vendor's watermark, if the model can."""
    aspect_ratio: str | None = None
    """For models that generate a video from text alone."""
    model: str | None = None
    """The model's name. `None`: the client's default."""

    @field_validator("duration", "seed", mode="before")
    @classmethod
    def _reject_booleans(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("must be a whole number, not true or false")  # noqa: TRY004 pydantic's contract
        return value

    @field_validator("resolution", mode="before")
    @classmethod
    def _normalize_resolution(cls, value: object) -> object:
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


class _StoredRecord(_Record):
    """What journals, states and checkpoints keep. A newer version may have added fields: they are ignored."""

    model_config = ConfigDict(extra="ignore")


class Cost(_StoredRecord):
    """The cost of one video in exact decimals: price per second x seconds x group ratio, or an amount that was told."""

    usd: Decimal | None
    """US dollars; `None` if no price is known. If prices are in yuan: converted, and rounded to a millionth."""
    cny: Decimal | None
    """Yuan; converted if prices are in US dollars. Both conversions use the rate of the gateway's row, 7.2."""
    currency: Currency = "USD"
    """The currency of the gateway's prices. The amount in this currency is exact."""
    price_per_second: Decimal | None
    """In `currency`, per second of video. `None`: unknown, or the gateway told the whole amount, which is no product of
    a known price."""
    seconds: int | Decimal | None
    """The seconds that are counted. A finished video may have a fraction of a second more than was asked for."""
    group_ratio: Decimal
    """The price multiplier of the account's group; 1 for most accounts."""
    basis: Basis
    """`billed`: the gateway's bill. Its answer has it, or its rule is known: price x reported seconds x a `group_ratio`
    that you passed. `estimated`: from the price table; for a finished video, with the duration and resolution that the
    gateway reported."""

    @field_validator("currency", mode="before")
    @classmethod
    def _read_currency(cls, value: object) -> object:
        """Count a currency that only a newer version knows by its US dollars."""
        return "USD" if isinstance(value, str) and value not in _CURRENCY_SYMBOLS else value

    @field_validator("basis", mode="before")
    @classmethod
    def _read_basis(cls, value: object) -> object:
        return "unknown" if isinstance(value, str) and value not in _BASES else value

    def __str__(self) -> str:
        amount = self.usd if self.currency == "USD" else self.cny
        if self.usd is None or amount is None:
            return "unknown"
        notes = [] if self.currency == "USD" else [f"about {dollars(self.usd.quantize(_CENT))}"]
        notes += [] if self.basis == "billed" else ["estimated"]
        text = money(amount, self.currency)
        return f"{text} ({', '.join(notes)})" if notes else text


_CENT = Decimal("0.01")


class _TaskData(_StoredRecord):
    """The fields that `Task` and `Video` share."""

    task_id: str
    """The gateway's id for the task; an opaque string."""
    gateway: str
    model: str
    cost: Cost
    """An estimate until the gateway has billed the task."""
    duration: int | float | None = None
    """Seconds of video. A finished one may have a fraction more than was asked for."""
    resolution: str | None = None
    prompt: str | None = None
    actual_prompt: str | None = None
    """The prompt after the gateway's rewriting, if it reports one."""
    url_needs_key: bool = False
    """Whether `url` is on the gateway itself: it opens with the API key only, as `download` and `save_to` send it."""
    seed: int | None = None
    key: str | None = None
    """The caller's idempotency key: the same key never pays twice."""
    image_name: str | None = None
    """The name of the image's file without its suffix, if the image had one: a path or a URL has."""
    submitted_at: datetime
    """Aware, in UTC, like every time in this module."""
    request_id: str | None = None
    reused: bool = False
    """Whether an earlier identical request has paid for it: this call joined its task, and nothing was paid again."""
    image_notes: tuple[str, ...] = ()
    """What `fit` changed in the images that this call sent, and what to know of them; each begins with its field."""
    warning: str | None = None
    """What to know of the money besides the cost: for example that the gateway may have made a second task."""
    raw: dict[str, Any] = Field(default_factory=dict, repr=False)
    """The gateway's last response, unchanged."""

    def _facts(self) -> tuple[Fact, ...]:
        """Return the facts that tasks and videos share."""
        length = " ".join(
            part for part in (f"{self.duration:g} s" if self.duration else "", self.resolution or "") if part
        )
        named = {
            "Cost": str(self.cost),
            "Length": length,
            "Model": f"{self.model} on {self.gateway}",
            "Prompt": self.prompt or "",
            "Task": self.task_id,
            "Warning": self.warning or "",
        }
        return tuple(Fact(name, text) for name, text in named.items() if text)

    def _address(self, url: str | None, expires_at: datetime | None, *, signed_url: bool = False) -> tuple[Fact, ...]:
        """Return the video's address as a fact. Notebooks are kept and shared: a signature is in it on demand only."""
        if url is None:
            return ()
        until = f", until {expires_at:%Y-%m-%d %H:%M} UTC" if expires_at else ""
        if self.url_needs_key:
            return (Fact("Address", f"opens with your key only{until}"),)
        if has_secrets(url) and not signed_url:
            return (Fact("Address", f"{without_secrets(url)}{until}; signed, so kept out of notebooks"),)
        return (Fact("Address", f"{without_secrets(url)}{until}", url),)


class Task(_TaskData):
    """A task at the gateway, as of the last fetch."""

    status: TaskStatus
    progress: float | None = None
    """0 to 1, if the gateway reports it."""
    url: str | None = None
    """The video's URL, once the task has succeeded."""
    code: str | None = None
    """The gateway's error code, if the task failed."""
    reason: str | None = None
    """The gateway's error message, if the task failed."""
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    """When the URL stops working."""

    def card(self, *, signed_url: bool = False) -> Card:
        """Return what a notebook shows of the task. `langchain_nebula_video.notebook.show` tells of the argument."""
        reason = ": ".join(part for part in (self.code, self.reason) if part)
        told = reason if signed_url else text_without_secrets(reason)
        facts = (Fact("Reason", told),) if told else ()
        address = self._address(self.url, self.expires_at, signed_url=signed_url)
        fraction = None if self.status.finished else self.progress or 0.0
        return Card(f"Task {self.status}", (*facts, *address, *self._facts()), fraction=fraction)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002 IPython's
        """Return what a notebook shows. It has no signed address."""
        return self.card().as_bundle()

    def _repr_html_(self) -> str:
        """Return what other notebooks than IPython's show."""
        return self.card().as_html()

    @field_validator("status", mode="before")
    @classmethod
    def _read_status(cls, value: object) -> object:
        """Take a status that only a newer version knows for one of a task under way: it is paid for."""
        return TaskStatus.RUNNING if isinstance(value, str) and value not in _STATUSES else value


class Video(_TaskData):
    """A finished, paid video."""

    url: str
    """Signed, or on the gateway itself (`url_needs_key`); valid until `expires_at`."""
    expires_at: datetime
    """The expiry in the URL itself, otherwise 24 hours after the task finished."""
    finished_at: datetime
    path: str | None = None
    """Where the video was saved, if it was."""

    def card(self, *, signed_url: bool = False, embed_limit: int = EMBED_LIMIT) -> Card:
        """Return what a notebook shows of the video. `langchain_nebula_video.notebook.show` tells of the arguments."""
        address = self._address(self.url, self.expires_at, signed_url=signed_url)
        playable = address[0].link if address else None
        saved = Fact("Saved", self.path or "no: client.download(video, path)")
        return Card(
            "Video", (saved, *address, *self._facts()), player=player(self.path, playable, embed_limit=embed_limit)
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002 IPython's
        """Return what a notebook shows. It has no signed address."""
        return self.card().as_bundle()

    def _repr_html_(self) -> str:
        """Return what other notebooks than IPython's show."""
        return self.card().as_html()


@dataclass(frozen=True, slots=True)
class LostSubmit:
    """A submit whose answer was lost, and of which nobody can say yet what became of it."""

    submitted_at: datetime
    model: str
    reserved_usd: Decimal
    """What may have been spent, in US dollars."""
    candidates: tuple[str, ...]
    """Tasks of that moment that nobody here owns, and that it may be. Looking at them is free."""
    reason: str
    """Why it stays open."""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What a comparison of the journal with the gateway's own records has settled."""

    found: tuple[Task, ...]
    """The tasks of lost submits, which the journal has now. Pass each to `wait`."""
    billed: tuple[Task, ...]
    """Tasks whose bill was not in the journal, with that bill as their `cost`."""
    open: tuple[LostSubmit, ...]
    """Lost submits that stay open. A person decides."""
    group_ratio: Decimal | None
    """What the last bill multiplied list prices by; `None`: there is no bill. Pass it as `group_ratio`."""


@dataclass(frozen=True, slots=True)
class VideoProgress:
    """The progress of a generation. `on_progress` gets one at each poll, and every few seconds in between."""

    task_id: str
    """`""` while the submit waits for a place."""
    status: TaskStatus
    elapsed: float
    """Seconds since the submit was accepted; while it waits for a place, since it began to."""
    expected: float
    """Seconds that such a video usually takes, according to the model's row."""
    fraction: float
    """0 to 1: the gateway's figure, otherwise elapsed / expected. Below 1 until the task has succeeded."""
    polls: int
    """How often the task was fetched."""
    cost: Cost
    estimated: bool = False
    """Whether it came between two polls: then the status is that of the last one."""
    phase: Literal["waiting", "generating", "saving"] = "generating"
    """`waiting`: for a place to submit, behind others. Nothing has been sent yet."""
    bytes_received: int | None = None
    """How much of the video has arrived, while it is saved."""
    bytes_total: int | None = None
    """How much there is, if its server says so."""

    def as_dict(self) -> dict[str, Any]:
        """Return a plain dict with a `type` key, as LangChain's and LangGraph's streams carry it."""
        return {
            "type": "nebula_video_progress",
            "task_id": self.task_id,
            "status": self.status.value,
            "elapsed": round(self.elapsed, 3),
            "expected": self.expected,
            "fraction": round(self.fraction, 4),
            "polls": self.polls,
            "cost_usd": None if self.cost.usd is None else float(self.cost.usd),
            "estimated": self.estimated,
            "phase": self.phase,
            "bytes_received": self.bytes_received,
            "bytes_total": self.bytes_total,
        }

    def card(self) -> Card:
        """Return what a notebook shows of the progress."""
        words = {"waiting": "waiting for a place", "generating": self.status.value, "saving": "saving"}
        usual = f"{self.elapsed:.0f} s, usually {self.expected:.0f} s"
        facts = [Fact("Time", usual), Fact("Cost", str(self.cost))]
        if self.task_id:
            facts.append(Fact("Task", self.task_id))
        if self.bytes_received is not None:
            total = f" of {self.bytes_total / 1e6:.1f}" if self.bytes_total else ""
            facts.append(Fact("Saved", f"{self.bytes_received / 1e6:.1f}{total} MB"))
        return Card(f"Video {words[self.phase]}", tuple(facts), fraction=self.fraction)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002 IPython's
        """Return what a notebook shows."""
        return self.card().as_bundle()

    def _repr_html_(self) -> str:
        """Return what other notebooks than IPython's show."""
        return self.card().as_html()


OnProgress = Callable[[VideoProgress], object]
"""Called with each `VideoProgress`. In an async client it may be a coroutine function."""
