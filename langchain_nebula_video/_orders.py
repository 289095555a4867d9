"""A request -> an order: checked against the model's row, its images read, its cost estimated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from langchain_nebula_video.gateways import Gateway
from langchain_nebula_video.images import wire_image
from langchain_nebula_video.models import Model, complete, estimate
from langchain_nebula_video.schema import Cost, VideoRequest

__all__ = ["Order", "make_order"]

_IMAGES = ("image", "last_image")


@dataclass(frozen=True, slots=True)
class Order:
    """All that a submit needs."""

    request: VideoRequest
    model: Model
    images: Mapping[str, str]
    """By field: what the wire takes."""
    summary: Mapping[str, Any]
    """What was asked for, as plain data; images by digest. Two orders with the same summary are the same."""
    cost: Cost


def make_order(
    request: VideoRequest, gateway: Gateway, default_model: str, group_ratio: Decimal, folder: Path | None
) -> Order:
    """The order of a request; reads files.

    Raises:
        InvalidRequestError: the request cannot work.
    """
    request, model = complete(request, gateway, default_model)
    found = {
        name: wire_image(
            getattr(request, name), max_bytes=model.max_image_bytes, formats=model.image_formats, folder=folder
        )
        for name in _IMAGES
        if getattr(request, name) is not None
    }
    fields = request.model_dump(exclude={*_IMAGES, "reference_images"})
    asked = {name: value for name, value in fields.items() if value is not None and value is not False}
    return Order(
        request=request,
        model=model,
        images={name: image.text for name, image in found.items()},
        summary={**asked, **{name: image.digest for name, image in found.items()}},
        cost=estimate(request, model, gateway, group_ratio),
    )
