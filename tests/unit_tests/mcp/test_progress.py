"""Progress as MCP wants it: it only grows, and it never ends a paid task."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from langchain_nebula_video.mcp.progress import ProgressFeed
from langchain_nebula_video.schema import Cost, TaskStatus, VideoProgress

FREE = Cost(usd=None, cny=None, price_per_second=None, seconds=5, group_ratio=Decimal(1), basis="unknown")


def event(fraction: float, status: TaskStatus = TaskStatus.RUNNING) -> VideoProgress:
    return VideoProgress("task-1", status, elapsed=12.3, expected=60.0, fraction=fraction, polls=1, cost=FREE)


async def test_it_only_grows() -> None:
    sent: list[float] = []

    async def report(progress: float, total: float, text: str) -> None:
        sent.append(progress)
        assert progress <= total

    feed = ProgressFeed(report)
    for fraction in (0.2, 0.2, 0.1, 0.5, 1.0, 1.0):
        await feed(event(fraction))
    assert sent == sorted(set(sent))
    assert (sent[0], sent[3]) == (0.2 * 99, 0.5 * 99)
    assert sent[-1] < 100


async def test_it_arrives_when_the_video_is_saved_and_not_before() -> None:
    sent: list[float] = []

    async def report(progress: float, total: float, text: str) -> None:
        sent.append(progress)

    feed = ProgressFeed(report)
    async with feed.beating():
        await feed(event(1.0, TaskStatus.SUCCEEDED))
        assert sent[-1] == 99.0
    assert sent[-1] == 100.0
    async with ProgressFeed(report).beating():
        sent.clear()
        await asyncio.sleep(0)
    assert sent[-1] < 100


async def test_there_are_signs_of_life_while_the_gateway_says_nothing() -> None:
    texts: list[str] = []
    enough = asyncio.Event()

    async def report(progress: float, total: float, text: str) -> None:
        texts.append(text)
        if len(texts) == 3:
            enough.set()

    feed = ProgressFeed(report, beat=0.0)
    async with feed.beating():
        await asyncio.wait_for(enough.wait(), timeout=10)
        await feed(event(0.3))
    assert texts[0] == "submitting, 0 s"
    assert texts[-1] == "running, 12 s of about 60 s"


async def test_a_client_that_is_gone_ends_nothing() -> None:
    sent = []

    async def report(progress: float, total: float, text: str) -> None:
        sent.append(progress)
        raise ConnectionError("gone")

    feed = ProgressFeed(report, beat=0.0)
    async with feed.beating():
        await feed(event(0.2))
        await feed(event(0.3))
    assert len(sent) == 1
