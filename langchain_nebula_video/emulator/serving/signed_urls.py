"""Signed URLs of finished videos, valid for a limited time."""

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
    """Signs paths with a random secret, so that another emulator's URLs are invalid here."""

    def __init__(self) -> None:
        """Generate the secret."""
        self._secret = secrets.token_bytes(32)
        self._access_key_id = "LTAI" + secrets.token_hex(10)

    def sign(self, path: str, expires: int) -> str:
        """Return the query string that makes `path` valid until `expires` (seconds since the epoch)."""
        fields = {
            "Expires": str(expires),
            "OSSAccessKeyId": self._access_key_id,
            "Signature": self._signature(path, str(expires)),
        }
        return urlencode(fields)

    def expiry(self, path: str, query: Mapping[str, str]) -> int | None:
        """Return when a query string expires; None if its signature is invalid."""
        expires = query.get("Expires", "")
        valid = hmac.compare_digest(self._signature(path, expires).encode(), query.get("Signature", "").encode())
        return int(expires) if valid else None

    def _signature(self, path: str, expires: str) -> str:
        digest = hmac.digest(self._secret, f"{expires}\n{path}".encode(), hashlib.sha1)
        return base64.b64encode(digest).decode()
