"""PostgreSQL for a run: a server of its own, as others have set it up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.pgbouncer import Pool, find_pgbouncer
from tests.postgres import Server, programs_folder


class Databases:
    """A PostgreSQL server, and pgbouncer before it if asked for."""

    def __init__(self, server: Server, pool: Pool | None, isolation: str) -> None:
        self.server = server
        self._pool, self._isolation = pool, isolation

    def create(self, name: str) -> str:
        """Make a database whose transactions begin at the given isolation level; return its URL for a journal."""
        direct = self.server.url("postgres").replace("+psycopg", "")
        with psycopg.connect(direct, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
            setting = f"default_transaction_isolation = '{self._isolation}'"
            connection.execute(f'ALTER DATABASE "{name}" SET {setting}'.encode())
        return (self._pool or self.server).url(name)


@contextmanager
def databases(folder: Path, *, pooled: bool, isolation: str = "repeatable read") -> Iterator[Databases]:
    """Run the servers meanwhile.

    Args:
        folder: Where they keep their files; their user has to reach it.
        pooled: Whether pgbouncer in transaction mode stands before PostgreSQL.
        isolation: What the databases' transactions begin at.
    """
    programs, program = programs_folder(), find_pgbouncer()
    if programs is None or (pooled and program is None):
        raise SystemExit("PostgreSQL's programs, or pgbouncer, are not installed")
    (folder / "postgres").mkdir()
    server = Server(programs, folder / "postgres")
    try:
        pool = Pool(program, server, folder / "pgbouncer") if pooled and program is not None else None
        try:
            yield Databases(server, pool, isolation)
        finally:
            if pool is not None:
                pool.stop()
    finally:
        server.stop("immediate")
