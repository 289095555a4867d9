#!/usr/bin/env bash
# procrastinate 3.10.0 (psycopg 3.3.9, PostgreSQL 15): with autocommit, a worker ends at once and tells success.
#
# `PsycopgConnector` hands its `kwargs` to the pool, and the pool's own documentation sets `autocommit` there. Jobs are
# deferred as ever. The worker's listener opens a connection of its own, and passes `autocommit` a second time: the
# error is logged, and the worker stops before its first job. `run_worker_async` returns, without an exception, so a
# supervisor that restarts after errors only sees a worker that has finished its work.
#
# Seen:
#   plain: worker goes on, job succeeded
#   autocommit: worker returned None, job todo
set -euo pipefail

initdb=$(command -v initdb || printf '%s\n' /usr/lib/postgresql/*/bin/initdb | tail -n 1)
if [ ! -x "$initdb" ]; then
    echo "Not run: PostgreSQL's initdb is not installed (Debian: apt-get install postgresql)."
    exit 0
fi
programs=$(dirname "$(readlink -f "$initdb")")

work=$(mktemp -d)
server=
tidy() {
    if [ -n "$server" ]; then
        kill -INT "$server" 2>/dev/null || true # a fast shutdown
        wait "$server" || true
    fi
    rm -rf "$work"
}
trap tidy EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet procrastinate==3.10.0 'psycopg[binary]==3.3.9'

mkdir "$work/database"
user=()
if [ "$(id -u)" -eq 0 ]; then # PostgreSQL refuses to run as root
    user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    chmod 711 "$work"
    chown 65534:65534 "$work/database"
fi
${user[@]+"${user[@]}"} "$programs/initdb" -D "$work/database/data" -U test -A trust --no-sync >/dev/null
${user[@]+"${user[@]}"} "$programs/postgres" -D "$work/database/data" -k "$work/database" \
    -c listen_addresses= -c fsync=off >"$work/server.log" 2>&1 &
server=$!
export PGHOST=$work/database PGUSER=test PGDATABASE=postgres
for _ in $(seq 100); do
    "$programs/pg_isready" --quiet && break
    sleep 0.1
done

"$work/venv/bin/python" -I - <<'EOF'
import asyncio
import logging
import sys

from procrastinate import App, PsycopgConnector

logging.disable(logging.CRITICAL)


async def trial(kwargs, *, first):
    app = App(connector=PsycopgConnector(kwargs=kwargs))

    @app.task(name="work")
    async def work():
        pass

    async with app.open_async():
        if first:
            await app.schema_manager.apply_schema_async()
        number = await work.defer_async()
        worker = asyncio.create_task(app.run_worker_async())
        await asyncio.wait([worker], timeout=4)
        told = f"returned {worker.result()}" if worker.done() else "goes on"
        (job,) = [job for job in await app.job_manager.list_jobs_async() if job.id == number]
        if not worker.done():
            worker.cancel()
            await asyncio.wait([worker])
        return f"worker {told}, job {job.status}"


async def main():
    plain = await trial({}, first=True)
    print("plain:", plain)
    autocommit = await trial({"autocommit": True}, first=False)
    print("autocommit:", autocommit)
    if (plain, autocommit) != ("worker goes on, job succeeded", "worker returned None, job todo"):
        sys.exit("The behaviour changed: with autocommit the worker should return before its first job.")


asyncio.run(main())
EOF
