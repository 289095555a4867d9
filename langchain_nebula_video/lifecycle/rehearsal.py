"""While tests run on an emulator, nothing leaves this machine for a gateway, whoever made the client, and when."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from langchain_nebula_video.errors import NotSentError
from langchain_nebula_video.media.urls import is_loopback

__all__ = ["check_rehearsal", "rehearsal"]

_hosts: list[str] = []
"""The emulators of the rehearsals that are under way."""


def check_rehearsal(base_url: str) -> None:
    """Check that a request may leave for a gateway.

    A client that was made before the rehearsal has the address and the key of a real one.

    Raises:
        NotSentError: there is a rehearsal, and the gateway is elsewhere.
    """
    host = urlsplit(base_url).hostname or ""
    if _hosts and host not in _hosts and not is_loopback(host):
        raise NotSentError(
            f"A test that runs on an emulator would have reached {host}.",
            hint="Make the client inside the test, or in a function that the test calls.",
        )


@contextmanager
def rehearsal(base_url: str) -> Iterator[None]:
    """Let requests inside reach gateways on this machine alone, in any thread.

    Args:
        base_url: The emulator's. Its host may be reached, too.
    """
    host = urlsplit(base_url).hostname or ""
    _hosts.append(host)
    try:
        yield
    finally:
        _hosts.remove(host)
