"""Remote targets: an object in a bucket, or a file anywhere else that fsspec reaches."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from langchain_nebula_video.saving.local import STALE_SECONDS, remove_stale_parts
from langchain_nebula_video.saving.names import numbered_names
from langchain_nebula_video.saving.secrets import SecretUrl, is_container_at_account, redact
from langchain_nebula_video.saving.stores import look_up, may_be_taken, open_filesystem, store_kind

__all__ = ["RemoteTarget"]

_PART = re.compile(r"\.mp4\.[0-9a-f]{8}\.part$", re.IGNORECASE)
_CHANGED = ("mtime", "modified", "modify", "last_write_time")
"""What listings call the time of the last change: SFTP and SMB; WebDAV; FTP; older SMB."""
_READ_BYTES = 1 << 20
_MAX_FOLDERS = 1000
_tidied: set[tuple[str, str]] = set()
"""Stores and folders where this process has looked for the parts of dead ones."""


class RemoteTarget:
    """An object in a bucket, or a file anywhere else that fsspec reaches.

    Args:
        url: A folder, or a file if it ends in `.mp4`.
        default: The file name in a folder.

    Raises:
        InvalidRequestError: nothing can be saved there.
    """

    def __init__(self, url: str, default: str) -> None:
        self._filesystem, path = open_filesystem(url)
        self._kind = store_kind(url, self._filesystem)
        self._path = PurePosixPath(path if path.lower().endswith(".mp4") else f"{path.rstrip('/')}/{default}")
        self._url = SecretUrl(url)
        self._url_prefix, self._dropped = _url_prefix(url, path.strip("/"), has_users=self._kind.has_users)

    def __str__(self) -> str:
        return redact(self._url, self._url)

    @property
    def setup(self) -> str:
        """What to check if nothing can be saved there."""
        return self._kind.setup

    def write_probe(self, content: bytes) -> None:
        """Write a small object where the videos will be, and remove it. Its name is the same each time.

        Nothing is written if the bucket itself has a placeholder in its name.
        """
        store = self._filesystem
        folder = str(self._path.parent).partition("{")
        fixed = folder[0].rpartition("/")[0] if folder[1] else folder[0]
        if not self._kind.has_buckets:
            while not store.isdir(fixed) and fixed.strip("/"):
                fixed = fixed.rstrip("/").rpartition("/")[0]
        elif not fixed.strip("/"):
            return
        probe = f"{fixed.rstrip('/')}/.nebula-video-trial"
        store.pipe_file(probe, content)
        with contextlib.suppress(Exception):  # a key that may write and not remove will do
            store.rm_file(probe)

    def begin(self) -> Path:
        """See `Target.begin`."""
        remove_stale_parts(Path(tempfile.gettempdir()), "nebula-video-*.part")
        handle, name = tempfile.mkstemp(suffix=".part", prefix="nebula-video-")
        os.close(handle)
        return Path(name)

    def publish(self, part: Path) -> str:
        """See `Target.publish`."""
        for name in numbered_names(self._path):
            if (self._is_free(name) and self._put(part, name)) or self._has_same_bytes(part, name):
                return self._public_name(name)
        raise FileExistsError(0, "there are too many files of this name", str(self._path))

    def _public_name(self, name: str) -> str:
        """Return the name as a URL like the given one, without its secrets. It can be shown, and opened later."""
        if self._url_prefix is None:
            return redact(str(self._filesystem.unstrip_protocol(name)), self._url)
        told = self._url_prefix + name.lstrip("/").removeprefix(self._dropped)
        return told if self._kind.has_users else redact(told, self._url)

    def _is_free(self, name: str) -> bool:
        """Return whether the name is unused. Any error but `FileNotFoundError` is raised."""
        try:
            look_up(self._filesystem, name)
        except FileNotFoundError:
            return True
        return False

    def _put(self, part: Path, name: str) -> bool:
        """Upload the file; `False`: another process has used the name meanwhile. Never removes what has the name."""
        try:
            if self._kind.has_buckets:  # makedirs would create the bucket that a typing error names
                self._kind.upload(self._filesystem, str(part), name)
            elif not self._put_beside(part, name):
                return False
        except Exception as error:
            if may_be_taken(error) and self._is_taken(name):
                return False
            raise
        self._check_size(part, name)
        return True

    def _put_beside(self, part: Path, name: str) -> bool:
        """Upload the file beside its name, and rename it; `False` as for `_put`."""
        store, upload = self._filesystem, f"{name}.{uuid.uuid4().hex[:8]}.part"
        folder = str(PurePosixPath(name).parent)
        store.makedirs(folder, exist_ok=True)
        self._remove_stale_uploads(folder)
        try:
            self._kind.upload(store, str(part), upload)
            self._check_size(part, upload)
            if renamed := self._is_free(name):
                self._kind.give_name(store, upload, name)
        except BaseException:
            self._remove(upload)
            raise
        if not renamed:
            self._remove(upload)
        return renamed

    def _remove(self, upload: str) -> None:
        with contextlib.suppress(Exception):
            self._filesystem.rm_file(upload)

    def _is_taken(self, name: str) -> bool:
        """Return whether the name is certainly in use."""
        with contextlib.suppress(Exception):
            return not self._is_free(name)
        return False

    def _remove_stale_uploads(self, folder: str) -> None:
        """Remove old uploads beside the names, which processes that died left over; once in a process."""
        store = self._filesystem
        place = (self._url_prefix or "", folder)
        if place in _tidied:
            return
        if len(_tidied) >= _MAX_FOLDERS:
            _tidied.clear()
        _tidied.add(place)
        with contextlib.suppress(Exception):  # nothing depends on it
            for found in store.ls(folder, detail=True):
                if _PART.search(found["name"]) and _age(found) > STALE_SECONDS:
                    store.rm_file(found["name"])

    def _check_size(self, part: Path, name: str) -> None:
        if look_up(self._filesystem, name)["size"] != part.stat().st_size:
            raise OSError(0, "what arrived there is not as long as what was sent")

    def _has_same_bytes(self, part: Path, name: str) -> bool:
        if look_up(self._filesystem, name)["size"] != part.stat().st_size:
            return False
        with self._filesystem.open(name, "rb", block_size=_READ_BYTES) as remote, part.open("rb") as local:
            while piece := local.read(_READ_BYTES):
                if remote.read(len(piece)) != piece:
                    return False
        return True


def _age(found: dict[str, Any]) -> float:
    """Return how many seconds ago a listed file was changed; 0: the store does not say."""
    changed = next((found[key] for key in _CHANGED if found.get(key) is not None), None)
    if isinstance(changed, str):  # in UTC: RFC 3659, section 2.3
        changed = datetime.strptime(changed[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    if isinstance(changed, datetime):
        changed = changed.timestamp()
    return 0.0 if changed is None else time.time() - float(changed)


def _url_prefix(url: str, path: str, *, has_users: bool) -> tuple[str | None, str]:
    """Return what precedes the store's own path in a URL, without secrets; `None`: only the store knows.

    The second text is what the path begins with and the prefix has already.
    """
    scheme, _, rest = url.partition("://")
    netloc = rest.partition("/")[0]
    user, at, host = netloc.rpartition("@")
    if has_users:
        return f"{scheme}://{user.partition(':')[0]}{at}{host}/", ""
    if is_container_at_account(scheme, netloc) and f"{path}/".startswith(f"{user}/"):
        return f"{scheme}://{netloc}/", f"{user}/"
    # Some stores have no users, and take what precedes the `@` for a part of the path.
    before, found, _ = rest.rpartition(path) if path and "::" not in url else ("", "", "")
    return (f"{scheme}://{before.rpartition('@')[2]}" if found else None), ""
