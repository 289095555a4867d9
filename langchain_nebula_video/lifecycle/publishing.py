"""Local images in a store of the caller's while their task needs them: the option `image_store`.

An image's name is made from the journal entry and the key. So nobody else can guess it, and any process with the same
journal and key can remove the image once the task has ended.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Mapping

from langchain_nebula_video.errors import (
    InvalidInputError,
    ModerationError,
    NebulaVideoError,
    RefusedError,
    SetupError,
    TaskFailedError,
    printable,
)
from langchain_nebula_video.journal import Entry
from langchain_nebula_video.lifecycle.context import Context
from langchain_nebula_video.lifecycle.orders import Order
from langchain_nebula_video.media.images import WireImage
from langchain_nebula_video.media.urls import is_loopback, split_url
from langchain_nebula_video.protocols import DOWNLOAD_HINT, WireRequest
from langchain_nebula_video.saving.image_store import ImageStore, check_address, is_listing, listing_addresses

__all__ = ["ImagePublisher", "add_bytes_hint"]

logger = logging.getLogger("langchain_nebula_video")

_EXTRA_SECONDS = 3600.0
"""How much longer than the caller waits an address works: the vendor may queue the task before it reads the image."""
_LIST_SECONDS = 10.0
_TRIAL_SECONDS = 600.0
_ADDRESS_PREFIX = "url:"


def add_bytes_hint(error: NebulaVideoError, entry: Entry | None, context: Context) -> None:
    """Let an error say that the image went as bytes, if that may be why the gateway or the vendor refused it."""
    hint = context.gateway.bytes_hint
    lent = context.options.image_store is not None
    if hint is None or lent or entry is None or not _local_digests(entry.request) or hint in error.hint:
        return
    if isinstance(error, TaskFailedError):
        may_be_why = error.hint != ModerationError.default_hint
    else:
        may_be_why = isinstance(error, InvalidInputError) or type(error) is RefusedError
    if may_be_why:
        # It would say: give the bytes.
        rest = "" if error.hint == DOWNLOAD_HINT else error.hint
        error.hint = f"{hint} {rest}".strip()


def _local_digests(request: Mapping[str, object]) -> list[str]:
    found = [request.get("image"), request.get("last_image"), *_as_list(request.get("reference_images"))]
    return [digest for digest in found if isinstance(digest, str) and not digest.startswith(_ADDRESS_PREFIX)]


def _as_list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []


class ImagePublisher:
    """Publishes the local images of one client."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._opened: ImageStore | None = None
        self._is_private = False
        """Whether the store has been seen to list nothing to strangers."""

    @property
    def is_wanted(self) -> bool:
        """Whether the caller has a store."""
        return self._context.options.image_store is not None

    async def check(self) -> None:
        """Open the store.

        Raises:
            InvalidRequestError: it cannot be used.
        """
        store = self._context.options.image_store
        if isinstance(store, str) and self._opened is None:
            self._opened = await self._context.runtime.call(ImageStore, store)

    async def publish(self, order: Order, entry: Entry, deadline: float) -> Mapping[str, str]:
        """Publish the local images of an order and return their addresses by digest.

        Raises:
            InvalidRequestError: an image could not be published; nothing was sent to the gateway.
        """
        await self.check()
        local = {image.digest: image for images in order.images.values() for image in images if image.data is not None}
        return {digest: await self._publish(image, order, entry, deadline) for digest, image in local.items()}

    async def try_out(self, image: bytes, mime: str, deadline: float) -> bool:
        """Publish an image in the store, look at its address as a stranger does, and remove it again.

        Args:
            image: An image of no worth.
            mime: Its MIME type.
            deadline: On the runtime's clock.

        Returns:
            Whether the address gave the image. It may work for the gateway all the same.

        Raises:
            InvalidRequestError: the store cannot be used.
        """
        await self.check()
        context, store, name = self._context, self._opened, f"trial-{uuid.uuid4().hex}"
        assert store is not None  # noqa: S101 the caller has a store, and no function of its own
        try:
            address = await context.runtime.call(store.publish, name, image, mime, _TRIAL_SECONDS)
            await self._check_private(self._checked(address), deadline)
            return await self._fetch(address, deadline) == image
        finally:
            await context.runtime.call(store.remove, name)

    async def _fetch(self, address: str, deadline: float) -> bytes | None:
        """Return what an address gives, as a stranger sees it; `None`: it is out of reach from here."""
        try:
            timeout = self._context.clamp_timeout(_LIST_SECONDS, deadline)
            return (await self._context.runtime.send(WireRequest("GET", address), timeout=timeout)).body
        except NebulaVideoError as error:
            logger.debug("an address of the image store is out of reach: %s", printable(error.what))
            return None

    def _checked(self, address: object) -> str:
        base_url = split_url(self._context.options.resolve_base_url(), ("https", "http"))
        return check_address(address, near=is_loopback(base_url.hostname if base_url else None))

    async def _publish(self, image: WireImage, order: Order, entry: Entry, deadline: float) -> str:
        context = self._context
        assert image.data is not None  # noqa: S101 for the type checker
        if self._opened is None:
            address = await context.runtime.call(_call, context.options.image_store, image.data)
        else:
            seconds = (context.options.timeout or order.offer.model.timeout) + _EXTRA_SECONDS
            name = self._name(entry, image.digest)
            mime = image.mime or "image/jpeg"
            address = await context.runtime.call(self._opened.publish, name, image.data, mime, seconds)
        checked = self._checked(address)
        if self._opened is not None and not self._is_private:
            await self._check_private(checked, deadline)
        return checked

    async def _check_private(self, address: str, deadline: float) -> None:
        """Check that strangers cannot list the names of the images: a name is what keeps an image to its task."""
        for listing in listing_addresses(address):
            try:
                timeout = self._context.clamp_timeout(_LIST_SECONDS, deadline)
                reply = await self._context.runtime.send(WireRequest("GET", listing), timeout=timeout)
            except NebulaVideoError as error:  # it may be out of reach from here, and within the gateway's
                logger.debug("the image store's list could not be asked for: %s", printable(error.what))
                continue
            if 200 <= reply.status < 300 and is_listing(reply.body):
                raise SetupError(
                    f"The image store {self._opened} lists its contents to everybody.",
                    hint="Take the right to list from the public, or name a private bucket.",
                )
        self._is_private = True

    async def remove(self, entry: Entry) -> None:
        """Remove the images of a task that has ended, or was never sent. A failure is logged: the video counts more."""
        digests = _local_digests(entry.request)
        if not digests or not isinstance(self._context.options.image_store, str):
            return
        try:
            await self.check()
            for digest in digests:
                await self._context.runtime.call(self._opened.remove, self._name(entry, digest))  # type: ignore[union-attr]
        except Exception as error:  # noqa: BLE001 a store's package may raise anything
            logger.warning(
                "the image of task %s stays in the image store (%s); its address expires by itself",
                printable(str(entry.task_id)),
                type(error).__name__,
            )

    def _name(self, entry: Entry, digest: str) -> str:
        secret = self._context.options.resolve_api_key().get_secret_value().encode()
        key = hashlib.blake2b(secret, digest_size=32, person=b"nebula-image").digest()
        return hashlib.blake2b(f"{entry.id}\n{digest}".encode(), key=key, digest_size=20).hexdigest()


def _call(function: object, data: bytes) -> object:
    """Call the caller's own function."""
    try:
        return function(data)  # type: ignore[operator]
    except NebulaVideoError:
        raise
    except Exception as error:
        raise SetupError(
            f"The image_store function failed: {type(error).__name__}: {str(error)[:200]}.",
            hint="Let it return the https URL of the image.",
        ) from error
