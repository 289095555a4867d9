"""What a gateway says of prices before its bill may raise what is reserved, and never lowers it."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any

import pytest

from langchain_nebula_video import BudgetExceededError, MemoryJournal, NebulaVideoToolkit
from tests.conftest import Gateway, MakeClient, running, settle, submitted, succeeded

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.png"}
EACH = Decimal("0.369")


def submits(gateway: Gateway, *ratios: Any) -> None:
    gateway.submits = [submitted(f"task-{number}", group_ratio=ratio) for number, ratio in enumerate(ratios)]


async def submit(client: Any, number: int = 0) -> Any:
    return await settle(client.submit({**ASK, "prompt": f"Scene {number}"}))


@pytest.mark.parametrize("told", [0.01, 1e-15, 0, 1, 1.99, "0.5"])
async def test_a_submit_s_answer_does_not_lower_what_is_reserved(
    make_client: MakeClient, gateway: Gateway, told: Any
) -> None:
    submits(gateway, *[told] * 5)
    journal = MemoryJournal()
    client = make_client(group_ratio=2, budget="1.00", journal=journal)
    task = await submit(client)
    assert task.cost.usd == 2 * EACH
    for number in range(1, 5):
        with pytest.raises(BudgetExceededError, match=r"would cost \$0.738, and \$0.262 is left"):
            await submit(client, number)
    assert gateway.posts == 1
    assert journal.spent() == 2 * EACH


async def test_it_may_raise_it_and_what_later_videos_reserve(make_client: MakeClient, gateway: Gateway) -> None:
    submits(gateway, 3, 3)
    journal = MemoryJournal()
    client = make_client(group_ratio=2, budget="2.00", journal=journal)
    await submit(client)
    assert journal.spent() == 3 * EACH
    with pytest.raises(BudgetExceededError, match=r"would cost \$1.107, and \$0.893 is left"):
        await submit(client, 1)


@pytest.mark.parametrize("told", [100, 200, 999999])
async def test_a_ratio_a_hundred_times_as_high_is_not_believed_and_logged(
    make_client: MakeClient, gateway: Gateway, told: int, caplog: pytest.LogCaptureFixture
) -> None:
    submits(gateway, told, 1)
    journal = MemoryJournal()
    client = make_client(budget="1.00", journal=journal)
    with caplog.at_level(logging.WARNING, "langchain_nebula_video"):
        await submit(client)
    assert f"group ratio of {told}" in caplog.text
    assert journal.spent() == EACH
    await submit(client, 1)
    assert journal.spent() == 2 * EACH


async def test_ninety_nine_times_is_believed(make_client: MakeClient, gateway: Gateway) -> None:
    submits(gateway, 99)
    assert (await submit(make_client())).cost.usd == 99 * EACH


async def test_tools_that_share_an_account_are_each_held_to_their_own_ratio(
    gateway: Gateway, options: dict[str, Any]
) -> None:
    """The ratio that one was told is shared; the one that was configured is each tool's own."""
    submits(gateway, 2)
    tools = {tool.name: tool for tool in NebulaVideoToolkit(**options).get_tools()}
    dear: Any = NebulaVideoToolkit(**options, group_ratio=3).get_tools()[0]
    starts: Any = tools["nebula_submit_video"]
    dear.share_group_ratios(starts)
    starts.invoke(ASK)
    assert (starts.current_group_ratio(), dear.current_group_ratio()) == (2, 3)


async def test_the_tool_that_quotes_says_whose_ratio_it_counts_with(gateway: Gateway, options: dict[str, Any]) -> None:
    submits(gateway, 2)
    tools = {tool.name: tool for tool in NebulaVideoToolkit(**options).get_tools()}
    assert "group_ratio" not in tools["nebula_quote_video"].invoke({})
    tools["nebula_submit_video"].invoke(ASK)
    assert '"cost_usd": 0.738' in (text := tools["nebula_quote_video"].invoke({}))
    assert '"reported_group_ratio": 2.0' in text


# --- looks, before the bill and with it ---

CHEAP: dict[str, Any] = {"group_ratio": 0.01, "model_price": 0.0001}


@pytest.mark.parametrize("figures", [CHEAP, {"group_ratio": 0}, {"model_price": 0}, {"group_ratio": 1e-15}])
async def test_a_finished_video_that_is_not_billed_yet_counts_as_configured(
    make_client: MakeClient, gateway: Gateway, figures: dict[str, Any]
) -> None:
    gateway.submits = [submitted(group_ratio=2)]
    gateway.fetches = [succeeded(billing_pending=True, **figures)]
    journal = MemoryJournal()
    video = await settle(make_client(group_ratio=2, journal=journal).generate(**ASK))
    assert (video.cost.basis, video.cost.usd) == ("estimated", 2 * EACH)
    assert journal.spent() == 2 * EACH


async def test_while_it_runs_its_cost_is_not_below_what_is_reserved(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.fetches = [{**running(), "metadata": {**running()["metadata"], **CHEAP}}]
    client = make_client(group_ratio=2)
    task = await submit(client)
    assert (await settle(client.fetch(task.task_id))).cost.usd == 2 * EACH


async def test_a_look_at_a_running_task_may_raise_what_is_reserved(make_client: MakeClient, gateway: Gateway) -> None:
    dear = {**running(), "metadata": {**running()["metadata"], "group_ratio": 3}}
    gateway.fetches = [running(), dear, running(), running(), succeeded(billing_pending=True)]
    journal = MemoryJournal()
    client = make_client(journal=journal, budget="1.50")
    task = await submit(client)
    spent = []
    for _ in range(4):
        await settle(client.fetch(task.task_id))
        spent.append(journal.spent())
    assert spent == [EACH, 3 * EACH, 3 * EACH, 3 * EACH]
    with pytest.raises(BudgetExceededError, match=r"and \$0.393 is left"):
        await submit(client, 1)
    assert (await settle(client.wait(task.task_id))).cost.usd == 3 * EACH


async def test_unbilled_figures_may_raise_the_estimate(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.fetches = [succeeded(billing_pending=True, group_ratio=3, model_price=0.1)]
    journal = MemoryJournal()
    await settle(make_client(journal=journal).generate(**ASK))
    assert journal.spent() == Decimal("1.5")


@pytest.mark.parametrize(
    "figures", [{"group_ratio": 999999}, {"model_price": 999}, {"usage": {"duration": 10**9, "resolution": "720p"}}]
)
async def test_an_absurd_figure_without_a_bill_is_not_believed(
    make_client: MakeClient, gateway: Gateway, figures: dict[str, Any]
) -> None:
    gateway.fetches = [succeeded(billing_pending=True, **figures)]
    journal = MemoryJournal()
    await settle(make_client(journal=journal).generate(**ASK))
    assert journal.spent() == EACH


async def test_the_bill_is_believed_as_it_stands(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.fetches = [succeeded(group_ratio=0.5)]
    journal = MemoryJournal()
    video = await settle(make_client(group_ratio=2, journal=journal).generate(**ASK))
    assert (video.cost.basis, video.cost.usd) == ("billed", EACH / 2)
    assert journal.spent() == EACH / 2
