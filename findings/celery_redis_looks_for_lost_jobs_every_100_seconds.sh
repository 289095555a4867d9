#!/usr/bin/env bash
# celery 5.7.0, kombu 5.7.0, redis 8.1.0 (Redis 7): jobs of a dead worker are looked for every 100 seconds.
#
# With late acknowledgement, a killed worker's job goes to another one after `visibility_timeout`. But a worker looks for
# such jobs only every 100 seconds, whatever that limit is. Two options in a docstring of kombu's change it:
# `unacked_restore_interval` (10) times `unacked_restore_throttle` (10).
# Two workers that have run for 15 seconds; one takes a job and gets `kill -9`. The limit is 5 seconds. Redis is on
# loopback.
#
# Seen:
#   visibility_timeout=5: the job ran again after 75 s
#   the same, interval=1 and throttle=1: the job ran again after 5 s
set -euo pipefail

server=$(command -v redis-server || true)
if [ -z "$server" ]; then
    echo "Not run: redis-server is not installed (Debian: apt-get install redis-server)."
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet 'celery[redis]==5.7.0' kombu==5.7.0 redis==8.1.0

cat >"$work/jobs.py" <<'PY'
import json
import os
import pathlib
import time

from celery import Celery

app = Celery("jobs", broker=os.environ["BROKER"])
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
    broker_transport_options=json.loads(os.environ["OPTIONS"]),
)


@app.task(name="job")
def job(path):
    runs = pathlib.Path(path)
    again = runs.exists()
    with runs.open("a") as file:
        file.write(f"{os.getpid()}\n")
    if not again:
        time.sleep(600)
PY

"$work/venv/bin/python" -I - "$work" "$server" <<'PY'
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

work, server = pathlib.Path(sys.argv[1]), sys.argv[2]
celery = pathlib.Path(sys.executable).with_name("celery")


def wait(holds, seconds):
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            sys.exit("Behaviour changed: waited in vain.")
        time.sleep(0.1)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def seconds_until_it_runs_again(options):
    """Kill the worker that has the job, and wait for the other one to begin it."""
    folder = work / f"trial-{len(options)}"
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(work),
        "BROKER": f"redis://127.0.0.1:{port}/0",
        "OPTIONS": json.dumps(options),
        "NO_PROXY": "*",
    }
    started = []

    def start(*command):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, "env": environment}
        started.append(subprocess.Popen(command, **quiet))

    try:
        start(server, "--bind", "127.0.0.1", "--port", str(port), "--save", "")
        wait(lambda: listens(port), 20)
        for name in ("one", "two"):
            pool = ("--pool", "threads", "--concurrency", "1")
            start(celery, "-A", "jobs", "worker", *pool, "--hostname", name)
        time.sleep(15)
        runs = folder / "runs"
        code = f"import jobs; jobs.job.delay({str(runs)!r})"
        subprocess.run([sys.executable, "-c", code], env=environment, cwd=folder, check=True)
        wait(lambda: runs.exists() and runs.read_text().endswith("\n"), 30)
        (worker,) = [each for each in started[1:] if each.pid == int(runs.read_text())]
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        killed = time.monotonic()
        wait(lambda: len(runs.read_text().split()) > 1, 240)
        return time.monotonic() - killed
    finally:
        for each in reversed(started):
            if each.poll() is None:
                each.kill()
                each.wait()


lazy = seconds_until_it_runs_again({"visibility_timeout": 5})
print(f"visibility_timeout=5: the job ran again after {lazy:.0f} s", flush=True)
options = {"visibility_timeout": 5, "unacked_restore_interval": 1, "unacked_restore_throttle": 1}
keen = seconds_until_it_runs_again(options)
print(f"the same, interval=1 and throttle=1: the job ran again after {keen:.0f} s")
if lazy < 30 or keen > 20:
    sys.exit("Behaviour changed.")
PY
