"""The files that a request names: looked at on submission, and kept for the task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from langchain_nebula_video.emulator.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_nebula_video.emulator.files import InputFile
    from langchain_nebula_video.emulator.rendering.limits import AudioLimits, ImageLimits


class FileSource(Protocol):
    """Where a request's files come from."""

    def get(self, url: str, *, limit: int, sample: Callable[[str], bytes]) -> bytes:
        """The file at an address; see `Files.get`."""
        ...

    def store(self, content: bytes) -> InputFile:
        """A file as a material; see `Files.keep`."""
        ...


LoadedFile = tuple["InputFile | None", "Refusal | None"]
"""A file, or why the task will fail without it; neither if none was named."""


def load_image(text: str | None, files: FileSource, limits: ImageLimits) -> LoadedFile:
    """A picture in a request: an address, or the picture itself as a `data:` URI.

    Raises:
        Refusal: It stands in the request itself and cannot be used. What is behind an address shows
            only while the task is worked on.
    """
    # Pillow is imported when the first picture comes.
    from langchain_nebula_video.emulator.rendering import images  # noqa: PLC0415

    if not text:
        return None, None
    if not is_url(text):
        content = images.decode_data_uri(text)
        images.check(content, limits)
        return files.store(content), None
    try:
        content = files.get(text, limit=limits.max_bytes + 1, sample=images.sample)
        images.check(content, limits)
    except Refusal as failure:
        return None, failure
    return files.store(content), None


def load_audio(url: str | None, files: FileSource, limits: AudioLimits | None = None) -> LoadedFile:
    """A sound that a request names by address."""
    # PyAV is imported when the first sound comes.
    from langchain_nebula_video.emulator.rendering import audio  # noqa: PLC0415

    if not url:
        return None, None
    seconds = 2 if limits is None else limits.min_seconds + 1
    try:
        content = files.get(url, limit=audio.MAX_BYTES + 1, sample=lambda _: audio.sample(seconds))
        audio.check(content, limits)
    except Refusal as failure:
        return None, failure
    return files.store(content), None


def is_url(text: str) -> bool:
    """Whether a picture is named rather than given."""
    return text.startswith(("http://", "https://", "oss://"))


def recorded_fields(fields: Mapping[str, Any], images: Mapping[str, InputFile | None]) -> dict[str, Any]:
    """A request's fields for the records: without what is absent, and with pictures shortened to digests."""
    recorded = {name: value for name, value in fields.items() if value is not None}
    for name, file in images.items():
        if file is not None and not is_url(recorded[name]):
            recorded[name] = f"{recorded[name].partition(',')[0]},sha256:{file.digest}"
    return recorded
