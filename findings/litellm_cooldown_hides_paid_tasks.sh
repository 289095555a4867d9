#!/usr/bin/env bash
# litellm 1.110.2, proxy: one submit that the vendor answers with 401 hides a running, paid task for five seconds.
#
# After a single 401 the proxy rests the only deployment of a group, and looks at tasks go through the same group.
# So the look at a task that was taken and paid for is answered with 429, and never reaches the vendor. It reads as
# if the caller had asked too often. With `disable_cooldowns: true` the look is answered. 1.108.7 does not do this.
# The other packages of the proxy are those of 1.108.7, because the extra of 1.110.2 does not resolve (2026-11).
# The vendor here is a small server on loopback. The installation takes two to three minutes.
#
# Seen:
#   default, before: 200 queued, 1 looks upstream
#   default, after a submit refused with 401: 429 all_deployments_in_cooldown, Retry-After 5, 0 looks upstream
#   default, 6 s later: 200 queued, 1 looks upstream
#   disable_cooldowns, before: 200 queued, 1 looks upstream
#   disable_cooldowns, after a submit refused with 401: 200 queued, 1 looks upstream
#   disable_cooldowns, 6 s later: 200 queued, 1 looks upstream
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet 'litellm[proxy]==1.108.7'
"$work/venv/bin/pip" install --quiet litellm==1.110.2 semver

"$work/venv/bin/python" -I - "$work" <<'EOF'
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

work = pathlib.Path(sys.argv[1])
looks = []
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Vendor(BaseHTTPRequestHandler):
    """Takes the first submit, refuses each later one, and tells how the task goes."""

    taken = False

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if Vendor.taken:
            self.answer(401, {"request_id": "request", "code": "InvalidApiKey", "message": "Invalid API-key provided."})
            return
        Vendor.taken = True
        self.answer(200, {"request_id": "request", "output": {"task_id": "task-1", "task_status": "PENDING"}})

    def do_GET(self):
        looks.append(self.path)
        self.answer(200, {"request_id": "request", "output": {"task_id": "task-1", "task_status": "PENDING"}})

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def wait_until_ready(base, proxy):
    for _ in range(240):
        try:
            opener.open(f"{base}/health/readiness", timeout=5).close()
            return
        except OSError:
            if proxy.poll() is not None:
                break
            time.sleep(0.5)
    sys.exit("The proxy did not start:\n" + (work / "proxy.log").read_text(encoding="utf-8"))


def ask(url, body=None):
    """The status, headers and body of one request with the master key."""
    headers = {"Authorization": "Bearer sk-master-1234", "Content-Type": "application/json"}
    data = json.dumps(body).encode() if body else None
    try:
        with opener.open(urllib.request.Request(url, data, headers), timeout=120) as answer:
            return answer.status, answer.headers, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.load(error)


def look(base, task):
    """The status, what the answer says, and how many looks the vendor received."""
    looks.clear()
    status, headers, answer = ask(f"{base}/v1/videos/{task}")
    if status == 200:
        return status, answer["status"], len(looks)
    return status, f"{answer['error']['type']}, Retry-After {headers['Retry-After']}", len(looks)


def run(settings, port):
    """What a look at the paid task gives before, right after and 6 s after another submit is refused."""
    Vendor.taken = False
    parameters = {
        "model": "dashscope/wan2.7-i2v",
        "api_base": f"http://127.0.0.1:{vendor.server_port}",
        "api_key": "sk-vendor",
    }
    config = {
        "model_list": [{"model_name": "video", "litellm_params": parameters}],
        "general_settings": {"master_key": "sk-master-1234"},
        "router_settings": settings,
    }
    (work / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(work),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
        "DISABLE_ADMIN_UI": "True",
    }
    command = [pathlib.Path(sys.executable).with_name("litellm"), "--config", work / "config.yaml"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
    with (work / "proxy.log").open("wb") as log:
        proxy = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        base = f"http://127.0.0.1:{port}"
        wait_until_ready(base, proxy)
        media = [{"type": "first_frame", "url": "https://example.com/cat.jpg"}]
        request = {"model": "video", "prompt": "The cat blinks", "seconds": "5", "media": media}
        status, _, answer = ask(f"{base}/v1/videos", request)
        if status != 200:
            sys.exit(f"The first submit should be taken: {status} {answer}")
        task = answer["id"]
        before = look(base, task)
        refused, _, _ = ask(f"{base}/v1/videos", request)
        after = look(base, task)
        time.sleep(6)
        return before, refused, after, look(base, task)
    finally:
        proxy.terminate()
        proxy.wait()


def report(name, before, refused, after, later):
    print(f"{name}, before: {before[0]} {before[1]}, {before[2]} looks upstream")
    print(f"{name}, after a submit refused with {refused}: {after[0]} {after[1]}, {after[2]} looks upstream")
    print(f"{name}, 6 s later: {later[0]} {later[1]}, {later[2]} looks upstream")
    return before, refused, after, later


vendor = ThreadingHTTPServer(("127.0.0.1", 0), Vendor)
threading.Thread(target=vendor.serve_forever, daemon=True).start()
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
fine, hidden = (200, "queued", 1), (429, "all_deployments_in_cooldown, Retry-After 5", 0)
default = report("default", *run({"num_retries": 0}, port))
without = report("disable_cooldowns", *run({"num_retries": 0, "disable_cooldowns": True}, port))
if default != (fine, 401, hidden, fine) or without != (fine, 401, fine, fine):
    sys.exit("The behaviour changed: only the default should hide the task, for five seconds.")
EOF
