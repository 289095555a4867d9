"""DashScope as far as a lost submit has to do with it: an account whose tasks are listed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx

from tests.conftest import FakeClock

PROMPT = "The cat blinks"
ASK: dict[str, Any] = {"prompt": PROMPT, "image": "https://example.com/cat.jpg"}


@dataclass
class Listed:
    """A task of the account; it tells its prompt once it is finished, as DashScope's do."""

    prompt: str | None
    status: str = "SUCCEEDED"
    model: str = "wan2.5-i2v-preview"
    made: float = 1000.0
    """When, in seconds of the test's clock, which begins at 1000."""
    appears_after: int = 0
    """It is in the list from that look on."""
    finishes_after: int = 0
    """It is finished from that query on."""
    queries: int = 0
    duration: int = 5
    lines: int = 720
    listed_as: str | None = None
    """The model's name in the list, if it is another one than in the filter."""
    request_id: str | None = None
    """The id of the request that submitted it; the list has it."""


@dataclass
class Account:
    """DashScope as far as a lost submit has to do with it."""

    clock: FakeClock
    tasks: dict[str, Listed] = field(default_factory=dict)
    lost: int = 1
    """How many submits get no answer."""
    takes: float = 0.0
    """Seconds until a submit has its answer, or none."""
    answer: httpx.Response | None = None
    """What is answered instead of nothing."""
    ahead: float = 0.0
    """Seconds that the gateway's clock is ahead of ours."""
    list_status: int = 200
    posts: int = 0
    lists: int = 0
    page: dict[str, Any] = field(default_factory=dict)
    """What a page of the list says, if it is something else."""
    size: int = 100
    """How many rows a page has at most, whatever was asked for."""
    date: str | None = None
    """The `Date` of the list, if it is something else."""
    on_list: Callable[[], object] = lambda: None
    """Called at each list."""
    queries: int = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("/video-synthesis"):
            self.posts += 1
            self.clock.sleep(self.takes)
            if self.posts <= self.lost:
                if self.answer is not None:
                    return self.answer
                raise httpx.ReadTimeout("no answer", request=request)
            made = Listed(json.loads(request.content)["input"]["prompt"], made=self.clock.now)
            self.tasks[f"own-{self.posts}"] = made
            return httpx.Response(200, json={"output": {"task_id": f"own-{self.posts}", "task_status": "PENDING"}})
        if path.rstrip("/").endswith("/tasks"):
            return self._list(request)
        return self._query(path.rsplit("/", 1)[1])

    def _at(self, seconds: float) -> datetime:
        """A moment by the gateway's clock."""
        return self.clock.utcnow() + timedelta(seconds=self.ahead + seconds - self.clock.now)

    def _list(self, request: httpx.Request) -> httpx.Response:
        self.lists += 1
        self.on_list()
        rows = [
            {"task_id": name, "model_name": task.listed_as or task.model,
             "gmt_create": int((self._at(task.made)).timestamp() * 1000),
             **({"request_id": task.request_id} if task.request_id else {})}
            for name, task in self.tasks.items()
            if task.appears_after < self.lists and task.model == request.url.params["model_name"]
        ]  # fmt: skip
        headers = {"Date": self.date or format_datetime(self._at(self.clock.now), usegmt=True)}
        number = int(request.url.params["page_no"])
        page = rows[(number - 1) * self.size : number * self.size]
        body = {"total": len(rows), "page_no": number, "page_size": self.size, "data": page, **self.page}
        return httpx.Response(self.list_status, headers=headers, json=body)

    def _query(self, name: str) -> httpx.Response:
        task = self.tasks.get(name)
        if task is None:
            return httpx.Response(200, json={"output": {"task_id": name, "task_status": "UNKNOWN"}})
        task.queries += 1
        self.queries += 1
        status = task.status if task.queries > task.finishes_after else "RUNNING"
        output: dict[str, Any] = {"task_id": name, "task_status": status}
        if status == "SUCCEEDED":
            output["video_url"] = "https://results.example.com/v.mp4"
            if task.prompt is not None:
                output["orig_prompt"] = task.prompt
        usage = {"duration": task.duration, "SR": task.lines, "video_count": 1}
        return httpx.Response(200, json={"output": output, "usage": usage if status == "SUCCEEDED" else None})
