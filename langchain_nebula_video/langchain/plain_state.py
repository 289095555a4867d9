"""Requests in a graph's state as plain data, which every checkpointer can keep and nobody can change meanwhile."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.langchain.image_preview import given_images
from langchain_nebula_video.langchain.image_values import is_url
from langchain_nebula_video.langchain.tool_context import IMAGE_FIELDS
from langchain_nebula_video.lifecycle.options import Options
from langchain_nebula_video.media.images import prepare_image
from langchain_nebula_video.media.limits import ImageLimits
from langchain_nebula_video.schema import VideoRequest

__all__ = ["check_plain", "to_plain"]


def to_plain(request: Any, options: Options) -> Any:
    """A request as a dict, with the images that are files, open files or PIL images as blocks with their bytes.

    Anything that is no request is returned unchanged.

    Raises:
        InvalidRequestError: an image cannot be read, or the gateway does not accept it.
    """
    if isinstance(request, VideoRequest):
        request = {name: getattr(request, name) for name in request.model_fields_set}
    if not isinstance(request, Mapping):
        return request
    limits = options.offer(request.get("model")).images
    return {
        name: [_plain_image(image, options, limits) for image in value]
        if isinstance(value, list | tuple)
        else _plain_image(value, options, limits)
        if name in IMAGE_FIELDS
        else value
        for name, value in request.items()
    }


def check_plain(request: VideoRequest, options: Options) -> None:
    """Refuse images that are not plain data.

    Raises:
        InvalidRequestError: an image is a file, an open file or a PIL image.
    """
    for name, image in given_images(request):
        if not _is_plain(image, options):
            what = "the name of a file" if isinstance(image, str) else f"a {type(image).__name__}"
            raise InvalidRequestError(
                f"The state's {name} is {what}: a checkpointer may not keep it, and it may change before it is sent.",
                hint="Put its bytes, a data: URI, an image block or an https URL into the state.",
            )


def _is_plain(image: Any, options: Options) -> bool:
    if isinstance(image, str):
        return options.image_folder is None or is_url(image)
    return image is None or isinstance(image, bytes | Mapping)


def _plain_image(image: Any, options: Options, limits: ImageLimits) -> Any:
    if _is_plain(image, options):
        return image
    if isinstance(image, bytearray | memoryview):
        return bytes(image)
    wire = prepare_image(image, limits, folder=options.image_folder, fit=options.fit)
    block = {"type": "image", "data": wire.data, "mime_type": wire.mime}
    name = image if isinstance(image, str | os.PathLike) else getattr(image, "name", None)
    if isinstance(name, str | os.PathLike):
        block["name"] = PurePath(os.fsdecode(name)).name
    return block
