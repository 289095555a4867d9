#!/usr/bin/env bash
# langgraph-cli 0.4.40 with langgraph-api 0.16.7: `langgraph dev` runs one job at a time, where its help says ten.
#
# The help gives 10 as the default of `--n-jobs-per-worker`. Without the option the server starts one run at a time, so
# a run that only waits holds up everybody else's. With the option and the same number, two runs go side by side.
# The graph sleeps for four seconds. The server is on loopback.
#
# Seen:
#   langgraph dev --help: 10 jobs per worker
#   default: two runs of 4 s took 9.1 s
#   --n-jobs-per-worker 10: two runs of 4 s took 5.1 s
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
packages=('langgraph-cli[inmem]==0.4.40' langgraph-api==0.16.7 langgraph-runtime-inmem==0.36.7)
"$work/venv/bin/pip" install --quiet "${packages[@]}"

mkdir "$work/app"
echo '{"dependencies": ["."], "graphs": {"graph": "./graph.py:graph"}}' >"$work/app/langgraph.json"
cat >"$work/app/graph.py" <<'EOF'
import asyncio

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict


class State(TypedDict):
    seconds: int


async def work(state: State) -> State:
    await asyncio.sleep(state["seconds"])
    return state


graph = StateGraph(State).add_node("work", work).add_edge(START, "work").add_edge("work", END).compile()
EOF

"$work/venv/bin/python" -I - "$work" <<'EOF'
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

work = pathlib.Path(sys.argv[1])
SECONDS = 4
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
program = pathlib.Path(sys.executable).with_name("langgraph")
environment = {
    "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
    "HOME": str(work),
    "LANGGRAPH_CLI_NO_ANALYTICS": "1",
    "LANGSMITH_TRACING": "false",
    "NO_PROXY": "*",
    "COLUMNS": "200",
}


def documented():
    """What the help says of the option."""
    command = [program, "dev", "--help"]
    text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    return text.partition("--n-jobs-per-worker")[2].split("Default:")[1].split()[0]


def ask(url, content=None):
    data = None if content is None else json.dumps(content).encode()
    with opener.open(urllib.request.Request(url, data, {"Content-Type": "application/json"}), timeout=60) as answer:
        return json.load(answer)


def wait_until_ready(base, server):
    for _ in range(240):
        try:
            return ask(f"{base}/ok")
        except OSError:
            if server.poll() is not None:
                break
            time.sleep(0.5)
    sys.exit("The server did not start:\n" + (work / "server.log").read_text(encoding="utf-8"))


def run(*options):
    """The seconds that two runs took which were asked for together, each on a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [program, "dev", "--no-browser", "--no-reload", "--host", "127.0.0.1", "--port", str(port), *options]
    with (work / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=work / "app", env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    base = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(base, server)
        ask(f"{base}/runs/wait", {"assistant_id": "graph", "input": {"seconds": 0}})  # the first run is slower
        began = time.monotonic()
        request = {"assistant_id": "graph", "input": {"seconds": SECONDS}}
        runs = [threading.Thread(target=ask, args=(f"{base}/runs/wait", request)) for _ in range(2)]
        for thread in runs:
            thread.start()
        for thread in runs:
            thread.join()
        return time.monotonic() - began
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


jobs = documented()
print(f"langgraph dev --help: {jobs} jobs per worker")
default = run()
print(f"default: two runs of {SECONDS} s took {default:.1f} s")
ten = run("--n-jobs-per-worker", "10")
print(f"--n-jobs-per-worker 10: two runs of {SECONDS} s took {ten:.1f} s")
if jobs != "10" or not ten < 2 * SECONDS <= default:
    sys.exit("The behaviour changed: the help should say ten jobs, and only the default take twice as long.")
EOF
