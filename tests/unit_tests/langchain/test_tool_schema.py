"""What a language model is shown of each model: the fields that are taken there, their choices, the price."""

from __future__ import annotations

import functools
import json
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_anthropic.chat_models import convert_to_anthropic_tool
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_google_genai._function_utils import convert_to_genai_function_declarations
from pydantic import BaseModel, SecretStr, ValidationError

from langchain_nebula_video import NebulaVideoTool, NebulaVideoToolkit, quote
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.catalog.models import MODELS
from langchain_nebula_video.catalog.offers import Offer, build_request, find_offer
from langchain_nebula_video.langchain.tool_calls import quote_call
from langchain_nebula_video.langchain.tool_description import description
from langchain_nebula_video.langchain.tool_schema import args_schema
from tests.conftest import KEY
from tests.tables import each_row
from tests.unit_tests.catalog.test_limits import CAT, DOG, EFFECTS, PAGES, PLUS, PROPORTIONS, each_offer, tiers_of

ALWAYS = {"prompt", "duration", "resolution", "seed"}
WAN25 = "wan2.5-i2v-preview"
# The fields that a gateway has a place for, where not every one has.
DASHSCOPE = {"smart_rewrite", "negative_prompt", "watermark"}
PLACES = {"nebula": {"smart_rewrite"}, "uniall": {"negative_prompt"}}


def fields_of(gateway: str, model: str) -> set[str]:
    """What the pages let a request of this model hold at this gateway."""
    page = PAGES[model]
    fields = ALWAYS | page.frames | (page.besides & PLACES.get(gateway, DASHSCOPE))
    given = {
        "generate_audio": page.sound, "audio_url": page.own_sound, "template": page.effects,
        "aspect_ratio": page.ratios, "reference_images": page.references,
    }  # fmt: skip
    return fields | {name for name, taken in given.items() if taken}


def required_of(model: str) -> set[str]:
    """What a language model has to say; an image may be left to the conversation."""
    if model.startswith("wanx2.1"):
        return set()
    return {"prompt", "last_image"} if "kf2v" in model else {"prompt"}


def tool_of(gateway: str, model: str, **options: Any) -> NebulaVideoTool:
    """The tool of an agent."""
    return NebulaVideoTool(
        api_key=SecretStr(KEY), gateway=gateway, base_url="https://gateway.example.com", model=model, **options
    )


@functools.cache
def shown(gateway: str, model: str) -> dict[str, Any]:
    """The parameters as they go to a language model's provider."""
    parameters: dict[str, Any] = convert_to_openai_tool(tool_of(gateway, model))["function"]["parameters"]
    return parameters


def choices(field: dict[str, Any]) -> list[Any]:
    """Of an enumeration, alone or beside null."""
    return next((list(one["enum"]) for one in (field, *field.get("anyOf", [])) if "enum" in one), [])


def seconds_in(field: dict[str, Any]) -> list[int]:
    """Of a number: its choices as they are told, between its ends."""
    assert field["type"] == "integer"
    assert "enum" not in field
    told = field["description"].partition(".")[0].removeprefix("Seconds of video: ")
    first, to, last = told.partition(" to ")
    found = [*range(int(first), int(last) + 1)] if to else [int(number) for number in told.split(", ")]
    assert (found[0], found[-1]) == (field["minimum"], field["maximum"])
    return found


# --- every offer ---


@each_offer
def test_the_schema_has_the_fields_that_are_taken_and_no_other(gateway: str, model: str) -> None:
    parameters = shown(gateway, model)
    assert set(parameters["properties"]) == fields_of(gateway, model)
    assert set(parameters.get("required", [])) == required_of(model)


@each_offer
def test_the_schema_has_the_choices_that_there_are(gateway: str, model: str) -> None:
    fields, page = shown(gateway, model)["properties"], PAGES[model]
    assert seconds_in(fields["duration"]) == [*page.seconds]
    assert choices(fields["resolution"]) == [*tiers_of(gateway, model)]
    assert choices(fields.get("template", {})) == [*page.effects]
    assert choices(fields.get("aspect_ratio", {})) == ([*PROPORTIONS] if PAGES[model].ratios else [])
    assert fields["duration"]["default"] in page.seconds
    assert fields["resolution"]["default"] in choices(fields["resolution"])


@each_offer
def test_whatever_fits_the_schema_is_a_request_that_can_be_made(gateway: str, model: str) -> None:
    offer = find_offer(model, GATEWAYS[gateway])
    tried = set()
    for name, value in samples(gateway, model):
        arguments = {**smallest(model), name: value}
        if name == "last_image":
            arguments["image"] = CAT
        if name == "template":
            arguments.pop("prompt", None)
        completed_from(offer, arguments)
        tried.add(name)
    assert tried == fields_of(gateway, model)


@each_offer
def test_whatever_is_not_taken_does_not_fit_the_schema(gateway: str, model: str) -> None:
    schema, page = args_schema(find_offer(model, GATEWAYS[gateway])), PAGES[model]
    taken = fields_of(gateway, model)
    everything = {"template": "flying", "watermark": True, "negative_prompt": "x", "audio_url": CAT, "image": CAT,
                  "generate_audio": True, "aspect_ratio": "16:9", "reference_images": [CAT], "last_image": CAT,
                  "smart_rewrite": True, "colour": "red", "model": model}  # fmt: skip
    wrong: list[dict[str, Any]] = [{name: value} for name, value in everything.items() if name not in taken]
    wrong += [{"duration": seconds} for seconds in (-1, 0, 2, 17, 31) if seconds not in page.seconds]
    wrong += [{"resolution": tier} for tier in ("480p", "540p", "1080p", "4k") if tier not in tiers_of(gateway, model)]
    wrong += [{"seed": -1}, {"seed": 2147483648}]
    wrong += [{"template": effect} for effect in PLUS if "template" in taken and effect not in page.effects]
    wrong += [{"reference_images": [CAT] * 5}, {"negative_prompt": "x" * 501}, {"aspect_ratio": "2:1"}]
    assert fits(schema, smallest(model))
    assert [arguments for arguments in wrong if fits(schema, {**smallest(model), **arguments})] == []


@each_offer
def test_the_schema_is_plain_and_small_as_providers_want_it(gateway: str, model: str) -> None:
    told = convert_to_openai_tool(tool_of(gateway, model))
    function = told["function"]
    assert (told["type"], function["name"]) == ("function", "nebula_image_to_video")
    assert function["parameters"]["type"] == "object"
    text = json.dumps(told)
    for word in ("$ref", "$defs", "allOf", "oneOf", "const", "runtime"):
        assert f'"{word}"' not in text
    assert len(text) < 3000
    for name, field in function["parameters"]["properties"].items():
        assert {"type", "anyOf"} & set(field), name
        assert field["description"].endswith("."), name


INJECTED = {"runtime", "config", "run_manager", "callbacks"}


def gemini(tool: BaseTool) -> dict[str, Any]:
    (converted,) = convert_to_genai_function_declarations([tool])
    (declared,) = converted.function_declarations or []
    assert declared.parameters is not None
    return declared.parameters.model_dump(mode="json", exclude_none=True)


def claude(tool: BaseTool, *, strict: bool) -> dict[str, Any]:
    return dict(convert_to_anthropic_tool(tool, strict=strict)["input_schema"])


def gpt(tool: BaseTool, *, strict: bool) -> dict[str, Any]:
    parameters: dict[str, Any] = convert_to_openai_tool(tool, strict=strict)["function"]["parameters"]
    return parameters


PROVIDERS: dict[str, Callable[[BaseTool], dict[str, Any]]] = {
    "Gemini": gemini,
    "Claude": partial(claude, strict=False),
    "Claude, strictly": partial(claude, strict=True),
    "GPT": partial(gpt, strict=False),
    "GPT, strictly": partial(gpt, strict=True),
}


@each_offer
def test_every_provider_s_own_package_takes_the_tools_and_shows_what_is_the_model_s(gateway: str, model: str) -> None:
    where: dict[str, Any] = {"gateway": gateway, "base_url": "https://gateway.example.com", "model": model}
    silent = find_offer(model, GATEWAYS[gateway]).silent_prices
    makes, submits, gets, quotes = NebulaVideoToolkit(api_key=SecretStr(KEY), **where).get_tools()
    for provider, converted in PROVIDERS.items():
        for tool, fields in (
            *((tool, fields_of(gateway, model)) for tool in (makes, submits)),
            (gets, {"task_id", "wait_seconds"}),
            (quotes, {"duration", "resolution"} | ({"generate_audio"} if silent else set())),
        ):
            properties = converted(tool)["properties"]
            assert set(properties) == fields, (provider, tool.name)
            assert not INJECTED & set(properties)
            if "duration" in fields:
                assert str(PAGES[model].seconds[-1]) in properties["duration"]["description"], provider


def test_gemini_s_choices_are_texts() -> None:
    fields = gemini(tool_of("nebula", "wan2.5-i2v-preview"))["properties"]
    assert (fields["duration"]["type"], fields["duration"].get("enum")) == ("INTEGER", None)
    assert fields["resolution"]["enum"] == ["480p", "720p", "1080p"]


@each_offer
def test_what_is_told_reads_like_a_text(gateway: str, model: str) -> None:
    fields = [field["description"] for field in shown(gateway, model)["properties"].values()]
    for told in (*fields, tool_of(gateway, model).description):
        assert told == told.strip()
        assert not re.search(r"  |None|\{|\}|\.\.| [.,;:]", told), told


@each_offer
def test_the_limit_of_a_prompt_is_told_where_there_is_one(gateway: str, model: str) -> None:
    told = shown(gateway, model)["properties"]["prompt"]["description"]
    limit = PAGES[model].prompt
    assert re.findall(r"\d+ characters", told) == ([f"{limit} characters"] if limit else [])
    assert ("@Image1" in told) is (PAGES[model].references > 0)


# --- those of the pages that differ most ---


def test_an_agent_with_the_fast_wan_2_1_sees_its_seconds_and_its_13_effects() -> None:
    parameters = shown("dashscope", "wanx2.1-i2v-turbo")
    fields = parameters["properties"]
    assert seconds_in(fields["duration"]) == [3, 4, 5]
    assert (len(EFFECTS), choices(fields["template"])) == (13, EFFECTS)
    assert "generate_audio" not in fields
    assert fields["prompt"]["default"] == ""
    assert "Leave it out with a template" in fields["prompt"]["description"]


def test_an_agent_with_a_vidu_mix_sees_up_to_four_references_and_no_first_frame() -> None:
    fields = shown("uniall", "viduq3p-mix-720p")["properties"]
    (references,) = (one for one in fields["reference_images"]["anyOf"] if one["type"] == "array")
    assert (references["maxItems"], references["items"]) == (4, {"type": "string"})
    assert not {"image", "last_image"} & set(fields)
    told = tool_of("uniall", "viduq3p-mix-720p").description
    assert "the reference images show who or what appears" in told
    assert "first frame" not in told


def test_an_agent_with_plain_vidu_is_told_that_text_is_enough() -> None:
    told = tool_of("uniall", "viduq3p-720p").description
    assert "made of the prompt alone" in told
    assert "made of the prompt alone" not in tool_of("nebula", "wan2.5-i2v-preview").description


@each_row(
    ("gateway", "model", "always"),
    [
        ("dashscope", "wan2.7-i2v", True),
        ("dashscope", "happyhorse-1.1-i2v", True),
        ("dashscope", "wan2.6-i2v-flash", False),
        ("uniall", "wan2.6-video-720p", True),
        ("uniall", "wan2.6-i2v-flash-720p-silent", False),
    ],
)
def test_an_agent_is_told_of_sound_that_cannot_be_turned_off(gateway: str, model: str, always: bool) -> None:
    assert ("The video always has sound." in tool_of(gateway, model).description) is always
    assert not (always and "generate_audio" in shown(gateway, model)["properties"])


def test_an_agent_is_told_that_references_stand_instead_of_a_first_frame() -> None:
    optional, needed = (
        shown("uniall", model)["properties"]["reference_images"]["description"]
        for model in ("viduq3p-720p", "viduq3p-mix-720p")
    )
    assert "Leave it out to animate one image; with it, give no image" in optional
    assert "Leave it out to use the newest image" in needed


@each_row("dropped", ["model", "gateway"])
def test_an_agent_with_text_alone_hears_nothing_of_an_image(dropped: str) -> None:
    """Whether it is the model that takes none, or its gateway that has no place for one."""
    offer = find_offer("viduq3p-720p", GATEWAYS["uniall"])
    images = {"image", "last_image"}
    if dropped == "model":
        offer = replace(offer, model=replace(offer.model, takes=offer.model.takes - images))
    else:
        offer = replace(offer, gateway=replace(offer.gateway, carries=offer.gateway.carries - images))
    told = description(offer, Decimal(1))
    assert told.startswith(
        "Makes a short MP4 video with Vidu Q3 Pro: the prompt says what is seen and what happens. It costs money"
    )
    assert not re.search("image|animate|frame|picture", told, re.IGNORECASE)
    assert not images & set(args_schema(offer).model_fields)


def test_an_agent_with_two_frames_is_told_which_is_which() -> None:
    told = tool_of("dashscope", "wan2.2-kf2v-flash").description
    assert "image is the first frame, last_image the last" in told


@each_row(
    ("gateway", "model", "formats"),
    [
        ("nebula", "wan2.5-i2v-preview", "JPEG or PNG"),
        ("dashscope", "wan2.2-i2v-plus", "JPEG or PNG"),
        ("uniall", "viduq3p-720p", "JPEG or PNG"),
    ],
)
def test_an_agent_is_told_to_give_addresses_and_never_data(gateway: str, model: str, formats: str) -> None:
    told = shown(gateway, model)["properties"]["image"]["description"]
    assert f"The https URL of the {formats} image" in told
    assert "never copy base64 data" in told


def test_an_agent_is_told_how_to_ask_for_no_image_only_where_none_is_needed() -> None:
    told = 'Write "none" for a video of the prompt alone.'
    assert told in shown("uniall", "viduq3p-720p")["properties"]["image"]["description"]
    assert told not in shown("nebula", "wan2.5-i2v-preview")["properties"]["image"]["description"]


def test_where_there_is_no_choice_that_is_told() -> None:
    fields = shown("uniall", "viduq3p-720p")["properties"]
    assert fields["resolution"]["description"] == "Only 720p."
    fields = shown("dashscope", "wan2.2-i2v-plus")["properties"]
    assert fields["duration"]["description"] == "Seconds of video: 5."


# --- what a service does unasked ---


def test_a_language_model_reads_what_nebula_does_whatever_it_asks_for() -> None:
    told = "The service always rewrites the prompt and adds sound: that cannot be switched off."
    for tool in NebulaVideoToolkit(api_key=SecretStr(KEY)).get_tools()[:2]:
        assert f" {told} It costs money: " in tool.description
    fields = shown("nebula", "wan2.5-i2v-preview")["properties"]
    assert fields["smart_rewrite"]["description"] == "It has no effect here: the service rewrites every prompt."
    assert fields["generate_audio"]["description"].startswith("It has no effect here: every video gets sound")
    assert "Any number from 1;" in fields["seed"]["description"]


def test_elsewhere_it_reads_that_both_are_its_choice() -> None:
    fields = shown("dashscope", "wan2.5-i2v-preview")["properties"]
    assert "always" not in tool_of("dashscope", "wan2.5-i2v-preview").description
    assert fields["smart_rewrite"]["description"].endswith("Off keeps strictly to the prompt.")
    assert fields["generate_audio"]["description"].endswith("Without it the video is silent.")


# --- the price and the time ---


def test_a_price_without_sound_is_told_beside_the_other_and_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = {"dashscope-intl": {"480p": Decimal("0.025"), "720p": Decimal("0.05")}}
    monkeypatch.setitem(MODELS, WAN25, replace(MODELS[WAN25], silent_prices=silent))
    told = "5 seconds cost $0.25 at 480p ($0.125 without sound), $0.50 at 720p ($0.25 without sound), $0.75 at 1080p;"
    assert told in tool_of("dashscope-intl", WAN25).description
    asks: Any = NebulaVideoToolkit(api_key=SecretStr(KEY), gateway="dashscope-intl").get_tools()[3]
    assert set(asks.args_schema.model_fields) == {"duration", "resolution", "generate_audio"}
    assert [json.loads(asks.invoke({"generate_audio": sound}))["cost_usd"] for sound in (False, True)] == [0.25, 0.5]
    own = tool_of("dashscope-intl", WAN25, prices={WAN25: "0.2"}).description
    assert "5 seconds cost $1.00 at 480p, $1.00 at 720p" in own


@each_row(
    ("gateway", "model", "told"),
    [
        (
            "nebula",
            "wan2.5-i2v-preview",
            "5 seconds cost $0.1845 at 480p, $0.369 at 720p, $0.6165 at 1080p; longer videos in proportion.",
        ),
        (
            "dashscope",
            "wan2.5-i2v-preview",
            "5 seconds cost ¥1.50 at 480p, ¥3.00 at 720p, ¥5.00 at 1080p; longer videos in proportion.",
        ),
        ("dashscope", "wan2.2-i2v-plus", "5 seconds cost ¥0.70 at 480p, ¥3.50 at 1080p."),
        ("dashscope-intl", "wan2.2-i2v-flash", "5 seconds cost $0.075 at 480p, $0.18 at 720p."),
        ("dashscope-passthrough", "wan2.5-i2v-preview", "It costs money; the price is not known here."),
        ("uniall", "viduq3p-720p", "It costs money; the price is not known here."),
    ],
)
def test_the_price_is_told_in_the_gateway_s_currency(gateway: str, model: str, told: str) -> None:
    assert f" {told} Call it once" in tool_of(gateway, model).description


def test_a_price_of_one_s_own_is_told() -> None:
    told = tool_of("uniall", "viduq3p-720p", prices={"viduq3p-720p": "0.10"}).description
    assert "5 seconds cost $0.50 at 720p; longer videos in proportion." in told
    told = tool_of("dashscope", "wan2.2-i2v-plus", prices={"wan2.2-i2v-plus": {"480p": 1}}, group_ratio=2).description
    assert "5 seconds cost ¥10.00 at 480p, ¥7.00 at 1080p." in told


def test_a_price_is_told_for_what_is_made_and_for_nothing_else() -> None:
    """Singapore makes no 1080p of this model, whatever it costs elsewhere."""
    told = tool_of("dashscope-intl", "wan2.2-i2v-flash", prices={"wan2.2-i2v-flash": "0.02"}).description
    assert "5 seconds cost $0.10 at 480p, $0.10 at 720p." in told


@each_row(
    ("gateway", "model", "told"),
    [
        ("nebula", "wan2.5-i2v-preview", "after up to 3 minutes"),
        ("dashscope", "wan2.2-i2v-flash", "after up to 5 minutes"),
        ("uniall", "viduq3p-720p", "after up to 3 minutes"),
        ("uniall", "viduq3p-720p-offpeak", "after up to 48 hours"),
    ],
)
def test_the_time_that_it_takes_is_told(gateway: str, model: str, told: str) -> None:
    assert told in tool_of(gateway, model).description


# --- as language models write it ---


@each_row(
    ("written", "read"),
    [
        *[({"duration": value}, {"duration": 10}) for value in (10, "10", 10.0, "10.0", " 10 ")],
        *[({"resolution": value}, {"resolution": "480p"}) for value in ("480p", "480P", 480, "480")],
        ({"seed": "7"}, {"seed": 7}),
        ({"smart_rewrite": "false"}, {"smart_rewrite": False}),
        ({"prompt": 1984}, {"prompt": "1984"}),
        ({"image": 2}, {"image": "2"}),
    ],
)
def test_what_is_meant_is_read_however_it_is_written(written: dict[str, Any], read: dict[str, Any]) -> None:
    schema = args_schema(find_offer("wan2.5-i2v-preview", GATEWAYS["dashscope"]))
    parsed = schema.model_validate({"prompt": "x", **written}).model_dump()
    assert {name: parsed[name] for name in read} == read


@each_row("given", ["1", 1, ["1"], [1]])
def test_one_reference_needs_no_list(given: object) -> None:
    schema = args_schema(find_offer("viduq3p-mix-720p", GATEWAYS["uniall"]))
    assert schema.model_validate({"prompt": "x", "reference_images": given}).model_dump()["reference_images"] == ["1"]


@each_offer
def test_null_is_as_good_as_left_out(gateway: str, model: str) -> None:
    schema, least = args_schema(find_offer(model, GATEWAYS[gateway])), smallest(model)
    others = fields_of(gateway, model) - set(least)
    for nothing in (None, "", "  ", "null", "None", " none "):
        given = {**least, **dict.fromkeys(others, nothing)}
        if str(nothing).strip().lower() == "none":
            given.pop("image", None)  # that says something: no image, though the conversation may have one
        assert schema.model_validate(given).model_dump() == schema.model_validate(least).model_dump(), nothing


@each_row("nothing", [None, [], "", "none", [""], ["null"]])
@each_row("model", ["viduq3p-mix-720p", "viduq3p-720p"])
def test_no_references_are_as_good_as_left_out(model: str, nothing: object) -> None:
    schema = args_schema(find_offer(model, GATEWAYS["uniall"]))
    assert not schema.model_validate({"prompt": "x", "reference_images": nothing}).model_dump()["reference_images"]


WRITTEN = st.sampled_from(
    [5, 10, 480, 720, 1, True, "5", "10", " 10", "10.0", "10s", "1_0", "010", "\u0665", "5e0", "480p", "480P", "480",
     " 720p", "720 p", "p", "", "none", 5.0, 10.5, [5], {}]
)  # fmt: skip


QUOTED = {model: tool_of("dashscope", model) for model in ("wan2.5-i2v-preview", "wanx2.1-i2v-turbo")}


@given(st.dictionaries(st.sampled_from(["duration", "resolution"]), WRITTEN | st.text(max_size=6) | st.integers()))
def test_what_the_tool_reads_a_quote_reads_too(written: dict[str, Any]) -> None:
    """A budget is kept by quotes: what it could not price and the tool could make would cost nothing there."""
    for model, tool in QUOTED.items():
        offer = find_offer(model, GATEWAYS["dashscope"])
        try:
            parsed = args_schema(offer).model_validate({"prompt": "x", **written}).model_dump()
        except ValidationError:
            continue
        read = {name: parsed[name] for name in ("duration", "resolution")}
        cost = quote(read, gateway="dashscope", model=model)
        assert quote_call(tool, written, Decimal(1)) == cost


@each_row(
    ("args", "told"),
    [
        ({"duration": 7}, "duration: Choose one of: 5, 10 (given: 7)."),
        ({"duration": "long"}, "duration: Choose one of: 5, 10 (given: 'long')."),
        ({"duration": 5.5}, "duration: Choose one of: 5, 10 (given: 5.5)."),
        ({"duration": True}, "duration: Choose one of: 5, 10 (given: True)."),
        ({"resolution": "4k"}, "resolution: Choose one of: 480p, 720p, 1080p (given: '4k')."),
        ({"resolution": "x" * 5000}, f"(given: '{'x' * 59}…)."),
        ({"seed": -1}, "seed: Input should be greater than or equal to 1 (given: -1)."),
        ({"colour": "red"}, "colour: Extra inputs are not permitted (given: 'red')."),
        ({"prompt": None}, "prompt: Field required."),
    ],
)
def test_who_is_still_wrong_is_told_what_was_given_and_what_there_is(args: dict[str, Any], told: str) -> None:
    content = tool_of("nebula", "wan2.5-i2v-preview").invoke({"prompt": "x", **args})
    assert told in content
    assert "Nothing was sent and nothing was spent" in content
    assert len(content) < 300


# --- one row, one schema ---


def test_two_tools_of_one_model_differ_in_the_price_alone() -> None:
    one, other = (tool_of("nebula", "wan2.5-i2v-preview", group_ratio=ratio) for ratio in (1, 2))
    parameters = [convert_to_openai_tool(tool)["function"]["parameters"] for tool in (one, other)]
    assert parameters[0] == parameters[1]
    assert "$0.369 at 720p" in one.description
    assert "$0.738 at 720p" in other.description


# --- helpers ---


def smallest(model: str) -> dict[str, Any]:
    """The arguments that a call cannot do without."""
    return {"prompt": "A boat", "last_image": DOG} if "kf2v" in model else {"prompt": "A boat"}


def samples(gateway: str, model: str) -> list[tuple[str, Any]]:
    """Values that the schema lets through, both ends of those that have ends."""
    page = PAGES[model]
    values: dict[str, list[Any]] = {
        "prompt": ["x"],
        "duration": [*page.seconds],
        "resolution": [*tiers_of(gateway, model)],
        "seed": [1 if gateway == "nebula" else 0, 2147483647, None],
        "image": [CAT, None],
        "last_image": [DOG],
        "reference_images": [[CAT], [CAT] * 4, None],
        "smart_rewrite": [True, False],
        "generate_audio": [True, False],
        "audio_url": ["https://example.com/a.mp3", None],
        "negative_prompt": ["x" * 500, None],
        "watermark": [True, False],
        "template": [*page.effects, None],
        "aspect_ratio": [*PROPORTIONS, None],
    }
    taken = fields_of(gateway, model)
    return [(name, value) for name, found in values.items() if name in taken for value in found]


def fits(schema: type[BaseModel], arguments: dict[str, Any]) -> bool:
    """Whether the schema lets them through."""
    try:
        schema.model_validate(arguments)
    except ValidationError:
        return False
    return True


def completed_from(offer: Offer, arguments: dict[str, Any]) -> None:
    """As the tool does it: through the schema, with the conversation's image where a call has none."""
    parsed = args_schema(offer).model_validate(arguments).model_dump()
    if offer.requires("image") and parsed["image"] is None:
        parsed["image"] = CAT
    if offer.requires("reference_images") and not parsed["reference_images"]:
        parsed["reference_images"] = [CAT]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        offer.complete(build_request(None, {name: value for name, value in parsed.items() if value is not None}))
