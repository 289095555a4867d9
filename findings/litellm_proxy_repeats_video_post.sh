#!/usr/bin/env bash
# litellm[proxy] 1.108.7: one POST to /v1/videos reaches the upstream three times when the upstream answers 503.
#
# The proxy retries twice by default, also a POST that starts a paid task, and it sends no idempotency key.
# An upstream that failed after it took the task makes up to three videos. `max_retries: 0` in the request, the name
# that the OpenAI client uses, changes nothing. `num_retries: 0` in the request stops it.
# The upstream here is a small server on loopback that counts. The installation takes one to two minutes.
#
# Seen:
#   default: status 503, 3 POSTs upstream
#   max_retries=0: status 503, 3 POSTs upstream
#   num_retries=0: status 503, 1 POSTs upstream
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet 'litellm[proxy]==1.108.7'

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
posts = []
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Upstream(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        posts.append(self.path)
        body = b'{"error": {"message": "Try later.", "type": "server_error", "code": "overloaded"}}'
        self.send_response(503)
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


def submit(base, **extra):
    """The status of one POST, and how many the upstream received."""
    posts.clear()
    body = json.dumps({"model": "video", "prompt": "The cat blinks", "seconds": "4", **extra}).encode()
    headers = {"Authorization": "Bearer sk-master-1234", "Content-Type": "application/json"}
    try:
        with opener.open(urllib.request.Request(f"{base}/v1/videos", body, headers), timeout=120) as answer:
            return answer.status, len(posts)
    except urllib.error.HTTPError as error:
        return error.code, len(posts)


upstream = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
threading.Thread(target=upstream.serve_forever, daemon=True).start()
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
parameters = {
    "model": "openai/sora-2",
    "api_base": f"http://127.0.0.1:{upstream.server_port}/v1",
    "api_key": "sk-upstream",
}
config = {
    "model_list": [{"model_name": "video", "litellm_params": parameters}],
    "general_settings": {"master_key": "sk-master-1234"},
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
    seen = {
        "default": submit(base),
        "max_retries=0": submit(base, max_retries=0),
        "num_retries=0": submit(base, num_retries=0),
    }
finally:
    proxy.terminate()
    proxy.wait()
for request, (status, count) in seen.items():
    print(f"{request}: status {status}, {count} POSTs upstream")
if list(seen.values()) != [(503, 3), (503, 3), (503, 1)]:
    sys.exit("The behaviour changed: three POSTs were expected, and one with num_retries=0.")
EOF
