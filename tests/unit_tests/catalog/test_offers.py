"""A model as one gateway serves it: what it takes there, what it is called, what it costs, and what refusals say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest

from langchain_nebula_video import Gateway, InvalidRequestError, Model, VideoRequest
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.catalog.models import MODELS
from langchain_nebula_video.catalog.offers import Offer, build_request, catalog_name, find_offer, offers, parse_prices
from tests.tables import each_row

CAT = "https://example.com/cat.jpg"
NEBULA, BEIJING, SINGAPORE = (GATEWAYS[name] for name in ("nebula", "dashscope", "dashscope-intl"))
PASSTHROUGH, UNIALL = (GATEWAYS[name] for name in ("dashscope-passthrough", "uniall"))
WAN = MODELS["wan2.5-i2v-preview"]
EVERY = [offer for gateway in GATEWAYS.values() for offer in offers(gateway)]
each_offer = each_row("offer", EVERY, ids=[f"{offer.gateway.name}-{offer.model.name}" for offer in EVERY])


def smallest(offer: Offer) -> VideoRequest:
    """A request with what this offer requires and nothing else: a prompt at least."""
    given = {"prompt": "A boat", "image": CAT, "last_image": CAT, "reference_images": (CAT,)}
    needed = {name for name in given if offer.requires(name)} or {"prompt"}
    return VideoRequest.model_validate({name: value for name, value in given.items() if name in needed})


def refused(offer: Offer, *parts: str, **fields: Any) -> str:
    """The message of a refusal; it says each part, that nothing was sent, and what to do."""
    with pytest.raises(InvalidRequestError) as caught:
        offer.complete(build_request(smallest(offer), fields))
    told = str(caught.value)
    assert "Nothing was sent and nothing was spent." in told
    assert caught.value.hint
    assert [part for part in parts if part not in told] == [], told
    return told


def row(gateway: Gateway, prices: Mapping[str, Decimal] | None = None, **changed: Any) -> Offer:
    """Wan 2.5 with some things changed, as a gateway would serve it."""
    changed = {"prices": {gateway.name: prices or {}}, **changed}
    return Offer(replace(WAN, **changed), gateway, prices or {})


# --- which there are ---


def test_every_model_is_served_somewhere_and_every_offer_is_found_by_its_name() -> None:
    assert {offer.model.name for offer in EVERY} == set(MODELS)
    for offer in EVERY:
        assert find_offer(offer.model.name, offer.gateway) == offer


def test_there_are_48_models_on_thirteen_gateways() -> None:
    served = {gateway.name: len(offers(gateway)) for gateway in GATEWAYS.values()}
    assert served == {
        "nebula": 1,
        "dashscope": 14,
        "dashscope-intl": 13,
        "dashscope-us": 4,
        "dashscope-eu": 2,
        "dashscope-hk": 2,
        "dashscope-passthrough": 13,
        "uniall": 32,
        "newapi": 5,
        "newapi-videos": 7,
        "litellm": 5,
        "sglang": 1,
        "vllm-omni": 1,
    }
    assert len(MODELS) == 48


def test_a_model_of_another_gateway_is_refused_with_what_there_is_here_and_where_it_is() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        find_offer("viduq3p-720p", NEBULA)
    assert "The gateway 'nebula' does not serve 'viduq3p-720p'" in str(caught.value)
    assert caught.value.hint == "It serves wan2.5-i2v-preview; 'viduq3p-720p' is served by 'uniall'."
    with pytest.raises(InvalidRequestError, match=r"and 26 more; 'wan2.5-i2v-preview' is served by 'nebula', 'dash"):
        find_offer("wan2.5-i2v-preview", UNIALL)


def test_a_gateway_that_serves_nothing_says_so() -> None:
    with pytest.raises(InvalidRequestError, match=r"It serves none; 'wan2\.2-kf2v-flash' is served by 'da"):
        find_offer("wan2.2-kf2v-flash", replace(NEBULA, name="empty"))


@each_row(
    ("name", "hint"),
    [
        ("wan2.1-i2v-turbo", "It is called 'wanx2.1-i2v-turbo' here."),
        ("wan2.1-i2v-plus", "It is called 'wanx2.1-i2v-plus' here."),
        ("wan2.2-i2v-flush", "wan2.2-i2v-flash"),
        ("viduq3p-720", "viduq3p-720p"),
        ("viduq3p-mix", "viduq3p-mix-720p"),
        ("sora", "Choose one of: wan2.5-i2v-preview"),
    ],
)
def test_an_unknown_model_is_answered_with_the_one_that_may_be_meant(name: str, hint: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"There is no model '{name}'") as caught:
        find_offer(name, BEIJING)
    assert hint in caught.value.hint


# --- names ---


@each_offer
def test_a_gateway_s_own_name_leads_back_to_the_model(offer: Offer) -> None:
    assert catalog_name(offer.wire_name, offer.gateway) == offer.model.name


def test_singapore_calls_two_models_otherwise_and_an_open_model_has_its_name_on_hugging_face() -> None:
    called = {offer.model.name: offer.wire_name for offer in EVERY if offer.wire_name != offer.model.name}
    assert called == {
        "wanx2.1-i2v-plus": "wan2.1-i2v-plus",
        "wanx2.1-i2v-turbo": "wan2.1-i2v-turbo",
        "wan2.2-i2v-a14b": "Wan-AI/Wan2.2-I2V-A14B-Diffusers",
    }
    assert find_offer("wanx2.1-i2v-plus", BEIJING).wire_name == "wanx2.1-i2v-plus"


def test_a_name_that_nobody_knows_is_left_as_it_is() -> None:
    assert catalog_name("wan9", BEIJING) == "wan9"
    assert catalog_name("wan2.1-i2v-plus", BEIJING) == "wan2.1-i2v-plus"


# --- defaults ---


@each_offer
def test_the_smallest_request_is_completed_with_what_is_made_there(offer: Offer) -> None:
    completed = offer.complete(smallest(offer))
    assert completed.model == offer.model.name
    assert (completed.duration, completed.resolution in offer.resolutions) == (5, True)
    assert offer.complete(completed) == completed


@each_row(
    ("gateway", "model", "resolution"),
    [
        *[(gateway, WAN.name, "720p") for gateway in (NEBULA, BEIJING, SINGAPORE, PASSTHROUGH)],
        (BEIJING, "wan2.2-i2v-flash", "720p"),
        (SINGAPORE, "wan2.2-i2v-flash", "720p"),
        (BEIJING, "wan2.2-i2v-plus", "1080p"),
        (SINGAPORE, "wanx2.1-i2v-plus", "720p"),
        (PASSTHROUGH, "wanx2.1-i2v-turbo", "720p"),
        (BEIJING, "wan2.2-kf2v-flash", "720p"),
        (UNIALL, "viduq3t-mix-540p-offpeak", "540p"),
        (UNIALL, "viduq3p-1080p", "1080p"),
    ],
)
def test_the_default_resolution_is_720p_wherever_there_is_one(gateway: Gateway, model: str, resolution: str) -> None:
    offer = find_offer(model, gateway)
    assert offer.default_resolution == resolution
    assert offer.complete(smallest(offer)).resolution == resolution


def test_where_the_default_has_no_price_the_highest_that_has_one_is_made() -> None:
    offer = row(NEBULA, {"480p": Decimal(1)})
    assert (offer.resolutions, offer.default_resolution) == (("480p",), "480p")
    assert row(NEBULA, {"480p": Decimal(1), "1080p": Decimal(2)}).default_resolution == "1080p"
    assert row(NEBULA, {}).resolutions == WAN.resolutions


def test_the_caller_s_prices_do_not_change_what_is_made() -> None:
    flash = find_offer("wan2.2-i2v-flash", SINGAPORE, parse_prices({"wan2.2-i2v-flash": {"1080p": "0.1"}}))
    assert flash.resolutions == ("480p", "720p")
    refused(flash, "resolution is 1080p; wan2.2-i2v-flash makes 480p, 720p", resolution="1080p")


@each_row("resolution", ["", " ", "72"])
def test_a_resolution_that_is_none_is_refused_and_not_taken_for_the_default(resolution: str) -> None:
    """As a form sends that was left empty."""
    offer = find_offer(WAN.name, NEBULA)
    told = refused(offer, "wan2.5-i2v-preview makes 480p, 720p, 1080p", resolution=resolution)
    assert "resolution is ;" not in told
    assert offer.complete(build_request(smallest(offer), {"resolution": None})).resolution == "720p"


# --- fields ---


@each_row(
    ("gateway", "field", "value"),
    [
        (NEBULA, "negative_prompt", "blur"),
        (NEBULA, "watermark", True),
    ],
)
def test_what_the_gateway_has_no_place_for_is_told_apart(gateway: Gateway, field: str, value: Any) -> None:
    refused(row(gateway), f"{gateway.title} has no place for {field}", f"Leave {field} out", **{field: value})


@each_row(
    ("gateway", "model", "field", "value"),
    [
        (NEBULA, "wan2.5-i2v-preview", "template", "flying"),
        (NEBULA, "wan2.5-i2v-preview", "aspect_ratio", "16:9"),
        (BEIJING, "wan2.2-i2v-flash", "generate_audio", True),
        (BEIJING, "wan2.2-i2v-plus", "audio_url", "https://example.com/a.mp3"),
        (SINGAPORE, "wan2.5-i2v-preview", "reference_images", (CAT,)),
        (UNIALL, "viduq3p-720p", "smart_rewrite", True),
        (UNIALL, "viduq3p-mix-720p", "image", CAT),
    ],
)
def test_what_the_model_does_not_take_is_told_so(gateway: Gateway, model: str, field: str, value: Any) -> None:
    told = refused(find_offer(model, gateway), f"{model} takes no {field}", f"Leave {field} out", **{field: value})
    assert "has no place" not in told


@each_offer
def test_every_field_is_taken_or_refused_by_its_name(offer: Offer) -> None:
    """None is dropped without a word."""
    given = {"image": CAT, "last_image": CAT, "reference_images": (CAT,), "smart_rewrite": True, "audio_url": CAT,
             "generate_audio": True, "negative_prompt": "x", "template": "flying", "watermark": True, "seed": 1,
             "aspect_ratio": "16:9", "prompt": "", "duration": 5, "resolution": offer.resolutions[0]}  # fmt: skip
    assert set(given) == set(VideoRequest.model_fields) - {"model"}
    for name, value in given.items():
        if offer.accepts(name):
            fields = {"image": CAT, name: value} if name == "last_image" else {name: value}
            fields |= {"prompt": ""} if name == "template" else {}
            fields |= {"prompt": "A boat"} if offer.requires("prompt") or not offer.model.requires else {}
            completed = offer.complete(build_request(smallest(offer), fields))
            assert {name: getattr(completed, name) for name in fields} == fields
        else:
            refused(offer, f" {name}.", f"Leave {name} out", **{name: value})


@each_offer
def test_what_is_asked_of_the_wire_is_what_is_taken_less_the_images(offer: Offer) -> None:
    asked = offer.wire_fields(offer.complete(smallest(offer)))
    images = {"image", "last_image", "reference_images"}
    assert set(asked) == {name for name in VideoRequest.model_fields if offer.accepts(name)} - images
    assert {"duration", "resolution", "prompt", "seed"} <= set(asked)


# --- messages ---


@each_row(
    ("durations", "told"),
    [((5,), "5"), ((3, 4, 5), "3, 4, 5"), ((5, 10), "5, 10"), (tuple(range(2, 16)), "2 to 15")],
)
def test_choices_are_named_and_a_long_run_by_its_ends(durations: tuple[int, ...], told: str) -> None:
    offer = row(NEBULA, durations=durations, default_duration=durations[0])
    refused(offer, f"duration is 17; {WAN.name} makes {told}.", f"Choose one of: {told}.", duration=17)


def test_choices_that_are_no_run_are_all_named() -> None:
    """Whoever is told "2 to 12" chooses 3 and is refused again."""
    durations = (2, 4, 6, 8, 10, 12)
    offer = row(NEBULA, durations=durations, default_duration=2)
    refused(offer, "Choose one of: 2, 4, 6, 8, 10, 12.", duration=3)


def test_a_prompt_s_strange_reference_is_named_in_short() -> None:
    mix = find_offer("viduq3p-mix-720p", UNIALL)
    told = refused(mix, "@Image7777777777;", prompt=f"@Image{'7' * 500} waves", reference_images=(CAT,))
    assert len(told) < 300


# --- prices ---


def test_prices_of_one_s_own_are_kept_exactly_whatever_their_form() -> None:
    given: dict[str, Any] = {"viduq3p-720p": 0.1, "wan2.2-i2v-plus": {"480p": "0.140", "1080p": Decimal("0.7")}}
    assert parse_prices(given) == {
        "viduq3p-720p": {"720p": Decimal("0.1")},
        "wan2.2-i2v-plus": {"480p": Decimal("0.140"), "1080p": Decimal("0.7")},
    }
    assert parse_prices(None) == parse_prices({}) == {}
    assert parse_prices(parse_prices(given)) == parse_prices(given)
    assert parse_prices(MappingProxyType(given)) == parse_prices(given)


def test_one_amount_holds_for_every_resolution() -> None:
    assert parse_prices({"wan2.2-i2v-plus": 1}) == {"wan2.2-i2v-plus": {"480p": Decimal(1), "1080p": Decimal(1)}}


NO_PRICES: list[Any] = [
    *("", "dear", "$1", "-0.01", "NaN", "Infinity"),
    *(-1, float("nan"), True, None, [], 1_000_000),
]


@each_row(
    ("prices", "told"),
    [
        ("0.10", "prices is no table"),
        ([("viduq3p-720p", "1")], "prices is no table"),
        ({"viduq3p": "1"}, "There is no model 'viduq3p'"),
        ({"viduq3p-720p": {"1080p": "1"}}, "viduq3p-720p does not make 1080p"),
        ({"viduq3p-720p": {720: "1"}}, "viduq3p-720p does not make 720"),
        *[({"viduq3p-720p": price}, "The price of viduq3p-720p is") for price in NO_PRICES],
    ],
)
def test_prices_that_are_none_are_refused_with_what_is_wrong(prices: Any, told: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_prices(prices)
    assert told in str(caught.value)
    assert caught.value.hint


@each_row(
    ("gateway", "usd", "cny"),
    [(NEBULA, "1.50", "10.800"), (replace(NEBULA, currency="CNY"), "0.208333", "1.50")],
)
def test_an_estimate_is_price_times_seconds_times_ratio(gateway: Gateway, usd: str, cny: str) -> None:
    offer = row(gateway, {"720p": Decimal("0.1")})
    cost = offer.estimate(offer.complete(build_request(smallest(offer), {"duration": 10})), Decimal("1.5"))
    assert (cost.usd, cost.cny, cost.currency) == (Decimal(usd), Decimal(cny), gateway.currency)
    assert (cost.price_per_second, cost.seconds, cost.group_ratio) == (Decimal("0.1"), 10, Decimal("1.5"))


def test_an_estimate_without_a_price_is_unknown() -> None:
    offer = row(PASSTHROUGH)
    cost = offer.estimate(offer.complete(smallest(offer)), Decimal(1))
    assert (cost.usd, cost.cny, cost.currency, cost.basis) == (None, None, "CNY", "unknown")


# --- how long ---


@each_row("name", [name for name in MODELS if name.endswith("-offpeak")])
def test_off_peak_is_given_more_than_the_48_hours_that_the_page_tells(name: str) -> None:
    model: Model = MODELS[name]
    assert model.slowest == 48 * 3600
    assert model.timeout > 48 * 3600


# --- limits of the model, or of the gateway ---


def test_a_model_s_own_image_limits_count_with_the_gateway_s_schemes() -> None:
    newer = MODELS["wan2.7-i2v"].images
    assert newer is not None
    for gateway in (BEIJING, SINGAPORE, PASSTHROUGH):
        assert find_offer("wan2.7-i2v", gateway).images == replace(newer, schemes=gateway.images.schemes)
        assert find_offer("wan2.6-i2v", gateway).images is gateway.images
    assert "oss" in find_offer("wan2.7-i2v", BEIJING).images.schemes


@each_row(
    ("prompt", "length"),
    [
        ("x" * 5000, None),
        ("猫" * 2500, None),
        ("x" * 2000 + "猫" * 1500, None),
        ("x" * 5001, "5001 characters; happyhorse-1.1-i2v reads 5000 and drops the rest"),
        ("猫" * 2501, "5002 characters, where a Chinese one counts as 2; happyhorse-1.1-i2v reads 5000"),
        ("あ" * 2501, "5002 characters"),
        ("고" * 2501, "5002 characters"),
        ("，" * 2501, "5002 characters"),
        ("é" * 5000, None),
    ],
)
def test_of_some_prompts_a_chinese_character_counts_twice(prompt: str, length: str | None) -> None:
    offer = find_offer("happyhorse-1.1-i2v", BEIJING)
    if length is None:
        assert offer.complete(build_request(smallest(offer), {"prompt": prompt})).prompt == prompt
    else:
        refused(offer, f"The prompt has {length}", prompt=prompt)


@each_row("generate_audio", [True, False])
def test_sound_is_estimated_as_it_is_made(generate_audio: bool) -> None:
    """A model that always has sound has one price."""
    flash = find_offer("wan2.6-i2v-flash", BEIJING)
    asked = flash.complete(build_request(smallest(flash), {"generate_audio": generate_audio}))
    assert flash.estimate(asked, Decimal(1)).cny == (Decimal("1.50") if generate_audio else Decimal("0.75"))
    with_own = flash.complete(build_request(smallest(flash), {"audio_url": "https://example.com/a.mp3"}))
    assert flash.estimate(with_own, Decimal(1)).cny == Decimal("1.50")
    always = row(BEIJING, {"720p": Decimal(2)}, always_sound=True, silent_prices={"dashscope": {"720p": Decimal(1)}})
    assert always.estimate(always.complete(smallest(always)), Decimal(1)).cny == Decimal(10)
