"""Stores that fsspec reaches: how each takes a file under a free name, and what it needs to be found.

| A name is created exclusively by | Stores |
|---|---|
| the upload itself | S3, Google's storage, Azure, OSS |
| an empty file that reserves it, over which the upload is renamed | SFTP |
| a move that the server refuses if the name is taken | WebDAV |
| nothing: two processes may take it at the same moment | all others |
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_nebula_video.errors import SetupError
from langchain_nebula_video.saving.secrets import has_unquoted_secret, redact

__all__ = ["SCHEMES", "StoreKind", "look_up", "may_be_taken", "open_filesystem", "store_kind"]

_EXTRA = 'pip install "langchain-nebula-video[storage]"'
_READ_ONLY = frozenset({"http", "https", "data", "github", "git", "zip", "tar"})
_MAX_OSS_BYTES = 5 * 1024**3
"""Of one request: https://www.alibabacloud.com/help/en/oss/developer-reference/putobject (2026-11)."""
_PART_BYTES = 8 * 1024 * 1024
"""Of an upload in parts. The defaults of the packages keep up to 400 MB of a video in memory."""

Upload = Callable[[Any, str, str], None]
"""Uploads a file: called with the file system, the file's path on this machine and the name."""
GiveName = Callable[[Any, str, str], None]
"""Gives an uploaded file its name: called with the file system, the upload's name and the name."""


def _upload_with(**options: Any) -> Upload:
    """Upload with these options of `put_file`, each given if the package's version has it."""

    def upload(store: Any, path: str, name: str) -> None:
        known = inspect.signature(store.put_file).parameters
        store.put_file(path, name, **{option: value for option, value in options.items() if option in known})

    return upload


_upload_plainly = _upload_with(mode="create")


def _upload_to_oss(store: Any, path: str, name: str) -> None:
    """Upload in one request, which streams the file.

    An upload in parts would not heed the header when it ends, and its parts stay if the process dies.
    """
    in_parts = Path(path).stat().st_size >= importlib.import_module("oss2").defaults.multiget_threshold
    options = {"multipart_threshold": _MAX_OSS_BYTES} if in_parts else {}
    store.put_file(path, name, headers={"x-oss-forbid-overwrite": "true"}, **options)


def _rename(store: Any, upload: str, name: str) -> None:
    store.mv(upload, name)


def _rename_over_reservation(store: Any, upload: str, name: str) -> None:
    """Reserve the name with an empty file: the rename itself overwrites whatever has the name."""
    store.open(name, "xb").close()
    try:
        store.mv(upload, name)
    except Exception:
        with contextlib.suppress(Exception):
            if store.size(name) == 0:
                store.rm_file(name)
        raise


def _move(store: Any, upload: str, name: str) -> None:
    """Let the server move it, with `Overwrite: F`. The file system's own `mv` copies."""
    store.client.move(upload, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreKind:
    """What is known of a kind of store."""

    has_buckets: bool = False
    """Whether the first part of a path is a bucket. Then folders need not be made, and a file is there when its upload
    is complete. Elsewhere a file is uploaded beside its name."""
    upload: Upload = _upload_plainly
    give_name: GiveName = _rename
    has_users: bool = False
    """Whether a URL may name a user, and the file is found only with that user."""
    setup: str = "Check the name, the credentials, and that they may write there."
    """What to check if nothing can be saved."""


# webdav4: "already exists"; OSS: FileAlreadyExists; S3, while another upload ends: ConditionalRequestConflict; s3fs
# before 2025: PreconditionFailed; SFTP says just "Failure".
_TAKEN = re.compile(r"exists|PreconditionFailed|ConditionalRequestConflict|\bFailure$", re.IGNORECASE)


def may_be_taken(error: Exception) -> bool:
    """Return whether a failed upload or rename may mean that the name is in use; the store has the last word."""
    return isinstance(error, FileExistsError) or _TAKEN.search(f"{type(error).__name__}: {error}") is not None


_S3 = StoreKind(
    has_buckets=True,
    # If-None-Match. A file of less than two parts is read at once.
    upload=_upload_with(mode="create", chunksize=_PART_BYTES, max_concurrency=2),
    setup="Check the bucket's name, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE), the region in "
    "AWS_DEFAULT_REGION, and AWS_ENDPOINT_URL if the bucket is not Amazon's.",
)
_GOOGLE = StoreKind(
    has_buckets=True,
    upload=_upload_with(mode="create", chunksize=_PART_BYTES),  # ifGenerationMatch=0
    setup="Check the bucket's name, and the credentials: gcloud auth application-default login, or "
    "GOOGLE_APPLICATION_CREDENTIALS.",
)
_AZURE = StoreKind(
    has_buckets=True,
    upload=_upload_with(overwrite=False, max_concurrency=1),  # its `mode` is not in its signature
    setup="Check the container's name, AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or "
    "AZURE_STORAGE_CONNECTION_STRING.",
)
_OSS = StoreKind(
    has_buckets=True,
    upload=_upload_to_oss,
    setup="Check the bucket's name, OSS_ENDPOINT (such as https://oss-cn-hangzhou.aliyuncs.com), FSSPEC_OSS_KEY and "
    "FSSPEC_OSS_SECRET.",
)
_SFTP = StoreKind(
    give_name=_rename_over_reservation,
    has_users=True,
    setup="Check the host, the user and the folder, and that ssh USER@HOST works without asking for anything.",
)
_WEBDAV = StoreKind(
    give_name=_move,
    setup="Check the folder, and the server's address in FSSPEC_WEBDAV_BASE_URL: https://user:password@host/path.",
)
_KINDS: Mapping[str, StoreKind] = {
    **dict.fromkeys(("s3", "s3a"), _S3),
    **dict.fromkeys(("gs", "gcs"), _GOOGLE),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), _AZURE),
    "oss": _OSS,
    **dict.fromkeys(("oci", "tos", "r2", "memory"), StoreKind(has_buckets=True)),
    **dict.fromkeys(("sftp", "ssh"), _SFTP),
    **dict.fromkeys(("webdav", "dav"), _WEBDAV),
    **dict.fromkeys(("ftp", "smb", "hdfs", "webhdfs"), StoreKind(has_users=True)),
}
"""By scheme of the URL."""
SCHEMES = frozenset(_KINDS)
_OTHER = StoreKind()
_SPEAK_S3 = frozenset({"b2", "cos", "minio", "obs", "r2", "wasabi"})
"""Names that people try, and for which fsspec has no package; each has an endpoint that speaks S3."""


def store_kind(url: str, store: Any) -> StoreKind:
    """Return what is known of the store of a URL."""
    protocols = (store.protocol,) if isinstance(store.protocol, str) else tuple(store.protocol)
    return next((_KINDS[name] for name in (_scheme(url), *protocols) if name in _KINDS), _OTHER)


def look_up(store: Any, name: str) -> dict[str, Any]:
    """Return what the store says of a file now. Some packages remember a listing for good.

    Raises:
        FileNotFoundError: there is no such file.
    """
    store.invalidate_cache(store._parent(name))  # noqa: SLF001 as fsspec's own implementations do
    found: dict[str, Any] = store.info(name)
    return found


def _scheme(url: str) -> str:
    return url.partition("://")[0].rpartition("::")[2].lower()


def open_filesystem(url: str, *, reading: bool = False) -> tuple[Any, str]:
    """Return fsspec's file system of a URL, and the path in it.

    Args:
        url: The URL.
        reading: Whether something is read there, and not saved.

    Raises:
        SetupError: fsspec or the store's package is missing, or nothing can be saved there.
    """
    scheme = _scheme(url)
    doing, done = ("Reading from", "read from") if reading else ("Saving to", "saved to")
    try:
        import fsspec.core  # noqa: PLC0415 an extra
    except ImportError:
        raise SetupError(f"{doing} {scheme}:// wants fsspec.", hint=f"{_EXTRA}.") from None
    if not reading and url.partition("://")[0].partition("::")[0].lower() in _READ_ONLY:
        raise SetupError(
            f"Nothing can be saved to {url.partition('://')[0]}://.", hint="Name a folder, or a store's URL."
        )
    if scheme in _SPEAK_S3 and scheme not in fsspec.available_protocols():
        raise SetupError(
            f"Nothing can be {done} {scheme}://: fsspec has no package for it.",
            hint="Write s3:// instead, and put the address of its S3 endpoint in AWS_ENDPOINT_URL.",
        )
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except ImportError as error:  # its message names the missing package
        raise SetupError(
            f"Nothing can be {done.partition(' ')[0]} there yet: {error}.", hint="Install that package."
        ) from None
    except Exception as error:  # noqa: BLE001 a store's package may raise anything for a URL that it cannot read
        setup = _KINDS[scheme].setup if scheme in _KINDS else "Name a folder, or a store's URL."
        why = redact(str(error), url).partition("\n")[0]
        if has_unquoted_secret(url):  # the error may show the first half of it as a port
            why, setup = "its password cannot be read", "In a password, write %2F for /, %3F for ?, and %23 for #."
        raise SetupError(f"Nothing can be {done} {scheme}://: {why.rstrip('.')}.", hint=setup) from None
    return filesystem, str(path)
