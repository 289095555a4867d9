"""Remote targets: an object in a bucket, or a file anywhere else that fsspec reaches."""

from __future__ import annotations

import contextlib
import inspect
import os
import tempfile
import uuid
from pathlib import Path, PurePosixPath
from typing import Any

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.saving.local import remove_stale_parts
from langchain_nebula_video.saving.names import numbered_names
from langchain_nebula_video.saving.secrets import SecretUrl, is_container_at_account, redact

__all__ = ["RemoteTarget", "open_filesystem"]

_READ_ONLY = frozenset({"http", "https", "data", "github", "git", "zip", "tar"})
_ATOMIC_UPLOAD = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "r2", "memory"})
"""Stores where a file appears when its upload is complete. Elsewhere it is uploaded beside its name, then renamed."""
_EXTRA = 'pip install "langchain-nebula-video[storage]"'


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
        self._path = PurePosixPath(path if path.lower().endswith(".mp4") else f"{path.rstrip('/')}/{default}")
        self._url = SecretUrl(url)
        self._url_prefix, self._dropped = _url_prefix(url, path.strip("/"))

    def __str__(self) -> str:
        return redact(self._url, self._url)

    def write_probe(self, content: bytes) -> None:
        """Write a small object where the videos will be, and remove it. Its name is the same each time.

        Nothing is written if the bucket itself has a placeholder in its name.
        """
        store = self._filesystem
        folder = str(self._path.parent).partition("{")
        fixed = folder[0].rpartition("/")[0] if folder[1] else folder[0]
        if not self._is_in_bucket:
            while not store.isdir(fixed) and fixed.strip("/"):
                fixed = fixed.rstrip("/").rpartition("/")[0]
        elif not fixed.strip("/"):
            return
        probe = f"{fixed.rstrip('/')}/.nebula-video-trial"
        store.pipe_file(probe, content)
        with contextlib.suppress(Exception):  # a key that may write and not remove will do
            store.rm_file(probe)

    @property
    def _is_in_bucket(self) -> bool:
        """Whether the first part of a path is a bucket, and the rest of it needs no folder; also through a cache."""
        store = self._filesystem
        while store is not None:
            if _protocols(store) & _ATOMIC_UPLOAD:
                return True
            store = getattr(store, "fs", None)  # simplecache::s3://… and the like
        return False

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
        # Some stores have no users, and take what precedes the `@` for a part of the path.
        return redact(self._url_prefix + name.lstrip("/").removeprefix(self._dropped), self._url)

    def _is_free(self, name: str) -> bool:
        """Return whether the name is unused. Any error but `FileNotFoundError` is raised."""
        try:
            self._filesystem.info(name)
        except FileNotFoundError:
            return True
        return False

    def _put(self, part: Path, name: str) -> bool:
        """Upload the file; `False`: another process has used the name meanwhile. Never removes what has the name."""
        store = self._filesystem
        upload_name = name if _protocols(store) & _ATOMIC_UPLOAD else f"{name}.{uuid.uuid4().hex[:8]}.part"
        if not self._is_in_bucket:  # there makedirs would create the bucket that a typing error names
            store.makedirs(str(PurePosixPath(name).parent), exist_ok=True)
        options = {"mode": "create"} if "mode" in inspect.signature(store.put_file).parameters else {}
        try:
            store.put_file(str(part), upload_name, **options)
        except FileExistsError:
            return False
        if upload_name != name:
            try:
                self._check_size(part, upload_name)
                if not self._is_free(name):
                    return False
                store.mv(upload_name, name)
            finally:
                with contextlib.suppress(Exception):
                    store.rm_file(upload_name)
        self._check_size(part, name)
        return True

    def _check_size(self, part: Path, name: str) -> None:
        if self._filesystem.size(name) != part.stat().st_size:
            raise OSError(0, "what arrived there is not as long as what was sent")

    def _has_same_bytes(self, part: Path, name: str) -> bool:
        if self._filesystem.size(name) != part.stat().st_size:
            return False
        with self._filesystem.open(name, "rb") as remote, part.open("rb") as local:
            while piece := local.read(1 << 20):
                if remote.read(len(piece)) != piece:
                    return False
        return True


def _protocols(store: Any) -> set[str]:
    return {store.protocol} if isinstance(store.protocol, str) else set(store.protocol)


def _url_prefix(url: str, path: str) -> tuple[str | None, str]:
    """Return what precedes the store's own path in a URL, without user and password; `None`: only the store knows.

    The second text is what the path begins with and the prefix has already.
    """
    scheme, _, rest = url.partition("://")
    netloc = rest.partition("/")[0]
    container = netloc.partition("@")[0]
    if is_container_at_account(scheme, netloc) and f"{path}/".startswith(f"{container}/"):
        return f"{scheme}://{netloc}/", f"{container}/"
    host, found, _ = rest.rpartition(path) if path and "::" not in url else ("", "", "")
    return (f"{scheme}://{host.rpartition('@')[2]}" if found else None), ""


def open_filesystem(url: str) -> tuple[Any, str]:
    """Return fsspec's file system of a URL, and the path in it.

    Raises:
        InvalidRequestError: fsspec or the store's package is missing, or nothing can be saved there.
    """
    try:
        import fsspec.core  # noqa: PLC0415 an extra
    except ImportError:
        raise InvalidRequestError(f"Saving to {url.partition('://')[0]}:// wants fsspec.", hint=f"{_EXTRA}.") from None
    if url.partition("://")[0].partition("::")[0].lower() in _READ_ONLY:
        raise InvalidRequestError(
            f"Nothing can be saved to {url.partition('://')[0]}://.", hint="Name a folder, or a store's URL."
        )
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except ImportError as error:  # its message names the missing package
        raise InvalidRequestError(f"Nothing can be saved there yet: {error}.", hint="Install that package.") from None
    except Exception as error:  # noqa: BLE001 a store's package may raise anything for a URL that it cannot read
        raise InvalidRequestError(
            f"Nothing can be saved to {url.partition('://')[0]}://: {redact(str(error), url)}.",
            hint="Name a folder, or a store's URL.",
        ) from None
    return filesystem, str(path)
