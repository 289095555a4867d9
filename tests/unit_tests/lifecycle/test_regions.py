"""DashScope's addresses: whatever its own tools write behind them, and the region that they belong to."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_nebula_video import InvalidRequestError, NebulaVideoClient
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.catalog.regions import REGIONS, region_of_host
from langchain_nebula_video.lifecycle.options import Options
from tests.tables import each_row

KEY = "sk-0123456789"
BEIJING, SINGAPORE = "https://dashscope.aliyuncs.com", "https://dashscope-intl.aliyuncs.com"


def resolved(gateway: str, base_url: str | None = None) -> str:
    return Options(gateway=gateway, api_key=KEY, base_url=base_url).resolve_base_url()


def refusal(gateway: str, base_url: str | None = None) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        resolved(gateway, base_url)
    return caught.value


@each_row("ending", ["", "/", "/api/v1", "/api/v1/", "/compatible-mode/v1", "/compatible-mode/v1/", "/apps/anthropic"])
@each_row("gateway", ["dashscope", "dashscope-passthrough"])
def test_the_path_of_any_of_the_vendor_s_apis_may_stand_behind_the_address(gateway: str, ending: str) -> None:
    prefix = GATEWAYS[gateway].prefix
    for host in ("https://own.example.com", "https://own.example.com:8443/proxy"):
        assert resolved(gateway, f"{host}{ending}") == f"{host}{prefix}"


@each_row("ending", ["/v1", "/compatible-mode", "/api", "/v1/compatible-mode/v1x"])
def test_another_path_stays_because_a_proxy_may_live_there(ending: str) -> None:
    assert resolved("dashscope", f"https://own.example.com{ending}") == f"https://own.example.com{ending}"


def test_the_vendor_s_variables_are_read_its_newer_one_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 1 of its SDK reads the second, version 2 both."""
    monkeypatch.setenv("DASHSCOPE_HTTP_BASE_URL", "https://second.example.com/api/v1")
    assert resolved("dashscope") == "https://second.example.com"
    assert resolved("dashscope-intl") == SINGAPORE
    monkeypatch.setenv("DASHSCOPE_BASE_URL", "https://first.example.com/compatible-mode/v1")
    assert resolved("dashscope") == "https://first.example.com"
    assert resolved("dashscope", "https://option.example.com") == "https://option.example.com"


def test_a_wrong_address_is_told_with_the_variable_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_HTTP_BASE_URL", "dashscope.aliyuncs.com")
    assert "DASHSCOPE_HTTP_BASE_URL is no web address" in str(refusal("dashscope"))


# --- regions ---

HOSTS = [
    ("dashscope", "https://dashscope.aliyuncs.com"),
    ("dashscope", "https://my-workspace.cn-beijing.maas.aliyuncs.com"),
    ("dashscope", "https://token-plan.cn-beijing.maas.aliyuncs.com"),
    ("dashscope-intl", "https://dashscope-intl.aliyuncs.com"),
    ("dashscope-intl", "https://my-workspace.ap-southeast-1.maas.aliyuncs.com"),
    ("dashscope-us", "https://dashscope-us.aliyuncs.com"),
    ("dashscope-us", "https://my-workspace.us-east-1.maas.aliyuncs.com"),
    ("dashscope-eu", "https://my-workspace.eu-central-1.maas.aliyuncs.com"),
    ("dashscope-hk", "https://cn-hongkong.dashscope.aliyuncs.com"),
    ("dashscope-hk", "https://MY-WORKSPACE.CN-HONGKONG.MAAS.ALIYUNCS.COM"),
]
REGIONAL = [name for name, row in GATEWAYS.items() if row.region]


def test_every_region_with_models_has_a_gateway_of_its_own() -> None:
    assert REGIONAL == ["dashscope", "dashscope-intl", "dashscope-us", "dashscope-eu", "dashscope-hk"]
    for name in REGIONAL:
        row = GATEWAYS[name]
        assert REGIONS[str(row.region)].gateway == name
        assert row.base_url is None or region_of_host(row.base_url.removeprefix("https://")) is REGIONS[str(row.region)]


@each_row(("home", "url"), HOSTS)
def test_an_address_works_with_the_gateway_of_its_region_and_no_other(home: str, url: str) -> None:
    for gateway in REGIONAL:
        if gateway == home:
            assert resolved(gateway, f"{url}/api/v1") == url
        else:
            told = refusal(gateway, f"{url}/compatible-mode/v1")
            assert "keys, models and prices are others" in told.what
            assert "Nothing was sent and nothing was spent" in str(told)
            assert told.hint == f"Use gateway='{home}', or take the address out."


def test_a_region_without_models_is_no_gateway_s() -> None:
    told = refusal("dashscope", "https://my-workspace.ap-northeast-1.maas.aliyuncs.com")
    assert told.what.startswith("base_url is an address in Tokyo, and gateway='dashscope' stands for Beijing")
    assert told.hint == "Use an address of Beijing, or take the address out."


@each_row(
    "url",
    ["https://dashscope-intl.aliyuncs.com.example.com", "https://maas.aliyuncs.com", "https://proxy.example.com",
     "https://a.b.cn-beijing.maas.aliyuncs.com", "https://x.moon-1.maas.aliyuncs.com", "http://127.0.0.1:8788/singapore"],
)  # fmt: skip
def test_an_address_whose_region_nobody_knows_is_taken(url: str) -> None:
    """A proxy's, and one of a region that is newer than this package."""
    for gateway in REGIONAL:
        assert resolved(gateway, url) == url


def test_a_row_without_a_region_goes_anywhere() -> None:
    assert resolved("nebula", SINGAPORE) == SINGAPORE
    assert resolved("dashscope-passthrough", BEIJING) == f"{BEIJING}/alibailian"


def test_the_address_in_a_variable_is_checked_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user in Singapore has it for the vendor's own tools."""
    monkeypatch.setenv("DASHSCOPE_BASE_URL", f"{SINGAPORE}/compatible-mode/v1")
    told = refusal("dashscope")
    assert told.what.startswith("DASHSCOPE_BASE_URL is an address in Singapore")
    with pytest.raises(InvalidRequestError, match="DASHSCOPE_BASE_URL is an address in Singapore"):
        NebulaVideoClient(gateway="dashscope", api_key=KEY)
    assert resolved("dashscope-intl") == SINGAPORE


def test_where_each_account_has_its_own_address_the_hint_shows_how_it_looks() -> None:
    form = "https://WORKSPACE.eu-central-1.maas.aliyuncs.com"
    told = refusal("dashscope-eu")
    assert told.what == "The gateway 'dashscope-eu' has no address of its own."
    assert told.hint == f"Set DASHSCOPE_EU_BASE_URL or pass base_url=…, like {form}."
    assert refusal("dashscope-eu", "eu-central-1").hint == f"Give one like {form}."


@each_row("gateway", REGIONAL)
def test_a_refused_key_of_a_token_plan_is_told_where_it_works(gateway: str) -> None:
    hint: Any = GATEWAYS[gateway].key_hint
    assert "sk-sp-" in hint
    assert "https://token-plan.REGION.maas.aliyuncs.com" in hint
