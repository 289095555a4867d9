"""Watch, by httpcore's trace events, when the first byte of a request leaves. Break a late paid request off."""

from __future__ import annotations

from typing import Any

from langchain_nebula_video.transport.runtime import Clock, SendWindow

__all__ = ["FirstByte", "WindowOverError"]

# httpcore's trace events before the first byte of the head, and before the first byte of the body, is written.
_HEAD_STARTED = frozenset({"http11.send_request_headers.started", "http2.send_request_headers.started"})
_BODY_STARTED = frozenset({"http11.send_request_body.started", "http2.send_request_body.started"})


class WindowOverError(Exception):
    """The time in which a paid request may leave was over before it left. The runtimes translate it."""


class FirstByte:
    """Watches one request.

    Args:
        clock: The runtime's.
        window: Until when the first byte may leave; `None`: it may always.
        traced: Whether the events are sure to come. A caller's own client may have a transport without them.
    """

    def __init__(self, clock: Clock, window: SendWindow | None, *, traced: bool) -> None:
        self._clock = clock
        self._window = window
        self._started = False
        self.maybe_sent = not traced
        """Whether a part of the request may have been sent."""
        self.too_late = False
        """Whether the request was broken off before anything of it was sent."""

    def check(self) -> None:
        """Check the window before the HTTP library gets the request.

        Raises:
            WindowOverError: it is over.
        """
        if self._is_over():
            self.too_late = not self._started
            raise WindowOverError

    def on_event(self, event: str, info: dict[str, Any]) -> None:
        """Take a trace event. Between it and the first byte there is nothing but the write itself.

        Raises:
            WindowOverError: the window is over, so the library breaks the request off.
        """
        if event in _BODY_STARTED and self._is_over():  # without its body no server accepts it, but it has left
            raise WindowOverError
        if event not in _HEAD_STARTED or getattr(info.get("request"), "method", b"") == b"CONNECT":
            return  # CONNECT goes to a proxy, before the request itself
        self.check()
        self._started = self.maybe_sent = True

    def _is_over(self) -> bool:
        return self._window is not None and self._window.is_over(self._clock)
