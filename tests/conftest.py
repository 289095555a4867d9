"""What the tests stand on: a clock of their own, a gateway of functions, the emulator, both clients."""

from __future__ import annotations

import functools
import inspect
import io
import itertools
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import httpx
import pytest
from PIL import Image

from langchain_nebula_video import AsyncNebulaVideoClient, NebulaVideoClient
from langchain_nebula_video.catalog.gateways import GATEWAYS

pytest.register_assert_rewrite("tests.journals")

T = TypeVar("T")

KEY = "sk-test-5ecret5ecret5ecret"


class FakeClock:
    """A clock that moves only when somebody sleeps, and remembers each sleep."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def utcnow(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.now)

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)


Handler = Callable[[httpx.Request], httpx.Response]


class Gateway:
    """A gateway made of answers, or of functions that make one: each request takes the next; the last is repeated."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.submits: list[Any] = []
        self.fetches: list[Any] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        queue = self.submits if request.method == "POST" else self.fetches
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            made: httpx.Response = answer(request)
            return made
        if isinstance(answer, httpx.Response):
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
        return httpx.Response(200, json=answer)

    @property
    def posts(self) -> int:
        return sum(request.method == "POST" for request in self.requests)

    @property
    def gets(self) -> int:
        return sum(request.method == "GET" for request in self.requests)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request.content) for request in self.requests if request.method == "POST"]


def submitted(task_id: str = "task-1", **metadata: Any) -> dict[str, Any]:
    """The page's answer to a submit."""
    return {
        "task_id": task_id,
        "status": "submitted",
        "format": "mp4",
        "metadata": {
            "model_price": 0.0738,
            "requested_seconds": 5,
            "billing_pending": True,
            "group_ratio": 1,
            "output": {"task_id": task_id, "task_status": "PENDING"},
            **metadata,
        },
    }


def running(word: str = "RUNNING") -> dict[str, Any]:
    """The page's answer to a query while the task is under way."""
    return {
        "task_id": "task-1",
        "status": "in_progress",
        "format": "mp4",
        "metadata": {"output": {"task_status": word}},
    }


def succeeded(**metadata: Any) -> dict[str, Any]:
    """The page's answer to a query of a finished task."""
    return {
        "task_id": "task-1",
        "status": "succeeded",
        "format": "mp4",
        "url": "https://results.example.com/video.mp4?Expires=1799999999&Signature=abc",
        "metadata": {
            "model_price": 0.0738,
            "billing_pending": False,
            "group_ratio": 1,
            "usage": {"video_count": 1, "duration": 5, "resolution": "720p"},
            "output": {"task_status": "SUCCEEDED", "video_url": "https://results.example.com/video.mp4"},
            "request_id": "req-1",
            **metadata,
        },
    }


def failed(code: str = "InvalidParameter.ImageFormat", message: str = "Image format not supported") -> dict[str, Any]:
    """The page's answer to a query of a failed task."""
    return {
        "task_id": "task-1",
        "status": "failed",
        "format": "mp4",
        "metadata": {"output": {"task_status": "FAILED", "code": code, "message": message}},
    }


async def settle(value: Awaitable[T] | T) -> T:
    """The result of either client's method."""
    return await value if inspect.isawaitable(value) else value


@functools.cache
def jpeg(width: int = 64, height: int = 48, color: str = "teal") -> bytes:
    """A small, whole JPEG."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), color).save(buffer, "JPEG")
    return buffer.getvalue()


@functools.cache
def png(width: int = 64, height: int = 48, color: str = "teal") -> bytes:
    """A small, whole PNG."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), color).save(buffer, "PNG")
    return buffer.getvalue()


_numbers = itertools.count()


@pytest.fixture(scope="session", autouse=True)
def _no_settings() -> None:
    """Forget the settings of whoever runs the tests; a test that sets one restores it."""
    variables = {
        name for row in GATEWAYS.values() for name in (row.key_variable, row.url_variable, *row.other_url_variables)
    }
    for name in (*variables, "LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2"):
        os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def _own_journal(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    # A name alone: a folder for each test would be looked for among thousands.
    journal = tmp_path_factory.getbasetemp() / f"journal-{next(_numbers)}.db"
    monkeypatch.setenv("NEBULA_JOURNAL", f"sqlite:///{journal}")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def gateway() -> Gateway:
    """A gateway that makes every video at the first look."""
    made = Gateway()
    made.submits = [submitted()]
    made.fetches = [succeeded()]
    return made


MOCKED = (".example.com",)
"""Hosts that the gateway of functions plays; no name server knows them."""
MakeClient = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def make_client(request: pytest.FixtureRequest, gateway: Gateway, clock: FakeClock) -> MakeClient:
    """Either client on the gateway of functions and the clock that nobody waits for; `settle` its results."""

    def make(**options: Any) -> NebulaVideoClient | AsyncNebulaVideoClient:
        settings: dict[str, Any] = {"api_key": KEY, "clock": clock, "download_hosts": MOCKED, **options}
        transport = httpx.MockTransport(gateway)
        if request.param == "sync":
            return NebulaVideoClient(http_client=httpx.Client(transport=transport), **settings)
        return AsyncNebulaVideoClient(http_async_client=httpx.AsyncClient(transport=transport), **settings)

    return make


@pytest.fixture
def options(gateway: Gateway, clock: FakeClock) -> Iterator[dict[str, Any]]:
    """Keywords for a tool or a runnable on the gateway of functions."""
    transport = httpx.MockTransport(gateway)
    with httpx.Client(transport=transport) as client:
        yield {
            "api_key": KEY,
            "clock": clock,
            "download_hosts": MOCKED,
            "http_client": client,
            "http_async_client": httpx.AsyncClient(transport=transport),
        }
