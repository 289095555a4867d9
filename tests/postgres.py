"""A PostgreSQL server of the tests' own: a private one on a socket in a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import psycopg

__all__ = ["Server", "programs_folder"]

_USER = "nebula"


def programs_folder() -> Path | None:
    """The folder of `initdb` and `pg_ctl`: on the PATH, or where Debian keeps each version."""
    found = shutil.which("pg_ctl")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders else None


class Server:
    """A PostgreSQL of our own, which no network can reach unless it is told to listen."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._addresses = ""
        self.folder = folder
        # PostgreSQL does not run as root.
        runuser = shutil.which("runuser") or "/usr/sbin/runuser"
        self._as: list[str] = [runuser, "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._as:
            shutil.chown(folder, "postgres")
        self._run("initdb", "-D", str(folder / "data"), "-A", "trust", "-U", _USER, "--no-sync", "-E", "UTF8")
        self.start()

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as, str(self._programs / program), *arguments]
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _control(self, *arguments: str) -> None:
        # pg_ctl ends the server by the pid in its own folder, and no other.
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", *arguments)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        # Without fsync: what is killed here is the server, never the machine.
        options = f"-c listen_addresses='{self._addresses}' -c fsync=off -k {self.folder}"
        self._control("-o", options, "-l", str(self.folder / "log"), "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it: `fast` ends all connections, `immediate` is as good as a crash."""
        self._control("-m", mode, "stop")

    def listen(self, address: str, network: str, password: str) -> None:
        """Restart it, so that a network reaches it at an address, with a password."""
        with psycopg.connect(self.url("postgres").replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(f"ALTER ROLE {_USER} PASSWORD '{password}'".encode())
        with (self.folder / "data" / "pg_hba.conf").open("a") as file:
            file.write(f"host all all {network} scram-sha-256\n")
        self._addresses = address
        self.stop()
        self.start()

    def create(self, database: str, template: str = "template1", **settings: str) -> str:
        """Make a database with settings of its own, such as `default_transaction_isolation`; where it is."""
        with psycopg.connect(self.url("postgres").replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"'.encode())
            for name, value in settings.items():
                connection.execute(f"ALTER DATABASE \"{database}\" SET {name} = '{value}'".encode())
        return self.url(database)

    def url(self, database: str) -> str:
        """Where a database of it is."""
        return f"postgresql+psycopg://{_USER}@/{database}?host={self.folder}"
