"""Make the namespaces, run `world` in one and `jobs` in the other, and end both."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.ground.places import FRONT, MACHINE, MADE_UP, MADE_UP_NETWORK, PROXY
from tests.networks import missing_program
from tests.programs import find_program

CHECKOUT = Path(__file__).parents[2]


def ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)


@contextlib.contextmanager
def namespaces() -> Iterator[tuple[str, str]]:
    """Two namespaces with a cable between them. The world has the addresses of front and name server too."""
    world, machine = f"nebula-world-{os.getpid()}", f"nebula-machine-{os.getpid()}"
    try:
        for name in (world, machine):
            ip(f"netns add {name}")
            ip(f"-n {name} link set lo up")
        ip(f"-n {world} link add cable type veth peer name cable netns {machine}")
        for name, address in ((world, PROXY), (machine, MACHINE)):
            ip(f"-n {name} address add {address}/24 dev cable")
            ip(f"-n {name} link set cable up")
        for address in (FRONT, MADE_UP):
            ip(f"-n {world} address add {address}/32 dev lo")
        ip(f"-n {machine} route add {MADE_UP_NETWORK} via {PROXY}")
        yield world, machine
    finally:
        for name in (world, machine):
            subprocess.run(["ip", "netns", "delete", name], check=False)


def main() -> int:
    missing = missing_program() or next((name for name in ("ip", "dnsmasq") if find_program(name) is None), None)
    if os.geteuid() != 0 or missing:
        print(f"{missing} is not installed" if missing else "This makes network namespaces: run it as root.")
        return 2
    folder = Path(tempfile.mkdtemp(prefix="nebula-ground-"))
    try:
        with namespaces() as (world, machine):
            python = [sys.executable, "-m"]
            servers = subprocess.Popen(
                ["ip", "netns", "exec", world, *python, "tests.ground.world", str(folder)],
                cwd=CHECKOUT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            try:
                assert servers.stdout is not None
                ready = servers.stdout.readline()
                if not ready:
                    return 1
                # The machine has a resolv.conf of its own: a bind mount that ends with its process.
                jobs = shlex.join([*python, "tests.ground.jobs", str(folder)])
                resolver = shlex.quote(str(folder / "resolv.conf"))
                script = f"mount --bind {resolver} /etc/resolv.conf && exec {jobs}"
                (folder / "resolv.conf").touch()
                command = ["ip", "netns", "exec", machine, "unshare", "--mount", "sh", "-c", script]
                return subprocess.run(command, cwd=CHECKOUT, check=False).returncode
            finally:
                assert servers.stdin is not None
                servers.stdin.close()
                servers.wait(30)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
