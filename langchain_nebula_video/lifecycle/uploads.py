"""Uploads of local images to the gateway's temporary storage, where it has one.

Sources: Alibaba's page on temporary storage, read 2025-12: a file is kept for 48 hours, and only the account and the
model that it was uploaded for can read it. Its page on PostObject errors, 2021-07: the answer to an expired policy.
"""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial

from langchain_nebula_video.errors import RateLimitError, RefusedError, RequestError
from langchain_nebula_video.lifecycle.context import Context
from langchain_nebula_video.lifecycle.orders import Order, check_time_left
from langchain_nebula_video.media.images import WireImage
from langchain_nebula_video.protocols import Extensions, Reply, parse_retry_after
from langchain_nebula_video.transport.retry import retry

__all__ = ["ImageUploader"]

_URL_LIFETIME = timedelta(hours=47)
"""One hour less than the storage keeps a file: the task may be queued before it reads the image."""
_CACHE_SIZE = 256
_UPLOAD_SECONDS = 120.0
_PEER_PAUSE_SECONDS = 0.05
_REQUEST_TIMEOUT = 408
_CODE = re.compile(rb"<Code>(\w{1,80})</Code>")


class ImageUploader:
    """Uploads the images of one client. The same image is uploaded once per model."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._uploaded: OrderedDict[tuple[str, str], tuple[str, datetime]] = OrderedDict()
        """By digest and model: the URL and its expiry. The expiry is wall-clock time, because the storage counts on
        while this machine sleeps."""
        self._in_progress: dict[tuple[str, str, int], object] = {}
        """By digest, model and process: the call that uploads it now. A fork copies the dictionary, not the call."""

    async def upload(self, order: Order, deadline: float) -> Mapping[str, str]:
        """Upload the local images of an order and return their URLs by digest. Costs nothing.

        Raises:
            RequestError: an image could not be uploaded; nothing was spent.
        """
        extensions = self._context.protocol.extensions
        if extensions is None or not order.offer.gateway.stores_images:
            return {}
        local = {image.digest: image for images in order.images.values() for image in images if image.data is not None}
        model = order.offer.wire_name
        return {digest: await self._upload_once(extensions, image, model, deadline) for digest, image in local.items()}

    async def _upload_once(self, extensions: Extensions, image: WireImage, model: str, deadline: float) -> str:
        """Return the URL of an image. The first of concurrent calls uploads it; if it fails, the next one does."""
        runtime, name, me = self._context.runtime, (image.digest, model), object()
        call = (*name, os.getpid())
        try:
            while self._in_progress.setdefault(call, me) is not me:  # atomic: only one thread is first
                check_time_left(runtime.now(), deadline)
                await runtime.sleep(_PEER_PAUSE_SECONDS)
            found = self._uploaded.get(name)
            if found is None or found[1] <= runtime.utcnow():
                attempt = partial(self._request_and_post, extensions, image, model, deadline)
                found = await retry(runtime, attempt, deadline=deadline), runtime.utcnow() + _URL_LIFETIME
                self._uploaded[name] = found
                while len(self._uploaded) > _CACHE_SIZE:
                    self._uploaded.popitem(last=False)
            return found[0]
        finally:
            if self._in_progress.get(call) is me:
                del self._in_progress[call]

    async def _request_and_post(self, extensions: Extensions, image: WireImage, model: str, deadline: float) -> str:
        """Request a policy and post the form with it. Repeating all of it is safe: it costs nothing."""
        address, reply = await self._post(extensions, image, model, deadline)
        if _is_policy_expired(reply):  # policies last minutes, so a slow upload may come too late once
            address, reply = await self._post(extensions, image, model, deadline)
        if not 200 <= reply.status < 300:
            raise _storage_error(reply)
        return address

    async def _post(self, extensions: Extensions, image: WireImage, model: str, deadline: float) -> tuple[str, Reply]:
        context = self._context
        policy = extensions.parse_upload_policy(await context.send(extensions.build_upload_policy(model), deadline))
        if policy is None:
            raise RequestError(
                "The gateway gave no usable leave to upload the image.", hint="Give the image's https URL instead."
            )
        assert image.data is not None  # noqa: S101 for the type checker
        mime = image.mime or "application/octet-stream"
        digest = image.digest.rpartition(":")[2]
        name = f"{digest[:32]}.{mime.rpartition('/')[2]}"
        form = extensions.build_upload(policy, name, image.data, mime)
        reply = await context.runtime.send(form, timeout=context.clamp_timeout(_UPLOAD_SECONDS, deadline))
        return extensions.uploaded_url(policy, name), reply


def _is_policy_expired(reply: Reply) -> bool:
    return reply.status == 403 and b"policy expired" in reply.body.lower()


def _storage_error(reply: Reply) -> RequestError:
    """Return the storage's answer as an error. Only a temporary failure is retryable."""
    kind: type[RequestError] = RefusedError
    hint = "The storage will say no again: give the image's https URL instead."
    if reply.status == 429:
        kind, hint = RateLimitError, "Wait, or give the image's https URL instead."
    elif reply.status >= 500 or reply.status == _REQUEST_TIMEOUT:
        kind, hint = RequestError, "Try again, or give the image's https URL instead."
    found = _CODE.search(reply.body)
    code = found.group(1).decode() if found else None
    return kind(
        f"The gateway's storage answered HTTP {reply.status}{f' {code}' if code else ''} to the image's upload.",
        status_code=reply.status,
        code=code,
        body=reply.body[:4000].decode("utf-8", "replace"),
        retry_after=parse_retry_after(reply),
        hint=hint,
    )
