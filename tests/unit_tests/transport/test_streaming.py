"""Iterators over what a flow reports: in the caller's thread or task, and ended at once when they are closed."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, closing

import pytest

from langchain_nebula_video.transport import Emission, iterate, iterate_async

mark: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="the caller's")


class Flow:
    """Reports three numbers, and notes how it ends."""

    def __init__(self, pause: float | None = None) -> None:
        self.pause = pause
        self.ended_by: BaseException | None = None
        self.cleaned = False

    async def __call__(self, report: Callable[[int], Emission[int]]) -> str:
        mark.set("the flow's")
        try:
            for number in range(3):
                if self.pause is not None:
                    await asyncio.sleep(self.pause)
                await report(number)
        except BaseException as error:
            self.ended_by = error
            error.add_note("Something goes on.")
            if self.pause is not None:
                await asyncio.sleep(self.pause)
            self.cleaned = True
            raise
        return f"done in {mark.get()} context"


def blocking(flow: Flow) -> Generator[int | str, None, None]:
    return iterate(flow, level=logging.WARNING)


def asynchronous(flow: Flow) -> AsyncGenerator[int | str, None]:
    return iterate_async(flow, level=logging.WARNING)


DONE = [0, 1, 2, "done in the flow's context"]


def test_the_result_comes_last() -> None:
    assert list(blocking(Flow())) == DONE


async def test_the_result_comes_last_of_an_async_iterator_too() -> None:
    assert [item async for item in asynchronous(Flow(pause=0.0))] == DONE


async def test_what_a_flow_sets_in_its_context_stays_there() -> None:
    for _ in blocking(Flow()):
        assert mark.get() == "the caller's"
    async for _ in asynchronous(Flow(pause=0.0)):
        assert mark.get() == "the caller's"


async def test_a_flow_begins_with_the_first_item() -> None:
    begun: list[str] = []

    async def flow(_: object) -> None:
        begun.append("now")

    never, later = iterate(flow, level=logging.INFO), iterate_async(flow, level=logging.INFO)
    never.close()
    await later.aclose()
    assert begun == []


def test_a_closed_iterator_ends_its_flow_at_once(caplog: pytest.LogCaptureFixture) -> None:
    with closing(blocking(flow := Flow())) as items:
        assert next(items) == 0
    assert isinstance(flow.ended_by, asyncio.CancelledError)
    assert flow.cleaned
    assert [record.getMessage() for record in caplog.records] == [
        "an iterator was closed before its end. Something goes on."
    ]


async def test_a_closed_async_iterator_ends_its_flow_at_once(caplog: pytest.LogCaptureFixture) -> None:
    async with aclosing(asynchronous(flow := Flow(pause=0.0))) as items:
        assert await anext(items) == 0
    assert isinstance(flow.ended_by, asyncio.CancelledError)
    assert flow.cleaned
    assert "Something goes on." in caplog.text


def test_so_does_one_that_nobody_holds_any_more() -> None:
    flow = Flow()
    for _ in blocking(flow):
        break
    assert flow.cleaned


async def test_what_is_thrown_in_comes_out() -> None:
    items, later = blocking(first := Flow()), asynchronous(second := Flow(pause=0.0))
    next(items)
    await anext(later)
    with pytest.raises(ZeroDivisionError):
        items.throw(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await later.athrow(ZeroDivisionError())
    assert (first.cleaned, second.cleaned) == (True, True)
    assert list(items) == [item async for item in later] == []


async def test_an_error_of_the_flow_is_the_iterator_s() -> None:
    async def broken(report: Callable[[int], Emission[int]]) -> None:
        await report(1)
        raise LookupError

    items, later = iterate(broken, level=logging.INFO), iterate_async(broken, level=logging.INFO)
    assert next(items) == await anext(later) == 1
    with pytest.raises(LookupError):
        next(items)
    with pytest.raises(LookupError):
        await anext(later)


async def test_a_caller_that_is_cancelled_cancels_what_the_flow_waits_for() -> None:
    flow = Flow(pause=60)
    task = asyncio.create_task(anext(asynchronous(flow)))
    await asyncio.sleep(0)
    flow.pause = 0.0
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert caught.value.__notes__ == ["Something goes on."]
    assert flow.cleaned


async def test_a_caller_that_is_cancelled_while_it_closes_is_cancelled() -> None:
    items = asynchronous(flow := Flow(pause=0.0))
    await anext(items)
    flow.pause = 60
    task = asyncio.create_task(items.aclose())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_each_step_may_be_made_by_another_task() -> None:
    items = asynchronous(Flow(pause=0.0))
    heard = [await asyncio.create_task(anext(items)) for _ in range(4)]
    assert heard == DONE


async def test_each_step_may_be_made_by_another_thread() -> None:
    items = blocking(Flow())
    assert [await asyncio.to_thread(next, items) for _ in range(4)] == DONE
