"""Addresses of finished videos: signed, and good for a limited time."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping


class UrlSigner:
    """Signs paths with a secret of its own, so that no other emulator's address is good here."""

    def __init__(self) -> None:
        """Draw the secret."""
        self._secret = secrets.token_bytes(32)
        self._access_key_id = "LTAI" + secrets.token_hex(10)

    def query(self, path: str, expires: int) -> str:
        """The query string that opens `path` until `expires` (seconds since the epoch)."""
        fields = {
            "Expires": str(expires),
            "OSSAccessKeyId": self._access_key_id,
            "Signature": self._signature(path, str(expires)),
        }
        return urlencode(fields)

    def expiry(self, path: str, query: Mapping[str, str]) -> int | None:
        """When a query string stops opening `path`; None if it never did."""
        expires = query.get("Expires", "")
        valid = hmac.compare_digest(self._signature(path, expires).encode(), query.get("Signature", "").encode())
        return int(expires) if valid else None

    def _signature(self, path: str, expires: str) -> str:
        digest = hmac.digest(self._secret, f"{expires}\n{path}".encode(), hashlib.sha1)
        return base64.b64encode(digest).decode()
