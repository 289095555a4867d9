"""DashScope's temporary storage: upload policies, and files that only the models can read."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.refusals import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_nebula_video.emulator.accounts import Account
    from langchain_nebula_video.emulator.clock import SupportsNow


SCHEME = "oss://"
LIFETIME = 48 * 3600.0
POLICY_LIFETIME = 300.0
_MAX_MEGABYTES = 100
_NOT_ACCEPTED = "The form was not accepted."

_UNREACHABLE = "Unable to download the media resource during the data inspection process."


@dataclass(frozen=True, slots=True)
class Grant:
    """Permission to upload into one directory."""

    account: str
    model: str
    directory: str
    signature: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class _Upload:
    content: bytes
    grant: Grant
    stored_at: float


class Uploads:
    """Uploaded files, with the account and model they belong to. Every method is thread-safe."""

    def __init__(self, clock: SupportsNow) -> None:
        """Start without uploads."""
        self._clock = clock
        self._lock = threading.Lock()
        self._access_key_id = "LTAI" + secrets.token_hex(10)
        self._grants: dict[str, Grant] = {}
        self._stored: dict[str, _Upload] = {}

    def policy(self, account: Account, model: str, host: str) -> dict[str, Any]:
        """Return a signed form that permits an upload for one model."""
        now = self._clock.now()
        expires_at = now + POLICY_LIFETIME
        day = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d}"
        owner = hashlib.sha256(account.name.encode()).hexdigest()[:32]
        directory = f"dashscope-instant/{owner}/{day}/{secrets.token_hex(16)}"
        conditions = [
            ["content-length-range", 0, _MAX_MEGABYTES * 1024 * 1024],
            ["starts-with", "$key", directory],
            {"x-oss-object-acl": "private"},
            {"x-oss-forbid-overwrite": "true"},
        ]
        expiration = f"{datetime.fromtimestamp(expires_at, UTC):%Y-%m-%dT%H:%M:%S.000Z}"
        text = json.dumps({"expiration": expiration, "conditions": conditions})
        policy = base64.b64encode(text.encode()).decode()
        signature = base64.b64encode(secrets.token_bytes(20)).decode()
        with self._lock:
            self._grants[policy] = Grant(account.name, model, directory, signature, expires_at)
        return {
            "policy": policy,
            "signature": signature,
            "upload_dir": directory,
            "upload_host": host,
            "expire_in_seconds": int(POLICY_LIFETIME),
            "max_file_size_mb": _MAX_MEGABYTES,
            "capacity_limit_mb": 1_000_000,
            "oss_access_key_id": self._access_key_id,
            "x_oss_object_acl": "private",
            "x_oss_forbid_overwrite": "true",
        }

    def store_form(self, form: Mapping[str, bytes]) -> tuple[str, str] | None:
        """Store an uploaded file. Return the storage's error code and message, or None if it was stored."""
        fields = {name: value.decode("utf-8", "replace") for name, value in form.items() if name != "file"}
        now, key = self._clock.now(), fields.get("key", "")
        with self._lock:
            grant = self._grants.get(fields.get("policy", ""))
            if grant is None or grant.signature != fields.get("Signature"):
                return "SignatureDoesNotMatch", _NOT_ACCEPTED
            if fields.get("OSSAccessKeyId") != self._access_key_id:
                return "InvalidAccessKeyId", _NOT_ACCEPTED
            if now >= grant.expires_at:
                return "AccessDenied", "Invalid according to Policy: Policy expired."
            if not key.startswith(grant.directory + "/"):
                return "AccessDenied", _NOT_ACCEPTED
            if key in self._stored:
                return "FileAlreadyExists", _NOT_ACCEPTED
            if "file" not in form:
                return "InvalidArgument", _NOT_ACCEPTED
            self._stored[key] = _Upload(form["file"], grant, now)
            return None

    def get(self, url: str, account: Account, model: str) -> bytes:
        """Return the file that an account uploaded for a model.

        Raises:
            Refusal: The file does not exist, has expired, or belongs to another account or model.
        """
        with self._lock:
            upload = self._stored.get(url.removeprefix(SCHEME))
        if (
            upload is None
            or (upload.grant.account, upload.grant.model) != (account.name, model)
            or self._clock.now() >= upload.stored_at + LIFETIME
        ):
            raise Refusal(Reason.DOWNLOAD, _UNREACHABLE)
        return upload.content
