"""The options: what is refused and how, where key and address come from, and that the key stays unseen."""

from __future__ import annotations

import importlib.util
import pickle
import ssl
import traceback
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, get_type_hints

import httpx
import pytest
import truststore
from pydantic import SecretStr

from langchain_nebula_video import Budget, InvalidRequestError, MemoryJournal
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.lifecycle import account
from langchain_nebula_video.lifecycle.factory import LifecycleOptions
from langchain_nebula_video.lifecycle.options import ClientOptions, Options
from tests.conftest import KEY
from tests.tables import each_row

NOTHING = "Nothing was sent and nothing was spent."


def made(**options: Any) -> Options:
    return Options(**{"api_key": KEY, **options})


def refused(*parts: str, **options: Any) -> str:
    """These options are refused: the message says each part, once that nothing was sent, and what to do."""
    with pytest.raises(InvalidRequestError) as caught:
        made(**options)
    told = str(caught.value)
    assert told.count(NOTHING) == 1
    assert caught.value.hint
    assert KEY not in told
    for part in parts:
        assert part in told
    return told


# --- which options there are ---


def test_the_keywords_of_clients_are_the_options() -> None:
    assert set(get_type_hints(ClientOptions)) == set(Options.model_fields)


def test_every_option_has_a_default_but_the_key_must_come_from_somewhere() -> None:
    options = made()
    assert (options.gateway, options.model) == ("nebula", "wan2.5-i2v-preview")
    assert (options.timeout, options.poll_interval, options.budget, options.save_to) == (None, None, None, None)
    assert (options.image_folder, options.group_ratio) == (None, Decimal(1))


@each_row("name", ["api_keys", "baseurl", "polling", "retries"])
def test_an_unknown_option_is_refused_by_name(name: str) -> None:
    refused(f"{name}: is no option here", **{name: "x"})


def test_an_option_that_is_nearly_right_gets_the_right_name() -> None:
    refused("pol_interval: is no option here.", "Did you mean poll_interval?", pol_interval=1)


def test_several_wrong_options_are_named_at_once() -> None:
    told = refused("timeout", "base_url", "colour", timeout=-1, base_url="x", colour="red")
    assert told.count("base_url") == 1


# --- the key ---


def test_the_key_comes_from_the_environment_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEBULA_API_KEY", "sk-of-the-environment")
    assert Options().resolve_api_key().get_secret_value() == "sk-of-the-environment"
    assert made().resolve_api_key().get_secret_value() == KEY


@each_row("key", [KEY, SecretStr(KEY), f" {KEY}", f"{KEY}\n", f"\t{KEY}\r\n"])
def test_a_key_is_taken_with_the_space_around_it_cut_off(key: Any) -> None:
    assert made(api_key=key).resolve_api_key().get_secret_value() == KEY


@each_row("env", [None, ""])
def test_a_missing_key_is_refused_with_the_variable_to_set(env: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if env is not None:
        monkeypatch.setenv("NEBULA_API_KEY", env)
    refused("There is no key for the gateway 'nebula'", "Set NEBULA_API_KEY or pass api_key=", api_key=None)


BAD_KEYS = [
    "",
    " ",
    "\n",
    "sk a",
    "sk-one\nsk-two",
    "sk\tx",
    "sk-\u00e9",
    "sk-\u2026",
    "sk-\0",
    "sk-\x1fx",
    "sk-\x7f",
    "Bearer sk-x",
]


@each_row("key", BAD_KEYS)
def test_a_key_that_cannot_stand_in_a_header_is_refused(key: str) -> None:
    refused("api_key holds no usable key", "one word of plain ASCII", api_key=key)


@each_row("key", [key for key in BAD_KEYS if key and "\0" not in key])
def test_a_bad_key_in_the_environment_is_refused_by_the_variable_s_name(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEBULA_API_KEY", key)
    refused("NEBULA_API_KEY holds no usable key", api_key=None)


@each_row("key", [5, ["sk"], {"key": "sk"}])
def test_a_key_that_is_no_text_is_refused(key: object) -> None:
    refused("api_key", api_key=key)


SECRET = "hunter2\nhunter3"


@each_row(
    "options",
    [
        {"api_key": SECRET},
        {"api_key": [SECRET]},
        {"api_key": {"key": SECRET}},
        {"api_kye": SECRET},
        {"base_url": "https://hunter2@example.com"},
        {"base_url": "https://example.com/?key=hunter2"},
        {"base_url": SECRET},
        {"timeout": SECRET},
        {"journal": SECRET},
        {"group_ratio": SECRET},
        {"save_to": [SECRET]},
    ],
)
def test_a_refusal_never_shows_what_was_given(options: dict[str, Any]) -> None:
    """Nor does its traceback: the error that it was made of is suppressed and hides its input."""
    with pytest.raises(InvalidRequestError) as caught:
        made(**options)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(caught.value.__context__)
    assert "hunter" not in shown


@each_row("show", [repr, str, Options.model_dump_json, lambda options: str(options.model_dump())])
def test_options_never_show_the_key(show: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEBULA_API_KEY", KEY)
    for options in (made(), Options(), made(budget=1, base_url="https://example.com")):
        assert KEY not in show(options)


# --- the address ---


def test_the_address_is_the_gateway_s_own_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert made().resolve_base_url() == GATEWAYS["nebula"].base_url
    monkeypatch.setenv("NEBULA_BASE_URL", "https://variable.example.com/")
    assert made().resolve_base_url() == "https://variable.example.com"
    assert made(base_url="https://option.example.com").resolve_base_url() == "https://option.example.com"


@each_row(
    ("url", "address"),
    [
        ("https://example.com", "https://example.com"),
        ("https://example.com/", "https://example.com"),
        ("https://example.com//", "https://example.com"),
        ("https://example.com:8443/gateway/", "https://example.com:8443/gateway"),
        ("HTTPS://Example.com", "HTTPS://Example.com"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://LOCALHOST", "http://LOCALHOST"),
        ("http://127.0.0.1:80/", "http://127.0.0.1:80"),
        ("http://127.8.9.1", "http://127.8.9.1"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_an_address_is_https_or_http_on_this_machine(url: str, address: str) -> None:
    assert made(base_url=url).resolve_base_url() == address


@each_row(
    "url",
    ["http://example.com", "HTTP://example.com", "http://192.168.1.5", "http://10.0.0.1:8000", "http://0.0.0.0",
     "http://localhost.example.com", "http://127.0.0.1.example.com", "http://[2001:db8::1]", "http://127.1"],
)  # fmt: skip
def test_plain_http_to_elsewhere_is_refused(url: str) -> None:
    refused("base_url is plain http", "can read the key", "allow_http=True", base_url=url)


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """No host was warned of yet."""
    monkeypatch.setattr(account, "_warned_hosts", set())


def test_plain_http_to_elsewhere_can_be_allowed_and_a_warning_says_who_can_read_the_key(
    forgotten: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = made(base_url="http://new-api:3000/v1", allow_http=True)
    assert allowed.resolve_base_url() == "http://new-api:3000"
    monkeypatch.setenv("NEBULA_BASE_URL", "http://new-api:3000/")
    assert made(allow_http=True).resolve_base_url() == "http://new-api:3000"
    (warning,) = caplog.messages
    assert "new-api over plain http" in warning
    assert "everybody on that network can read it" in warning


@each_row("url", ["http://localhost:8000", "http://127.0.0.1", "https://example.com", None])
def test_what_no_other_machine_can_read_is_not_warned_of(
    forgotten: None, caplog: pytest.LogCaptureFixture, url: str | None
) -> None:
    made(base_url=url, allow_http=True)
    assert caplog.messages == []


def test_allowing_http_allows_no_other_scheme() -> None:
    refused("base_url is no web address", base_url="ftp://example.com", allow_http=True)


BAD_URLS = [
    "", "example.com", "llm.ai-nebula.com/v1", "ftp://example.com", "https://", "https:///v1", "https://exa mple.com",
    "https://example.com?x=1", "https://example.com/?", "https://example.com#top", "https://example.com/#",
    "https://user@example.com", "https://user:pass@example.com", "https://:pass@example.com", "https://@example.com",
    "https://example.com:0", "https://example.com:99999", "https://example.com\n", "https://[::1", "file:///etc/passwd",
    "//example.com", "https://example.com\\@evil.example", "https://{workspace}.cn-beijing.maas.aliyuncs.com",
]  # fmt: skip


@each_row("url", BAD_URLS)
def test_what_is_no_plain_web_address_is_refused(url: str) -> None:
    refused("base_url is no web address", "https://llm.ai-nebula.com", base_url=url)


@each_row("url", [*filter(None, BAD_URLS), "http://example.com"])
def test_an_address_in_the_environment_is_checked_alike(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEBULA_BASE_URL", url)
    refused("NEBULA_BASE_URL is")


@each_row(
    ("gateway", "like"),
    [
        *[(name, row.base_url or row.url_form or "https://gateway.example.com") for name, row in GATEWAYS.items()],
        ("no such gateway", "https://gateway.example.com"),
    ],
)
def test_an_address_that_is_none_is_answered_with_one_of_that_gateway(
    gateway: str, like: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = refused(f"Give one like {like}.", gateway=gateway, base_url="example.com")
    assert ("nebula" in told) is (gateway == "nebula")
    if gateway in GATEWAYS:
        monkeypatch.setenv(GATEWAYS[gateway].url_variable, "example.com")
        refused(f"{GATEWAYS[gateway].url_variable} is no web address", f"Give one like {like}.", gateway=gateway)


# --- each gateway ---

# Gateway, model for those who name none, variables of key and address, and the address that its page gives.
GATEWAY_FACTS = [
    ("nebula", "wan2.5-i2v-preview", "NEBULA", "https://llm.ai-nebula.com"),
    ("dashscope", "wan2.5-i2v-preview", "DASHSCOPE", "https://dashscope.aliyuncs.com"),
    ("dashscope-intl", "wan2.5-i2v-preview", "DASHSCOPE_INTL", "https://dashscope-intl.aliyuncs.com"),
    ("dashscope-us", "wan2.6-i2v-us", "DASHSCOPE_US", "https://dashscope-us.aliyuncs.com"),
    ("dashscope-eu", "wan2.6-i2v", "DASHSCOPE_EU", None),
    ("dashscope-hk", "wan3.0-video", "DASHSCOPE_HK", "https://cn-hongkong.dashscope.aliyuncs.com"),
    ("dashscope-passthrough", "wan2.5-i2v-preview", "DASHSCOPE_PASSTHROUGH", None),
    ("uniall", "viduq3p-720p", "UNIALL", "https://api.uniall.ai"),
    ("newapi", "wan2.5-i2v-preview", "NEWAPI", None),
    ("newapi-videos", "wan2.7-i2v", "NEWAPI", None),
    ("litellm", "wan2.7-i2v", "LITELLM", None),
    ("sglang", "wan2.2-i2v-a14b", "SGLANG", None),
    ("vllm-omni", "wan2.2-i2v-a14b", "VLLM_OMNI", None),
]
each_gateway = pytest.mark.parametrize(
    ("gateway", "model", "variable", "address"), GATEWAY_FACTS, ids=[str(row[0]) for row in GATEWAY_FACTS]
)
OWN = "https://own.example.com"
PREFIX = {"dashscope-passthrough": "/alibailian"}


def test_these_are_all_gateways() -> None:
    assert [row[0] for row in GATEWAY_FACTS] == list(GATEWAYS)


@each_gateway
def test_each_gateway_has_a_model_for_those_who_name_none(
    gateway: str, model: str, variable: str, address: str | None
) -> None:
    for options in (made(gateway=gateway, base_url=OWN), made(gateway=gateway, base_url=OWN, model=None)):
        assert (options.model, options.offer().gateway.name) == (model, gateway)


@each_gateway
def test_each_gateway_has_a_key_of_its_own(
    gateway: str, model: str, variable: str, address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in {row[2] for row in GATEWAY_FACTS} - {variable}:
        monkeypatch.setenv(f"{other}_API_KEY", f"sk-of-{other}")
    told = refused(f"There is no key for the gateway '{gateway}'", gateway=gateway, base_url=OWN, api_key=None)
    assert f"Set {variable}_API_KEY or pass api_key" in told
    monkeypatch.setenv(f"{variable}_API_KEY", "sk-mine")
    assert Options(gateway=gateway, base_url=OWN).resolve_api_key().get_secret_value() == "sk-mine"


@each_gateway
def test_each_gateway_has_an_address_of_its_own_or_asks_for_one(
    gateway: str, model: str, variable: str, address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in {row[2] for row in GATEWAY_FACTS} - {variable}:
        monkeypatch.setenv(f"{other}_BASE_URL", "https://other.example.com")
    if address is None:
        told = refused(f"The gateway '{gateway}' has no address of its own", gateway=gateway)
        assert f"Set {variable}_BASE_URL or pass base_url" in told
    else:
        assert made(gateway=gateway).resolve_base_url() == address
    monkeypatch.setenv(f"{variable}_BASE_URL", "https://variable.example.com/")
    assert made(gateway=gateway).resolve_base_url() == f"https://variable.example.com{PREFIX.get(gateway, '')}"
    assert made(gateway=gateway, base_url=OWN).resolve_base_url() == f"{OWN}{PREFIX.get(gateway, '')}"
    monkeypatch.setenv(f"{variable}_BASE_URL", "http://variable.example.com")
    refused(f"{variable}_BASE_URL is plain http", gateway=gateway)


@each_row(
    ("gateway", "endings", "address"),
    [
        ("nebula", ("/v1", "/v1/"), OWN),
        ("uniall", ("/v1", "/v1/"), OWN),
        ("dashscope", ("/api/v1", "/api/v1/"), OWN),
        ("dashscope-intl", ("/api/v1",), OWN),
        (
            "dashscope-passthrough",
            ("/alibailian", "/alibailian/", "/alibailian/api/v1", "/alibailian/api/v1/", "/api/v1"),
            f"{OWN}/alibailian",
        ),
        # What is no such ending stays: it may be where a deployment lives.
        ("nebula", ("/api/gateway",), f"{OWN}/api/gateway"),
        ("dashscope", ("/proxy/api/v1",), f"{OWN}/proxy"),
    ],
)
def test_what_the_paths_begin_with_may_stand_at_the_end_of_the_address(
    gateway: str, endings: tuple[str, ...], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for ending in endings:
        assert made(gateway=gateway, base_url=f"{OWN}{ending}").resolve_base_url() == address, ending
        monkeypatch.setenv(GATEWAYS[gateway].url_variable, f"{OWN}{ending}")
        assert made(gateway=gateway).resolve_base_url() == address, ending


@each_row(
    ("gateway", "model", "where"),
    [
        ("nebula", "wan2.2-i2v-flash", "'dashscope', 'dashscope-intl', 'dashscope-passthrough'"),
        ("nebula", "viduq3p-720p", "'uniall'"),
        ("dashscope-intl", "wan2.2-kf2v-flash", "'dashscope'"),
        ("uniall", "wan2.5-i2v-preview", "'nebula', 'dashscope', 'dashscope-intl', 'dashscope-passthrough'"),
    ],
)
def test_a_model_of_another_gateway_is_refused_with_where_it_is(gateway: str, model: str, where: str) -> None:
    refused(
        f"The gateway '{gateway}' does not serve '{model}'", f"is served by {where}",
        gateway=gateway, model=model, base_url=OWN,
    )  # fmt: skip


def test_a_gateway_s_own_name_for_a_model_is_led_to_ours() -> None:
    refused("It is called 'wanx2.1-i2v-plus' here", gateway="dashscope-intl", model="wan2.1-i2v-plus")


def test_prices_of_one_s_own_are_kept_as_exact_amounts() -> None:
    options = made(gateway="uniall", base_url=OWN, prices={"viduq3p-720p": 0.1, "viduq3t-540p": {"540p": "0.05"}})
    assert options.prices == {"viduq3p-720p": {"720p": Decimal("0.1")}, "viduq3t-540p": {"540p": Decimal("0.05")}}
    assert options.offer().prices == {"720p": Decimal("0.1")}
    assert options.offer("viduq3t-540p").prices == {"540p": Decimal("0.05")}
    assert options.offer("viduq3p-540p").prices == {}
    assert made().prices is None


@each_row(
    ("prices", "told"),
    [
        ({"wan9": "1"}, "There is no model 'wan9'"),
        ({"viduq3p-720p": {"1080p": "1"}}, "viduq3p-720p does not make 1080p"),
        ({"viduq3p-720p": "dear"}, "The price of viduq3p-720p is 'dear'"),
        ("0.10", "prices is no table"),
    ],
)
def test_prices_that_cannot_be_are_refused(prices: Any, told: str) -> None:
    refused(told, prices=prices)


# --- the rest ---


@each_row("name", ["timeout", "poll_interval"])
@each_row("seconds", [0, -1, 0.0, -0.5, float("nan"), float("inf"), "soon", [], {}])
def test_seconds_are_more_than_none(name: str, seconds: object) -> None:
    refused(name, **{name: seconds})


@each_row("name", ["timeout", "poll_interval"])
@each_row("seconds", [0.1, 1, 900, "30"])
def test_seconds_are_taken(name: str, seconds: Any) -> None:
    assert getattr(made(**{name: seconds}), name) == float(seconds)


@each_row("ratio", [0, -1, "0", "free", float("nan"), float("inf")])
def test_a_group_ratio_that_multiplies_nothing_is_refused(ratio: object) -> None:
    refused("group_ratio", group_ratio=ratio)


@each_row(
    ("given", "budget"),
    [
        ("20", Budget(20)),
        ("0.50", Budget("0.5")),
        (5, Budget(5)),
        (0.1, Budget("0.1")),
        (Decimal("1.5"), Budget("1.5")),
        (Budget(3), Budget(3)),
        (Budget(3, timedelta(days=1)), Budget(3, timedelta(days=1))),
        (Budget(3, timedelta(days=1)).as_dict(), Budget(3, timedelta(days=1))),
        ({"usd": "3"}, Budget(3)),
        (None, None),
    ],
)
def test_a_budget_is_taken_in_any_form(given: Any, budget: Budget | None) -> None:
    assert made(budget=given).budget == budget


@each_row(
    "given",
    ["", "much", -1, "NaN", True, [], object(), {}, {"usd": "x"}, {"usd": 1, "per": 0}, {"usd": 1, "per": "day"},
     {"usd": 1, "per": float("inf")}, {"usd": 1, "per": float("nan")}, {"usd": None}],
)  # fmt: skip
def test_a_budget_that_is_no_amount_is_refused(given: object) -> None:
    refused("budget", budget=given)


@each_row("journal", ["memory", "", {}, [], object(), 7])
def test_what_is_no_journal_is_refused(journal: object) -> None:
    refused("journal: is no journal", journal=journal)


def test_each_set_of_options_has_a_journal_of_its_own_unless_given_one() -> None:
    shared = MemoryJournal()
    assert made(journal=shared).journal is shared
    assert isinstance(made().journal, MemoryJournal)
    assert made().journal is not made().journal


def test_an_unknown_model_or_gateway_is_refused_with_those_there_are() -> None:
    refused("There is no model 'wan9'", "Choose one of: wan2.5-i2v-preview", model="wan9")
    refused("There is no gateway 'nebular'. Did you mean nebula? Nothing", "Choose one of: nebula", gateway="nebular")


def test_a_folder_may_be_text(tmp_path: Path) -> None:
    assert made(image_folder=str(tmp_path)).image_folder == tmp_path


# --- networks ---


def test_a_file_a_folder_or_a_context_says_which_certificates_are_trusted(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    file, folder = tmp_path / "ca.pem", str(tmp_path)
    for given, kept in ((file, str(file)), (folder, folder), (context, context), (True, None)):
        assert made(verify=given).verify == kept


def test_a_context_stays_behind_in_pickles_and_dumps(monkeypatch: pytest.MonkeyPatch) -> None:
    options = LifecycleOptions(api_key=SecretStr(KEY), verify=ssl.create_default_context())
    assert pickle.loads(pickle.dumps(options)).verify is None
    assert '"verify":null' in options.model_dump_json()


@each_row(
    ("options", "told"),
    [
        ({"verify": False}, "cannot be switched off: whoever answers would get the key"),
        ({"verify": "/nope.pem"}, "is no file or folder with certificates"),
        ({"verify": ""}, "is no file or folder with certificates"),  # not this folder
        ({"verify": "~nobody-at-all/ca.pem"}, "is no file or folder with certificates"),
        ({"verify": 7}, "is no file or folder with certificates"),
        ({"http2": True, "http_client": httpx.Client()}, "http_client makes its own"),
        ({"verify": ssl.create_default_context(), "http_async_client": httpx.AsyncClient()}, "http_async_client makes"),
    ],
)
def test_what_does_not_say_whom_to_trust_is_refused(options: dict[str, Any], told: str) -> None:
    refused(told, **options)


def test_http2_names_its_extra_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Any = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "h2" else real(name, *more))
    refused('pip install "langchain-nebula-video[http2]"', http2=True)
