"""What a type checker lets through and what not: mypy reads this file (`make lint`), and pytest runs it.

Each `type: ignore` says what is refused; one that is not needed is an error of its own.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any, assert_type, get_type_hints

import pytest
from PIL import Image
from pydantic import SecretStr

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    Budget,
    Cost,
    InvalidRequestError,
    NebulaVideoClient,
    NebulaVideoRunnable,
    NebulaVideoTool,
    Video,
    VideoProgress,
    VideoRequest,
    quote,
)
from langchain_nebula_video.fleet import Fleet
from langchain_nebula_video.langchain.runnable import RunnableOptions
from langchain_nebula_video.langchain.tool_base import ToolOptions
from langchain_nebula_video.schema import RequestFields, VideoFields
from tests.tables import each_row


def test_a_key_is_a_plain_text_or_a_secret_at_every_door() -> None:
    NebulaVideoClient(api_key="sk-x")
    NebulaVideoClient(api_key=SecretStr("sk-x"))
    AsyncNebulaVideoClient(api_key="sk-x")
    tool = NebulaVideoTool(api_key="sk-x")
    runnable = NebulaVideoRunnable(api_key="sk-x")
    for made in (tool, runnable, NebulaVideoTool(api_key=SecretStr("sk-x"))):
        assert_type(made.api_key, SecretStr | None)
        assert made.resolve_api_key().get_secret_value() == "sk-x"
        assert "sk-x" not in repr(made)


def test_whatever_form_an_option_may_have_is_taken_by_tool_and_runnable_too() -> None:
    tool = NebulaVideoTool(api_key="sk-x", budget="5.00", group_ratio="1.5", image_folder="images", model=None)
    runnable = NebulaVideoRunnable(api_key="sk-x", budget=5, download_hosts=["files.example.com"], prompt="A boat")
    assert assert_type(tool.budget, Budget | None) == assert_type(runnable.budget, Budget | None) == Budget(5)
    assert assert_type(tool.group_ratio, Decimal) == Decimal("1.5")
    assert assert_type(tool.image_folder, Path | None) == Path("images")
    assert assert_type(runnable.download_hosts, tuple[str, ...]) == ("files.example.com",)


@each_row("door", [NebulaVideoTool, NebulaVideoRunnable])
def test_an_option_that_there_is_not_is_refused_in_the_editor_and_here(door: Any) -> None:
    with pytest.raises(InvalidRequestError, match="is no option here"):
        door(api_key="sk-x", colour="red")


def test_a_stream_is_of_progress_and_of_the_video() -> None:
    blocking, asynchronous = NebulaVideoClient(api_key="sk-x"), AsyncNebulaVideoClient(api_key="sk-x")
    assert_type(blocking.stream(prompt="A cat"), Generator[VideoProgress | Video, None, None])
    assert_type(asynchronous.watch("task-1"), AsyncGenerator[VideoProgress | Video, None])
    with pytest.raises(InvalidRequestError):
        blocking.stream(promt="A cat")  # type: ignore[call-arg]


def test_what_cannot_be_is_refused_in_the_editor_already() -> None:
    with pytest.raises(InvalidRequestError, match="colour: is no option here"):
        NebulaVideoTool(api_key="sk-x", colour="red")  # type: ignore[call-arg]
    with pytest.raises(InvalidRequestError, match="colour: is no option here"):
        NebulaVideoRunnable(api_key="sk-x", colour="red")  # type: ignore[call-arg]
    with pytest.raises(InvalidRequestError, match="api_key"):
        NebulaVideoTool(api_key=7)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match="duration"):
        NebulaVideoRunnable(api_key="sk-x", duration="long")  # type: ignore[arg-type]


def test_the_keywords_that_a_type_checker_knows_are_those_that_there_are() -> None:
    made_here = {"args_schema"}  # from the model's row, whatever a caller gives
    assert set(get_type_hints(ToolOptions)) >= set(NebulaVideoTool.model_fields) - made_here
    assert set(get_type_hints(RunnableOptions)) == set(NebulaVideoRunnable.model_fields)


async def test_an_option_of_a_batch_that_there_is_not_is_refused_in_the_editor_and_here() -> None:
    fleet = Fleet("postgresql://nebula@db/videos")
    with pytest.raises(InvalidRequestError, match="Did you mean save_to"):
        await fleet.submit_many([], batch="cats", save_too="videos")  # type: ignore[call-arg]
    with pytest.raises(InvalidRequestError, match="Give it to the workers"):
        await fleet.submit_many([], batch="cats", journal="x.db")  # type: ignore[call-arg]
    with pytest.raises(InvalidRequestError, match="no list of rows"):
        await fleet.submit_many(7, batch="cats", api_key="sk-x")  # type: ignore[arg-type]


# --- the fields of a request ---

WIDER: dict[str, Any] = {"reference_images": list[Any] | tuple[Any, ...], "resolution": str | int | None}
"""Fields that also accept what `VideoRequest` converts."""


def test_the_typed_fields_are_the_fields_of_a_request() -> None:
    fields = {name: field.annotation for name, field in VideoRequest.model_fields.items()}
    assert get_type_hints(RequestFields) == {**fields, **WIDER}
    assert set(get_type_hints(VideoFields)) == set(fields) - {"model"}
    assert RequestFields.__required_keys__ == frozenset()


def test_a_field_that_also_accepts_another_type_converts_it() -> None:
    given: RequestFields = {"resolution": 720, "reference_images": [b"..."]}
    kept = VideoRequest.model_validate(given)
    assert (kept.resolution, kept.reference_images) == ("720p", (b"...",))


def test_every_documented_form_of_a_request_passes_the_type_checker() -> None:
    client, pil_image = NebulaVideoClient(api_key="sk-x"), Image.new("RGB", (400, 400))
    forms: list[Any] = ["https://example.com/cat.jpg", b"...", Path("cat.jpg"), pil_image]
    fields: RequestFields = {"prompt": "A cat", "image": b"...", "duration": 10}
    plain: dict[str, Any] = {**fields}
    costs = [
        *(client.quote(prompt="A cat", image=image, duration=10, resolution=720, seed=None) for image in forms),
        client.quote(prompt="A cat", image=b"...", duration=10),
        client.quote(prompt="A cat", image=Path("cat.jpg"), duration=10, resolution="720p"),
        client.quote(prompt="A cat", image=pil_image, duration=10, model="wan2.5-i2v-preview"),
        client.quote(fields),
        client.quote(plain),
        client.quote(**fields),
        client.quote(**plain),
        client.quote(VideoRequest(prompt="A cat"), duration=10),
        quote(fields, model="wan2.5-i2v-preview"),
        quote(model="wan2.5-i2v-preview", duration=10, resolution=720),
    ]
    assert_type(costs, list[Cost])
    assert {cost.seconds for cost in costs} == {10}


def refuses_promt() -> AbstractContextManager[Any]:
    return pytest.raises(InvalidRequestError, match=r"promt: Extra inputs are not permitted.* Did you mean prompt\?")


async def test_an_unknown_field_is_refused_by_the_type_checker_and_when_called() -> None:
    client, async_client = NebulaVideoClient(api_key="sk-x"), AsyncNebulaVideoClient(api_key="sk-x")
    with refuses_promt():
        client.generate(promt="A cat")  # type: ignore[call-arg]
    with refuses_promt():
        client.submit(promt="A cat")  # type: ignore[call-arg]
    with refuses_promt():
        client.quote(promt="A cat")  # type: ignore[call-arg]
    with refuses_promt():
        await async_client.generate(promt="A cat")  # type: ignore[call-arg]
    with refuses_promt():
        await async_client.submit(promt="A cat")  # type: ignore[call-arg]
    with refuses_promt():
        async_client.quote(promt="A cat")  # type: ignore[call-arg]
    with refuses_promt():
        quote(promt="A cat")  # type: ignore[call-arg]


def test_a_field_of_the_wrong_type_is_refused_by_the_type_checker_and_when_called() -> None:
    client = NebulaVideoClient(api_key="sk-x")
    with pytest.raises(InvalidRequestError, match="duration"):
        client.generate(duration="long")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match="audio_url"):
        client.submit(audio_url=7)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match="reference_images"):
        quote(reference_images="cat.jpg")  # type: ignore[arg-type]
