"""Where a request that leaves the gateway may go, and where it may not: each trick by its name."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_nebula_video import InvalidRequestError, NebulaVideoClient, NotSentError
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.media.urls import is_public, normalize_allowed_host
from langchain_nebula_video.transport.guard import Destination, SsrfGuard
from tests.conftest import Gateway, MakeClient, settle
from tests.tables import each_row

PUBLIC, OTHER = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"

TRICKS = {
    "loopback": "http://127.0.0.1/",
    "loopback by name": "http://localhost/",
    "loopback by another name": "http://files.localhost./",
    "any loopback": "http://127.8.9.10/",
    "decimal": "http://2130706433/",
    "hexadecimal": "http://0x7f000001/",
    "octal": "http://0177.0.0.1/",
    "mixed bases": "http://0x7f.1/",
    "short": "http://127.1/",
    "nothing": "http://0/",
    "unspecified": "http://0.0.0.0/",
    "a dot behind": "http://127.0.0.1./",
    "look-alike digits": "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/",
    "look-alike dots": "http://127\u30020\u30020\u30021/",
    "IPv6 loopback": "http://[::1]/",
    "IPv6 unspecified": "http://[::]/",
    "IPv4-mapped": "http://[::ffff:127.0.0.1]/",
    "IPv4-mapped in hexadecimal": "http://[::ffff:7f00:1]/",
    "IPv4-compatible": "http://[::127.0.0.1]/",
    "6to4": "http://[2002:7f00:1::]/",
    "6to4 of a private network": "http://[2002:c0a8:101::1]/",
    "NAT64": "http://[64:ff9b::10.0.0.1]/",
    "local NAT64": "http://[64:ff9b:1::8.8.8.8]/",
    "ISATAP": "http://[2001:db8::5efe:10.0.0.1]/",
    "Teredo": "http://[2001:0:5db8:d70e::1]/",
    "private, ten": "https://10.0.0.8/",
    "private, 172": "https://172.16.5.4/",
    "private, 192": "https://192.168.1.1/",
    "shared by carriers": "https://100.64.0.1/",
    "unique local": "https://[fd00:ec2::254]/",
    "site-local": "https://[fec0::1]/",
    "link-local": "http://[fe80::1]/",
    "metadata of most clouds": "http://169.254.169.254/latest/meta-data/",
    "metadata of Alibaba": "http://100.100.100.200/latest/meta-data/",
    "metadata of Oracle": "http://192.0.0.192/opc/v2/",
    "WireServer of Azure": "http://168.63.129.16/machine",
    "documentation": "http://192.0.2.1/",
    "multicast": "http://224.0.0.1/",
    "IPv6 multicast": "http://[ff02::1]/",
    "broadcast": "http://255.255.255.255/",
    "IPv6 documentation": "http://[2001:db8::1]/",
    "IPv6 documentation, the newer one": "http://[3fff::1]/",
    "its last address": "http://[3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff]/",
    "benchmarks": "http://198.18.0.1/",
}


def resolver(*answers: list[str]) -> Callable[..., Any]:
    """A name server: each question takes the next answer; the last one is repeated. Numbers it reads itself."""
    queue = list(answers)

    async def resolve(host: str, port: int, **_: object) -> list[Any]:
        found = queue.pop(0) if len(queue) > 1 else queue[0]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET6 if ":" in ip else socket.AF_INET, 1, 6, "", (ip, port)) for ip in found]

    return resolve


def at(*hosts: str, base_url: str = "https://gateway.example.com", custom_client: bool = False) -> SsrfGuard:
    return SsrfGuard(base_url, map(normalize_allowed_host, hosts), custom_client=custom_client)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@each_row("url", TRICKS.values(), ids=TRICKS)
async def test_what_is_not_public_is_refused_in_every_spelling(url: str) -> None:
    with pytest.raises(InvalidRequestError, match="not on the public internet") as caught:
        await at().destinations(url, resolver(["127.0.0.1"]))
    assert "download_hosts" in str(caught.value)


@each_row("url", TRICKS.values(), ids=TRICKS)
async def test_and_a_proxy_is_not_asked_for_it_either(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "http://proxy.example.com:3128")
    with pytest.raises(InvalidRequestError):
        await at().destinations(url, resolver(["127.0.0.1"]))


@each_row(
    "url",
    [
        "https://user@example.com/",
        "https://93.184.215.14\\@127.0.0.1/",
        "https://example.com\\.evil/",
        "https:///x",
        "file:///etc/passwd",
        "ftp://example.com/",
        "//example.com/x",
        "https://example.com:0/",
        "https://exa mple.com/",
        f"https://{'x' * 70}.example.com/{chr(10)}",
        "https://\u0080.example.com/",
    ],
)
async def test_what_is_no_plain_web_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequestError, match="no plain web address"):
        await at().destinations(url, resolver([PUBLIC]))


async def test_a_name_that_leads_inside_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match=r"files\.example\.com \(10\.0\.0\.1\)"):
        await at().destinations("https://files.example.com/x", resolver(["10.0.0.1"]))


@each_row("mixed", [[PUBLIC, "127.0.0.1"], ["::1", PUBLIC], [OTHER, "::ffff:10.1.1.1"]])
async def test_one_address_inside_is_enough(mixed: list[str]) -> None:
    with pytest.raises(InvalidRequestError):
        await at().destinations("https://files.example.com/x", resolver(mixed))


async def test_a_name_is_resolved_once_and_its_addresses_are_what_is_connected_to() -> None:
    """So a name that changes its mind afterwards (DNS rebinding) changes nothing."""
    resolve = resolver([OTHER, PUBLIC, PUBLIC], ["127.0.0.1"])
    places = await at().destinations("https://Files.Example.com:8443/a%20b?Signature=x%2F#f", resolve)
    assert places == (
        Destination(f"https://[{OTHER}]:8443/a%20b?Signature=x%2F#f", "files.example.com", "files.example.com:8443"),
        Destination(f"https://{PUBLIC}:8443/a%20b?Signature=x%2F#f", "files.example.com", "files.example.com:8443"),
    )
    with pytest.raises(InvalidRequestError):
        await at().destinations("https://files.example.com/x", resolve)


@each_row("host", ["fa\xdf.test", "b\xfccher.test", "FILES\uff0eTEST"])
async def test_libraries_are_given_the_very_name_that_was_looked_at(host: str) -> None:
    """They read letters beyond ASCII in ways of their own: the 2003 and the 2008 one lead to two names."""
    asked: list[str] = []
    resolve = resolver([PUBLIC])

    async def noted(name: str, port: int, **more: object) -> list[Any]:
        asked.append(name)
        return list(await resolve(name, port, **more))

    (pinned,) = await at().destinations(f"https://{host}/x", noted)
    (named,) = await at(host).destinations(f"https://{host}/x", noted)
    assert [pinned.host] == asked
    assert named.url == f"https://{asked[0]}/x"
    assert named.url.isascii()


async def test_a_public_address_needs_no_name() -> None:
    (place,) = await at().destinations(f"http://[{OTHER}]/x", resolver([]))
    assert (place.url, place.netloc) == (f"http://[{OTHER}]/x", f"[{OTHER}]")


async def test_a_name_without_an_address_is_told() -> None:
    with pytest.raises(NotSentError, match="cannot be resolved"):
        await at().destinations("https://files.example.com/x", resolver([]))


# --- what is allowed ---


@each_row(
    ("base_url", "url"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/x"),
        ("http://127.0.0.1", "http://127.0.0.1:80/x"),
        ("https://localhost", "https://LOCALHOST./x"),
        ("http://[0:0:0:0:0:0:0:1]:8080", "http://[::1]:8080/x"),
    ],
)
async def test_a_gateway_on_this_machine_has_its_own_host_and_port(base_url: str, url: str) -> None:
    (place,) = await at(base_url=base_url).destinations(url, resolver([]))
    assert not place.pinned


@each_row(
    "url",
    [
        *("http://127.0.0.1:9000/x", "http://127.0.0.1/x", "https://127.0.0.1/x", "http://127.0.0.1:65535/x"),
        *("http://127.0.0.2:8080/", "http://localhost:8080/", "http://[::1]:8080/", "http://[::ffff:127.0.0.1]:8080/"),
    ],
)
async def test_and_no_other_host_or_port_of_it(url: str) -> None:
    """There other services listen, which an answer must not reach: `/admin/restart` is one request."""
    with pytest.raises(InvalidRequestError, match="not on the public internet"):
        await at(base_url="http://127.0.0.1:8080").destinations(url, resolver(["127.0.0.1"]))


async def test_another_port_of_this_machine_is_reached_if_the_options_say_so() -> None:
    reach = at("127.0.0.1", base_url="http://127.0.0.1:8080")
    (place,) = await reach.destinations("http://127.0.0.1:9000/x", resolver([]))
    assert place.url == "http://127.0.0.1:9000/x"


async def test_a_gateway_elsewhere_does_not_open_its_own_network() -> None:
    with pytest.raises(InvalidRequestError):
        await at(base_url="https://10.0.0.5").destinations("https://10.0.0.5/x", resolver([]))


@each_row("host", ["minio.corp", ".corp", "MINIO.corp."])
async def test_a_named_host_is_left_as_it_is(host: str) -> None:
    assert await at(host).destinations("https://minio.corp/x", resolver([])) == (Destination("https://minio.corp/x"),)


@each_row("host", ["corp", "io.corp", ".minio.corp"])
async def test_and_only_that_one(host: str) -> None:
    with pytest.raises(InvalidRequestError):
        await at(host).destinations("https://minio.corp/x", resolver(["10.1.2.3"]))


async def test_a_named_network_is_reached_by_any_name() -> None:
    (place,) = await at("10.1.0.0/16").destinations("https://minio.corp/x", resolver(["10.1.2.3"]))
    assert (place.url, place.host) == ("https://10.1.2.3/x", "minio.corp")
    with pytest.raises(InvalidRequestError):
        await at("10.1.0.0/16").destinations("https://minio.corp/x", resolver(["10.2.2.3"]))


@each_row("host", ["", ".", "https://x.com", "a b", "x.com/y", "x:80", "*.corp", "u@x"])
def test_what_is_no_host_is_refused_with_the_options(host: str) -> None:
    with pytest.raises(InvalidRequestError, match="download_hosts: wants host names"):
        NebulaVideoClient(api_key="sk-x", download_hosts=[host])


def test_one_host_may_come_without_a_list() -> None:
    NebulaVideoClient(api_key="sk-x", download_hosts="files.corp")


# --- proxies ---


async def test_a_name_is_left_to_the_proxy_that_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "proxy.example.com:3128")
    (place,) = await at().destinations("https://files.example.com/x", resolver([]))
    assert (place.url, place.pinned) == ("https://files.example.com/x", False)
    assert place.proxy is not None
    assert place.proxy.url == "http://proxy.example.com:3128"


@each_row(
    ("url", "asked_for"),
    [
        (f"https://{PUBLIC}:8443/x?a=1", f"https://{PUBLIC}:8443/x?a=1"),
        ("https://0x5db8d70e/x", f"https://{PUBLIC}/x"),
        (f"https://[{OTHER}]/x", f"https://[{OTHER}]/x"),
    ],
)
async def test_so_is_a_public_address(url: str, asked_for: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example.com:3128")
    (place,) = await at().destinations(url, resolver([]))
    assert (place.url, place.pinned, place.proxy is not None) == (asked_for, False, True)


async def test_but_not_an_address_inside_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example.com:3128")
    (place,) = await at("10.0.0.0/8").destinations("https://10.0.0.8/x", resolver([]))
    assert (place.pinned, place.proxy) == (True, None)


async def test_unless_the_environment_says_that_none_is_to_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example.com:3128")
    monkeypatch.setenv("no_proxy", "example.com")
    (place,) = await at().destinations("https://files.example.com/x", resolver([PUBLIC]))
    assert place.pinned


async def test_of_a_client_of_ones_own_no_proxies_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example.com:3128")
    (place,) = await at(custom_client=True).destinations("https://files.example.com/x", resolver([PUBLIC]))
    assert place.pinned


# --- made-up addresses, of proxies that answer for every name ---

MADE_UP, MADE_UP_6 = "198.18.0.5", "fc00::5"
RESULTS = "https://dashscope-result-bj.oss-cn-beijing.aliyuncs.com/v.mp4?Expires=1"
UPLOADS = "https://dashscope-file-mgr.oss-cn-beijing.aliyuncs.com"


def dashscope(*hosts: str) -> SsrfGuard:
    row = GATEWAYS["dashscope"]
    assert row.base_url
    return SsrfGuard(row.base_url, hosts, storage=row.storage_hosts, custom_client=False)


@each_row("url", [RESULTS, UPLOADS, "https://dashscope.aliyuncs.com/api/v1/file"])
async def test_the_gateways_own_storage_is_reached_at_a_made_up_address(url: str) -> None:
    places = await dashscope().destinations(url, resolver([MADE_UP_6, MADE_UP]))
    assert [place.url.split("/")[2] for place in places] == [MADE_UP]
    assert all(place.pinned for place in places)


@each_row(
    ("url", "addresses"),
    [
        ("https://files.example.com/x", [MADE_UP]),
        ("https://aliyuncs.com.example.com/x", [MADE_UP]),
        ("https://evil-aliyuncs.com/x", [MADE_UP]),
        (RESULTS.replace("https", "http"), [MADE_UP]),
        (f"https://{MADE_UP}/x", []),
        (RESULTS, ["10.0.0.1"]),
        (RESULTS, ["127.0.0.1"]),
        (RESULTS, [MADE_UP_6]),
    ],
)
async def test_and_nothing_else_inside_is(url: str, addresses: list[str]) -> None:
    with pytest.raises(InvalidRequestError, match="not on the public internet"):
        await dashscope().destinations(url, resolver(addresses))


async def test_a_made_up_address_is_explained() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await at().destinations("https://files.example.com/x", resolver([MADE_UP]))
    assert "files.example.com (198.18.0.5), which is not on the public internet" in caught.value.what
    assert "such as Clash, mihomo, Surge or sing-box" in caught.value.hint
    assert 'download_hosts=["198.18.0.0/15"]' in caught.value.hint
    assert 'download_hosts=["files.example.com"]' in caught.value.hint


@each_row("allowed", ["198.18.0.0/15", "files.example.com"])
async def test_and_what_it_says_works(allowed: str) -> None:
    (place,) = await at(allowed).destinations("https://files.example.com/x", resolver([MADE_UP]))
    assert place.pinned is (allowed[0] == "1")


# --- images ---


async def test_an_image_s_address_is_handed_on_and_never_fetched(make_client: MakeClient, gateway: Gateway) -> None:
    """What a model names is fetched by the gateway, from where the gateway is."""
    await settle(make_client().generate(prompt="x", image="https://minio.corp/x"))
    assert {request.url.host for request in gateway.requests} == {"llm.ai-nebula.com"}
    assert "https://minio.corp/x" in str(gateway.bodies[0])


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/admin", "http://169.254.169.254/latest"])
async def test_an_image_s_address_of_this_machine_is_not_handed_on(
    make_client: MakeClient, gateway: Gateway, url: str
) -> None:
    with pytest.raises(InvalidRequestError, match="only this machine or its network"):
        await settle(make_client().generate(prompt="x", image=url))
    assert gateway.requests == []


# --- whatever else there is ---


@given(st.ip_addresses(v=4))
def test_an_ipv6_address_is_as_public_as_what_it_carries(address: Any) -> None:
    import ipaddress

    low = int(address)
    carriers = [(0xFFFF << 32) | low, (0x64FF9B << 96) | low, (0x2002 << 112) | (low << 80)]
    if low > 0xFFFF:
        carriers.append(low)
    for carrier in carriers:
        assert is_public(ipaddress.IPv6Address(carrier)) == is_public(address)


@given(st.text(max_size=60))
async def test_no_text_ends_in_another_error(text: str) -> None:
    for url in (text, f"https://{text}", f"http://example.com{text}"):
        try:
            places = await at().destinations(url, resolver([PUBLIC]))
        except (InvalidRequestError, NotSentError):
            continue
        assert all(place.pinned for place in places)
