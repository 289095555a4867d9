"""A second host: a network namespace of its own, with a cable to this one. It needs root and `ip`."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from tests.programs import find_program

__all__ = ["Host", "second_host"]

_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Host:
    """The second host, as this one sees it."""

    name: str
    here: str
    """This host's address on the cable."""
    network: str


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, capture_output=True)


@contextlib.contextmanager
def second_host() -> Iterator[Host]:
    """Make one for the body; nothing else of the machine changes.

    Raises:
        PermissionError: namespaces cannot be made here.
    """
    if os.geteuid() != 0 or find_program("ip") is None:
        raise PermissionError("it needs root and ip")
    # Each process has a network of its own, and an interface's name has at most 15 characters.
    mark = f"{os.getpid() % 10_000:04}{next(_NUMBERS) % 10}"
    third = 2 * (os.getpid() % 125)
    name, cable, network = f"nebula-host-{mark}", f"nebula{mark}", f"10.78.{third}"
    try:
        _ip(f"netns add {name}")
    except subprocess.CalledProcessError as error:
        raise PermissionError(error.stderr.decode().strip()) from None
    try:
        _ip(f"-n {name} link set lo up")
        _ip(f"link add {cable} type veth peer name cable netns {name}")
        _ip(f"address add {network}.1/24 dev {cable}")
        _ip(f"-n {name} address add {network}.2/24 dev cable")
        _ip(f"link set {cable} up")
        _ip(f"-n {name} link set cable up")
        yield Host(name, f"{network}.1", f"{network}.0/24")
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False)  # and with it, the cable
