"""What a client reads of the tools' arguments, and how its own are read."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_nebula_video.catalog.gateways import find_gateway
from langchain_nebula_video.catalog.models import MODELS
from langchain_nebula_video.catalog.offers import find_offer
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.mcp.arguments import (
    GetArguments,
    json_schema,
    parse,
    quote_schema,
    video_arguments,
    video_schema,
)
from tests.tables import each_row

OFFER = find_offer("wan2.5-i2v-preview", find_gateway("nebula"))
ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}
EVERY_OFFER = [find_offer(name, find_gateway(gateway)) for name, row in MODELS.items() for gateway in row.prices]


def test_an_image_that_the_model_needs_is_required() -> None:
    assert video_schema(OFFER, files=False)["required"] == ["prompt", "image"]


def test_no_field_of_any_model_speaks_of_a_conversation_or_has_a_null() -> None:
    for offer in EVERY_OFFER:
        shown = str([video_schema(offer, files=True), json_schema(quote_schema(offer))])
        assert "conversation" not in shown, offer.model.name
        assert "null" not in shown, offer.model.name
        assert "None" not in shown, offer.model.name
        assert "runtime" not in shown, offer.model.name


def test_every_field_has_a_type_and_a_description() -> None:
    for offer in EVERY_OFFER:
        for name, field in video_schema(offer, files=True)["properties"].items():
            assert field["type"], (offer.model.name, name)
            assert field["description"], (offer.model.name, name)


def test_files_are_offered_only_where_there_is_a_folder() -> None:
    described = {
        files: video_schema(OFFER, files=files)["properties"]["image"]["description"] for files in (True, False)
    }
    assert "resource://" in described[True]
    assert "file" not in described[False]


@each_row(
    "more",
    [{"seed": None}, {"audio_url": ""}, {"audio_url": "none"}, {"resolution": ""}],
)
def test_what_a_model_writes_for_nothing_is_left_out(more: dict[str, Any]) -> None:
    assert parse(video_arguments(OFFER), {**ASK, **more}) == ASK


def test_an_image_of_none_is_no_image() -> None:
    offer = find_offer("viduq3t-720p", find_gateway("uniall"))
    assert parse(video_arguments(offer), {"prompt": "A coast", "image": "none"}) == {"prompt": "A coast"}


@each_row(
    ("given", "said"),
    [
        ({"prompt": "x"}, "image: Field required"),
        ({**ASK, "duration": 7}, "duration: Choose one of: 5, 10"),
        ({**ASK, "secret": 1}, "secret: Extra inputs are not permitted"),
        ({**ASK, "image": ["a"]}, "image: "),
    ],
)
def test_what_is_not_valid_is_refused_before_anything_is_sent(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        parse(video_arguments(OFFER), given)
    assert said in str(refused.value)
    assert str(refused.value).endswith("Nothing was sent and nothing was spent. Correct the arguments and call again.")


def test_a_task_id_may_be_a_number_and_a_wait_is_bounded() -> None:
    assert parse(GetArguments, {"task_id": 17}) == {"task_id": "17"}
    with pytest.raises(InvalidRequestError, match="wait_seconds"):
        parse(GetArguments, {"task_id": "17", "wait_seconds": 901})
