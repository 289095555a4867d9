"""A store of the caller's that lends local images an address: the option `image_store`.

Some gateways fetch images by address only. The store holds an image under a name that nobody can guess, and signs an
address that works for as long as the task needs it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from langchain_nebula_video.errors import InvalidRequestError, SetupError
from langchain_nebula_video.media.formats import MIME_TYPES
from langchain_nebula_video.media.urls import is_loopback, split_url
from langchain_nebula_video.saving.names import is_url
from langchain_nebula_video.saving.secrets import SecretUrl, redact
from langchain_nebula_video.saving.stores import open_filesystem

__all__ = ["ImageStore", "PublishImage", "check_address", "is_listing", "listing_addresses", "parse_image_store"]

PublishImage = Callable[[bytes], str]
"""Publishes an image and returns its https address."""

_MAX_SIGNED_SECONDS = 7 * 24 * 3600 - 60
"""S3, OSS and GCS sign for seven days at most (their pages on presigned URLs, 2026-11)."""
_REMOVE_SECONDS = 5.0
_SUFFIXES = {mime: mime.rpartition("/")[2] for mime in MIME_TYPES.values()}
_LISTING = re.compile(rb"<(ListBucketResult|EnumerationResults)\b")
# How the stores' own pages write a request for a list: S3, OSS and GCS; Azure.
_LIST_QUERIES = (
    {"list-type": "2", "max-keys": "1"},
    {"restype": "container", "comp": "list", "maxresults": "1"},
)


class ImageStore:
    """A folder in a bucket, or in another store that fsspec reaches and that can sign addresses.

    Args:
        url: The folder: `s3://bucket/prefix`.

    Raises:
        InvalidRequestError: the store cannot be used.
    """

    def __init__(self, url: str) -> None:
        self._url = SecretUrl(url)
        self._filesystem, path = open_filesystem(url)
        self._folder = path.rstrip("/")
        if not self._can_sign:
            raise InvalidRequestError(
                f"The image store {self} cannot sign addresses.",
                hint="Name a folder in S3, OSS, GCS or Azure, or give a function from an image's bytes to its address.",
            )

    def __str__(self) -> str:
        return redact(self._url, self._url)

    @cached_property
    def _can_sign(self) -> bool:
        from fsspec.spec import AbstractFileSystem  # noqa: PLC0415 an extra

        return getattr(type(self._filesystem), "sign", None) is not AbstractFileSystem.sign

    def publish(self, name: str, data: bytes, mime: str, seconds: float) -> str:
        """Store an image and return its signed address.

        Args:
            name: Its name, without a suffix.
            data: Its bytes.
            mime: Its MIME type.
            seconds: For how long the address must work.

        Raises:
            InvalidRequestError: the store did not take it or did not sign it. Nothing was sent to the gateway.
        """
        path = f"{self._folder}/{name}.{_SUFFIXES[mime]}"
        try:
            self._filesystem.pipe_file(path, data)
            address = str(self._filesystem.sign(path, expiration=int(min(seconds, _MAX_SIGNED_SECONDS))))
        except Exception as error:  # noqa: BLE001 a store's package may raise anything
            why = redact(f"{type(error).__name__}: {error}", self._url)[:300]
            raise SetupError(
                f"The image could not be put into the image store {self} ({why}).",
                hint="Check the store's name, its credentials and that they may write and sign.",
            ) from None
        if not urlsplit(address).query:
            raise SetupError(
                f"The image store {self} gave an address without a signature.",
                hint="Give it credentials: an anonymous client cannot sign.",
            )
        return address

    def remove(self, name: str) -> None:
        """Remove an image that `publish` stored. It may be gone already.

        Raises:
            TimeoutError: the store has not done it within 5 s. It goes on.
            Exception: whatever the store's package raises.
        """
        failures: list[Exception] = []

        def run() -> None:
            for suffix in _SUFFIXES.values():
                try:
                    self._filesystem.rm_file(f"{self._folder}/{name}.{suffix}")
                except FileNotFoundError:
                    continue
                except Exception as error:  # noqa: BLE001 raised again in the calling thread
                    failures.append(error)

        thread = threading.Thread(target=run, name="nebula-video-image-store", daemon=True)
        thread.start()
        thread.join(_REMOVE_SECONDS)
        if thread.is_alive():
            raise TimeoutError
        if failures:
            raise failures[0]


def parse_image_store(value: Any) -> Any:
    """Return the option's value: `None`, a store's URL, or a function.

    Raises:
        ValueError: it is none of these.
    """
    if value is None or callable(value):
        return value
    if not isinstance(value, str) or not is_url(value.strip()):
        raise ValueError("wants a folder in a bucket (s3://bucket/prefix), or a function from bytes to an https URL")
    return SecretUrl(value.strip())


def check_address(address: object, *, near: bool) -> str:
    """Return an image's address if a gateway can fetch it.

    Args:
        address: What the store or the caller's function gave.
        near: Whether the gateway is on this machine, where plain http is fine.

    Raises:
        InvalidRequestError: it is no https address.
    """
    parts = split_url(address, ("https", "http")) if isinstance(address, str) else None
    if parts is None or not (parts.scheme.lower() == "https" or (near and is_loopback(parts.hostname))):
        raise InvalidRequestError(
            "The image store gave no https address.", hint="Let it return the public https URL of the image."
        )
    return str(address)


def listing_addresses(address: str) -> Iterator[str]:
    """Yield the addresses where a store with that image would list its names to everybody, if it does.

    The bucket is in the host's name, or it is the first part of the path.
    """
    parts = urlsplit(address)
    first = parts.path.split("/")[1]
    for path in ("/", f"/{first}"):
        for query in _LIST_QUERIES:
            yield urlunsplit((parts.scheme, parts.netloc, path, urlencode(query), ""))


def is_listing(body: bytes) -> bool:
    """Whether a body is a store's list of names."""
    return _LISTING.search(body[:1000]) is not None
