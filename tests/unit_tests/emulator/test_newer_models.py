"""The emulated DashScope's models of 2026 against the vendor's pages: lists of media, sound, watermarks, usage."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import chain, combinations
from typing import Any

import httpx
import pytest
from PIL import Image

from langchain_nebula_video.emulator import Clock, Emulator, Region
from langchain_nebula_video.emulator.dialects.dashscope_families import DASHSCOPE_MODELS
from tests.tables import each_row

START, LONGEST = 1_762_254_911.0, 300.0
SUBMIT = "/api/v1/services/aigc/video-generation/video-synthesis"
CAT, DOG, SONG = "https://example.com/cat.jpg", "https://example.com/dog.jpg", "https://example.com/song.mp3"
URLS = {"first_frame": CAT, "last_frame": DOG, "driving_audio": SONG, "first_clip": "https://example.com/clip.mp4"}
FRAME = {"media": [{"type": "first_frame", "url": CAT}]}
FIELD = {"img_url": CAT}
# The frames as each model takes them.
LEAST: dict[str, dict[str, Any]] = {
    "wan2.6-i2v": FIELD,
    "wan2.6-i2v-flash": FIELD,
    "wan2.7-i2v": FRAME,
    "wan2.7-i2v-2026-04-25": FRAME,
    "wan3.0-video": FRAME,
    "wan3.0-video-prime": FRAME,
    "happyhorse-1.0-i2v": FRAME,
    "happyhorse-1.1-i2v": FRAME,
}
each_model = each_row("model", list(LEAST))


@pytest.fixture
def emulator() -> Emulator:
    emulator = Emulator(clock=Clock(START, running=False))
    for region in Region:
        emulator.add_account(f"sk-{region}", region=region, name=region)
    return emulator


@asynccontextmanager
async def connected(emulator: Emulator, region: Region = Region.BEIJING) -> AsyncIterator[httpx.AsyncClient]:
    prefix = "" if region is Region.BEIJING else f"/{region}"
    headers = {"Authorization": f"Bearer sk-{region}", "X-DashScope-Async": "enable"}
    transport = httpx.ASGITransport(app=emulator.app)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://127.0.0.1{prefix}", headers=headers) as http:
        yield http


@pytest.fixture
async def http(emulator: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    async with connected(emulator) as client:
        yield client


async def post(http: httpx.AsyncClient, model: str, inputs: dict[str, Any] | None = None, **parameters: Any) -> Any:
    given = {"prompt": "a cat runs", **(LEAST.get(model, FIELD) if inputs is None else inputs)}
    return await http.post(SUBMIT, json={"model": model, "input": given, "parameters": {"seed": 7, **parameters}})


async def spec_of(http: httpx.AsyncClient, emulator: Emulator, *args: Any, **parameters: Any) -> Any:
    answer = await post(http, *args, **parameters)
    assert answer.status_code == 200, answer.text
    return emulator._state.engine.find(answer.json()["output"]["task_id"])[0].spec


async def refused(http: httpx.AsyncClient, told: str, *args: Any, **parameters: Any) -> None:
    answer = await post(http, *args, **parameters)
    assert (answer.status_code, answer.json()["code"].partition(".")[0]) == (400, "InvalidParameter"), answer.text
    assert told in answer.json()["message"]


# --- what is there ---


def test_each_region_has_the_models_of_its_page() -> None:
    newer = {
        region: {name for name in models if name in LEAST or "-us" in name}
        for region, models in DASHSCOPE_MODELS.items()
    }
    wan3 = {"wan3.0-video", "wan3.0-video-prime"}
    assert newer == {
        Region.BEIJING: {*LEAST},
        Region.SINGAPORE: {*LEAST},
        Region.VIRGINIA: {"wan2.6-i2v-us", "happyhorse-1.0-i2v", *wan3},
        Region.FRANKFURT: {"wan2.6-i2v", "happyhorse-1.0-i2v"},
        Region.HONG_KONG: wan3,
    }


@each_row(
    ("model", "seconds"),
    [
        ("wan2.6-i2v", range(2, 16)),
        ("wan2.6-i2v-flash", range(2, 16)),
        ("wan2.7-i2v", range(2, 16)),
        ("wan3.0-video", [*range(2, 31), -1]),
        ("happyhorse-1.1-i2v", range(3, 16)),
    ],
)
async def test_durations_are_the_pages(
    http: httpx.AsyncClient, emulator: Emulator, model: str, seconds: range | list[int]
) -> None:
    """-1 is "as fits": here it is 5."""
    for duration in seconds:
        assert (await spec_of(http, emulator, model, duration=duration)).seconds == (5 if duration < 0 else duration)
    for duration in {-1, 0, 1, 2, 16, 31} - {*seconds}:
        await refused(http, "parameters.duration", model, duration=duration)


@each_model
async def test_the_vendor_s_defaults_are_the_dearest(http: httpx.AsyncClient, emulator: Emulator, model: str) -> None:
    """1080P, with sound; the prompt is rewritten, but for HappyHorse, which marks the video."""
    spec = await spec_of(http, emulator, model)
    happyhorse = model.startswith("happyhorse")
    assert (spec.resolution, spec.seconds, spec.generate_audio) == ("1080P", 5, True)
    assert spec.watermark is happyhorse
    assert (spec.actual_prompt is None) is happyhorse


@each_model
async def test_sound_goes_off_where_there_is_a_switch(http: httpx.AsyncClient, emulator: Emulator, model: str) -> None:
    """Elsewhere the parameter has no effect."""
    switch = model == "wan2.6-i2v-flash" or model.startswith("wan3.0")
    assert (await spec_of(http, emulator, model, audio=False)).generate_audio is not switch


async def test_watermarks_go_off(http: httpx.AsyncClient, emulator: Emulator) -> None:
    assert not (await spec_of(http, emulator, "happyhorse-1.0-i2v", watermark=False)).watermark


# --- media ---

COMBINATIONS: dict[str, list[tuple[str, ...]]] = {
    "wan2.7-i2v": [("first_frame",), ("first_frame", "last_frame"), ("first_frame", "driving_audio"),
                   ("first_frame", "last_frame", "driving_audio")],
    "wan3.0-video": [(), ("first_frame",), ("first_frame", "last_frame")],
    "happyhorse-1.1-i2v": [("first_frame",)],
}  # fmt: skip


@each_row("model", list(COMBINATIONS))
async def test_media_are_one_of_the_page_s_combinations(
    http: httpx.AsyncClient, emulator: Emulator, model: str
) -> None:
    """Clips are not played: a task's bill would depend on their length."""
    every: Iterator[tuple[str, ...]] = chain.from_iterable(combinations(URLS, n) for n in range(len(URLS) + 1))
    for types in every:
        inputs = {"media": [{"type": kind, "url": URLS[kind]} for kind in reversed(types)]}
        if types in COMBINATIONS[model]:
            spec = await spec_of(http, emulator, model, inputs)
            found = (spec.image is not None, spec.last_image is not None, spec.audio is not None)
            assert found == ("first_frame" in types, "last_frame" in types, "driving_audio" in types)
        else:
            await refused(http, "input.media must be one of: ", model, inputs)


async def test_frames_stay_in_their_place_whatever_their_order(http: httpx.AsyncClient, emulator: Emulator) -> None:
    media = [{"type": "last_frame", "url": DOG}, {"type": "first_frame", "url": CAT}]
    one = await spec_of(http, emulator, "wan2.7-i2v", {"media": media})
    other = await spec_of(http, emulator, "wan2.7-i2v", {"media": media[::-1]})
    assert (one.image, one.last_image) == (other.image, other.last_image)
    assert one.image != one.last_image


@each_row(
    ("media", "told"),
    [
        ([{"type": "first_frame", "url": CAT}] * 2, "more than one first_frame"),
        ([{"type": "first_frame"}], "input.media.url is required"),
        ([{"url": CAT}], "input.media.type is required"),
        ([{"type": "first_frame", "url": 7}], "input.media.url must be a string"),
        ([CAT], "must be an array of objects"),
        (CAT, "input.media must be an array"),
        ([{"type": "first_frame", "url": "ftp://example.com/cat.jpg"}], "url error"),
        ([{"type": "picture", "url": CAT}], "input.media must be one of"),
    ],
)
async def test_media_that_cannot_be_read_are_refused(http: httpx.AsyncClient, media: Any, told: str) -> None:
    await refused(http, told, "wan2.7-i2v", {"media": media})


@each_row("model", [name for name, least in LEAST.items() if least is FRAME and "wan3" not in name])
async def test_a_field_of_its_own_is_no_first_frame_for_them(http: httpx.AsyncClient, model: str) -> None:
    await refused(http, "input.media must be one of", model, FIELD)


async def test_a_video_needs_a_prompt_or_a_frame(http: httpx.AsyncClient, emulator: Emulator) -> None:
    await refused(http, "input.prompt or input.media", "wan3.0-video", {"prompt": ""})
    assert (await spec_of(http, emulator, "wan3.0-video", {**FRAME, "prompt": ""})).image is not None


@each_row(
    ("ratio", "proportion"), [(None, 16 / 9), ("adaptive", 16 / 9), ("16:9", 16 / 9), ("9:16", 9 / 16), ("1:1", 1.0)]
)
async def test_a_ratio_counts_where_no_image_does(
    http: httpx.AsyncClient, emulator: Emulator, ratio: str | None, proportion: float
) -> None:
    given = {} if ratio is None else {"ratio": ratio}
    alone = await spec_of(http, emulator, "wan3.0-video", {}, **given)
    assert (alone.image, alone.aspect_ratio) == (None, pytest.approx(proportion))
    assert (await spec_of(http, emulator, "wan3.0-video", FRAME, **given)).aspect_ratio is None


async def test_values_that_a_model_does_not_have_are_refused_or_ignored(
    http: httpx.AsyncClient, emulator: Emulator
) -> None:
    await refused(http, "parameters.ratio must be one of", "wan3.0-video", ratio="2:1")
    await refused(http, "parameters.shot_type must be one of", "wan2.6-i2v", shot_type="triple")
    await refused(http, "multi needs parameters.prompt_extend", "wan2.6-i2v", shot_type="multi", prompt_extend=False)
    await refused(http, "seed must be between 0", "wan2.7-i2v", seed=-1)
    for model, parameters in (
        ("wan2.6-i2v", {"shot_type": "multi"}),
        ("wan2.7-i2v", {"shot_type": "triple", "ratio": "2:1"}),
        ("wan3.0-video", {"seed": -1}),
    ):
        await spec_of(http, emulator, model, **parameters)


@each_row(("model", "limit"), [("wan2.6-i2v", 1500), ("wan2.7-i2v", 5000), ("wan3.0-video", 20_000)])
async def test_a_longer_prompt_is_cut_off(http: httpx.AsyncClient, emulator: Emulator, model: str, limit: int) -> None:
    for letter in "x猫":
        spec = await spec_of(http, emulator, model, {**LEAST[model], "prompt": letter * (limit + 9)})
        assert spec.prompt == letter * limit


async def test_of_happyhorse_s_prompt_a_chinese_character_counts_twice(
    http: httpx.AsyncClient, emulator: Emulator
) -> None:
    for prompt, kept in (("x" * 5001, 5000), ("猫" * 2501, 2500), ("x" + "猫" * 2500, 2500)):
        spec = await spec_of(http, emulator, "happyhorse-1.1-i2v", {**FRAME, "prompt": prompt})
        assert len(spec.prompt) == kept


# --- images ---


@functools.cache
def picture(width: int, height: int, form: str = "JPEG", mode: str = "RGB") -> str:
    out = io.BytesIO()
    Image.new(mode, (width, height), 0).save(out, form)
    return f"data:image/{form.lower()};base64,{base64.b64encode(out.getvalue()).decode()}"


def sizes() -> Iterator[tuple[str, tuple[int, int], str | None]]:
    """Model, size, and what a refusal says of it."""
    small = "each side must have {} pixels"
    for model, low, high in (("wan2.6-i2v", 360, 2000), ("wan2.7-i2v", 240, 8000)):
        told = small.format(f"{low} to {high}")
        yield from ((model, (low, low), None), (model, (low - 1, low), told), (model, (high + 1, high // 4), told))
    yield "wan2.6-i2v", (2000, 360), None
    yield "wan2.7-i2v", (1920, 240), None
    yield "wan2.7-i2v", (240, 1921), "one side must be at most 8 times the other"
    yield "wan3.0-video", (240, 1921), None
    yield "happyhorse-1.1-i2v", (300, 750), None
    yield "happyhorse-1.1-i2v", (299, 300), small.format("at least 300")
    yield "happyhorse-1.1-i2v", (751, 300), "one side must be at most 2.5 times the other"


@each_row(("model", "size", "told"), list(sizes()))
async def test_sides_and_proportions_are_the_pages(
    http: httpx.AsyncClient, emulator: Emulator, model: str, size: tuple[int, int], told: str | None
) -> None:
    least = LEAST[model]
    image = picture(*size)
    inputs = {"img_url": image} if least is FIELD else {"media": [{"type": "first_frame", "url": image}]}
    if told:
        await refused(http, told, model, inputs)
        return
    spec = await spec_of(http, emulator, model, inputs)
    recorded = spec.request["input"]
    sent = recorded["img_url"] if least is FIELD else recorded["media"][0]["url"]
    assert sent == f"data:image/jpeg;base64,sha256:{spec.image.digest}"


async def test_happyhorse_reads_no_bmp(http: httpx.AsyncClient, emulator: Emulator) -> None:
    media = {"media": [{"type": "first_frame", "url": picture(400, 400, "BMP")}]}
    await refused(http, "format", "happyhorse-1.0-i2v", media)
    assert (await spec_of(http, emulator, "wan2.7-i2v", media)).image is not None


# --- usage and money ---


@each_row("region", [Region.BEIJING, Region.SINGAPORE])
@each_model
async def test_the_bill_is_the_page_s_price_with_sound_and_without(
    emulator: Emulator, region: Region, model: str
) -> None:
    row = DASHSCOPE_MODELS[region][model].model
    async with connected(emulator, region) as http:
        for resolution in row.prices:
            for audio in (True, False):
                spec = await spec_of(http, emulator, model, resolution=resolution, audio=audio, duration=3)
                emulator.clock.advance(LONGEST)
                line = emulator.bill.lines[-1]
                each = row.prices[resolution]
                each = each if spec.generate_audio else row.silent_prices.get(resolution, each)
                assert (line.amount, line.price, line.currency) == (3 * each, each, row.currency)


def test_only_flash_costs_less_without_sound() -> None:
    cheaper = {
        (region, name): row.model.silent_prices
        for region, models in DASHSCOPE_MODELS.items()
        for name, row in models.items()
        if row.model.silent_prices
    }
    assert cheaper == {
        (Region.BEIJING, "wan2.6-i2v-flash"): {"720P": Decimal("0.15"), "1080P": Decimal("0.25")},
        (Region.SINGAPORE, "wan2.6-i2v-flash"): {"720P": Decimal("0.025"), "1080P": Decimal("0.0375")},
    }


async def test_a_sound_of_one_s_own_is_sound(http: httpx.AsyncClient, emulator: Emulator) -> None:
    await spec_of(http, emulator, "wan2.6-i2v-flash", {**FIELD, "audio_url": SONG}, audio=False, resolution="720P")
    emulator.clock.advance(LONGEST)
    assert emulator.bill.cny == Decimal("1.50")


@each_row(("model", "fps"), [("wan2.6-i2v", 30), ("wan2.7-i2v", 30), ("wan3.0-video", 30), ("happyhorse-1.0-i2v", 24)])
async def test_usage_is_the_newer_one(http: httpx.AsyncClient, emulator: Emulator, model: str, fps: int) -> None:
    """Input and output are told apart, in whole seconds."""
    answer = await post(http, model, resolution="720P", duration=4)
    emulator.clock.advance(LONGEST)
    body = (await http.get(f"/api/v1/tasks/{answer.json()['output']['task_id']}")).json()
    usage = body["usage"]
    assert usage == {
        "duration": 4, "input_video_duration": 0, "output_video_duration": 4, "video_count": 1, "SR": 720,
        "fps": fps, "audio": True,
    }  # fmt: skip
    assert isinstance(usage["duration"], int)


async def test_submits_a_second_are_the_limits_page_s(emulator: Emulator) -> None:
    """Five for Wan, ten for HappyHorse."""
    limited = Emulator(clock=Clock(START, running=False), documented_limits=True)
    limited.add_account("sk-beijing", region="beijing")
    async with connected(limited) as http:
        for model, most in (("wan2.7-i2v", 5), ("happyhorse-1.1-i2v", 10)):
            answers = [(await post(http, model)).status_code for _ in range(most + 1)]
            assert answers == [200] * most + [429]


async def test_the_list_may_have_another_name() -> None:
    """As version 2 of the vendor's SDK reads it."""
    emulator = Emulator(clock=Clock(START, running=False), dashscope_list_field="tasks")
    emulator.add_account("sk-beijing", region="beijing")
    async with connected(emulator) as http:
        await post(http, "wan2.7-i2v")
        body = (await http.get("/api/v1/tasks/")).json()
    assert ([row["model_name"] for row in body["tasks"]], body["total"]) == (["wan2.7-i2v"], 1)
    assert "data" not in body
    with pytest.raises(ValueError, match="data or tasks, not rows"):
        Emulator(dashscope_list_field="rows")
