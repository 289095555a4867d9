"""An order: a checked request with its images read and its cost estimated, ready to submit."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from langchain_nebula_video.catalog.offers import Offer
from langchain_nebula_video.lifecycle.options import Options
from langchain_nebula_video.media.images import WireImage, check_public_name, prepare_image
from langchain_nebula_video.media.names import image_name
from langchain_nebula_video.media.urls import is_local_name
from langchain_nebula_video.protocols import Protocol, WireRequest
from langchain_nebula_video.saving.trial import expected_size
from langchain_nebula_video.schema import Cost, VideoRequest
from langchain_nebula_video.transport import missed_turn_error

__all__ = ["Order", "check_time_left", "content_key", "content_text", "make_order", "order_for", "reads_files"]

logger = logging.getLogger("langchain_nebula_video")

_FRAME_FIELDS = ("image", "last_image")
_REFERENCES_FIELD = "reference_images"
_IMAGE_FIELDS = frozenset({*_FRAME_FIELDS, _REFERENCES_FIELD})
_WEB = ("https://", "http://")


@dataclass(frozen=True, slots=True)
class Order:
    """What a submit needs."""

    request: VideoRequest
    offer: Offer
    images: Mapping[str, tuple[WireImage, ...]]
    """By field name."""
    summary: Mapping[str, Any]
    """The request as plain data, images by digest. Equal summaries mean equal requests."""
    cost: Cost
    image_name: str | None
    """The name of the first image's file, if it has one. It is read before paying: it is read from a foreign object."""
    save_to: str | Path | None = None
    """Where the video will be saved; `None`: nowhere. It is tried before paying."""

    @property
    def expected_size(self) -> int:
        """About how many bytes the video has at most."""
        return expected_size(self.request.resolution, self.request.duration, self.offer.model.fps)

    @property
    def image_notes(self) -> tuple[str, ...]:
        """What was done to the images, and what to know of them; each note begins with the field."""
        found = (
            (f"{name}[{at}]" if name == _REFERENCES_FIELD else name, image)
            for name, images in self.images.items()
            for at, image in enumerate(images)
        )
        return tuple(f"{name}: {', '.join(image.notes)}" for name, image in found if image.notes)

    @property
    def digest(self) -> str:
        """A short hash of the summary."""
        text = json.dumps(self.summary, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def build_submit(self, protocol: Protocol, uploaded_urls: Mapping[str, str]) -> WireRequest:
        """Build the submit request; `uploaded_urls` has the URLs of uploaded images, by digest."""
        texts = {name: [uploaded_urls.get(image.digest) or image.uri for image in found]
                 for name, found in self.images.items()}  # fmt: skip
        images = {name: found if name == _REFERENCES_FIELD else found[0] for name, found in texts.items()}
        offer = self.offer
        fields = offer.wire_fields(self.request)
        return protocol.build_submit(offer.wire_name, fields, images, frames=offer.model.frames)


def reads_files(request: VideoRequest) -> bool:
    """Whether making the order of a request may read or compute for long. That of web addresses does not."""
    images = (*(getattr(request, name) for name in _FRAME_FIELDS), *request.reference_images)
    return not all(image is None or (isinstance(image, str) and image.startswith(_WEB)) for image in images)


def order_for(options: Options, request: VideoRequest) -> Order:
    """Make the order of a request as these options have it. Reads image files.

    Raises:
        InvalidRequestError: the request cannot work on this gateway.
    """
    return make_order(
        request,
        options.offer(request.model),
        options.current_group_ratio(),
        options.image_folder,
        local_names=is_local_name(urlsplit(options.resolve_base_url()).hostname),
        fit=options.fit,
    )


def content_text(gateway: str, request: VideoRequest, digests: Mapping[str, list[str]], *, play: bool) -> str:
    """Return the text that is equal for equal videos: images by their digests, the other fields, and the gateway.

    An address stands for its image, whatever its signature is.

    Args:
        gateway: The gateway's name.
        request: A completed request, as an order has it.
        digests: Of the images, by field.
        play: Whether the gateway is an emulator on this machine, whose videos stand for no real ones.
    """
    fields = request.model_dump(exclude=set(_IMAGE_FIELDS), exclude_defaults=True)
    return json.dumps([gateway, play, sorted(fields.items()), digests], default=str, sort_keys=True)


def content_key(text: str) -> str:
    """Return the key of a video that nobody has named, made of `content_text`.

    The command `batch` and fleets share it: whoever makes the same video once more, with either, pays once.
    """
    return f"batch-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def differing_fields(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the fields in which two summaries differ.

    A field of a request that this version does not know is left out: a newer version wrote it.
    """
    names = {*one, *other} & VideoRequest.model_fields.keys()
    return sorted(name for name in names if one.get(name) != other.get(name))


def make_order(
    request: VideoRequest,
    offer: Offer,
    group_ratio: Decimal,
    folder: Path | None,
    *,
    local_names: bool = True,
    fit: bool = False,
) -> Order:
    """Make the order of a request. Reads image files.

    `local_names` and `fit` are as for `prepare_image`.

    Raises:
        InvalidRequestError: the request cannot work on this gateway.
    """
    request = offer.complete(request)
    given = {name: (image,) for name in _FRAME_FIELDS if (image := getattr(request, name)) is not None}
    if request.reference_images:
        given[_REFERENCES_FIELD] = request.reference_images
    if request.audio_url is not None and not local_names:
        check_public_name(request.audio_url, "Give the public https address of the sound.")
    limits = offer.images
    found = {
        name: tuple(prepare_image(image, limits, folder=folder, local_names=local_names, fit=fit) for image in images)
        for name, images in given.items()
    }
    fields = request.model_dump(exclude={*_FRAME_FIELDS, _REFERENCES_FIELD})
    asked = {name: value for name, value in fields.items() if value is not None and value is not False}
    digests = {name: [image.digest for image in images] for name, images in found.items()}
    order = Order(
        request=request,
        offer=offer,
        images=found,
        summary={
            **asked,
            **{name: names if name == _REFERENCES_FIELD else names[0] for name, names in digests.items()},
        },
        cost=offer.estimate(request, group_ratio),
        image_name=next(filter(None, map(image_name, (request.image, *request.reference_images))), None),
    )
    for note in order.image_notes:
        logger.info("%s", note)
    return order


def check_time_left(now: float, latest: float) -> None:
    """Raise if there is too little time left to send a submit; both on the runtime's clock."""
    if now > latest:
        raise missed_turn_error()
