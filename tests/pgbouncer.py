"""pgbouncer for the tests: one of their own, on loopback, before their own PostgreSQL."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from tests.postgres import Server

__all__ = ["Pool", "find_pgbouncer"]

_CONFIG = """\
[databases]
* = host={server} user=nebula
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
logfile = {folder}/log
; the default of 15 s would make a crashed server look down for as long
server_login_retry = 1
"""


def find_pgbouncer() -> Path | None:
    """Return the program: on the PATH, or where Debian keeps it."""
    found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    return Path(found) if found else None


class Pool:
    """A pgbouncer in transaction mode, with a folder of its own. Every database of the server is behind it."""

    def __init__(self, program: Path, server: Server, folder: Path) -> None:
        folder.mkdir()
        self._port = _free_port()
        config = folder / "pgbouncer.ini"
        config.write_text(_CONFIG.format(server=server.folder, port=self._port, folder=folder))
        user = None
        if os.geteuid() == 0:  # it does not run as root
            user = "postgres"
            shutil.chown(folder, user)
        self._process = subprocess.Popen(
            [program, "-q", config],
            cwd=folder,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait_until_it_listens()

    def url(self, database: str) -> str:
        """Return the URL of a database behind it."""
        return f"postgresql+psycopg://nebula@127.0.0.1:{self._port}/{database}"

    def stop(self) -> None:
        """End it, by its own process id."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait_until_it_listens(self) -> None:
        for _ in range(100):
            if self._process.poll() is not None:
                raise RuntimeError(f"pgbouncer ended with code {self._process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        self.stop()
        raise RuntimeError("pgbouncer does not listen")


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
