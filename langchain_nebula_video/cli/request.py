"""The request of a paid command: read from its options and checked before anything is sent."""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.catalog.offers import build_request
from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.errors import InvalidRequestError, printable
from langchain_nebula_video.lifecycle.orders import Order, make_order
from langchain_nebula_video.media.fitting import MAX_INPUT_BYTES

if TYPE_CHECKING:
    from langchain_nebula_video.cli.client import ClientFactory
    from langchain_nebula_video.cli.output import Output

__all__ = ["build_order", "parse_image", "read_first_frame", "row_defaults"]

_SCHEME = re.compile(r"data:|[A-Za-z][A-Za-z0-9+.-]*://", re.IGNORECASE)


def parse_image(argument: str) -> str | Path:
    """Return a path, or the string itself if it has a scheme.

    The library reads no string as a path. Here a person typed it, so it may be one.

    Raises:
        InvalidRequestError: it names the home of a user who is not there.
    """
    try:
        return argument if _SCHEME.match(argument) else Path(argument).expanduser()
    except RuntimeError:
        raise InvalidRequestError(
            f"{printable(argument)[:200]} names a home that is not there.", hint="Name a file."
        ) from None


def read_first_frame(argument: str, max_bytes: int) -> str | bytes | Path | None:
    """Return the first frame: `none` means `None`, and `-` reads the bytes on stdin, at most one too many.

    Raises:
        InvalidRequestError: it is `-`, and nothing is piped in.
    """
    if argument == opt.NO_IMAGE:
        return None
    if argument != "-":
        return parse_image(argument)
    if sys.stdin.isatty():
        raise InvalidRequestError("The image is - and nothing is piped in.", hint="Pipe an image in, or name a file.")
    return sys.stdin.buffer.read(max_bytes + 1)


def row_defaults(look: opt.LookOptions, prompt: str) -> dict[str, Any]:
    """Return the fields of a request that the options set for all rows, with images as paths or addresses."""
    given = {each.name: value for each in fields(look) if (value := getattr(look, each.name)) != each.default}
    if "last_image" in given:
        given["last_image"] = parse_image(given["last_image"])
    if "reference_images" in given:
        given["reference_images"] = tuple(map(parse_image, given["reference_images"]))
    return {**given, "prompt": prompt}


def build_order(output: Output, options: opt.RequestOptions, factory: ClientFactory) -> Order:
    """Return the checked order, with its images read.

    Raises:
        InvalidRequestError: the request is not valid.
    """
    offer = factory.offer()
    request = {each.name: getattr(options, each.name) for each in fields(options)}
    # The library accepts these pairs too, with a Python warning instead of a message.
    if options.audio_url is not None and options.generate_audio:
        output.print_message("--audio-url wins over --audio.")
        request["generate_audio"] = False
    if options.template is not None and options.prompt:
        output.print_message("--template wins over the prompt.")
        request["prompt"] = ""
    fit = bool(factory.settings.get("fit"))
    request["image"] = read_first_frame(options.image, MAX_INPUT_BYTES if fit else offer.images.max_bytes)
    request["last_image"] = None if options.last_image is None else parse_image(options.last_image)
    request["reference_images"] = tuple(map(parse_image, options.reference_images or ()))
    ratio = factory.payment.group_ratio
    order = make_order(build_request(None, request), offer, Decimal(1) if ratio is None else ratio, None, fit=fit)
    for note in order.image_notes:
        output.print_message(f"{note}.")
    return order
