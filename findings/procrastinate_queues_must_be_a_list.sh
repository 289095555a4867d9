#!/usr/bin/env bash
# procrastinate 3.10.0 (psycopg 3.3.9, PostgreSQL 15): the queues of a worker must be a list, and nothing says so.
#
# `run_worker_async(queues=…)` is typed and documented as an iterable of names. A tuple or a set reaches PostgreSQL as a
# record, or not at all, when the worker asks for its first job, and the worker ends. Deferring with the same names
# works.
#
# Seen:
#   list: job succeeded
#   tuple: ConnectorException from InvalidTextRepresentation, job todo
#   set: ConnectorException from ProgrammingError, job todo
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


async def trial(app, work, queues):
    number = await work.defer_async()
    told = ""
    try:
        await asyncio.wait_for(app.run_worker_async(queues=queues, wait=False), timeout=10)
    except Exception as error:
        told = f"{type(error).__name__} from {type(error.__cause__).__name__}, "
    (job,) = [job for job in await app.job_manager.list_jobs_async() if job.id == number]
    return f"{told}job {job.status}"


async def main():
    app = App(connector=PsycopgConnector())

    @app.task(name="work", queue="videos")
    async def work():
        pass

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        seen = {kind.__name__: await trial(app, work, kind(["videos"])) for kind in (list, tuple, set)}
    for kind, told in seen.items():
        print(f"{kind}: {told}")
    expected = {
        "list": "job succeeded",
        "tuple": "ConnectorException from InvalidTextRepresentation, job todo",
        "set": "ConnectorException from ProgrammingError, job todo",
    }
    if seen != expected:
        sys.exit("The behaviour changed: a tuple and a set of queues should end the worker.")


asyncio.run(main())
EOF
