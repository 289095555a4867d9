"""Exceptions of this room, in a file without PyAV so that anybody can catch them."""

from __future__ import annotations


class RenderStopped(Exception):  # noqa: N818 - a requested stop is not an error
    """Raised when the emulator stops while a video is rendered."""
