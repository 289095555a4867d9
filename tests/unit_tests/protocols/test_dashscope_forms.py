"""DashScope's newest forms: the frames as `media`, and a task list under another name."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from langchain_nebula_video.protocols import PROTOCOLS, Reply, WireRequest
from tests.tables import each_row

FIRST, LAST, SOUND = "https://example.com/cat.jpg", "https://example.com/dog.jpg", "https://example.com/rap.mp3"
NOW = datetime(2026, 11, 27, tzinfo=UTC)
DIRECT = PROTOCOLS["dashscope"]
VIDEO_GENERATION = "/api/v1/services/aigc/video-generation/video-synthesis"


def build(images: dict[str, Any], protocol: str = "dashscope", **fields: Any) -> WireRequest:
    return PROTOCOLS[protocol].build_submit("wan2.7-i2v", fields, images, frames="media")


def inputs(wire: WireRequest) -> Any:
    assert wire.json is not None
    return wire.json["input"]


@each_row("protocol", ["dashscope", "dashscope-passthrough"])
@each_row(
    ("images", "fields", "media"),
    [
        ({"image": FIRST}, {}, [("first_frame", FIRST)]),
        ({"image": FIRST, "last_image": LAST}, {}, [("first_frame", FIRST), ("last_frame", LAST)]),
        ({"image": FIRST}, {"audio_url": SOUND}, [("first_frame", FIRST), ("driving_audio", SOUND)]),
        (
            {"image": FIRST, "last_image": LAST},
            {"audio_url": SOUND},
            [("first_frame", FIRST), ("last_frame", LAST), ("driving_audio", SOUND)],
        ),
    ],
)
def test_frames_and_sound_go_into_the_list_of_media(
    protocol: str, images: dict[str, Any], fields: dict[str, Any], media: list[tuple[str, str]]
) -> None:
    """On the common path, also with a last frame, and in no field of their own."""
    wire = build(images, protocol, prompt="A kitten", **fields)
    assert wire.target == VIDEO_GENERATION
    assert inputs(wire) == {"prompt": "A kitten", "media": [{"type": kind, "url": url} for kind, url in media]}


def test_without_frames_there_is_no_media() -> None:
    """Models that make a video of the prompt alone take no empty list."""
    assert inputs(build({}, prompt="A kitten")) == {"prompt": "A kitten"}


@each_row("field", ["image", "last_image"])
@each_row("url", ["oss://dashscope-instant/A/x.jpg", "OSS://dashscope-instant/A/x.jpg"])
def test_media_in_the_temporary_storage_go_with_the_header_that_resolves_them(field: str, url: str) -> None:
    wire = build({"image": FIRST, field: url}, prompt="A kitten")
    assert wire.headers["X-DashScope-OssResourceResolve"] == "enable"
    assert "oss://dashscope-instant/A/x.jpg" in [each["url"] for each in inputs(wire)["media"]]


def test_media_elsewhere_go_without_that_header() -> None:
    assert "X-DashScope-OssResourceResolve" not in build({"image": FIRST}, audio_url=SOUND).headers


def listed(body: dict[str, Any]) -> Any:
    assert DIRECT.extensions is not None
    return DIRECT.extensions.parse_list(Reply(200, {}, json.dumps(body).encode(), NOW))


ROW = {"task_id": "t1", "model_name": "wan2.7-i2v", "gmt_create": 1762254911000, "request_id": "r1"}


@each_row(
    "lists",
    [
        {"data": [ROW]},
        {"tasks": [ROW]},
        {"data": None, "tasks": [ROW]},
        {"data": [ROW], "tasks": None},
        {"data": [], "tasks": [ROW]},
    ],
)
def test_a_task_list_is_read_under_either_name(lists: dict[str, Any]) -> None:
    """Alibaba's page on asynchronous tasks says `data`; the second version of its SDK reads `tasks`."""
    rows, total = listed({**lists, "total": 1})
    assert total == 1
    assert [(row.task_id, row.model, row.request_id) for row in rows] == [("t1", "wan2.7-i2v", "r1")]


def test_a_row_may_say_its_time_as_a_fetched_task_does() -> None:
    rows, _ = listed({"tasks": [{"task_id": "t1", "submit_time": "2025-11-04 19:15:11.000"}], "total": 1})
    assert rows[0].created_at == datetime(2025, 11, 4, 11, 15, 11, tzinfo=UTC)


def test_an_empty_list_is_one_under_either_name() -> None:
    assert listed({"tasks": [], "total": 0}) == listed({"data": [], "total": 0}) == ([], 0)


def test_a_list_under_another_name_still_has_to_be_whole() -> None:
    assert listed({"tasks": [{"task_id": "t1"}], "total": 1}) is None
    assert listed({"tasks": "t1", "total": 1}) is None
