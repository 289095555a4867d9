"""Prices, quotes and budgets, to the last decimal of the gateway's page."""

from __future__ import annotations

import copy
import pickle
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from langchain_nebula_video import Budget, BudgetExceededError, Cost, InvalidRequestError, VideoRequest, quote
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.catalog.models import MODELS
from langchain_nebula_video.catalog.offers import compute_cost, offers
from langchain_nebula_video.schema import dollars
from tests.conftest import Gateway, MakeClient, settle
from tests.tables import each_row

NEBULA = GATEWAYS["nebula"]

# The page's "Cost Examples": resolution, seconds, unit price, total; the yuan are those of 1 USD = 7.2 CNY.
TABLE = [
    ("480p", 5, "0.0369", "0.1845", "1.3284", "1.33"),
    ("720p", 5, "0.0738", "0.369", "2.6568", "2.66"),
    ("1080p", 5, "0.1233", "0.6165", "4.4388", "4.44"),
    ("480p", 10, "0.0369", "0.369", "2.6568", "2.66"),
    # The page has 5.32 here, twice the rounded 2.66; the product is 5.3136.
    ("720p", 10, "0.0738", "0.738", "5.3136", "5.31"),
    ("1080p", 10, "0.1233", "1.233", "8.8776", "8.88"),
]


@each_row(("resolution", "duration", "price", "usd", "cny", "approx"), TABLE)
def test_the_page_s_cost_table_is_met_exactly(
    resolution: str, duration: int, price: str, usd: str, cny: str, approx: str
) -> None:
    cost = quote(resolution=resolution, duration=duration)
    assert cost.price_per_second == Decimal(price)
    assert cost.usd == Decimal(usd)
    assert cost.cny == Decimal(cny)
    assert f"{cost.cny:.2f}" == approx
    assert (cost.seconds, cost.group_ratio, cost.basis) == (duration, Decimal(1), "estimated")


def test_a_quote_needs_no_key_no_network_no_prompt_and_no_image() -> None:
    """No key is set in these tests, and sockets are shut."""
    assert quote().usd == Decimal("0.369")


@each_row("request_", [{"duration": 10}, VideoRequest(duration=10), VideoRequest(prompt="x", duration=10)])
def test_a_quote_takes_a_request_in_any_form(request_: Any) -> None:
    assert quote(request_) == quote(duration=10)
    assert quote(request_, resolution="480P") == quote(duration=10, resolution="480p")


@each_row(
    ("ratio", "usd"), [(1, "0.369"), (2, "0.738"), ("0.5", "0.1845"), (Decimal("1.1"), "0.4059"), ("0.001", "0.000369")]
)
def test_the_group_ratio_multiplies_the_price(ratio: Any, usd: str) -> None:
    cost = quote(group_ratio=ratio)
    assert (cost.usd, cost.price_per_second) == (Decimal(usd), Decimal("0.0738"))


@each_row("fields", [{"duration": 7}, {"resolution": "4k"}, {"seed": -1}, {"frames": 9}, {"watermark": True}])
def test_what_cannot_be_made_has_no_quote(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match="Nothing was sent and nothing was spent"):
        quote(**fields)


@each_row("where", [{"model": "wan9"}, {"gateway": "nebular"}])
def test_a_quote_names_what_there_is_instead(where: dict[str, str]) -> None:
    with pytest.raises(InvalidRequestError, match="Choose one of"):
        quote(**where)  # type: ignore[arg-type]


@each_row(
    "where",
    [{"model": 5}, {"model": ["wan2.5-i2v-preview"]}, {"gateway": 5}, {"gateway": ["nebula"]}, {"prices": {5: 1}}],
)
def test_a_name_that_is_no_text_is_refused_like_one_that_nobody_has(where: Any) -> None:
    with pytest.raises(InvalidRequestError, match="Nothing was sent and nothing was spent"):
        quote(**where)


@each_row("resolution", ["480p", "720p", "1080p"])
def test_ten_seconds_cost_twice_five(resolution: str) -> None:
    five, ten = (quote(resolution=resolution, duration=seconds).usd for seconds in (5, 10))
    assert five is not None
    assert ten == 2 * five


# --- costs ---


@each_row(("price", "seconds"), [(None, 5), (Decimal("0.1"), None), (None, None)])
def test_a_cost_with_an_unknown_factor_is_unknown(price: Decimal | None, seconds: int | None) -> None:
    cost = compute_cost(price, seconds, NEBULA, billed=True)
    assert (cost.usd, cost.cny, cost.basis, str(cost)) == (None, None, "unknown", "unknown")


def test_a_bill_is_no_estimate() -> None:
    assert str(compute_cost(Decimal("0.0738"), 5, NEBULA, billed=True)) == "$0.369"
    assert str(compute_cost(Decimal("0.0738"), 5, NEBULA)) == "$0.369 (estimated)"


def test_nothing_is_a_known_cost() -> None:
    cost = compute_cost(Decimal(0), 0, NEBULA, billed=True)
    assert (cost.usd, cost.cny, cost.basis, str(cost)) == (Decimal(0), Decimal(0), "billed", "$0.00")


def test_sums_of_costs_are_exact() -> None:
    """A thousand cheap videos cost what one calculates by hand; floats would not."""
    one = quote(resolution="480p").usd
    assert one is not None
    assert sum([one] * 1000) == Decimal("184.5")


def test_a_cost_survives_json_exactly() -> None:
    cost = quote(resolution="1080p", group_ratio="0.333")
    assert Cost.model_validate_json(cost.model_dump_json()) == cost


@each_row(
    ("amount", "text"),
    [
        ("0.369", "$0.369"),
        ("0.3690", "$0.369"),
        ("0.5", "$0.50"),
        ("1.00", "$1.00"),
        ("100", "$100.00"),
        ("1E+3", "$1000.00"),
        ("0", "$0.00"),
        ("0.000", "$0.00"),
        ("0E+3", "$0.00"),
        ("0.0000001", "$0.0000001"),
    ],
)
def test_dollars_are_shown_exactly_and_without_idle_zeros(amount: str, text: str) -> None:
    assert dollars(Decimal(amount)) == text


# --- other gateways ---

# Alibaba's price pages, read 2025-12: per second of video at 480p, 720p, 1080p; yuan in Beijing, dollars in Singapore.
PRICES: dict[str, dict[str, tuple[str | None, str | None, str | None]]] = {
    "dashscope": {
        "wan2.5-i2v-preview": ("0.3", "0.6", "1"),
        "wan2.2-i2v-flash": ("0.10", "0.20", "0.48"),
        "wan2.2-i2v-plus": ("0.14", None, "0.70"),
        "wanx2.1-i2v-plus": (None, "0.70", None),
        "wanx2.1-i2v-turbo": ("0.24", "0.24", None),
    },
    "dashscope-intl": {
        "wan2.5-i2v-preview": ("0.05", "0.10", "0.15"),
        "wan2.2-i2v-flash": ("0.015", "0.036", None),
        "wan2.2-i2v-plus": ("0.02", None, "0.10"),
        "wanx2.1-i2v-plus": (None, "0.10", None),
        "wanx2.1-i2v-turbo": ("0.036", "0.036", None),
    },
}


@each_row(
    ("gateway", "model", "resolution", "price"),
    [
        (gateway, model, resolution, price)
        for gateway, rows in PRICES.items()
        for model, prices in rows.items()
        for resolution, price in zip(("480p", "720p", "1080p"), prices, strict=True)
    ],
)
def test_the_vendor_s_prices_are_met_exactly_in_its_currency(
    gateway: str, model: str, resolution: str, price: str | None
) -> None:
    if price is None:
        with pytest.raises(InvalidRequestError, match=f"resolution is {resolution}"):
            quote(gateway=gateway, model=model, resolution=resolution)
        return
    cost = quote(gateway=gateway, model=model, resolution=resolution, duration=5)
    amount = Decimal(price) * 5
    assert cost.price_per_second == Decimal(price)
    if gateway == "dashscope":
        assert (cost.currency, cost.cny) == ("CNY", amount)
        assert cost.usd == (amount / Decimal("7.2")).quantize(Decimal("0.000001"))
    else:
        assert (cost.currency, cost.usd, cost.cny) == ("USD", amount, amount * Decimal("7.2"))


def test_yuan_are_shown_as_such_and_dollars_beside_them() -> None:
    assert str(quote(gateway="dashscope")) == "¥3.00 (about $0.42, estimated)"
    assert str(quote(gateway="dashscope-intl")) == "$0.50 (estimated)"
    assert str(compute_cost(Decimal(1), 5, GATEWAYS["dashscope"], billed=True)) == "¥5.00 (about $0.69)"


def test_seconds_and_ratio_count_in_yuan_too() -> None:
    cost = quote(gateway="dashscope", model="wanx2.1-i2v-turbo", duration=3, group_ratio="1.5")
    assert (cost.cny, cost.usd) == (Decimal("1.08"), Decimal("0.15"))
    assert str(cost) == "¥1.08 (about $0.15, estimated)"


def test_a_model_is_named_in_the_request_beside_it_or_left_to_the_gateway() -> None:
    plus = Decimal("3.5")
    assert quote({"model": "wan2.2-i2v-plus"}, gateway="dashscope").cny == plus
    assert quote(gateway="dashscope", model="wan2.2-i2v-plus").cny == plus
    assert quote({"model": "wan2.2-i2v-plus"}, gateway="dashscope", model="wan2.2-i2v-flash").cny == plus
    assert quote(gateway="dashscope", model=None) == quote(gateway="dashscope", model="wan2.5-i2v-preview")


@each_row("gateway", list(GATEWAYS))
def test_every_model_has_a_quote_without_prompt_and_images(gateway: str) -> None:
    for offer in offers(GATEWAYS[gateway]):
        cost = quote(gateway=gateway, model=offer.model.name)
        known = gateway in {"nebula", "dashscope", "dashscope-intl"} or offer.model.name.startswith("happy-horse-")
        assert (cost.basis == "estimated") is known, offer.model.name
        assert cost.seconds == 5


def test_a_prompt_may_name_references_that_a_quote_goes_without() -> None:
    """They cost nothing, so they may be left out; the prompt is there to be sent later."""
    cost = quote({"prompt": "@Image1 dances with @Image2"}, gateway="uniall", model="viduq3p-mix-720p")
    assert cost.basis == "unknown"


@each_row("gateway", ["dashscope-passthrough", "uniall"])
def test_where_no_page_tells_a_price_the_cost_is_unknown(gateway: str) -> None:
    cost = quote(gateway=gateway)
    assert (cost.usd, cost.cny, cost.basis, str(cost)) == (None, None, "unknown", "unknown")
    assert (cost.price_per_second, cost.seconds) == (None, 5)


@each_row("price", ["0.10", 0.1, Decimal("0.10"), {"720p": "0.10"}, {"720p": 0.1}])
def test_a_price_of_one_s_own_makes_it_known(price: Any) -> None:
    cost = quote(gateway="uniall", prices={"viduq3p-720p": price}, duration=4)
    assert (cost.usd, cost.cny, cost.basis) == (Decimal("0.4"), Decimal("2.88"), "estimated")
    assert quote(gateway="uniall", model="viduq3p-1080p", prices={"viduq3p-720p": price}).basis == "unknown"


def test_a_price_of_one_s_own_is_in_the_gateway_s_currency() -> None:
    cost = quote(gateway="dashscope-passthrough", prices={"wan2.5-i2v-preview": {"480p": "0.36"}}, resolution="480p")
    assert (cost.currency, cost.cny, cost.usd) == ("CNY", Decimal("1.8"), Decimal("0.25"))
    assert quote(gateway="dashscope-passthrough", prices={"wan2.5-i2v-preview": {"480p": "0.36"}}).basis == "unknown"


def test_own_prices_are_laid_over_the_table() -> None:
    prices = {"wan2.5-i2v-preview": {"720p": "0.5"}}
    assert quote(gateway="dashscope", prices=prices).cny == Decimal("2.5")
    assert quote(gateway="dashscope", prices=prices, resolution="480p").cny == Decimal("1.5")


@each_row("gateway_name", list(GATEWAYS))
def test_a_client_quotes_with_its_own_model_prices_and_ratio(
    make_client: MakeClient, gateway: Gateway, gateway_name: str
) -> None:
    model = GATEWAYS[gateway_name].default_model
    longest = {"duration": MODELS[model].durations[-1]}
    settings: dict[str, Any] = {"gateway": gateway_name, "prices": {model: {"720p": "0.7"}}, "group_ratio": "1.5"}
    client = make_client(**settings, base_url="https://gateway.example.com")
    assert client.quote(longest) == quote(longest, **settings)
    assert client.quote().price_per_second == Decimal("0.7")
    assert gateway.requests == []


@each_row(
    "prices",
    [{"wan9": "1"}, {"wan2.5-i2v-preview": {"540p": "1"}}, {"wan2.5-i2v-preview": "much"}, {"wan2.5-i2v-preview": "-1"},
     {"wan2.5-i2v-preview": "NaN"}, {"wan2.5-i2v-preview": True}, {"wan2.5-i2v-preview": None}, "0.10", 7],
)  # fmt: skip
def test_prices_that_are_none_are_refused(prices: Any) -> None:
    with pytest.raises(InvalidRequestError, match="Nothing was sent"):
        quote(prices=prices)


# --- budgets and prices ---

ASK: dict[str, Any] = {"prompt": "A boat", "image": "https://example.com/cat.jpg"}


# A gateway of unknown prices, its model, a price of one's own for one video at 720p, and for that video alone.
UNPRICED = [
    ("dashscope-passthrough", "wan2.5-i2v-preview", {"wan2.5-i2v-preview": {"720p": "0.6"}}, {"resolution": "480p"}),
    ("uniall", "viduq3p-720p", {"viduq3p-720p": "0.6"}, {"model": "viduq3p-1080p"}),
]


def unpriced(gateway_name: str, **options: Any) -> dict[str, Any]:
    return {"gateway": gateway_name, "base_url": "https://gateway.example.com", **options}


@pytest.mark.parametrize(("gateway_name", "model", "prices", "other"), UNPRICED, ids=[row[0] for row in UNPRICED])
async def test_a_budget_wants_a_price_before_anything_is_sent(
    make_client: MakeClient, gateway: Gateway, gateway_name: str, model: str, prices: Any, other: dict[str, Any]
) -> None:
    without, partly = (make_client(**unpriced(gateway_name, budget="100", **more)) for more in ({}, {"prices": prices}))
    for client, fields in ((without, {}), (partly, other)):
        with pytest.raises(InvalidRequestError, match="There is a budget, and no price is known for") as caught:
            await settle(client.generate(ASK, **fields))
        assert f"prices={{'{fields.get('model', model)}': " in caught.value.hint
        assert "Nothing was sent and nothing was spent" in str(caught.value)
    assert gateway.requests == []


@pytest.mark.parametrize(("gateway_name", "model", "prices", "other"), UNPRICED, ids=[row[0] for row in UNPRICED])
async def test_with_a_price_the_budget_holds_to_the_cent(
    make_client: MakeClient, gateway: Gateway, gateway_name: str, model: str, prices: Any, other: dict[str, Any]
) -> None:
    """Three dollars, or three yuan, which are 41.6667 cents."""
    too_little, enough = ("2.99", "3.00") if gateway_name == "uniall" else ("0.416666", "0.416667")
    with pytest.raises(BudgetExceededError):
        await settle(make_client(**unpriced(gateway_name, budget=too_little, prices=prices)).submit(ASK))
    assert gateway.requests == []
    client = make_client(**unpriced(gateway_name, budget=enough, prices=prices))
    assert (await settle(client.submit(ASK))).cost.basis == "estimated"
    with pytest.raises(BudgetExceededError):
        await settle(client.submit(ASK, duration=10))
    assert gateway.posts == 1


@pytest.mark.parametrize("gateway_name", ["dashscope-passthrough", "uniall"])
async def test_without_a_budget_an_unknown_price_is_no_hindrance(
    make_client: MakeClient, gateway: Gateway, gateway_name: str
) -> None:
    task = await settle(make_client(**unpriced(gateway_name)).submit(ASK))
    assert (str(task.cost), gateway.posts) == ("unknown", 1)


# --- budgets ---


@each_row(
    ("given", "usd"),
    [
        ("20", "20"),
        ("20.50", "20.50"),
        (20, "20"),
        (0.1, "0.1"),
        (Decimal("0.1"), "0.1"),
        ("0", "0"),
        (0, "0"),
        (" 5 ", "5"),
    ],
)
def test_a_budget_is_an_amount_in_any_form(given: Any, usd: str) -> None:
    assert Budget(given).usd == Decimal(usd)


@each_row(
    "given",
    ["", "much", "$20", "20 USD", "1,5", -1, "-0.01", float("nan"), "NaN", float("inf"), "Infinity", True, None, []],
)
def test_a_budget_that_is_no_amount_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match="A budget is an amount of dollars"):
        Budget(given)


@each_row("per", [timedelta(0), timedelta(seconds=-1)])
def test_a_budget_s_window_is_longer_than_nothing(per: timedelta) -> None:
    with pytest.raises(ValueError, match="longer than nothing"):
        Budget(1, per)


@each_row(
    ("budget", "text"),
    [
        (Budget("20.50"), "$20.50 in all"),
        (Budget(5, timedelta(days=1)), "$5.00 per day"),
        (Budget(5, per=timedelta(hours=1)), "$5.00 per 1:00:00"),
        (Budget(0), "$0.00 in all"),
    ],
)
def test_a_budget_says_what_it_is(budget: Budget, text: str) -> None:
    assert str(budget) == text


def test_a_budget_is_plain_data_that_says_the_same() -> None:
    assert Budget("20.50", timedelta(days=1)).as_dict() == {"usd": "20.50", "per": 86400.0}
    assert Budget(1).as_dict() == {"usd": "1", "per": None}


def test_a_budget_can_be_compared_copied_and_pickled_and_not_changed() -> None:
    budget = Budget(1, timedelta(days=1))
    assert budget == Budget("1", timedelta(hours=24))
    assert budget == copy.deepcopy(budget) == pickle.loads(pickle.dumps(budget))
    assert len({budget, Budget("1.0", timedelta(days=1))}) == 1
    with pytest.raises(AttributeError):
        budget.usd = Decimal(2)  # type: ignore[misc]
