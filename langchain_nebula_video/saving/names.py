"""Names of saved videos: templates, local paths and URLs."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit
from urllib.request import url2pathname

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.saving.secrets import SecretUrl
from langchain_nebula_video.saving.stores import SCHEMES
from langchain_nebula_video.schema import Video

__all__ = [
    "check_slashes",
    "check_suffix",
    "default_file_name",
    "fill_template",
    "is_file_name",
    "is_universal_path",
    "is_url",
    "numbered_names",
    "parse_template",
    "target_text",
    "to_name_part",
    "to_path",
]

_FIELDS: dict[str, Callable[[Video], object]] = {
    "task_id": lambda video: video.task_id,
    "gateway": lambda video: video.gateway,
    "model": lambda video: video.model,
    "date": lambda video: f"{video.finished_at:%Y-%m-%d}",
    "time": lambda video: f"{video.finished_at:%H%M%S}",
    "duration": lambda video: video.duration,
    "resolution": lambda video: video.resolution,
    "seed": lambda video: video.seed,
    "key": lambda video: video.key,
    "stem": lambda video: video.image_name,
}
"""What the braces of a template may name. Date and time are those of the task's end, in UTC."""
_INDEX = "index"
_NUMBER = "\ue000"
"""In a filled template, where the number of the file goes. No value has this character."""
_MAX_NAME_BYTES = 240
"""Of a file or folder: file systems have 255, and a number may follow."""
_FIELD_BYTES = (100, 50, 25)
"""Of a value: the most, and what it is cut to if the name is too long otherwise."""
_URL = re.compile(r"([a-z][a-z0-9+.-]+)(::[a-z0-9+.:-]+)?://", re.IGNORECASE)
_WRAPPERS = re.compile(r"((dir|simplecache|filecache|blockcache|cached)(://)?::)+(?=[^/]*://)", re.IGNORECASE)
"""fsspec's file systems that only stand before another one. A video goes to that one directly: a cache of what is
written is of no use, and the name that `dir` tells cannot be opened again."""
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+", re.IGNORECASE)
_LOCAL_NAMES = ("file", "local")
_LOCAL_SCHEMES = ("file://", "local://")
_MAX_NUMBER = 10_000
_OTHER_VIDEOS = frozenset({".avi", ".gif", ".m4v", ".mkv", ".mov", ".webm", ".wmv"})


def is_url(text: str) -> bool:
    """Return whether a target is a URL for fsspec; `file://` and `local://` are paths."""
    return _URL.match(text) is not None and not text.lower().startswith(_LOCAL_SCHEMES)


def check_slashes(text: str) -> None:
    """Refuse a URL without its two slashes: it would be a folder called `s3:`. A `Path` takes one of them away.

    Raises:
        InvalidRequestError: it looks like one.
    """
    scheme, found, rest = text.partition(":")
    is_scheme = len(scheme) > 1 and _SCHEME.fullmatch(scheme) and scheme.lower() not in _LOCAL_NAMES
    if found and is_scheme and (scheme.lower() in SCHEMES or rest.startswith("/")) and not rest.startswith("//"):
        raise InvalidRequestError(
            f"{text[:80]} is neither a path nor a URL.",
            hint=f'Give a URL as text, not as a Path: "{scheme.lower()}://{rest.lstrip("/")[:60]}".',
        )


def check_suffix(text: str) -> None:
    """Refuse the name of another kind of video: it would be a folder called `cat.mov`. A slash at the end means that.

    Raises:
        InvalidRequestError: it is one.
    """
    path = PurePosixPath(text)
    if path.suffix.lower() in _OTHER_VIDEOS and not text.endswith(("/", "\\")):
        raise InvalidRequestError(
            f"Videos are MP4 files, and {text[-80:]} is named otherwise.",
            hint=f"Name it {path.stem}.mp4, or end the name of a folder with a slash.",
        )


def target_text(target: str | Path) -> str:
    """Return a target as text, a `UPath` too. The repr of a URL hides its secrets.

    Raises:
        InvalidRequestError: it is a `UPath` with options of its own.
    """
    if getattr(target, "storage_options", None):  # of SFTP even the host, which its text leaves out
        raise InvalidRequestError(
            "The options of a UPath cannot be handed on: the journal keeps paths, and must find the video again.",
            hint="Give the URL as text, and its options in fsspec's configuration: FSSPEC_S3_ENDPOINT_URL and so on.",
        )
    text = _WRAPPERS.sub("", str(target))
    if not is_url(text):
        return text
    scheme, _, rest = text.partition("://")
    return SecretUrl(f"{scheme.lower()}://{rest}")


def is_universal_path(target: object) -> bool:
    """Return whether it is a `UPath` of the package universal-pathlib. Not each of them is a `Path`."""
    return hasattr(target, "storage_options") and hasattr(target, "protocol")


def to_path(text: str) -> Path:
    """Return the path that a local target names."""
    if text.lower().startswith(_LOCAL_SCHEMES):
        text = url2pathname(urlsplit(text).path)
    return Path(text).expanduser()


def is_file_name(path: Path) -> bool:
    """Return whether a target names the file itself, and not the folder for it."""
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


def parse_template(template: str) -> list[str]:
    """Return the fields that a template names.

    Raises:
        InvalidRequestError: the template cannot be read, or names an unknown field.
    """
    names = list(_template_fields(template))
    known = [*_FIELDS, _INDEX]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InvalidRequestError(
            f"The name template has {unknown[0]!r} in braces.", hint=f"There are: {', '.join(known)}."
        )
    folder, _, file = template.replace("\\", "/").rpartition("/")
    if _INDEX in names and (f"{{{_INDEX}}}" in folder or not file.lower().endswith(".mp4")):
        raise InvalidRequestError(
            f"{{{_INDEX}}} numbers files, and here it does not stand in the name of one.",
            hint="Give a name that ends in .mp4, such as videos/{stem}-{index}.mp4.",
        )
    return names


def fill_template(template: str, video: Video) -> str:
    """Return the name that a template gives this video.

    Raises:
        InvalidRequestError: see `parse_template`.
    """
    names, filled = parse_template(template), template
    for most in _FIELD_BYTES:
        values = {name: _NUMBER if name == _INDEX else to_name_part(_FIELDS[name](video), most) for name in names}
        filled = template.format_map(values)
        if all(len(part.encode()) <= _MAX_NAME_BYTES for part in filled.split("/")):
            break
    return type(template)(filled)


def default_file_name(video: Video) -> str:
    """Return the file name in a folder: the task's id."""
    return f"{to_name_part(video.task_id).lstrip('.') or 'video'}.mp4"


def to_name_part(value: object, most: int = _FIELD_BYTES[0]) -> str:
    """Return a value of a gateway's answer as part of a name. It must not lead out of the folder."""
    text = "none" if value is None else str(value)
    plain = "".join(char if char.isalnum() or char in "-_." else "_" for char in text)
    plain = plain.encode()[:most].decode(errors="ignore")  # file systems count bytes
    return plain if plain.strip(".") else "_"


def numbered_names(name: Path | PurePosixPath) -> Iterator[str]:
    """Yield the name, then the name with `-2`, `-3` and so on before its suffix. `{index}` becomes 1, 2, 3."""
    if _NUMBER not in name.name:
        yield str(name)
        name = name.with_name(f"{name.stem}-{_NUMBER}{name.suffix}")
        first = 2
    else:
        first = 1
    for number in range(first, _MAX_NUMBER):
        yield str(name.with_name(name.name.replace(_NUMBER, str(number))))
