"""The files that a request names: looked at on submission, and kept for the task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from langchain_nebula_video.emulator.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_nebula_video.emulator.files import Material
    from langchain_nebula_video.emulator.rendering.limits import Length, Rules


class Source(Protocol):
    """Where a request's files come from."""

    def get(self, url: str, *, limit: int, sample: Callable[[str], bytes]) -> bytes:
        """The file at an address; see `Files.get`."""
        ...

    def keep(self, content: bytes) -> Material:
        """A file as a material; see `Files.keep`."""
        ...


Found = tuple["Material | None", "Refusal | None"]
"""A file, or why the task will fail without it; neither if none was named."""


def picture(text: str | None, files: Source, rules: Rules) -> Found:
    """A picture in a request: an address, or the picture itself as a `data:` URI.

    Raises:
        Refusal: It stands in the request itself and cannot be used. What is behind an address shows
            only while the task is worked on.
    """
    # Pillow is imported when the first picture comes.
    from langchain_nebula_video.emulator.rendering import images as pictures  # noqa: PLC0415

    if not text:
        return None, None
    if not is_address(text):
        content = pictures.from_data_uri(text)
        pictures.inspect(content, rules)
        return files.keep(content), None
    try:
        content = files.get(text, limit=rules.max_bytes + 1, sample=pictures.sample)
        pictures.inspect(content, rules)
    except Refusal as failure:
        return None, failure
    return files.keep(content), None


def audio(url: str | None, files: Source, length: Length | None = None) -> Found:
    """A sound that a request names by address."""
    # PyAV is imported when the first sound comes.
    from langchain_nebula_video.emulator.rendering import audio as sound  # noqa: PLC0415

    if not url:
        return None, None
    seconds = 2 if length is None else length.shortest + 1
    try:
        content = files.get(url, limit=sound.MAX_BYTES + 1, sample=lambda _: sound.sample(seconds))
        sound.inspect(content, length)
    except Refusal as failure:
        return None, failure
    return files.keep(content), None


def is_address(text: str) -> bool:
    """Whether a picture is named rather than given."""
    return text.startswith(("http://", "https://", "oss://"))


def shown(asked: Mapping[str, Any], pictures: Mapping[str, Material | None]) -> dict[str, Any]:
    """A request's fields for the records: without what is absent, and with pictures shortened to digests."""
    told = {name: value for name, value in asked.items() if value is not None}
    for name, material in pictures.items():
        if material is not None and not is_address(told[name]):
            told[name] = f"{told[name].partition(',')[0]},sha256:{material.digest}"
    return told
