#!/usr/bin/env bash
# procrastinate 3.10.0 (psycopg 3.3.9, PostgreSQL 15): a worker that drains after SIGTERM looks dead.
#
# SIGTERM stops the worker's heartbeat at once, and then the worker waits for its running jobs, without a limit.
# As soon as the drain is longer than the stale limit, `get_stalled_jobs` lists a job that is still running. The
# documented sweep then starts it a second time. Here the heartbeat is every half second and the limit 2 seconds.
#
# Seen:
#   4 s of work: stalled []
#   3 s into the drain: worker runs, stalled [1]
#   end: succeeded
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
import os
import signal
import sys

from procrastinate import App, PsycopgConnector

app = App(connector=PsycopgConnector())


@app.task(name="work")
async def work(seconds):
    await asyncio.sleep(seconds)


async def stalled():
    return [job.id for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=2)]


async def main():
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await work.defer_async(seconds=12)
        worker = asyncio.create_task(app.run_worker_async(update_heartbeat_interval=0.5))
        await asyncio.sleep(4)
        working = await stalled()
        print("4 s of work: stalled", working)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(3)
        draining = await stalled()
        print("3 s into the drain: worker", "has ended," if worker.done() else "runs,", "stalled", draining)
        running = not worker.done()
        await worker
        (job,) = await app.job_manager.list_jobs_async()
        print("end:", job.status)
        if (working, draining, running, job.status) != ([], [1], True, "succeeded"):
            sys.exit("The behaviour changed: the job should count as stalled during the drain only.")


asyncio.run(main())
EOF
