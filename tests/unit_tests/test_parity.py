"""The two clients, the tool and the runnable offer the same."""

from __future__ import annotations

import inspect
from typing import Any, get_type_hints

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    NebulaVideoClient,
    NebulaVideoRunnable,
    NebulaVideoTool,
    VideoRequest,
    quote,
)
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.catalog.offers import offers
from langchain_nebula_video.fleet import BatchClientOptions
from langchain_nebula_video.langchain.tool_schema import args_schema
from langchain_nebula_video.lifecycle.options import ClientOptions, Options

ITERATORS = {"stream", "watch"}


def _methods(kind: type) -> dict[str, Any]:
    return {name: member for name, member in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}


def test_both_clients_have_the_same_methods_with_the_same_arguments() -> None:
    blocking, asynchronous = _methods(NebulaVideoClient), _methods(AsyncNebulaVideoClient)
    assert set(blocking) == set(asynchronous)
    for name, method in blocking.items():
        told, promised = inspect.signature(method), inspect.signature(asynchronous[name])
        if name in ITERATORS:
            assert (told.return_annotation, promised.return_annotation) == (
                "Generator[VideoProgress | Video, None, None]",
                "AsyncGenerator[VideoProgress | Video, None]",
            )
            told = told.replace(return_annotation=promised.return_annotation)
        assert told == promised, name


def test_every_method_but_quote_and_the_iterators_is_awaited_in_the_async_client() -> None:
    plain = {
        name for name, member in _methods(AsyncNebulaVideoClient).items() if not inspect.iscoroutinefunction(member)
    }
    assert plain == {"quote", *ITERATORS}


def test_the_typed_keywords_are_the_options() -> None:
    assert set(ClientOptions.__annotations__) == set(Options.model_fields)


def test_a_batch_takes_every_option_but_a_worker_s() -> None:
    """With the same types, but for a function, which cannot be stored."""
    batch, client = get_type_hints(BatchClientOptions), get_type_hints(ClientOptions)
    assert set(client) - set(batch) == {
        *("budget", "clock", "http_async_client", "http_client", "journal", "rate_limiter", "verify")
    }
    assert {name for name in batch if batch[name] != client[name]} == {"image_store"}


def test_tool_and_runnable_take_every_option() -> None:
    assert set(Options.model_fields) <= set(NebulaVideoTool.model_fields)
    assert set(Options.model_fields) <= set(NebulaVideoRunnable.model_fields)


def test_the_runnable_has_a_default_for_all_of_a_request_but_images_and_model() -> None:
    images = {"image", "last_image", "reference_images"}
    assert set(VideoRequest.model_fields) - images <= set(NebulaVideoRunnable.model_fields)
    assert not images & set(NebulaVideoRunnable.model_fields)


def test_all_of_a_request_but_the_model_can_be_said_by_some_agent() -> None:
    shown: set[str] = set()
    for gateway in GATEWAYS.values():
        for offer in offers(gateway):
            shown |= set(args_schema(offer).model_fields)
    assert shown - {"runtime"} == set(VideoRequest.model_fields) - {"model"}


def test_quote_takes_the_options_that_a_price_depends_on() -> None:
    named = {"gateway", "model", "prices", "group_ratio"}
    assert named == set(inspect.signature(quote).parameters) - {"request", "fields"}
    assert named <= set(Options.model_fields)
