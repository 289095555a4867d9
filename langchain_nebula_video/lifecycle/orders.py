"""A request -> an order: checked, its images read, its cost estimated; and what else callers hand over, checked."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from langchain_nebula_video.catalog.gateways import Gateway
from langchain_nebula_video.catalog.offers import Offer
from langchain_nebula_video.errors import InvalidRequestError, Money, NotSentError
from langchain_nebula_video.media.images import WireImage, prepare_image
from langchain_nebula_video.protocols import MAX_TASK_ID, Protocol, WireRequest
from langchain_nebula_video.schema import Cost, Task, Video, VideoRequest, is_encodable

__all__ = [
    "Order",
    "check_download",
    "check_key",
    "check_progress",
    "check_task_id",
    "check_time_left",
    "check_timeout",
    "make_order",
]

_FRAME_FIELDS = ("image", "last_image")


@dataclass(frozen=True, slots=True)
class Order:
    """All that a submit needs."""

    request: VideoRequest
    offer: Offer
    images: Mapping[str, tuple[WireImage, ...]]
    """By field."""
    summary: Mapping[str, Any]
    """What was asked for, as plain data; images by digest. Two orders with the same summary are the same."""
    cost: Cost

    @property
    def digest(self) -> str:
        """Names what was asked for."""
        text = json.dumps(self.summary, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def build_submit(self, protocol: Protocol, uploaded_urls: Mapping[str, str]) -> WireRequest:
        """The submit; `uploaded_urls` are those of images that were uploaded, by digest."""
        texts = {name: [uploaded_urls.get(image.digest) or image.uri for image in found]
                 for name, found in self.images.items()}  # fmt: skip
        images = {name: found if name == _REFERENCES_FIELD else found[0] for name, found in texts.items()}
        return protocol.build_submit(self.offer.wire_name, self.offer.wire_fields(self.request), images)


_REFERENCES_FIELD = "reference_images"


def make_order(request: VideoRequest, offer: Offer, group_ratio: Decimal, folder: Path | None) -> Order:
    """The order of a request; reads files.

    Raises:
        InvalidRequestError: the request cannot work.
    """
    request = offer.complete(request)
    given = {name: (image,) for name in _FRAME_FIELDS if (image := getattr(request, name)) is not None}
    if request.reference_images:
        given[_REFERENCES_FIELD] = request.reference_images
    limits = offer.gateway.images
    found = {
        name: tuple(prepare_image(image, limits, folder=folder) for image in images) for name, images in given.items()
    }
    fields = request.model_dump(exclude={*_FRAME_FIELDS, _REFERENCES_FIELD})
    asked = {name: value for name, value in fields.items() if value is not None and value is not False}
    digests = {name: [image.digest for image in images] for name, images in found.items()}
    return Order(
        request=request,
        offer=offer,
        images=found,
        summary={
            **asked,
            **{name: names if name == _REFERENCES_FIELD else names[0] for name, names in digests.items()},
        },
        cost=offer.estimate(request, group_ratio),
    )


def check_key(key: object) -> None:
    """Whether a key can be one: found out after paying, it would be too late."""
    if key is not None and not (isinstance(key, str) and key and is_encodable(key)):
        raise InvalidRequestError(f"The key is {key!r}.", hint="A key is a text, not empty: key='order-17'.")


def check_timeout(timeout: float | None) -> None:
    """Whether a time can be waited for."""
    if timeout is not None and not 0 < timeout < math.inf:
        raise InvalidRequestError(f"timeout is {timeout}.", hint="Give seconds, more than 0, or None.")


def check_progress(on_progress: object) -> None:
    """Whether a callback can be called from blocking code too, as far as can be seen before it is."""
    while isinstance(on_progress, functools.partial):
        on_progress = on_progress.func
    if any(map(inspect.iscoroutinefunction, (on_progress, getattr(on_progress, "__call__", None)))):  # noqa: B004 it is looked at
        raise InvalidRequestError(
            "on_progress is a coroutine function.", hint="Give a plain function; only async clients await it."
        )


def check_time_left(now: float, latest: float) -> None:
    """Whether there is time left for a submit to be answered."""
    if now > latest:
        raise NotSentError(
            "The time was over before it was this submit's turn.", hint="Give more time, or submit fewer at once."
        )


def check_download(video: object, path: object) -> None:
    """Whether there is a video, and a place for it."""
    if not isinstance(video, Video) or not isinstance(path, str | Path) or not str(path):
        raise InvalidRequestError("download takes a Video and a path.", hint="wait() and generate() give a Video.")


def check_task_id(task: object, gateway: Gateway) -> str:
    """The id of a task of this gateway."""
    if not isinstance(task, Task | str):
        raise InvalidRequestError(f"A {type(task).__name__} is no task.", hint="Give a Task, or its id as a text.")
    if isinstance(task, Task) and task.gateway != gateway.name:
        raise InvalidRequestError(
            f"The task is one of {task.gateway!r}, and this client speaks to {gateway.name!r}.",
            hint=f"Use a client with gateway={task.gateway!r}.",
            money=Money.RUNNING,
            task_id=task.task_id,
        )
    task_id = task.task_id if isinstance(task, Task) else task
    if not task_id.strip() or len(task_id) > MAX_TASK_ID or not is_encodable(task_id):
        raise InvalidRequestError("That is no task id.", hint="Give the id that the submit answered.")
    return task_id
