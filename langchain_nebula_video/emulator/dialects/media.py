"""The images and audio files of a request: fetched and checked on submission, then stored for the task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from langchain_nebula_video.emulator.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_nebula_video.emulator.files import InputFile
    from langchain_nebula_video.emulator.rendering.limits import AudioLimits, ImageLimits


class FileSource(Protocol):
    """Where the files of a request come from."""

    def get(self, url: str, *, limit: int, sample: Callable[[str], bytes]) -> bytes:
        """Return the file at a URL; see `FileStore.get`."""
        ...

    def store(self, content: bytes) -> InputFile:
        """Store a file; see `FileStore.store`."""
        ...


LoadedFile = tuple["InputFile | None", "Refusal | None"]
"""A file, or why the task will fail without it. Both are None if the request names no file."""


def load_image(text: str | None, files: FileSource, limits: ImageLimits) -> LoadedFile:
    """Load an image of a request: a URL, or a `data:` URI with the image itself.

    Raises:
        Refusal: A `data:` URI is invalid. An invalid image behind a URL makes the task fail instead.
    """
    # Pillow is imported with the first image.
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
    """Load the audio file at a URL."""
    # PyAV is imported with the first audio file.
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
    """Return whether an image is given by URL, not as a `data:` URI."""
    return text.startswith(("http://", "https://", "oss://"))


def recorded_fields(fields: Mapping[str, Any], images: Mapping[str, InputFile | None]) -> dict[str, Any]:
    """Return a request's fields for the records, without absent ones. `data:` URIs become digests."""
    recorded = {name: value for name, value in fields.items() if value is not None}
    for name, file in images.items():
        if file is not None and not is_url(recorded[name]):
            recorded[name] = f"{recorded[name].partition(',')[0]},sha256:{file.digest}"
    return recorded
