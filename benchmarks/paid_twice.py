"""What other clients do when a paid request goes wrong: the table of docs/comparison.md, measured.

    python benchmarks/paid_twice.py [NAME ...] [--write]

Each client makes one video at a server on loopback, four times: all goes well; the answer to the paid POST is lost
after the server has read it; the POST is answered 500; and the same call is made twice. The server counts the paid
POSTs that it has read: each is a video on the bill. Installs each client once, below .venvs/paid-twice; needs npm
for the AI SDK. `--write` puts the table into docs/comparison.md.
`benchmarks/clients.py` has more faults and what waiting costs, for clients in Python.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "comparison.md"
ENVIRONMENTS = ROOT / ".venvs" / "paid-twice"
CASES = ("well", "lost", "http_500", "twice")
TIMEOUT = 120
"""Seconds for one program; a client that waits longer counts as one that still waits."""


LONGEST = 200
"""Characters of what a caller reads that the table shows."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A client: how to install it, the program that makes a video, and how its service answers."""

    name: str
    pins: tuple[str, ...]
    program: str
    """Has `base`, the server's address; calls `make()` and prints what came of it."""
    submit: str
    """What the path of its paid POST begins with."""
    submitted: dict[str, Any]
    looked: dict[str, Any]
    node: bool = False


_ALIBABA: dict[str, Any] = {
    "submit": "/api/v1/services/aigc/",
    "submitted": {"request_id": "r", "output": {"task_id": "task-1", "task_status": "PENDING"}},
    "looked": {
        "request_id": "r",
        "output": {"task_id": "task-1", "task_status": "SUCCEEDED", "video_url": "{base}/v.mp4"},
        "usage": {"duration": 5, "video_count": 1, "SR": 720},
    },
}
_DASHSCOPE = """
import dashscope
from dashscope import VideoSynthesis
dashscope.base_http_api_url = base + "/api/v1"
def make():
    answer = VideoSynthesis.call(
        model="wan2.5-i2v-preview", prompt="x", img_url="https://example.com/cat.jpg", api_key="sk-test"
    )
    return answer.output.video_url if answer.status_code == 200 else f"status {answer.status_code}"
"""

PEERS = (
    Peer(
        "langchain-nebula-video",
        (str(ROOT),),
        """
from langchain_nebula_video import NebulaVideoTool
tool = NebulaVideoTool(gateway="dashscope", base_url=base, api_key="sk-test", timeout=20, poll_interval=0.2)
def make():
    return tool.invoke({"prompt": "x", "image": "https://example.com/cat.jpg"})
""",
        **_ALIBABA,
    ),
    Peer("dashscope 1.27.8, `VideoSynthesis`", ("dashscope==1.27.8",), _DASHSCOPE, **_ALIBABA),
    Peer("dashscope 2.0.2, `VideoSynthesis`", ("dashscope==2.0.2",), _DASHSCOPE, **_ALIBABA),
    Peer(
        "fal-client 1.0.3",
        ("fal-client==1.0.3",),
        """
import fal_client, fal_client.client
fal_client.client.QUEUE_URL_FORMAT = base + "/"
client = fal_client.SyncClient(key="test")
def make():
    return client.subscribe("fal-ai/wan-25-preview/image-to-video", {"prompt": "x", "image_url": "https://example.com"})
""",
        submit="/fal-ai/wan-25-preview",
        submitted={
            "request_id": "task-1",
            "response_url": "{base}/look/result",
            "status_url": "{base}/look/status",
            "cancel_url": "{base}/look/cancel",
        },
        looked={"status": "COMPLETED", "logs": [], "metrics": {}, "video": {"url": "{base}/v.mp4"}},
    ),
    Peer(
        "runwayml 5.24.0",
        ("runwayml==5.24.0",),
        """
from runwayml import RunwayML
client = RunwayML(api_key="test", base_url=base)
def make():
    task = client.image_to_video.create(
        model="gen4_turbo", prompt_image="https://example.com/cat.jpg", ratio="1280:720", prompt_text="x", duration=5
    )
    return task.wait_for_task_output(timeout=60).output
""",
        submit="/v1/image_to_video",
        submitted={"id": "17f20503-6c24-4c16-946b-35dbbce2af2f"},
        looked={
            "id": "17f20503-6c24-4c16-946b-35dbbce2af2f",
            "createdAt": "2026-11-27T00:00:00Z",
            "status": "SUCCEEDED",
            "output": ["{base}/v.mp4"],
        },
    ),
    Peer(
        "ai 7.0.173 with @ai-sdk/alibaba 2.0.58",
        ("ai@7.0.173", "@ai-sdk/alibaba@2.0.58", "node@22"),
        """
const { experimental_generateVideo } = await import("ai");
const { createAlibaba } = await import("@ai-sdk/alibaba");
const alibaba = createAlibaba({ apiKey: "sk-test", videoBaseURL: base });
globalThis.make = async () => {
  const { video } = await experimental_generateVideo({
    model: alibaba.video("wan2.6-i2v"),
    prompt: { image: "https://example.com/cat.jpg", text: "x" },
    download: async () => ({ data: new Uint8Array(24), mediaType: "video/mp4" }), // its own refuses loopback
    providerOptions: { alibaba: { pollIntervalMs: 200, pollTimeoutMs: 30000 } },
  });
  return video.mediaType;
};
""",
        node=True,
        **_ALIBABA,
    ),
    Peer(
        "langchain-wavespeed 0.1.3",
        ("langchain-wavespeed==0.1.3", "wavespeed==2.0.5"),
        """
from langchain_wavespeed import WaveSpeedRunModel
from wavespeed import Client
tool = WaveSpeedRunModel(client=Client(api_key="test", base_url=base, max_retries=0), poll_interval=0.2)
def make():
    given = {"prompt": "x", "image": "https://example.com/cat.jpg"}
    return tool.invoke({"model": "wavespeed-ai/wan-2.2/image-to-video", "input": given})
""",
        submit="/api/v3/wavespeed-ai/",
        submitted={"code": 200, "data": {"id": "task-1"}},
        looked={"code": 200, "data": {"id": "task-1", "status": "completed", "outputs": ["{base}/v.mp4"]}},
    ),
    Peer(
        "langchain-magic-hour 0.1.0",
        ("langchain-magic-hour==0.1.0", "magic-hour==0.90.0"),
        """
from langchain_magic_hour import MagicHourImageToVideoTool
from magic_hour import Client
tool = MagicHourImageToVideoTool(api_key="test", client=Client(token="test", base_url=base))
def make():
    return tool.invoke({"image_url_or_path": "https://example.com/cat.jpg", "prompt": "x"})
""",
        submit="/v1/image-to-video",
        submitted={"id": "task-1", "frame_cost": 120, "credits_charged": 120, "estimated_frame_cost": 120},
        looked={
            "id": "task-1",
            "status": "complete",
            "created_at": "2026-11-27T00:00:00Z",
            "credits_charged": 120,
            "download": None,
            "downloads": [{"url": "{base}/v.mp4", "expires_at": "2026-11-28T00:00:00Z"}],
            "enabled": True,
            "end_seconds": 5.0,
            "error": None,
            "fps": 24.0,
            "height": 480,
            "name": "x",
            "start_seconds": 0.0,
            "total_frame_cost": 120,
            "type": "IMAGE_TO_VIDEO",
            "width": 854,
        },
    ),
    Peer(
        "langchain-saymaker 0.1.0",
        ("langchain-saymaker==0.1.0", "saymaker==0.1.1"),
        """
import saymaker
from langchain_saymaker import SayMakerVideoGenerator
# It takes no address, so its transport is led to the server.
saymaker._run.__globals__["_http"] = (lambda http: lambda method, url, *rest: http(
    method, url.replace("https://saymaker.ai", base), *rest))(saymaker._http)
tool = SayMakerVideoGenerator(api_key="test")
def make():
    return tool.invoke({"prompt": "x", "image_url": "https://example.com/cat.jpg"})
""",
        submit="/api/ai/generate",
        submitted={"code": 0, "data": {"id": "task-1"}},
        looked={"code": 0, "data": {"status": "success", "videos": ["{base}/v.mp4"]}},
    ),
)

_PYTHON = """
import sys
base, calls = sys.argv[1], int(sys.argv[2])
{program}
for _ in range(calls):
    try:
        print("GOT", " ".join(str(make()).split())[:300], flush=True)
    except BaseException as error:
        print("RAISED", type(error).__name__, " ".join(str(error).split())[:300], flush=True)
"""
_NODE = """
const [base, calls] = [process.argv[2], Number(process.argv[3])];
{program}
for (let i = 0; i < calls; i++) {{
  try {{
    console.log("GOT", String(await make()));
  }} catch (error) {{
    console.log("RAISED", error.name, String(error.message).slice(0, 300));
  }}
}}
"""


def install(peer: Peer) -> Path:
    """Return the folder of an environment that has the client, made on first use."""
    folder = ENVIRONMENTS / re.sub(r"[^\w.-]+", "-", peer.name).strip("-")
    mark = folder / ".installed"
    if not mark.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if peer.node:
            subprocess.run(["npm", "install", "--silent", "--prefix", folder, *peer.pins], check=True)
        else:
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            subprocess.run([folder / "bin" / "pip", "install", "--quiet", *peer.pins], check=True)
        mark.touch()
    return folder


@contextmanager
def service(peer: Peer, case: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the address of a server that answers as the client's service, and the paid POSTs that it reads."""
    paid: list[str] = []

    class Service(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not self.path.startswith(peer.submit):
                self.answer(200, peer.looked)
                return
            paid.append(self.headers.get("Idempotency-Key") or "")
            if case == "lost":
                self.close_connection = True
            elif case == "http_500":
                self.answer(500, {"code": "InternalError", "message": "Internal server error"})
            else:
                self.answer(200, peer.submitted)

        def do_GET(self) -> None:
            if self.path.endswith(".mp4"):
                self.send(200, "video/mp4", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom")
            else:
                self.answer(200, peer.looked)

        def answer(self, status: int, body: dict[str, Any]) -> None:
            text = json.dumps(body).replace("{base}", f"http://127.0.0.1:{server.server_port}")
            self.send(status, "application/json", text.encode())

        def send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", paid
    finally:
        server.shutdown()
        server.server_close()


def run(peer: Peer, case: str) -> tuple[int, int, list[str]]:
    """Return how many paid POSTs a case has cost, how many keys they had, and what the program printed."""
    folder = install(peer)
    file = folder / ("program.mjs" if peer.node else "program.py")
    file.write_text((_NODE if peer.node else _PYTHON).format(program=peer.program), encoding="utf-8")
    node = folder / "node_modules" / ".bin" / "node"  # the AI SDK needs a newer one than Debian has
    command = [str(node), str(file)] if peer.node else [str(folder / "bin" / "python"), "-I", str(file)]
    with service(peer, case) as (address, paid):
        calls = "2" if case == "twice" else "1"
        try:
            done = subprocess.run(
                [*command, address, calls], capture_output=True, text=True, timeout=TIMEOUT, check=False, cwd=folder
            )
            lines = [line for line in done.stdout.splitlines() if line.startswith(("GOT", "RAISED"))]
            lines = lines or [f"ENDED {done.stderr.strip().splitlines()[-1:]}"]
        except subprocess.TimeoutExpired:
            lines = [f"STILL WAITS after {TIMEOUT} s"]
        return len(paid), len(set(paid) - {""}), lines


def main(arguments: list[str]) -> None:
    """Measure the clients and print the table."""
    chosen = [each for each in arguments if not each.startswith("--")]
    if chosen and "--write" in arguments:
        raise SystemExit("--write needs all clients.")
    rows = []
    for peer in PEERS:
        if chosen and not any(name in peer.name for name in chosen):
            continue
        counts, read = [], ""
        for case in CASES:
            count, keys, lines = run(peer, case)
            counts.append(str(count) + (f", {keys} key{'s' * (keys > 1)}" if keys else ""))
            read = lines[0].partition(" ")[2] if case == "lost" else read
            print(f"{peer.name} | {case} | {count} POSTs, {keys} keys | {' / '.join(lines)}", flush=True)
        told = read if len(read) <= LONGEST else f"{read[:LONGEST].rstrip()}…"
        rows.append(f"| {peer.name} | {' | '.join(counts)} | {told.replace('|', '/')} |")
    table = "\n".join([
        "| Client | All goes well | The answer is lost | HTTP 500 | The same call twice | Read after the lost answer |",
        "|---|---|---|---|---|---|",
        *rows,
    ])  # fmt: skip
    print(f"\n{table}")
    if "--write" in arguments:
        text = PAGE.read_text(encoding="utf-8")
        marked = re.compile(r"(<!-- peers -->\n).*?(<!-- /peers -->)", re.DOTALL)
        PAGE.write_text(marked.sub(lambda found: f"{found[1]}\n{table}\n\n{found[2]}", text), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
