"""What a graph of videos tells Studio, servers and MCP clients about its input and its output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter
from typing_extensions import TypedDict

from langchain_nebula_video import InvalidRequestError, NebulaVideoClient, VideoRequest
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.catalog.offers import offers
from langchain_nebula_video.graph import VideoState, video_graph
from langchain_nebula_video.langchain.graph_schemas import row_schemas
from tests.tables import each_row


class Wish(TypedDict):
    prompt: str
    image: str


class Given(TypedDict):
    request: Wish


class WithoutRequest(TypedDict):
    prompt: str


class WithResult(Given):
    video: dict[str, Any]


class AsModel(BaseModel):
    request: dict[str, Any]


@dataclass
class AsDataclass:
    request: dict[str, Any]


@pytest.fixture
def client(options: dict[str, Any]) -> NebulaVideoClient:
    return NebulaVideoClient(**options)


def fields(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """The properties of a key, wherever its schema is."""
    where = schema["properties"][name]
    if "$ref" in where:
        where = schema["$defs"][where["$ref"].rpartition("/")[2]]
    found: dict[str, Any] = where["properties"]
    return found


def test_a_run_is_given_a_request_and_a_key_and_no_result(client: NebulaVideoClient) -> None:
    schema = video_graph(client).get_input_jsonschema()
    assert set(schema["properties"]) == {"request", "key"}
    assert schema["required"] == ["request"]
    assert "costs money" in schema["description"]


def test_the_request_has_the_fields_choices_and_limits_of_the_client_s_model(client: NebulaVideoClient) -> None:
    schema = video_graph(client).get_input_jsonschema()
    told = fields(schema, "request")
    assert told["resolution"]["enum"] == ["480p", "720p", "1080p"]
    assert (told["duration"]["minimum"], told["duration"]["maximum"]) == (5, 10)
    assert told["image"]["type"] == "string"
    assert schema["$defs"]["VideoRequestFields"]["required"] == ["prompt", "image"]
    assert {"last_image", "template", "runtime", "model"}.isdisjoint(told)
    assert all("description" in field for field in told.values())
    assert "conversation" not in str(schema)


def test_each_model_has_a_schema_of_its_own() -> None:
    for offer in [offer for gateway in GATEWAYS.values() for offer in offers(gateway)]:
        given, _ = row_schemas(offer, None)
        schema = TypeAdapter(given).json_schema()
        told = schema["$defs"]["VideoRequestFields"]
        assert set(told["properties"]) == {name for name in VideoRequest.model_fields if offer.accepts(name)}, offer
        wanted = {name for name in told["properties"] if offer.requires(name)}
        assert set(told.get("required", [])) - {"prompt"} == wanted - {"prompt"}, offer
        assert "conversation" not in str(schema), offer


def test_the_output_says_what_a_task_and_a_video_have(client: NebulaVideoClient) -> None:
    schema = video_graph(client).get_output_jsonschema()
    assert set(schema["properties"]) == {"request", "key", "task", "video", "declined"}
    assert {"url", "expires_at", "cost", "path"} <= set(fields(schema, "video"))
    assert "raw" not in {*fields(schema, "video"), *fields(schema, "task")}


def test_a_graph_has_the_name_and_the_description_that_it_is_given(client: NebulaVideoClient) -> None:
    graph = video_graph(client, name="short_films", description="Makes the film of the day.")
    assert graph.name == "short_films"
    assert graph.get_input_jsonschema()["description"] == "Makes the film of the day."
    assert video_graph(client).name == "nebula_video"


def test_a_graph_may_have_an_input_schema_of_one_s_own(client: NebulaVideoClient) -> None:
    schema = video_graph(client, input_schema=Given).get_input_jsonschema()
    assert set(fields(schema, "request")) == {"prompt", "image"}
    assert set(schema["properties"]) == {"request"}


@each_row(
    ("schema", "why"),
    [
        (WithoutRequest, "WithoutRequest has no request"),
        (WithResult, "WithResult has video, which the graph writes"),
        (AsModel, "AsModel is no TypedDict"),
        (AsDataclass, "AsDataclass is no TypedDict"),
        ({"request": dict}, "is no TypedDict"),
    ],
)
def test_an_input_schema_with_which_it_could_not_work_is_refused(
    client: NebulaVideoClient, schema: Any, why: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        video_graph(client, input_schema=schema)
    assert why in str(caught.value)


def test_a_server_can_make_a_schema_of_the_state_on_every_python() -> None:
    """Of Python's own `TypedDict` before 3.12, pydantic refuses to."""
    assert set(TypeAdapter(VideoState).json_schema()["properties"]) == set(VideoState.__annotations__)
