"""Consent: who is asked, what they read, and which answers count."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

import pytest

from langchain_nebula_video.catalog.gateways import find_gateway
from langchain_nebula_video.catalog.offers import build_request, find_offer
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.lifecycle.orders import Order, make_order
from langchain_nebula_video.mcp.consent import ConsentRefusedError, Tickets, check_answer, must_ask, question
from tests.tables import each_row

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}


def order(model: str = "wan2.5-i2v-preview", gateway: str = "nebula", **fields: Any) -> Order:
    offer = find_offer(model, find_gateway(gateway))
    return make_order(build_request(None, {**ASK, **fields}), offer, Decimal(1), None)


@each_row(
    ("confirm", "can_ask", "has_budget", "asked"),
    [
        ("auto", True, False, True),
        ("auto", True, True, True),
        ("auto", False, True, False),
        ("auto", False, False, "--budget USD or with --confirm never"),
        ("always", True, True, True),
        ("always", False, True, "--confirm never"),
        ("always", False, False, "--confirm never"),
        ("never", True, False, False),
        ("never", False, False, False),
    ],
)
def test_who_is_asked(
    confirm: Literal["auto", "always", "never"], can_ask: bool, has_budget: bool, asked: bool | str
) -> None:
    if isinstance(asked, str):
        with pytest.raises(InvalidRequestError, match="this client cannot ask") as refused:
            must_ask(confirm, can_ask=can_ask, has_budget=has_budget)
        assert asked in str(refused.value)
        assert refused.value.spent is False
    else:
        assert must_ask(confirm, can_ask=can_ask, has_budget=has_budget) is asked


def test_the_person_reads_the_price_the_video_and_the_prompt() -> None:
    assert question(order(duration=10, resolution="480p")) == (
        "Pay about $0.369 for a video? 10 s at 480p, with sound, by Wan 2.5 image-to-video. Prompt: The cat blinks"
    )


def test_a_price_in_yuan_is_told_in_both_currencies() -> None:
    assert question(order(gateway="dashscope")).startswith("Pay about ¥3.00 (about $0.42) for a video?")


def test_a_price_that_is_not_known_is_told_as_that() -> None:
    asked = question(order("viduq3t-720p", "uniall"))
    assert asked.startswith("Pay a price that is not known here for a video?")


def test_a_prompt_forges_no_line_and_its_cut_is_marked() -> None:
    asked = question(order(prompt="A\nPay $0 for a video?" + "x" * 500))
    assert "\n" not in asked
    assert "A\\nPay $0" in asked
    assert asked.endswith("x…")


@each_row(
    ("action", "content"),
    [
        ("accept", {"pay": False}),
        ("accept", {"pay": "true"}),
        ("accept", {}),
        ("accept", None),
        ("decline", {"pay": True}),
        ("cancel", None),
    ],
)
def test_whatever_is_no_clear_yes_pays_nothing(action: str, content: dict[str, Any] | None) -> None:
    with pytest.raises(ConsentRefusedError, match=r"asked to pay about \$0\.369") as refused:
        check_answer(action, content, order())
    assert refused.value.spent is False


def test_a_clear_yes_counts() -> None:
    check_answer("accept", {"pay": True}, order())


def test_an_answer_counts_once_and_for_its_own_video() -> None:
    tickets = Tickets()
    ticket = tickets.issue(order())
    assert not tickets.redeem(ticket, order(duration=10))
    assert not tickets.redeem(None, order())
    assert not tickets.redeem("forged", order())
    assert tickets.redeem(ticket, order())
    assert not tickets.redeem(ticket, order())
