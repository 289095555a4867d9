"""Where a video is saved: a name made of a template, in a folder or in a bucket.

A name never holds half a video: the bytes are written beside it, or in the machine's temporary folder on their way to
a bucket, and take the name when they are whole. Nor is another video ever overwritten: the next free name is taken,
`cat-2.mp4` after `cat.mp4`.
"""

from __future__ import annotations

import contextlib
import filecmp
import inspect
import os
import re
import string
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.schema import Video

__all__ = ["Target", "absolute_name", "check_target", "exists", "make_target", "redact"]

_FIELDS: dict[str, Callable[[Video], object]] = {
    "task_id": lambda video: video.task_id,
    "gateway": lambda video: video.gateway,
    "model": lambda video: video.model,
    "date": lambda video: f"{video.finished_at:%Y-%m-%d}",
    "time": lambda video: f"{video.finished_at:%H%M%S}",
    "duration": lambda video: video.duration,
    "resolution": lambda video: video.resolution,
    "seed": lambda video: video.seed,
}
"""What a template's braces may hold; moments are those of the task's end, in UTC."""
_MAX_PART = 100
_URL = re.compile(r"[a-z][a-z0-9+.-]+(::[a-z0-9+.:-]+)?://", re.IGNORECASE)
_LOCAL_SCHEMES = ("file://", "local://")
_STALE_SECONDS = 6 * 3600.0
"""After which a part is what a dead process left: no download lasts that long."""
_READ_ONLY = frozenset({"http", "https", "data", "github", "git", "zip", "tar"})
_ATOMIC_UPLOAD = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "r2", "memory"})
"""Where a file appears once it has been sent whole; elsewhere it is sent beside its name and renamed."""
_NAMES = 10_000
_EXTRA = 'pip install "langchain-nebula-video[storage]"'


class Target(Protocol):
    """A place for one video."""

    def begin(self) -> Path:
        """A new, empty file on this machine, for the bytes as they come."""
        ...

    def publish(self, part: Path) -> str:
        """Give the whole file its name; the name."""
        ...


def make_target(save_to: str | Path, video: Video) -> Target:
    """The place of a video.

    Args:
        save_to: A folder, a file's name if it ends in `.mp4`, or an fsspec URL of either; see `_FIELDS` for braces.
        video: What is to be saved.

    Raises:
        InvalidRequestError: there is no such place.
    """
    name = _fill(str(save_to), video)
    default = f"{_safe(video.task_id).lstrip('.') or 'video'}.mp4"
    if _is_url(name):
        return _RemoteTarget(name, default)
    path = _local_path(name)
    return _LocalTarget(path if _is_file(path) else path / default)


def check_target(save_to: str | Path) -> None:
    """Find out before paying that a video could not be saved. Asks no server.

    Raises:
        InvalidRequestError: it could not.
    """
    _parse_template(str(save_to))
    if _is_url(str(save_to)):
        _RemoteTarget(str(save_to), "")
        return
    fixed = str(save_to).partition("{")[0]
    try:
        out = _local_path(fixed if fixed == str(save_to) else str(Path(f"{fixed}_").parent))
        folder = out.parent if _is_file(out) else out
        while not os.path.lexists(folder) and folder != folder.parent:
            folder = folder.parent
        fine = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)  # a link to nowhere is no folder
    except (OSError, ValueError, RuntimeError):
        folder, fine = Path(str(save_to)[:80]), False
    if not fine:
        raise InvalidRequestError(f"Nothing can be saved in {folder}.", hint="Name a folder, or an .mp4 file in one.")


def absolute_name(name: str) -> str:
    """The name under which another process finds the file, wherever it runs."""
    return name if _is_url(name) else str(_local_path(name).absolute())


def exists(name: str) -> bool:
    """Whether a video that was saved is still where it was saved to. What cannot be told counts: it was there once."""
    try:
        if not _is_url(name):
            return _local_path(name).stat().st_size > 0 and _local_path(name).is_file()
        filesystem, path = _filesystem(name)
        return bool(filesystem.info(path)["type"] == "file")
    except (FileNotFoundError, NotADirectoryError):
        return False
    except Exception:  # noqa: BLE001 a right that is missing, a store that is away, its library that is not installed
        return True


def redact(text: str, place: object) -> str:
    """A text without the secrets that a store's URL may hold: a password, a query."""
    for url in str(place).split("::"):
        parts = urlsplit(url)
        for secret in (parts.netloc.rpartition("@")[0], parts.query, *_password(url)):
            text = text.replace(secret, "…") if secret else text
    return text


def _password(url: str) -> tuple[str, ...]:
    try:
        password = urlsplit(url).password
    except ValueError:
        return ()
    return (password, unquote(password)) if password else ()


# --- names ---


def _is_url(text: str) -> bool:
    return _URL.match(text) is not None and not text.lower().startswith(_LOCAL_SCHEMES)


def _local_path(text: str) -> Path:
    if text.lower().startswith(_LOCAL_SCHEMES):
        text = url2pathname(urlsplit(text).path)
    return Path(text).expanduser()


def _is_file(path: Path) -> bool:
    return path.suffix.lower() == ".mp4" and not path.is_dir()


def _template_fields(template: str) -> Iterator[str]:
    try:
        for _, name, spec, conversion in string.Formatter().parse(template):
            if name is not None:
                yield name if not spec and not conversion else f"{name}:{spec or conversion}"
    except ValueError as error:
        raise InvalidRequestError(
            f"The name template cannot be read: {error}.", hint="Write {{ and }} for braces that are meant so."
        ) from None


def _parse_template(template: str) -> list[str]:
    names = list(_template_fields(template))
    unknown = [name for name in names if name not in _FIELDS]
    if unknown:
        raise InvalidRequestError(
            f"The name template has {unknown[0]!r} in braces.", hint=f"There are: {', '.join(_FIELDS)}."
        )
    return names


def _fill(template: str, video: Video) -> str:
    return template.format_map({name: _safe(_FIELDS[name](video)) for name in _parse_template(template)})


def _safe(value: object) -> str:
    """What an answer says, as part of a name: it must not lead out of the folder."""
    text = "none" if value is None else str(value)
    plain = "".join(char if char.isalnum() or char in "-_." else "_" for char in text)
    plain = plain.encode()[:_MAX_PART].decode(errors="ignore")  # file systems count bytes
    return plain if plain.strip(".") else "_"


def _free_names(name: Path | PurePosixPath) -> Iterator[str]:
    yield str(name)
    for number in range(2, _NAMES):
        yield str(name.with_name(f"{name.stem}-{number}{name.suffix}"))


# --- places ---


class _LocalTarget:
    """A file on this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def begin(self) -> Path:
        folder, stem = self._path.parent, self._path.stem[:40]
        folder.mkdir(parents=True, exist_ok=True)
        _remove_stale_parts(folder, f".*-{'[0-9a-f]' * 32}.part")
        part = folder / f".{stem}-{uuid.uuid4().hex}.part"
        part.open("xb").close()
        return part

    def publish(self, part: Path) -> str:
        for name in _free_names(self._path):
            if self._link(part, name):
                _sync_folder(self._path.parent)
                return name
        raise FileExistsError(0, "there are too many files of this name", str(self._path))

    @staticmethod
    def _link(part: Path, name: str) -> bool:
        """Whether the name is free, and now the part's; or has these very bytes already."""
        try:
            os.link(part, name)  # unlike renaming, it never overwrites
        except FileExistsError:
            with contextlib.suppress(OSError):
                return filecmp.cmp(part, name, shallow=False)
            return False
        except OSError:  # a disk without links: the name is taken by an empty file first
            try:
                os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            except FileExistsError:
                with contextlib.suppress(OSError):
                    return filecmp.cmp(part, name, shallow=False)
                return False
            part.replace(name)
        return True


def _remove_stale_parts(folder: Path, pattern: str) -> None:
    """Remove what dead processes have left."""
    for left in folder.glob(pattern):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                left.unlink()


def _sync_folder(folder: Path) -> None:
    """Have a new name on disk; only POSIX can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class _RemoteTarget:
    """A file in a bucket, or wherever else fsspec reaches."""

    def __init__(self, url: str, default: str) -> None:
        self._filesystem, path = _filesystem(url)
        self._path = PurePosixPath(path if path.lower().endswith(".mp4") else f"{path.rstrip('/')}/{default}")
        self._url = url
        self._url_prefix = _url_prefix(url, path.strip("/"))

    def __str__(self) -> str:
        return redact(self._url, self._url)

    def begin(self) -> Path:
        _remove_stale_parts(Path(tempfile.gettempdir()), "nebula-video-*.part")
        handle, name = tempfile.mkstemp(suffix=".part", prefix="nebula-video-")
        os.close(handle)
        return Path(name)

    def publish(self, part: Path) -> str:
        for name in _free_names(self._path):
            if (self._is_free(name) and self._put(part, name)) or self._has_same_bytes(part, name):
                return self._public_name(name)
        raise FileExistsError(0, "there are too many files of this name", str(self._path))

    def _public_name(self, name: str) -> str:
        """The name for people, and for a later look: as the URL was given, less its secrets."""
        if self._url_prefix is None:
            return redact(str(self._filesystem.unstrip_protocol(name)), self._url)
        return self._url_prefix + name.lstrip("/")

    def _is_free(self, name: str) -> bool:
        """Whether nothing has the name; a store that does not answer has not said so."""
        try:
            self._filesystem.info(name)
        except FileNotFoundError:
            return True
        return False

    def _put(self, part: Path, name: str) -> bool:
        """Send the file there; `False`: somebody else was quicker. What has the name is never removed."""
        store = self._filesystem
        protocols = {store.protocol} if isinstance(store.protocol, str) else set(store.protocol)
        at = name if protocols & _ATOMIC_UPLOAD else f"{name}.{uuid.uuid4().hex[:8]}.part"
        store.makedirs(str(PurePosixPath(name).parent), exist_ok=True)
        new = {"mode": "create"} if "mode" in inspect.signature(store.put_file).parameters else {}
        try:
            store.put_file(str(part), at, **new)
        except FileExistsError:
            return False
        if at != name:
            try:
                self._check_size(part, at)
                if not self._is_free(name):
                    return False
                store.mv(at, name)
            finally:
                with contextlib.suppress(Exception):
                    store.rm_file(at)
        self._check_size(part, name)
        return True

    def _check_size(self, part: Path, name: str) -> None:
        if self._filesystem.size(name) != part.stat().st_size:
            raise OSError(0, "what arrived there is not as long as what was sent")

    def _has_same_bytes(self, part: Path, name: str) -> bool:
        if self._filesystem.size(name) != part.stat().st_size:
            return False
        with self._filesystem.open(name, "rb") as there, part.open("rb") as here:
            while piece := here.read(1 << 20):
                if there.read(len(piece)) != piece:
                    return False
        return True


def _url_prefix(url: str, path: str) -> str | None:
    """What a URL has before the store's own name of the place, less user and password; `None`: only the store knows."""
    scheme, _, rest = url.partition("://")
    host, found, _ = rest.rpartition(path) if path and "::" not in url else ("", "", "")
    return f"{scheme}://{host.rpartition('@')[2]}" if found else None


def _filesystem(url: str) -> tuple[Any, str]:
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
    except ImportError as error:  # it names the package that speaks to this store
        raise InvalidRequestError(f"Nothing can be saved there yet: {error}.", hint="Install that package.") from None
    except Exception as error:  # noqa: BLE001 whatever a store's library says to a URL that it cannot read
        raise InvalidRequestError(
            f"Nothing can be saved to {url.partition('://')[0]}://: {redact(str(error), url)}.",
            hint="Name a folder, or a store's URL.",
        ) from None
    return filesystem, str(path)
