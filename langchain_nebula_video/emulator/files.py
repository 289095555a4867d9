"""Files that requests name by address: served here, known by address, on this machine, or nowhere."""

from __future__ import annotations

import hashlib
import http.client
import ipaddress
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .refusals import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HOSTED = "/hosted/"
# Reserved for documentation (RFC 2606), so the examples of any page work here too.
EXAMPLE_DOMAINS = ("example.com", "example.org", "example.net")
FETCH_TIMEOUT = 5.0

_UNREACHABLE = "Unable to download the media resource during the data inspection process."


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that a task is made from."""

    digest: str
    """SHA-256, in hexadecimal."""
    content: bytes


class FileStore:
    """Everything that can be had by address."""

    def __init__(self, known: Mapping[str, bytes]) -> None:
        """Know these addresses from the start."""
        self._lock = threading.Lock()
        self._known = dict(known)
        self._hosted: dict[str, bytes] = {}
        self._stored: dict[str, InputFile] = {}

    def store(self, content: bytes) -> InputFile:
        """A file as a material; equal files share their bytes, however many tasks name them."""
        digest = hashlib.sha256(content).hexdigest()
        with self._lock:
            return self._stored.setdefault(digest, InputFile(digest, content))

    def host(self, content: bytes) -> str:
        """Keep a file; the path it is served at."""
        digest = hashlib.sha256(content).hexdigest()
        with self._lock:
            self._hosted[digest] = content
        return HOSTED + digest

    def hosted(self, digest: str) -> bytes | None:
        """The file kept under a digest."""
        return self._hosted.get(digest)

    def get(self, url: str, *, limit: int, sample: Callable[[str], bytes]) -> bytes:
        """The file at an address; blocks while it is fetched.

        Args:
            url: An http or https address.
            limit: The most bytes that are read: enough to show that a file is too large.
            sample: Makes a stand-in for an address at one of the example domains.

        Raises:
            Refusal: It cannot be had. The real service could not have it either, or would have
                fetched it from the internet, which this never does.
        """
        known = self._known.get(url)
        if known is not None:
            return known
        parts = urlsplit(url)
        host = parts.hostname or ""
        if is_loopback(host):
            hosted = self._hosted.get(parts.path.removeprefix(HOSTED))
            return hosted if hosted is not None else _fetch(url, limit)
        if any(host == domain or host.endswith("." + domain) for domain in EXAMPLE_DOMAINS):
            return sample(url)
        raise Refusal(Reason.DOWNLOAD, _UNREACHABLE)


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _fetch(url: str, limit: int) -> bytes:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(parts.hostname or "", parts.port, timeout=FETCH_TIMEOUT)
        try:
            target = parts.path or "/"
            connection.request("GET", f"{target}?{parts.query}" if parts.query else target)
            # A redirect is not followed: it could lead off this machine.
            response = connection.getresponse()
            if response.status == http.HTTPStatus.OK:
                return response.read(limit)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Refusal(Reason.DOWNLOAD, _UNREACHABLE) from error
    raise Refusal(Reason.DOWNLOAD, _UNREACHABLE)
