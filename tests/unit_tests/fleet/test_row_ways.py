"""The short way of a row gives the same video as the long one, or leaves the row to it."""

from __future__ import annotations

import json
import warnings
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.catalog.offers import build_request
from langchain_nebula_video.fleet.options import parse_options
from langchain_nebula_video.fleet.rows import BrokenRow, Item, Planner
from langchain_nebula_video.lifecycle.orders import order_for

_HOSTS = [
    "example.com",
    "cdn-1.example.co.uk",
    "127.0.0.1",
    "10.0.0.1",
    "a.local",
    "x.internal",
    "1.2",
    "a..b",
    "-a.com",
]
_PROMPTS = [
    "a cat",
    "@Image3 runs",
    "\0",
    "\u2028",
    " ",
    '"\\',
    "a prompt in its place",
    "https://example.com/image.jpg",
]
_LONG_PROMPTS = ["a" * 801, "x" * 5001, "\u732b" * 450, "\u732b" * 1701, "\xe9" * 1501]
_FIELDS: dict[str, list[Any]] = {
    "duration": [5, "5", 5.0, 10, True, None],
    "resolution": ["480p", 480, "480", "720P", "1080p", None],
    "seed": [0, 1, False, True, "1", None],
    "smart_rewrite": [True, False, 1, 0, "true"],
    "generate_audio": [True, False, 1, 0],
    "negative_prompt": ["", "bad", "b" * 600],
    "audio_url": ["https://example.com/a.mp3", "http://10.0.0.1/a.mp3"],
    "template": ["", "flying"],
    "last_image": [None, "https://example.com/b.jpg"],
    "reference_images": [(), ("https://example.com/b.jpg",)],
    "model": [None, "wan2.2-i2v-plus", "happyhorse-1.0-i2v"],
    "tag": [0, "x", {"a": [1]}, None],
    "unknown": [1],
}


def _fields(most: int) -> st.SearchStrategy[dict[str, Any]]:
    some = st.lists(st.sampled_from(sorted(_FIELDS)), max_size=most, unique=True)
    return some.flatmap(lambda names: st.fixed_dictionaries({name: st.sampled_from(_FIELDS[name]) for name in names}))


_PATHS = st.text(alphabet="abZ09._~/%+-", max_size=12)
_IMAGES = st.builds(lambda host, path: f"https://{host}/{path}", st.sampled_from(_HOSTS[:2] * 8 + _HOSTS), _PATHS)
_ROWS = st.builds(
    lambda prompt, image, more: {"prompt": prompt, "image": image, **more},
    st.one_of(st.text(min_size=1, max_size=20), st.sampled_from(_PROMPTS + _LONG_PROMPTS)),
    _IMAGES,
    _fields(3),
)


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(_ROWS, min_size=1, max_size=4), _fields(2), st.sampled_from(sorted(GATEWAYS)))
def test_both_ways_agree(rows: list[dict[str, Any]], defaults: dict[str, Any], gateway: str) -> None:
    """One planner sees all rows: what it has learned of one must not hold for another."""
    defaults.pop("tag", None)
    address = {"base_url": "https://gateway.example.com"} if GATEWAYS[gateway].base_url is None else {}
    options, _ = parse_options({"gateway": gateway, "api_key": "sk-0123456789", **address}, ())
    found = list(Planner(options, defaults).plan(rows))
    # A mapping that is no plain dict takes the long way.
    expected = [
        next(iter(Planner(options, defaults).plan([_Other(row)], number))) for number, row in enumerate(rows, 1)
    ]

    assert [_told(options, each) for each in found] == [_told(options, each) for each in expected]


class _Other(dict[str, Any]):
    pass


def _told(options: Any, each: Item | BrokenRow) -> Any:
    if isinstance(each, BrokenRow):
        return each
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        order = order_for(options, build_request(json.loads(each.request), {}))
    return each.key, order.digest, each.usd, each.tag


def test_plain_rows_take_the_short_way() -> None:
    """Otherwise the test above compares the long way with itself."""
    options, _ = parse_options({"api_key": "sk-0123456789"}, ())
    rows = [{"prompt": f"x {n}", "image": "https://example.com/a.png", "duration": 5} for n in range(10)]
    with mock.patch.object(Planner, "_long_way", side_effect=AssertionError):
        assert len(list(Planner(options).plan(rows))) == 10
