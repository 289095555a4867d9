"""Where a video is saved: a name made of a template, in a folder or in a bucket.

A name never holds half a video: the bytes are written beside it, or in the machine's temporary folder on their way to
a bucket, and take the name when they are whole. Nor is another video ever overwritten: the next free name is taken,
`cat-2.mp4` after `cat.mp4`.
"""

from __future__ import annotations

import contextlib
import filecmp
import os
import re
import string
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.schema import Video

__all__ = ["Target", "check_target", "is_there", "target_of"]

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
_STALE_SECONDS = 6 * 3600.0
"""After which a part is what a dead process left: no download lasts that long."""
_ALL_OR_NOTHING = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "r2", "memory"})
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


def target_of(save_to: str | Path, video: Video) -> Target:
    """The place of a video.

    Args:
        save_to: A folder, a file's name if it ends in `.mp4`, or an fsspec URL of either; see `_FIELDS` for braces.
        video: What is to be saved.

    Raises:
        InvalidRequestError: there is no such place.
    """
    name = _filled(str(save_to), video)
    default = f"{_safe(video.task_id).lstrip('.') or 'video'}.mp4"
    if _is_url(name):
        return _Remote(name, default)
    path = _local(name)
    return _Local(path if _is_file(path) else path / default)


def check_target(save_to: str | Path) -> None:
    """Find out before paying that a video could not be saved. Asks no server.

    Raises:
        InvalidRequestError: it could not.
    """
    unknown = [name for name in _braces(str(save_to)) if name not in _FIELDS]
    if unknown:
        raise InvalidRequestError(
            f"The name template has {unknown[0]!r} in braces.", hint=f"There are: {', '.join(_FIELDS)}."
        )
    if _is_url(str(save_to)):
        _Remote(str(save_to), "")
        return
    fixed = str(save_to).partition("{")[0]
    try:
        out = _local(fixed if fixed == str(save_to) else str(Path(f"{fixed}_").parent))
        folder = out.parent if _is_file(out) else out
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        fine = folder.is_dir() and os.access(folder, os.W_OK)
    except (OSError, ValueError, RuntimeError):
        folder, fine = Path(str(save_to)[:80]), False
    if not fine:
        raise InvalidRequestError(f"Nothing can be saved in {folder}.", hint="Name a folder, or an .mp4 file in one.")


def is_there(name: str) -> bool:
    """Whether a video that was saved is still where it was saved to."""
    if not _is_url(name):
        return Path(name).is_file()
    try:
        filesystem, path = _filesystem(name)
        return bool(filesystem.isfile(path))
    except Exception:  # noqa: BLE001 whatever a store's library raises: it cannot be told, so it does not count
        return False


# --- names ---


def _is_url(text: str) -> bool:
    return _URL.match(text) is not None and not text.lower().startswith("file://")


def _local(text: str) -> Path:
    if text.lower().startswith("file://"):
        text = url2pathname(urlsplit(text).path)
    return Path(text).expanduser()


def _is_file(path: Path) -> bool:
    return path.suffix.lower() == ".mp4" and not path.is_dir()


def _braces(template: str) -> Iterator[str]:
    try:
        for _, name, spec, conversion in string.Formatter().parse(template):
            if name is not None:
                yield name if not spec and not conversion else f"{name}:{spec or conversion}"
    except ValueError as error:
        raise InvalidRequestError(
            f"The name template cannot be read: {error}.", hint="Write {{ and }} for braces that are meant so."
        ) from None


def _filled(template: str, video: Video) -> str:
    check = {name: _safe(_FIELDS[name](video)) for name in _braces(template) if name in _FIELDS}
    try:
        return template.format_map(check)
    except (KeyError, AttributeError, IndexError, ValueError):
        raise InvalidRequestError(
            "The name template cannot be filled in.", hint=f"There are: {', '.join(_FIELDS)}."
        ) from None


def _safe(value: object) -> str:
    """What an answer says, as part of a name: it must not lead out of the folder."""
    text = "none" if value is None else str(value)
    plain = "".join(char if char.isalnum() or char in "-_." else "_" for char in text)[:_MAX_PART]
    return plain if plain.strip(".") else "_"


def _alternatives(name: Path | PurePosixPath) -> Iterator[str]:
    yield str(name)
    for number in range(2, _NAMES):
        yield str(name.with_name(f"{name.stem}-{number}{name.suffix}"))


# --- places ---


class _Local:
    """A file on this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def begin(self) -> Path:
        folder, stem = self._path.parent, self._path.stem[:40]
        folder.mkdir(parents=True, exist_ok=True)
        self._tidy(folder)
        part = folder / f".{stem}-{uuid.uuid4().hex}.part"
        part.open("xb").close()
        return part

    def publish(self, part: Path) -> str:
        for name in _alternatives(self._path):
            if self._took(part, name):
                _synced(self._path.parent)
                return name
        raise FileExistsError(0, "there are too many files of this name", str(self._path))

    def _tidy(self, folder: Path) -> None:
        for left in folder.glob(f".*-{'[0-9a-f]' * 32}.part"):
            with contextlib.suppress(OSError):
                if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                    left.unlink()

    @staticmethod
    def _took(part: Path, name: str) -> bool:
        """Whether the name is free, and now the part's; or has these very bytes already."""
        try:
            os.link(part, name)  # unlike renaming, it never overwrites
        except FileExistsError:
            with contextlib.suppress(OSError):
                return filecmp.cmp(part, name, shallow=False)
            return False
        except OSError:  # a disk without links
            if os.path.lexists(name):
                with contextlib.suppress(OSError):
                    return filecmp.cmp(part, name, shallow=False)
                return False
            part.replace(name)
        return True


def _synced(folder: Path) -> None:
    """Have a new name on disk; only POSIX can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class _Remote:
    """A file in a bucket, or wherever else fsspec reaches."""

    def __init__(self, url: str, default: str) -> None:
        self._filesystem, path = _filesystem(url)
        self._path = PurePosixPath(path if path.lower().endswith(".mp4") else f"{path.rstrip('/')}/{default}")
        self._url = url

    def __str__(self) -> str:
        return self._url

    def begin(self) -> Path:
        handle, name = tempfile.mkstemp(suffix=".part", prefix="nebula-video-")
        os.close(handle)
        return Path(name)

    def publish(self, part: Path) -> str:
        for name in _alternatives(self._path):
            if not self._filesystem.exists(name):
                self._put(part, name)
            elif not self._same(part, name):
                continue
            return str(self._filesystem.unstrip_protocol(name))
        raise FileExistsError(0, "there are too many files of this name", str(self._path))

    def _put(self, part: Path, name: str) -> None:
        store = self._filesystem
        protocols = {store.protocol} if isinstance(store.protocol, str) else set(store.protocol)
        at = name if protocols & _ALL_OR_NOTHING else f"{name}.{uuid.uuid4().hex[:8]}.part"
        store.makedirs(str(PurePosixPath(name).parent), exist_ok=True)
        try:
            store.put_file(str(part), at)
            if store.size(at) != part.stat().st_size:
                raise OSError(0, "what arrived there is not as long as what was sent")  # noqa: TRY301
            if at != name:
                store.mv(at, name)
        except BaseException:
            with contextlib.suppress(Exception):
                store.rm_file(at)
            raise

    def _same(self, part: Path, name: str) -> bool:
        if self._filesystem.size(name) != part.stat().st_size:
            return False
        with self._filesystem.open(name, "rb") as there, part.open("rb") as here:
            while piece := here.read(1 << 20):
                if there.read(len(piece)) != piece:
                    return False
        return True


def _filesystem(url: str) -> tuple[Any, str]:
    try:
        import fsspec.core  # noqa: PLC0415 an extra
    except ImportError:
        raise InvalidRequestError(f"Saving to {url.partition('://')[0]}:// wants fsspec.", hint=f"{_EXTRA}.") from None
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except ImportError as error:  # it names the package that speaks to this store
        raise InvalidRequestError(f"Nothing can be saved there yet: {error}.", hint="Install that package.") from None
    except Exception as error:  # noqa: BLE001 whatever a store's library says to a URL that it cannot read
        raise InvalidRequestError(
            f"Nothing can be saved to {url.partition('://')[0]}://: {error}.", hint="Name a folder, or a store's URL."
        ) from None
    return filesystem, str(path)
