"""Audio: checks of audio files, and the sound track of a video."""

from __future__ import annotations

import array
import io
import itertools
import math
import random
import sys
import wave
from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.extras import require_extra
from langchain_nebula_video.emulator.refusals import Reason, Refusal

with require_extra():
    import av

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .limits import AudioLimits

RATE = 48_000
"""Samples per second; one channel of signed 16-bit samples."""
MAX_BYTES = 15 * 1024 * 1024

_LOOP_SECONDS = 2
_AMPLITUDE = 2_600
# Encoders add silence at both ends.
_TOLERANCE = 0.1
_NOT_AUDIO = "Audio format not supported or incorrect format"


def check(content: bytes, limits: AudioLimits | None = None) -> None:
    """Check an audio file.

    Raises:
        Refusal: The file is too large, too short, too long, or has no audio.
    """
    if len(content) > MAX_BYTES:
        raise Refusal(Reason.AUDIO_FORMAT, "Audio size exceeds limit: it must not exceed 15MB")
    try:
        seconds = _measured_seconds(content, until=limits.max_seconds + _TOLERANCE if limits else 0)
    except (av.FFmpegError, IndexError) as error:
        raise Refusal(Reason.AUDIO_FORMAT, _NOT_AUDIO) from error
    if not seconds:
        raise Refusal(Reason.AUDIO_FORMAT, _NOT_AUDIO)
    if limits is not None and not limits.min_seconds - _TOLERANCE <= seconds <= limits.max_seconds + _TOLERANCE:
        message = f"Audio length exceeds limit: it must be {limits.min_seconds} to {limits.max_seconds} seconds"
        raise Refusal(Reason.AUDIO_LENGTH, message)


def _measured_seconds(content: bytes, until: float) -> float:
    """Return the length of the audio. Decoding stops after `until` seconds."""
    seconds = 0.0
    for piece in _decode(content):
        seconds += len(piece) / (RATE * 2)
        if seconds > until:
            break
    return seconds


def fit_to_length(content: bytes, seconds: int) -> bytes:
    """Return the audio of a file, cut or padded with silence to `seconds`."""
    size = seconds * RATE * 2
    pieces: list[bytes] = []
    for piece in _decode(content):
        pieces.append(piece)
        if sum(map(len, pieces)) >= size:
            break
    return b"".join(pieces)[:size].ljust(size, b"\0")


def ambient(random_seed: bytes, seconds: int) -> bytes:
    """Return a quiet chord over wind. It depends on `random_seed` alone."""
    loop = _loop(random_seed).tobytes()
    return b"".join(itertools.repeat(loop, math.ceil(seconds / _LOOP_SECONDS)))[: seconds * RATE * 2]


def sample(seconds: int = _LOOP_SECONDS) -> bytes:
    """Return a generated sound as a WAV file."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(ambient(b"sample", seconds))
    return out.getvalue()


def _loop(random_seed: bytes) -> array.array[int]:
    """Return a seamless loop: every partial completes a whole number of cycles."""
    rng = random.Random(random_seed)  # noqa: S311 - a sound, not a secret
    root = rng.choice((110, 123, 131, 147))
    limits = RATE * _LOOP_SECONDS
    chord = [(root * ratio, rng.uniform(0, math.tau)) for ratio in (1, 1.5, 2, 2.5)]
    cycles = [(round(pitch * _LOOP_SECONDS) * math.tau / limits, phase) for pitch, phase in chord]
    sin, noise, wind = math.sin, rng.random, 0.0
    samples = array.array("h")
    for n in range(limits):
        wind += 0.02 * (noise() * 2 - 1 - wind)
        # The wind fades at the ends of the loop, because a jump there would click.
        swell = sin(math.pi * n / limits)
        tone = 0.0
        for step, phase in cycles:
            tone += sin(step * n + phase)
        samples.append(int(_AMPLITUDE * (tone / 4 + 6 * wind * swell)))
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def _decode(content: bytes) -> Iterator[bytes]:
    with av.open(io.BytesIO(content), "r") as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        for frame in container.decode(container.streams.audio[0]):
            for piece in resampler.resample(frame):
                yield bytes(piece.planes[0])[: piece.samples * 2]
        for piece in resampler.resample(None):
            yield bytes(piece.planes[0])[: piece.samples * 2]
