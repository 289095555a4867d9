"""Which proxy of the environment serves a URL, which hosts pass it by, and what is said of an unusable one."""

from __future__ import annotations

import importlib.util
import urllib.request
from typing import Any

import pytest

from langchain_nebula_video import NebulaVideoClient, NotSentError
from langchain_nebula_video.transport.proxies import check_usable, find_gateway_proxy, find_proxy
from tests.conftest import FakeClock
from tests.tables import each_row

PROXY = "http://proxy.example.net:3128"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@each_row(
    ("no_proxy", "direct", "through"),
    [
        ("*", ["https://a.test", "https://192.0.2.7"], []),
        ("example.test", ["https://example.test", "https://gw.example.test"], ["https://badexample.test"]),
        (".example.test", ["https://gw.example.test", "https://example.test"], ["https://example.test.org"]),
        ("*.example.test", ["https://gw.example.test", "https://a.gw.example.test"], ["https://example.org"]),
        ("test", ["https://gw.example.test"], ["https://gw.example.org"]),
        ("GW.Example.TEST", ["https://gw.example.test"], []),
        ("gw.example.test.", ["https://gw.example.test"], []),
        ("gw.example.test", ["https://GW.example.test./x"], []),
        ("a.test , b.test c.test", ["https://b.test", "https://c.test"], ["https://d.test"]),
        ("gw.example.test:443", ["https://gw.example.test", "https://gw.example.test:443"], ["https://gw.example.test:8443"]),
        (".example.test:8443", ["https://gw.example.test:8443"], ["https://gw.example.test"]),
        ("https://gw.example.test", ["https://gw.example.test"], ["http://gw.example.test"]),
        ("11.22.33.0/24", ["https://11.22.33.44"], ["https://11.22.34.1", "https://gw.example.test"]),
        ("11.22.33.44", ["https://11.22.33.44"], ["https://11.22.33.45"]),
        ("11.22.33.44:8443", ["https://11.22.33.44:8443"], ["https://11.22.33.44"]),
        ("2606:2800::/32", ["https://[2606:2800::7]"], ["https://[2607::7]"]),
        ("[2606:2800::7]", ["https://[2606:2800:0::7]"], ["https://[2606:2800::8]"]),
        ("[2606:2800::7]:8443", ["https://[2606:2800::7]:8443"], ["https://[2606:2800::7]"]),
        ("", [], ["https://gw.example.test"]),
        (",., :, ://", [], ["https://gw.example.test"]),
    ],
)  # fmt: skip
def test_no_proxy_is_read_in_every_form(
    no_proxy: str, direct: list[str], through: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("all_proxy", PROXY)
    monkeypatch.setenv("no_proxy", no_proxy)
    assert [url for url in direct if find_proxy(url)] == []
    assert [url for url in through if not find_proxy(url)] == []


@each_row(
    ("variables", "variable", "host"),
    [
        ({"HTTPS_PROXY": "http://a.test:1", "ALL_PROXY": "socks://b.test:2"}, "HTTPS_PROXY", "a.test:1"),
        ({"https_proxy": "a.test:1", "HTTPS_PROXY": "b.test:2"}, "https_proxy", "a.test:1"),
        ({"ALL_PROXY": "socks5h://u:p@b.test:2/"}, "ALL_PROXY", "b.test:2"),
        ({"HTTP_PROXY": "http://a.test:1"}, None, None),
        ({"https_proxy": ""}, None, None),
    ],
)
def test_the_proxy_of_the_scheme_comes_first_and_is_known_by_its_variable(
    variables: dict[str, str], variable: str | None, host: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as environment:
        for name, value in variables.items():
            environment.setenv(name, value)
        found = find_proxy("https://gw.example.test/v1")
    assert (found and found.variable, found and found.host) == (variable, host)
    assert "u:p" not in repr(found)


@each_row("url", ["https://127.0.0.1:8000", "https://localhost", "https://[::1]", "http://gw.example.test"])
def test_a_gateway_on_this_machine_or_over_plain_http_is_asked_directly(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("all_proxy", PROXY)
    assert find_gateway_proxy(url) is None


def test_without_variables_the_settings_of_the_system_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of Windows and macOS."""
    monkeypatch.setattr(urllib.request, "getproxies", lambda: {"https": PROXY})
    monkeypatch.setattr(urllib.request, "proxy_bypass", lambda host: host == "intranet.test")
    assert find_proxy("https://intranet.test") is None
    found = find_proxy("https://gw.example.test")
    assert found is not None
    assert found.variable == "the system's settings"


@each_row(
    ("url", "what", "hint"),
    [
        ("socks://proxy.test:1080", "begins with socks://", "ALL_PROXY=http://HOST:PORT, or socks5://HOST:PORT"),
        ("socks4://proxy.test:1080", "begins with socks4://", "socks5://HOST:PORT"),
        ("http://me:se/cret@proxy.test:port", "no valid port", "/ as %2F"),
        ("http://", "has no host", "ALL_PROXY=http://USER:PASSWORD@HOST:PORT"),
    ],
)
def test_an_unusable_proxy_is_named_with_its_variable(
    url: str, what: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", url)
    client = NebulaVideoClient(api_key="sk-x", base_url="https://gw.example.test", clock=FakeClock())
    with pytest.raises(NotSentError, match="The proxy of ALL_PROXY") as caught:
        client.fetch("task-1")
    assert what in caught.value.what
    assert hint in caught.value.hint
    assert "se" + "/cret" not in str(caught.value)


def test_a_socks_proxy_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Any = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "socksio" else real(name))
    monkeypatch.setenv("ALL_PROXY", "socks5h://me:secret@proxy.test:1080")
    found = find_proxy("https://gw.example.test")
    assert found is not None
    with pytest.raises(NotSentError) as caught:
        check_usable(found)
    assert caught.value.what == "The proxy proxy.test:1080 of ALL_PROXY speaks SOCKS, which needs the package socksio."
    assert caught.value.hint == 'Run: pip install "langchain-nebula-video[socks]"'
