"""Rows of one's own: what is refused and why, and that a good one works through every door."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from pydantic import SecretStr

from langchain_nebula_video import (
    BudgetExceededError,
    Gateway,
    ImageLimits,
    InvalidRequestError,
    MemoryJournal,
    Model,
    NebulaVideoRunnable,
    NebulaVideoTool,
    quote,
    register_gateway,
    register_model,
)
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.catalog.models import MODELS
from langchain_nebula_video.lifecycle.options import Options
from langchain_nebula_video.protocols import PROTOCOLS
from tests.agents import animating
from tests.conftest import KEY, MakeClient, jpeg, running, settle, succeeded
from tests.conftest import Gateway as Answers
from tests.tables import each_row

CAT = "https://example.com/cat.jpg"
ALWAYS = frozenset({"duration", "resolution"})
FIELDS = ALWAYS | {"prompt", "image"}
ACME_IMAGES = ImageLimits(formats=("JPEG", "PNG"), max_bytes=5_000_000)
ACME = Gateway(
    name="acme",
    title="Acme",
    base_url="https://api.acme.example",
    protocol="nebula",
    key_variable="ACME_API_KEY",
    url_variable="ACME_BASE_URL",
    default_model="acme-clip",
    currency="USD",
    carries=FIELDS,
    images=ACME_IMAGES,
)
CLIP = Model(
    name="acme-clip",
    title="Acme Clip",
    requires=frozenset({"prompt", "image"}),
    takes=frozenset({"duration", "resolution", "seed"}),
    durations=(4, 8),
    default_duration=4,
    resolutions=("480p", "720p"),
    default_resolution="480p",
    fps=24,
    max_prompt=100,
    prices={"acme": {"480p": Decimal("0.02"), "720p": Decimal("0.04")}},
    names={"acme": "clip-v7"},
    typical_seconds={0: (10.0, 20.0)},
    timeout=100.0,
)


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test registers is forgotten behind it."""
    monkeypatch.delenv("ACME_API_KEY", raising=False)
    monkeypatch.delenv("ACME_BASE_URL", raising=False)
    models, gateways = dict(MODELS), dict(GATEWAYS)
    yield
    MODELS.clear()
    MODELS.update(models)
    GATEWAYS.clear()
    GATEWAYS.update(gateways)


@pytest.fixture
def acme() -> None:
    """The gateway and its model, registered."""
    register_gateway(ACME)
    register_model(CLIP)


def refused(told: str, row: Gateway | Model, *, replacing: bool = False) -> None:
    """The row is refused with these words, and the tables are as they were."""
    models, gateways = dict(MODELS), dict(GATEWAYS)
    register: Any = register_gateway if isinstance(row, Gateway) else register_model
    with pytest.raises(InvalidRequestError, match=re.escape(told)):
        register(row, replace=replacing)
    assert models == MODELS
    assert gateways == GATEWAYS


# --- a good row ---


def test_registering_hands_the_row_back() -> None:
    assert register_gateway(ACME) is GATEWAYS["acme"] is ACME
    assert register_model(CLIP) is MODELS["acme-clip"] is CLIP


async def test_a_registered_model_makes_videos_like_any_other(
    acme: None, make_client: MakeClient, gateway: Answers
) -> None:
    usage = {"video_count": 1, "duration": 8, "resolution": "720p"}
    gateway.fetches = [succeeded(model_price=0.05, usage=usage)]
    client = make_client(gateway="acme")
    video = await settle(client.generate(prompt="A boat", image=CAT, duration=8, resolution="720p"))
    post = gateway.requests[0]
    assert (post.url.host, post.headers["authorization"]) == ("api.acme.example", f"Bearer {KEY}")
    assert json.loads(post.content) == {
        "model": "clip-v7", "prompt": "A boat", "image": CAT, "duration": 8, "resolution": "720p",
    }  # fmt: skip
    assert (video.model, video.gateway) == ("acme-clip", "acme")
    assert (video.cost.usd, video.cost.basis) == (Decimal("0.4"), "billed")


async def test_a_registered_model_s_limits_hold(acme: None, make_client: MakeClient, gateway: Answers) -> None:
    client = make_client(gateway="acme")
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("duration is 5; acme-clip makes 4, 8", {"duration": 5}),
        ("resolution is 1080p; acme-clip makes 480p, 720p", {"resolution": "1080p"}),
        ("101 characters; acme-clip reads 100", {"prompt": "x" * 101}),
        ("acme-clip takes no watermark", {"watermark": True}),
        ("Acme has no place for seed", {"seed": 1}),
        ("There is no image", {"image": None}),
        ("5,000,001 bytes", {"image": b"\xff" * 5_000_001}),
    ]
    for told, fields in wrong:
        with pytest.raises(InvalidRequestError, match=re.escape(told)):
            await settle(client.submit({"prompt": "x", "image": CAT, **fields}))
    assert gateway.requests == []


async def test_a_registered_price_is_quoted_and_kept_to(acme: None, make_client: MakeClient, gateway: Answers) -> None:
    assert str(quote(gateway="acme")) == "$0.08 (estimated)"
    assert quote(gateway="acme", duration=8, resolution="720p").usd == Decimal("0.32")
    assert make_client(gateway="acme").quote(resolution="720p").usd == Decimal("0.16")
    with pytest.raises(BudgetExceededError):
        await settle(make_client(gateway="acme", budget="0.07").generate(prompt="x", image=CAT))
    assert gateway.requests == []


def test_an_agent_sees_a_registered_model_s_choices(acme: None, options: dict[str, Any], gateway: Answers) -> None:
    tool = NebulaVideoTool(**options, gateway="acme")
    fields = convert_to_openai_tool(tool)["function"]["parameters"]["properties"]
    assert set(fields) == FIELDS
    assert (fields["duration"]["minimum"], fields["duration"]["maximum"]) == (4, 8)
    assert "4, 8" in fields["duration"]["description"]
    assert fields["resolution"]["enum"] == ["480p", "720p"]
    assert "Acme Clip" in tool.description
    assert "4 seconds cost $0.08 at 480p, $0.16 at 720p; longer videos in proportion" in tool.description
    assert json.loads(tool.invoke({"prompt": "A boat", "image": CAT}))["model"] == "acme-clip"
    assert gateway.bodies[0]["model"] == "clip-v7"


def test_a_registered_model_runs_in_a_chain(acme: None, options: dict[str, Any]) -> None:
    assert NebulaVideoRunnable(**options, gateway="acme", prompt="x").invoke(CAT).model == "acme-clip"


def test_a_registered_gateway_has_variables_of_its_own(acme: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidRequestError, match="Set ACME_API_KEY or pass api_key"):
        Options(gateway="acme")
    monkeypatch.setenv("ACME_API_KEY", "sk-acme")
    monkeypatch.setenv("ACME_BASE_URL", "https://elsewhere.example.com/v1")
    made = Options(gateway="acme")
    assert (made.model, made.resolve_base_url()) == ("acme-clip", "https://elsewhere.example.com")
    assert made.resolve_api_key().get_secret_value() == "sk-acme"


def test_one_more_gateway_serves_a_model_that_is_here(acme: None) -> None:
    row = MODELS["wan2.5-i2v-preview"]
    register_model(replace(row, prices={**row.prices, "acme": {"720p": Decimal("0.01")}}), replace=True)
    assert quote(gateway="acme", model=row.name).usd == Decimal("0.05")
    assert quote().usd == Decimal("0.369")
    with pytest.raises(InvalidRequestError, match=r"resolution is 480p; wan2\.5-i2v-preview makes 720p"):
        quote(gateway="acme", model=row.name, resolution="480p")


def test_a_model_of_text_alone_pays_no_heed_to_the_conversation_s_images(
    options: dict[str, Any], gateway: Answers
) -> None:
    """An agent's conversation may hold a picture that has nothing to do with the video."""
    register_gateway(ACME)
    register_model(replace(CLIP, requires=frozenset({"prompt"})))
    graph: Any = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([NebulaVideoTool(**options, gateway="acme")]))
    graph.add_edge(START, "tools")
    state: Any = {"messages": [HumanMessage([{"type": "image", "url": CAT}]), animating()]}
    message = graph.compile().invoke(state)["messages"][-1]
    assert message.status == "success", message.content
    assert "image" not in gateway.bodies[0]


# --- names that are taken ---


def test_a_name_is_given_once_unless_its_row_is_to_be_replaced(acme: None) -> None:
    for row in (ACME, GATEWAYS["nebula"]):
        refused(f"There is a gateway '{row.name}' already", row)
    for model in (CLIP, MODELS["wan2.5-i2v-preview"]):
        refused(f"There is a model '{model.name}' already", model)


def test_a_replaced_row_is_the_one_that_counts(acme: None) -> None:
    dearer = replace(CLIP, prices={"acme": {"480p": Decimal(1)}})
    assert register_model(dearer, replace=True) is MODELS["acme-clip"]
    assert quote(gateway="acme").usd == Decimal(4)
    moved = replace(ACME, base_url="https://api2.acme.example")
    assert register_gateway(moved, replace=True) is GATEWAYS["acme"]
    assert Options(gateway="acme", api_key=KEY).resolve_base_url() == "https://api2.acme.example"


def test_a_replacement_is_checked_like_a_new_row(acme: None) -> None:
    refused("acme-clip does not make 5 seconds", replace(CLIP, default_duration=5), replacing=True)
    refused("There is no protocol 'soap'", replace(ACME, protocol="soap"), replacing=True)


# --- rows that cannot work ---


@each_row(
    ("changed", "told"),
    [
        ({"protocol": "soap"}, "There is no protocol 'soap': there are nebula, dashscope, dashscope-passthrough, uni"),
        ({"prefix": "alibailian"}, "The prefix 'alibailian' must begin with a slash"),
        ({"api_root": "v1"}, "The path 'v1' must begin with a slash"),
        ({"other_roots": ("/v1", "v2")}, "The path 'v2' must begin with a slash"),
        ({"region": "moon-1"}, "There is no region 'moon-1': there are cn-beijing, ap-southeast-1, us-east-1"),
        ({"carries": FIELDS | {"colour"}}, "A request has no field colour: it has "),
        ({"carries": FIELDS | {"model"}}, "A request has no field model: it has "),
        ({"requires": frozenset({"sound", "colour"})}, "A request has no field colour, sound: it has "),
        ({"carries": FIELDS - {"duration"}}, "A gateway carries duration and resolution"),
        ({"carries": FIELDS - {"resolution"}}, "A gateway carries duration and resolution"),
        ({"requires": frozenset({"image", "seed"})}, "acme requires seed, which it does not carry"),
        (
            {"carries": FIELDS | {"watermark", "template"}},
            "The protocol 'nebula' of 'acme' has no place for template, wa",
        ),
        ({"content_path": "v1/videos/{task_id}"}, "acme serves videos at 'v1/videos/{task_id}', which is no path with"),
        ({"content_path": "/v1/videos/content"}, "acme serves videos at '/v1/videos/content', which is no path with"),
        ({"content_path": "/v1/{task_id}/{name}"}, "acme serves videos at '/v1/{task_id}/{name}', which is no path"),
        ({"stores_images": True}, "acme stores images, and its protocol 'nebula' has no upload"),
        ({"images": replace(ACME_IMAGES, formats=())}, "acme has limits that no image can meet"),
        ({"steps": (8.0, 3.0)}, "acme has looks every 8.0 to 3.0 seconds, which is no interval"),
        ({"steps": (0.0, 3.0)}, "acme has looks every 0.0 to 3.0 seconds, which is no interval"),
        ({"task_hours": 0}, "acme keeps tasks for 0 hours"),
        ({"max_hold": -1.0}, "acme holds a submit for -1.0 seconds"),
        (
            {"always_on": frozenset({"seed", "smart_rewrite"})},
            "acme has seed always on: the switches are generate_audio, smart_rewrite, watermark",
        ),
        ({"min_seed": -1}, "acme has -1 as its lowest seed"),
        ({"bill_unit": Decimal(0)}, "acme has bills in units of Decimal('0'), which is no sensible Decimal"),
    ],
)
def test_a_gateway_that_cannot_work_is_refused_with_what_is_wrong(changed: dict[str, Any], told: str) -> None:
    refused(told, replace(ACME, **changed))


@each_row("url", ["ftp://api.acme.example", "acme", "", "https://api.acme.example/", "https://me@api.acme.example"])
def test_a_gateway_without_an_address_that_paths_can_follow_is_refused(url: str) -> None:
    refused(f"'{url}' is no web address", replace(ACME, base_url=url))


@each_row("url", ["http://api.acme.example", "http://10.0.0.1", "http://litellm:4000"])
def test_a_gateway_over_plain_http_needs_its_client_s_leave(url: str) -> None:
    """As it does where the address comes from `base_url` or a variable."""
    register_gateway(replace(ACME, base_url=url), replace=True)
    register_model(CLIP, replace=True)
    with pytest.raises(InvalidRequestError, match="The address of 'acme' is plain http") as caught:
        Options(gateway="acme", api_key=SecretStr(KEY))
    assert "allow_http=True" in caught.value.hint
    assert Options(gateway="acme", api_key=SecretStr(KEY), allow_http=True).resolve_base_url() == url


@each_row("url", ["http://localhost:8000", "http://127.0.0.1:8000", "https://api.acme.example/v", None])
def test_a_gateway_on_this_machine_may_speak_plain_http(url: str | None) -> None:
    register_gateway(replace(ACME, base_url=url, default_model="acme-clip"), replace=True)
    register_model(CLIP, replace=True)
    own = {} if url else {"base_url": "https://own.example.com"}
    assert Options(gateway="acme", api_key=SecretStr(KEY), **own).resolve_base_url() == (url or own["base_url"])


@each_row(
    ("changed", "told"),
    [
        ({"prices": {"acne": {}}}, "There is no gateway 'acne'; register it first"),
        ({"prices": {"acme": {"1080p": Decimal(1)}}}, "acme-clip has prices for 1080p, which it does not make"),
        *[
            ({"prices": {"acme": {"720p": price}}}, "acme-clip has a price that is no Decimal, or no sensible one")
            for price in ("0.1", 0.1, 1, None, Decimal(-1), Decimal("Infinity"), Decimal(1_000_000))
        ],
        ({"default_duration": 5}, "acme-clip does not make 5 seconds"),
        ({"durations": ()}, "acme-clip does not make 4 seconds"),
        ({"default_resolution": "1080p"}, "acme-clip does not make 1080p"),
        ({"resolutions": (), "prices": {"acme": {}}}, "acme-clip does not make 480p"),
        ({"typical_seconds": {}}, "acme-clip says nothing of typical_seconds"),
        ({"timeout": 0.0}, "acme-clip is given no time"),
        ({"timeout": -1.0}, "acme-clip is given no time"),
        ({"timeout": float("nan")}, "acme-clip is given no time"),
        ({"takes": frozenset({"colour"})}, "A request has no field colour: it has "),
        ({"requires": frozenset({"colour"})}, "A request has no field colour: it has "),
        (
            {"always_sound": True, "takes": frozenset({"generate_audio"})},
            "acme-clip always has sound, and a switch for it",
        ),
        ({"cjk_weight": 0}, "acme-clip counts a Chinese character as 0"),
        ({"frames": "media"}, "acme-clip writes its frames as 'media', which no protocol of its gateways can"),
        ({"frames": "list"}, "acme-clip writes its frames as 'list', which no protocol"),
        ({"frames": "list", "prices": {}}, "acme-clip writes its frames as 'list', which no protocol"),
        *[
            ({"images": replace(ACME.images, **limits)}, "acme-clip has limits that no image can meet")
            for limits in ({"sides": (2000, 360)}, {"sides": (0, 9)}, {"max_bytes": 0}, {"formats": ()})
        ],
        ({"takes": frozenset({"model"})}, "A request has no field model: it has "),
        ({"takes": frozenset({"template"})}, "acme-clip takes template, and has none to choose from"),
        ({"takes": frozenset({"aspect_ratio"})}, "acme-clip takes aspect_ratio, and has none to choose from"),
        ({"takes": frozenset({"reference_images"})}, "acme-clip takes reference_images, and has none to choose from"),
        ({"templates": ("flying",)}, "acme-clip has choices of template, which it does not take"),
        ({"aspect_ratios": ("16:9",)}, "acme-clip has choices of aspect_ratio, which it does not take"),
        ({"max_references": 4}, "acme-clip has choices of reference_images, which it does not take"),
        (
            {"requires": frozenset({"prompt"}), "takes": frozenset({"last_image"})},
            "acme-clip takes last_image, which comes with an image, and takes no image",
        ),
    ],
)
def test_a_model_that_cannot_work_is_refused_with_what_is_wrong(changed: dict[str, Any], told: str) -> None:
    register_gateway(ACME, replace=True)
    refused(told, replace(CLIP, **changed))


def silent(**prices: Any) -> dict[str, Any]:
    """A row of the catalog whose gateway has these prices without sound."""
    return {"takes": CLIP.takes | {"generate_audio"}, "silent_prices": {"acme": prices}}


@each_row(
    ("changed", "told"),
    [
        ({"silent_prices": {"acne": {}}}, "acme-clip has silent prices for 'acne', and no prices there"),
        (silent(**{"1080p": Decimal(1)}), "acme-clip has a silent price for 1080p at 'acme', and no price with sound"),
        (silent(**{"720p": 0.01}), "acme-clip has a silent price that is no sensible Decimal"),
        (silent(**{"720p": Decimal("0.05")}), "acme-clip costs more without sound than with it: 720p at 'acme'"),
        (
            {**silent(**{"720p": Decimal("0.01")}), "takes": CLIP.takes},
            "acme-clip has silent prices for 'acme', where generate_audio cannot be chosen",
        ),
    ],
)
def test_silent_prices_are_those_of_a_choice_that_costs_no_more(changed: dict[str, Any], told: str) -> None:
    register_gateway(replace(ACME, carries=FIELDS | {"generate_audio"}), replace=True)
    refused(told, replace(CLIP, **changed))


async def test_a_video_without_sound_is_quoted_reserved_and_estimated_at_its_own_price(
    make_client: MakeClient, gateway: Answers
) -> None:
    register_gateway(replace(ACME, carries=FIELDS | {"generate_audio"}))
    register_model(replace(CLIP, **silent(**{"480p": Decimal("0.01")})))
    assert quote(gateway="acme").usd == Decimal("0.04")
    assert quote(gateway="acme", generate_audio=True).usd == Decimal("0.08")
    assert quote(gateway="acme", resolution="720p").usd == Decimal("0.16")
    assert quote(gateway="acme", prices={"acme-clip": "0.03"}).usd == Decimal("0.12")
    gateway.fetches = [running(), succeeded(billing_pending=True, model_price=None, usage={"duration": 4})]
    for sound, usd in ((False, Decimal("0.04")), (True, Decimal("0.08"))):
        journal = MemoryJournal()
        client = make_client(gateway="acme", journal=journal)
        task = await settle(client.submit(prompt="x", image=CAT, generate_audio=sound))
        assert (journal.spent(), (await settle(client.fetch(task.task_id))).cost.usd) == (usd, usd)
        assert (await settle(client.wait(task.task_id))).cost.usd == usd


def test_where_sound_is_always_on_a_silent_price_is_never_counted_with() -> None:
    register_gateway(replace(ACME, carries=FIELDS | {"generate_audio"}, always_on=frozenset({"generate_audio"})))
    register_model(replace(CLIP, **silent(**{"480p": Decimal("0.01")})))
    assert quote(gateway="acme").usd == Decimal("0.08")


def test_a_price_that_is_no_number_is_refused_like_any_other_that_is_none() -> None:
    register_gateway(ACME)
    refused("no sensible one", replace(CLIP, prices={"acme": {"720p": Decimal("NaN")}}))


def test_a_model_that_requires_what_its_gateway_has_no_place_for_is_refused() -> None:
    """No request can be right: with the field it is refused, and without it too."""
    register_gateway(ACME)
    row = replace(CLIP, requires=frozenset({"prompt", "image", "last_image"}))
    refused("acme-clip requires last_image, for which the gateway 'acme' has no place", row)


def test_a_price_list_may_be_empty_and_then_the_cost_is_unknown() -> None:
    register_gateway(ACME)
    register_model(replace(CLIP, prices={"acme": {}}))
    assert str(quote(gateway="acme")) == "unknown"
    assert quote(gateway="acme", prices={"acme-clip": "0.5"}).usd == Decimal(2)


def test_a_gateway_whose_model_is_not_registered_yet_says_so_when_it_is_used() -> None:
    register_gateway(ACME)
    with pytest.raises(InvalidRequestError, match="There is no model 'acme-clip'"):
        Options(gateway="acme", api_key=KEY)


# --- what the protocols have a place for ---

GIVEN: dict[str, Any] = {
    "prompt": "A boat", "image": CAT, "last_image": f"{CAT}?last", "reference_images": [f"{CAT}?reference"],
    "duration": 7, "resolution": "333p", "smart_rewrite": True, "generate_audio": True, "seed": 4711, "watermark": True,
    "audio_url": "https://example.com/a.mp3", "negative_prompt": "blur", "template": "flying", "aspect_ratio": "16:9",
}  # fmt: skip
IMAGES = frozenset({"image", "last_image", "reference_images"})
UNSUPPORTED = [
    (name, field) for name, row in PROTOCOLS.items() for field in sorted(set(GIVEN) - row.supported_fields - ALWAYS)
]


FILE = f"data:image/jpeg;base64,{base64.b64encode(jpeg()).decode()}"
TIERS = {"nebula": '"333p"', "videos-sglang": '"592x336"', "videos-vllm-omni": '"592x336"'}
"""What 333p is called in a submit; elsewhere in capitals."""


def sent(protocol: str, fields: frozenset[str]) -> str:
    """The submit with these fields; the last frame comes with a first one."""
    images = {name: FILE if protocol == "videos-vllm-omni" else GIVEN[name] for name in IMAGES & fields}
    plain = {name: GIVEN[name] for name in fields - IMAGES}
    wire = PROTOCOLS[protocol].build_submit("clip", plain, images)
    return json.dumps([wire.json, wire.form, repr(wire.file)], sort_keys=True)


@each_row(("protocol", "field"), [(name, field) for name, row in PROTOCOLS.items() for field in GIVEN
                                                 if field in row.supported_fields])  # fmt: skip
def test_each_field_that_a_protocol_has_a_place_for_is_sent(protocol: str, field: str) -> None:
    fields = PROTOCOLS[protocol].supported_fields
    every, without = sent(protocol, fields), sent(protocol, fields - {field})
    assert every != without
    if field == "resolution":  # alone: of an image, a size takes its shape
        assert TIERS.get(protocol, '"333P"') in sent(protocol, frozenset({field}))
    elif (protocol, field) != ("videos-vllm-omni", "image"):
        assert json.dumps(GIVEN[field]) in every


@each_row("protocol", PROTOCOLS)
@each_row("field", GIVEN)
def test_a_submit_is_built_of_whatever_a_gateway_carries(protocol: str, field: str) -> None:
    """Of a row that carries little nothing is missed."""
    sent(protocol, frozenset())
    sent(protocol, frozenset({field}))


@each_row(("protocol", "field"), UNSUPPORTED)
def test_a_gateway_that_carries_what_its_protocol_would_drop_is_refused(protocol: str, field: str) -> None:
    told = f"The protocol '{protocol}' of 'acme' has no place for {field}"
    refused(told, replace(ACME, protocol=protocol, carries=FIELDS | {field}))


def test_a_refused_field_comes_with_the_protocols_that_have_a_place_for_it() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        register_gateway(replace(ACME, carries=FIELDS | {"template"}))
    hint = caught.value.hint
    assert (
        "Leave it out of the row, or choose a protocol that has: dashscope, dashscope-passthrough, newapi, vid" in hint
    )
    assert "litellm" not in hint
    with pytest.raises(InvalidRequestError, match="or choose a protocol that has: none"):
        register_gateway(replace(ACME, carries=FIELDS | {"template", "reference_images"}))


def test_the_rows_that_come_with_the_package_are_such_as_can_be_registered() -> None:
    for gateway in [*GATEWAYS.values()]:
        assert register_gateway(gateway, replace=True) is gateway
    for model in [*MODELS.values()]:
        assert register_model(model, replace=True) is model


def test_where_the_model_s_name_tells_the_resolution_there_is_one_for_each_name() -> None:
    """UniAll has no field for it: of two, one would be made whichever was asked for."""
    register_gateway(replace(ACME, protocol="uniall"))
    refused("The protocol 'uniall' of 'acme' has no place for resolution", CLIP)
    refused("The protocol 'uniall' of 'acme' has no place for resolution", replace(CLIP, prices={"acme": {}}))
    register_model(replace(CLIP, prices={"acme": {"480p": Decimal("0.02")}}))
    register_model(
        replace(CLIP, name="acme-720", resolutions=("720p",), default_resolution="720p", prices={"acme": {}})
    )


async def test_a_small_row_on_uniall_s_protocol_makes_videos(make_client: MakeClient, gateway: Answers) -> None:
    register_gateway(replace(ACME, protocol="uniall", carries=FIELDS - {"prompt"}))
    register_model(replace(CLIP, requires=frozenset({"image"}), prices={"acme": {"480p": Decimal("0.02")}}))
    await settle(make_client(gateway="acme").generate(image=CAT))
    assert gateway.bodies == [{"model": "clip-v7", "image": CAT, "duration": 4}]


# --- money ---


@each_row("rate", [Decimal(0), Decimal(-7), Decimal("NaN"), Decimal("Infinity"), 7.2, "7.2", None, True])
def test_a_gateway_whose_rate_converts_nothing_is_refused(rate: Any) -> None:
    refused(f"acme has {rate!r} yuan to the dollar, which is no sensible Decimal", replace(ACME, cny_per_usd=rate))


@each_row("currency", ["EUR", "usd", "", None, ["USD"]])
def test_a_gateway_with_prices_in_no_known_currency_is_refused(currency: Any) -> None:
    refused(
        f"acme has prices in {currency!r}, which are converted from USD or CNY only", replace(ACME, currency=currency)
    )
