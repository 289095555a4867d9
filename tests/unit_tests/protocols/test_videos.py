"""What stock new-api and the servers of `/v1/videos` are sent, and what LiteLLM alone says and cannot do."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from langchain_nebula_video import InvalidRequestError
from langchain_nebula_video.protocols import PROTOCOLS, Reply, WireRequest
from tests.conftest import jpeg
from tests.tables import each_row

CAT = "https://example.com/cat.jpg"
DOG = "https://example.com/dog.jpg"
SONG = "https://example.com/song.mp3"
WAN: dict[str, Any] = {
    "prompt": "A kitten",
    "duration": 10,
    "resolution": "480p",
    "smart_rewrite": False,
    "generate_audio": False,
    "audio_url": None,
    "seed": 0,
    "negative_prompt": "flowers",
    "watermark": False,
}


def build(
    protocol: str, fields: dict[str, Any], model: str = "wan2.7-i2v", *, frames: Any = "fields", **images: str
) -> WireRequest:
    wire = PROTOCOLS[protocol].build_submit(model, fields, images, frames=frames)
    assert (wire.method, wire.paid) == ("POST", True)
    return wire


def data_uri(data: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


# --- stock new-api ---


def test_stock_new_api_reads_few_fields_and_takes_the_others_from_the_vendor_s_own_names() -> None:
    wire = build("newapi", {**WAN, "audio_url": SONG, "template": "flying"}, image=CAT)
    assert wire.target == "/v1/video/generations"
    assert wire.json == {
        "model": "wan2.7-i2v",
        "prompt": "A kitten",
        "image": CAT,
        "size": "480P",
        "duration": 10,
        "metadata": {
            "input": {"negative_prompt": "flowers", "audio_url": SONG, "template": "flying"},
            "parameters": {"prompt_extend": False, "audio": False, "watermark": False, "seed": 0},
        },
    }


@each_row("frames", ["fields", "media"])
def test_stock_new_api_takes_the_last_frame_as_the_second_image(frames: Any) -> None:
    body = build("newapi", {"prompt": "x"}, frames=frames, image=CAT, last_image=DOG).json
    assert body is not None
    assert (body["image"], body["images"]) == (CAT, [CAT, DOG])


# --- /v1/videos ---


def test_litellm_is_told_duration_and_resolution_and_not_to_send_anything_twice() -> None:
    wire = build("videos-litellm", WAN, image=CAT)
    assert wire.target == "/v1/videos"
    assert wire.json == {
        "model": "wan2.7-i2v",
        "prompt": "A kitten",
        "num_retries": 0,
        "disable_fallbacks": True,
        "duration": 10,
        "resolution": "480P",
        "input_reference": CAT,
        "prompt_extend": False,
        "audio": False,
        "watermark": False,
        "seed": 0,
        "negative_prompt": "flowers",
    }


@each_row(
    ("images", "fields", "media"),
    [
        ({"last_image": DOG}, {}, ["first_frame", "last_frame"]),
        ({}, {"audio_url": SONG}, ["first_frame", "driving_audio"]),
        ({"last_image": DOG}, {"audio_url": SONG}, ["first_frame", "last_frame", "driving_audio"]),
    ],
)
def test_litellm_gets_a_last_frame_and_a_sound_as_media(
    images: dict[str, str], fields: dict[str, Any], media: list[str]
) -> None:
    body = build("videos-litellm", {"prompt": "x", **fields}, frames="media", image=CAT, **images).json
    assert body is not None
    assert [part["type"] for part in body["media"]] == media
    assert body["media"][0]["url"] == CAT
    assert not {"input_reference", "audio_url"} & body.keys()


def test_models_with_fields_of_their_own_get_a_sound_as_a_field_at_litellm() -> None:
    body = build("videos-litellm", {"prompt": "x", "audio_url": SONG}, image=CAT).json
    assert body is not None
    assert (body["input_reference"], body["audio_url"]) == (CAT, SONG)


def test_text_alone_is_a_submit_without_an_image() -> None:
    for protocol in ("videos-litellm", "videos-newapi", "newapi"):
        body = build(protocol, {"prompt": "x"}, frames="media").json
        assert body is not None
        assert not {"media", "image", "images", "input_reference"} & body.keys()


def test_new_api_with_plugins_takes_the_vendor_s_fields_and_a_list_of_images() -> None:
    wire = build("videos-newapi", {**WAN, "template": "flying"}, frames="media", image=CAT, last_image=DOG)
    assert wire.json == {
        "model": "wan2.7-i2v",
        "prompt": "A kitten",
        "duration": 10,
        "resolution": "480P",
        "images": [CAT, DOG],
        "prompt_extend": False,
        "audio": False,
        "watermark": False,
        "seed": 0,
        "negative_prompt": "flowers",
        "template": "flying",
    }


OPEN: dict[str, Any] = {"prompt": "A kitten", "duration": 5, "resolution": "480p", "seed": 0, "negative_prompt": None}


@each_row("protocol", ["videos-sglang", "videos-vllm-omni"])
def test_servers_of_open_models_get_the_image_as_a_file_and_a_size_of_its_shape(protocol: str) -> None:
    tall = jpeg(480, 832)
    wire = build(protocol, OPEN, "Wan-AI/Wan2.2-I2V-A14B-Diffusers", image=data_uri(tall))
    assert (wire.target, wire.json) == ("/v1/videos", None)
    assert wire.form == {
        "model": "Wan-AI/Wan2.2-I2V-A14B-Diffusers",
        "prompt": "A kitten",
        "seconds": "5",
        "size": "480x832",
        "seed": "0",
    }
    assert (wire.file, wire.file_field) == (("image.jpeg", tall, "image/jpeg"), "input_reference")


@each_row(
    ("sides", "size"),
    [((832, 480), "832x480"), ((1000, 1000), "624x624"), ((4000, 3000), "736x544"), ((2000, 100), "2832x144")],
)
def test_a_size_has_the_pixels_of_its_tier_and_sides_of_sixteen(sides: tuple[int, int], size: str) -> None:
    form = build("videos-vllm-omni", OPEN, image=data_uri(jpeg(*sides))).form
    assert form is not None
    assert form["size"] == size


def test_sglang_is_given_the_url_of_an_image_in_a_field_of_its_own() -> None:
    wire = build("videos-sglang", OPEN, image=CAT)
    assert wire.form is not None
    assert (wire.form["reference_url"], wire.form["size"], wire.file) == (CAT, "832x480", None)


# --- what LiteLLM alone says ---


def litellm_id(group: str, vendor: str, **more: str) -> str:
    parts = {"custom_llm_provider": "dashscope", "model_id": group, "video_id": vendor, **more}
    text = "litellm:" + ";".join(f"{name}:{value}" for name, value in parts.items())
    return f"video_{base64.b64encode(text.encode()).decode()}"


def answered(task_id: str, **headers: str) -> Reply:
    body = json.dumps({"id": task_id, "object": "video", "status": "queued"}).encode()
    return Reply(200, {f"x-litellm-{name}".replace("_", "-"): value for name, value in headers.items()}, body, NOW)


NOW = datetime(2026, 11, 27, tzinfo=UTC)
LITELLM = PROTOCOLS["videos-litellm"]


@each_row(
    ("headers", "told"),
    [
        ({}, None),
        ({"attempted_retries": "0", "attempted_fallbacks": "0"}, None),
        ({"attempted_retries": "2"}, "(2 retries)"),
        ({"attempted_fallbacks": "1"}, "(1 fallbacks)"),
        ({"attempted_retries": "1", "attempted_fallbacks": "1"}, "(1 retries and 1 fallbacks)"),
    ],
)
def test_a_submit_that_the_proxy_repeated_comes_with_a_warning(headers: dict[str, str], told: str | None) -> None:
    submission = LITELLM.parse_submit(answered(litellm_id("wan2.7-i2v", "v-1"), **headers))
    assert submission is not None
    assert (submission.warning is None) is (told is None)
    assert told is None or (told in str(submission.warning) and "second paid task" in str(submission.warning))


def test_an_id_with_a_slash_is_told_at_once_with_the_vendor_s_own_id() -> None:
    task_id = litellm_id("a?b?c?", "ae8eb420-8aa6")
    assert "/" in task_id
    submission = LITELLM.parse_submit(answered(task_id))
    assert submission is not None
    assert "ae8eb420-8aa6" in str(submission.warning)
    assert "dashscope" in str(submission.warning)


@each_row("name", ["what?", "万相", "é"])
def test_a_name_of_which_an_id_may_get_a_slash_is_refused_before_paying(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="slash") as caught:
        build("videos-litellm", {"prompt": "x"}, name, image=CAT)
    assert "ASCII" in caught.value.hint


def test_no_name_of_harmless_characters_gives_an_id_a_slash() -> None:
    harmless = "".join(chr(code) for code in range(32, 127) if chr(code) != "?")
    for shift in range(3):
        assert "/" not in litellm_id("x" * shift + harmless, "v-1")


@each_row(
    ("answer", "other"),
    [
        (litellm_id("wan2.7-i2v", "v-1", deployment_id="82b0"), False),
        (litellm_id("wan2.7-i2v", "v-1"), False),
        (litellm_id("wan2.7-i2v", "v-2"), True),
        ("something else", True),
    ],
)
def test_an_answer_is_about_the_task_with_the_same_id_at_the_vendor(answer: str, other: bool) -> None:
    asked = litellm_id("wan2.7-i2v", "v-1")
    assert LITELLM.names_other_task(answered(answer), asked) is other
    assert LITELLM.names_other_task(answered(answer), asked.rstrip("=")) is other


def test_other_servers_warn_of_nothing() -> None:
    headers = {"x-litellm-attempted-retries": "2"}
    submission = PROTOCOLS["videos-newapi"].parse_submit(replace(answered("task_1"), headers=headers))
    assert submission is not None
    assert submission.warning is None
