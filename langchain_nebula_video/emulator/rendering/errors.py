"""The error of this room; apart from the encoder, so that catching it needs no PyAV."""

from __future__ import annotations


class RenderStopped(Exception):  # noqa: N818 - it is no error: somebody asked for it
    """Raised when the emulator is stopped while a video is being made."""
