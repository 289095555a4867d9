"""What a request would cost or join, told before anything is sent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from langchain_nebula_video import InvalidRequestError, MemoryJournal, Task, VideoRequest
from langchain_nebula_video.lifecycle.factory import LifecycleOptions
from langchain_nebula_video.lifecycle.orders import Order
from tests.conftest import FakeClock, Gateway, failed

REQUEST = VideoRequest(prompt="The cat blinks", image="https://example.com/cat.jpg")


def preview(options: LifecycleOptions, request: VideoRequest = REQUEST) -> tuple[Order, Task | None]:
    found: tuple[Order, Task | None] = options.run_blocking("preview", request)
    return found


@pytest.fixture
def caller(options: dict[str, Any]) -> LifecycleOptions:
    return LifecycleOptions(**options, repeat_window=600)


def test_a_new_request_has_a_price_and_no_task_and_nothing_is_sent(caller: LifecycleOptions, gateway: Gateway) -> None:
    order, task = preview(caller)
    assert (order.cost.usd, task) == (Decimal("0.3690"), None)
    assert gateway.requests == []
    assert caller.journal.entries() == []


def test_a_repetition_would_join_the_task_within_the_window(
    caller: LifecycleOptions, gateway: Gateway, clock: FakeClock
) -> None:
    submitted = caller.run_blocking("submit", REQUEST)
    _, task = preview(caller)
    assert task is not None
    assert (task.task_id, task.reused) == (submitted.task_id, True)
    assert preview(caller, REQUEST.model_copy(update={"seed": 7}))[1] is None
    clock.now += 601
    assert preview(caller)[1] is None
    assert gateway.posts == 1


def test_what_a_repetition_would_join_is_what_a_submit_joins(caller: LifecycleOptions, gateway: Gateway) -> None:
    """Whatever the journal holds: a failed task is paid for anew, a finished one is not."""
    caller.run_blocking("generate", REQUEST)
    _, task = preview(caller)
    assert task is not None
    assert caller.run_blocking("submit", REQUEST).task_id == task.task_id
    gateway.fetches = [failed()]
    other = REQUEST.model_copy(update={"seed": 7})
    with pytest.raises(Exception, match="Image format not supported"):
        caller.run_blocking("generate", other)
    assert preview(caller, other)[1] is None
    caller.run_blocking("submit", other)
    assert gateway.posts == 3


def test_another_account_s_task_is_not_joined(options: dict[str, Any], caller: LifecycleOptions) -> None:
    journal = MemoryJournal()
    LifecycleOptions(**options, journal=journal, repeat_window=600).run_blocking("submit", REQUEST)
    other = LifecycleOptions(**{**options, "api_key": "sk-of-somebody-else"}, journal=journal, repeat_window=600)
    assert preview(other)[1] is None


def test_a_request_that_cannot_work_is_refused(caller: LifecycleOptions) -> None:
    with pytest.raises(InvalidRequestError, match="duration is 7"):
        preview(caller, REQUEST.model_copy(update={"duration": 7}))
