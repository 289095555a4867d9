"""A task: its specification, and its schedule and price once accepted."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from .enums import Dialect, Status
from .records import Problem, TaskRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .accounts import Account, Key
    from .files import InputFile
    from .models import Model


def new_uuid() -> str:
    """Return an id in the vendor's form."""
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A request that passed its dialect's checks."""

    model: Model
    prompt: str
    image: InputFile | None
    """The first frame, if any."""
    resolution: str
    seconds: int
    seed: int | None
    audio: InputFile | None
    generate_audio: bool
    request: Mapping[str, Any]
    """What the records show of the request body."""
    problem: Problem | None
    """Why the task will fail; None if it will succeed."""
    dialect: Dialect = Dialect.NEBULA
    last_image: InputFile | None = None
    """The last frame, if any."""
    references: tuple[InputFile, ...] = ()
    """Images that appear in the video without being a frame of it."""
    aspect_ratio: float | None = None
    """Width divided by height, if no image sets it."""
    watermark: bool = False
    actual_prompt: str | None = None
    """The rewritten prompt; None if it was not rewritten."""
    new_id: Callable[[], str] = new_uuid
    """Makes the task's id."""
    forwarded: Mapping[str, Any] | None = None
    """What a gateway made of the request body for the vendor behind it, if that is played."""

    @property
    def has_sound(self) -> bool:
        """Whether the video has sound."""
        return self.generate_audio or self.audio is not None

    @property
    def price(self) -> Decimal:
        """The price per second, in the model's currency."""
        price = self.model.prices[self.resolution]
        return price if self.has_sound else self.model.silent_prices.get(self.resolution, price)


@dataclass(slots=True)
class Task:
    """An accepted task. Its times change only when the speed changes or the task is canceled."""

    id: str
    spec: TaskSpec
    account: Account
    seed: int
    price: Decimal
    group_ratio: Decimal
    """The ratio at the time of acceptance."""
    cost: Decimal
    """What it costs if it succeeds, in its model's currency."""
    accepted_at: float
    started_at: float
    finished_at: float
    charged: bool = False
    key: Key | None = None
    """The key that submitted it; None in the dialects that do not ask."""
    canceled: bool = False

    def status(self, now: float) -> Status:
        """Return the status at `now`."""
        if self.canceled:
            return Status.CANCELED
        if now < self.started_at:
            return Status.PENDING
        if now < self.finished_at:
            return Status.RUNNING
        return Status.FAILED if self.spec.problem else Status.SUCCEEDED

    def record(self, now: float) -> TaskRecord:
        """Return a snapshot at `now`."""
        status = self.status(now)
        return TaskRecord(
            id=self.id,
            dialect=self.spec.dialect,
            account=self.account.name,
            model=self.spec.model.name,
            request=self.spec.request,
            forwarded=self.spec.forwarded,
            image_digest=self.spec.image.digest if self.spec.image else None,
            resolution=self.spec.resolution,
            seconds=self.spec.seconds,
            seed=self.seed,
            status=status,
            accepted_at=self.accepted_at,
            started_at=self.started_at,
            finished_at=self.finished_at,
            problem=self.spec.problem if status is Status.FAILED else None,
            cost=self.cost if self.charged else Decimal(0),
            currency=self.spec.model.currency,
        )
