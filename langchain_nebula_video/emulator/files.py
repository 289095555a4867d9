"""Files that requests name by URL: hosted here, registered by URL, or served on this machine."""

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
# RFC 2606 reserves these for documentation, so the examples of any page work here.
EXAMPLE_DOMAINS = ("example.com", "example.org", "example.net")
FETCH_TIMEOUT = 5.0

_UNREACHABLE = "Unable to download the media resource during the data inspection process."


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that a task uses."""

    digest: str
    """SHA-256, in hexadecimal."""
    content: bytes


class FileStore:
    """All files that a URL can name."""

    def __init__(self, known: Mapping[str, bytes]) -> None:
        """Register these files by URL."""
        self._lock = threading.Lock()
        self._known = dict(known)
        self._hosted: dict[str, bytes] = {}
        self._stored: dict[str, InputFile] = {}

    def store(self, content: bytes) -> InputFile:
        """Store a file. Equal files share their bytes, however many tasks use them."""
        digest = hashlib.sha256(content).hexdigest()
        with self._lock:
            return self._stored.setdefault(digest, InputFile(digest, content))

    def host(self, content: bytes) -> str:
        """Host a file and return its path."""
        digest = hashlib.sha256(content).hexdigest()
        with self._lock:
            self._hosted[digest] = content
        return HOSTED + digest

    def hosted(self, digest: str) -> bytes | None:
        """Return the hosted file with this digest."""
        return self._hosted.get(digest)

    def get(self, url: str, *, limit: int, sample: Callable[[str], bytes]) -> bytes:
        """Return the file at a URL; blocks while it is fetched.

        Args:
            url: An http or https URL.
            limit: The most bytes to read: enough to show that a file is too large.
            sample: Creates a stand-in for a URL at one of the example domains.

        Raises:
            Refusal: The file cannot be fetched. The emulator never fetches from the internet.
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
    """Return whether a host name or address is this machine's own."""
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
            # Redirects are not followed, because one could lead off this machine.
            response = connection.getresponse()
            if response.status == http.HTTPStatus.OK:
                return response.read(limit)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Refusal(Reason.DOWNLOAD, _UNREACHABLE) from error
    raise Refusal(Reason.DOWNLOAD, _UNREACHABLE)
