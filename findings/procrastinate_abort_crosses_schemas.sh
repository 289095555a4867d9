#!/usr/bin/env bash
# procrastinate 3.10.0 (psycopg 3.3.9, PostgreSQL 15): aborting a job cancels the job of another application.
#
# Two applications share a database, each with a schema of its own by `search_path`. Their tables do not mix.
# But an abort travels by NOTIFY, whose channels belong to the database, and it carries only the job's number.
# So aborting job 1 of the first schema also cancels job 1 of the second, which nobody asked for.
# The channel's name holds the queue: with a queue name for each application the second job runs to its end.
#
# Seen:
#   same queue: first aborted, second aborted
#   own queues: first aborted, second succeeded
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
import sys

import psycopg
from procrastinate import App, PsycopgConnector


async def work(seconds):
    await asyncio.sleep(seconds)


async def abort_first(schemas, queues):
    """The states of job 1 in two schemas, after it was aborted in the first one."""
    async with await psycopg.AsyncConnection.connect(autocommit=True) as connection:
        for schema in schemas:
            await connection.execute(f"CREATE SCHEMA {schema}")
    apps = [App(connector=PsycopgConnector(kwargs={"options": f"-csearch_path={schema}"})) for schema in schemas]
    first, second = apps
    async with first.open_async(), second.open_async():
        for app, queue in zip(apps, queues):
            await app.schema_manager.apply_schema_async()
            await app.task(name="work", queue=queue)(work).defer_async(seconds=6)
        workers = [
            asyncio.create_task(app.run_worker_async(queues=[queue], wait=False, install_signal_handlers=False))
            for app, queue in zip(apps, queues)
        ]
        await asyncio.sleep(2)
        await first.job_manager.cancel_job_by_id_async(1, abort=True)
        await asyncio.gather(*workers)
        return [job.status for app in apps for job in await app.job_manager.list_jobs_async()]


async def main():
    shared = await abort_first(("a", "b"), ("videos", "videos"))
    print("same queue: first {}, second {}".format(*shared))
    own = await abort_first(("c", "d"), ("c_videos", "d_videos"))
    print("own queues: first {}, second {}".format(*own))
    if (shared, own) != (["aborted", "aborted"], ["aborted", "succeeded"]):
        sys.exit("The behaviour changed: the abort should reach the second schema, unless the queues differ.")


asyncio.run(main())
EOF
