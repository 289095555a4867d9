"""Nebula as far as the log of a key has to do with it: an account whose finished videos are on record."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import httpx

from tests.conftest import FakeClock

PROMPT = "The cat blinks"
ASK: dict[str, Any] = {"prompt": PROMPT, "image": "https://example.com/cat.jpg", "resolution": "480p"}
_BEIJING = timezone(timedelta(hours=8))


@dataclass
class Logged:
    """A finished task of the account."""

    prompt: str | None = PROMPT
    """`None`: its answers tell none, as the gateway's page has it."""
    made: float = 1000.0
    """When it was submitted, in seconds of the test's clock, which begins at 1000."""
    took: float = 100.0
    """Seconds until it was charged."""
    quota: int = 92_250
    seconds: int = 5
    lines: int = 480
    model: str = "wan2.5-i2v-preview"
    ratio: float = 1.0
    dated: bool = True
    """Whether its answers tell when it was submitted."""
    charges: int = 1


@dataclass
class Account:
    """Nebula as far as the log of a key has to do with it."""

    clock: FakeClock
    tasks: dict[str, Logged] = field(default_factory=dict)
    lost: int = 1
    """How many submits get no answer."""
    reads_header: bool = False
    log: httpx.Response | None = None
    """What the log answers instead."""
    hidden: bool = False
    """Whether looks at tasks get no answer."""
    requests: list[httpx.Request] = field(default_factory=list)
    posts: int = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        path = request.url.path
        if request.method == "POST":
            return self._submit(request)
        if path == "/api/status":
            return httpx.Response(200, json={"success": True, "data": {"quota_per_unit": 500_000}})
        if path == "/api/log/token":
            return self._log(request)
        if self.hidden:
            return httpx.Response(502)
        return self._look(path.rsplit("/", 1)[1])

    def _submit(self, request: httpx.Request) -> httpx.Response:
        self.posts += 1
        if self.posts <= self.lost:
            raise httpx.ReadTimeout("no answer", request=request)
        asked = json.loads(request.content)
        self.tasks[f"own-{self.posts}"] = Logged(asked["prompt"], made=self.clock.now)
        return httpx.Response(200, json={"task_id": f"own-{self.posts}", "status": "submitted"})

    def _log(self, request: httpx.Request) -> httpx.Response:
        if self.log is not None:
            return httpx.Response(self.log.status_code, content=self.log.content)
        known = self.reads_header or "key" in request.url.params
        rows = [self._row(name, task) for name, task in self.tasks.items() for _ in range(task.charges)]
        headers = {"Date": format_datetime(self.clock.utcnow(), usegmt=True)}
        return httpx.Response(200, headers=headers, json={"success": True, "data": rows if known else []})

    def _row(self, name: str, task: Logged) -> dict[str, Any]:
        other = {
            "task_id": name,
            "video_seconds": task.seconds,
            "video_resolution": f"{task.lines}p",
            "group_ratio": task.ratio,
        }
        at = int(self._at(task.made + task.took).timestamp())
        return {"type": 2, "created_at": at, "model_name": task.model, "quota": task.quota, "other": json.dumps(other)}

    def _at(self, seconds: float) -> datetime:
        return self.clock.utcnow() + timedelta(seconds=seconds - self.clock.now)

    def _look(self, name: str) -> httpx.Response:
        task = self.tasks.get(name)
        if task is None:
            return httpx.Response(400, json={"code": "task_not_exist", "message": "task_not_exist", "data": None})
        output: dict[str, Any] = {"task_id": name, "task_status": "SUCCEEDED"}
        if task.prompt is not None:
            output["orig_prompt"] = task.prompt
        if task.dated:
            output["submit_time"] = f"{self._at(task.made).astimezone(_BEIJING):%Y-%m-%d %H:%M:%S.%f}"
        usage = {"duration": task.seconds, "SR": task.lines, "video_count": 1}
        url = "https://results.example.com/v.mp4"
        metadata = {"output": output, "usage": usage}
        return httpx.Response(200, json={"task_id": name, "status": "succeeded", "url": url, "metadata": metadata})
