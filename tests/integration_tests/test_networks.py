"""Behind real proxies and real fronts: the main job, and what is said where it cannot work.

Nothing of `example.test` can be resolved here: only the proxies know these names.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import truststore

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    DownloadError,
    NebulaVideoClient,
    NotSentError,
    RefusedError,
    RequestError,
    SubmissionUnconfirmedError,
)
from langchain_nebula_video.emulator import Emulator
from tests.conftest import jpeg, settle
from tests.gateways import ASK, BEIJING, INTERVAL, SPEED, HurriedClock, Make
from tests.networks import PASSWORD, SOCKS_QUOTED, USER, Network, missing_program, network

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir")


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    missing = missing_program()
    if missing and os.environ.get("NEBULA_REQUIRE_NETWORKS") == "1":
        pytest.fail(f"{missing} is not installed, and NEBULA_REQUIRE_NETWORKS=1 asks for it")
    if missing:
        pytest.skip(f"{missing} is not installed")
    with Emulator(speed=SPEED) as emulator, network(tmp_path_factory.mktemp("network"), emulator) as running:
        emulator.add_account(BEIJING, region="beijing", balance=100)
        yield running


@pytest.fixture(autouse=True)
def resolved(monkeypatch: pytest.MonkeyPatch, net: Network) -> list[str]:
    """No variables, and no name server; the names that were asked for."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    asked: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if not name.endswith(".test"):
            return real(host, *args, **kwargs)
        asked.append(name)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    net.asked()
    return asked


@pytest.fixture(params=["sync", "async"])
def make(request: pytest.FixtureRequest, net: Network, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Either client at the front, whose CA is trusted."""
    kind: Any = NebulaVideoClient if request.param == "sync" else AsyncNebulaVideoClient
    monkeypatch.setenv("SSL_CERT_FILE", str(net.authority))
    plain = {"api_key": net.emulator.api_key, "base_url": net.url(), "poll_interval": INTERVAL}
    return lambda **more: kind(**{**plain, "clock": HurriedClock(), **more})


def posts(net: Network) -> int:
    return len(net.emulator.tasks)


# --- proxies ---


@pytest.mark.parametrize(
    ("variable", "proxy"),
    [
        ("HTTPS_PROXY", "http://{0.http}"),
        ("https_proxy", "{0.http}"),
        ("ALL_PROXY", "http://{0.http}/"),
        ("HTTPS_PROXY", "http://" + f"{USER}:{PASSWORD}@" + "{0.http_with_password}"),
        ("ALL_PROXY", "socks5://" + f"{USER}:{SOCKS_QUOTED}@" + "{0.socks}"),
        ("ALL_PROXY", "socks5h://" + f"{USER}:{SOCKS_QUOTED}@" + "{0.socks}"),
    ],
)
async def test_through_a_proxy_a_video_is_made_and_saved_and_nothing_is_resolved_here(
    make: Make,
    net: Network,
    resolved: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variable: str,
    proxy: str,
) -> None:
    monkeypatch.setenv(variable, proxy.format(net))
    before = posts(net)
    video = await settle(make(save_to=tmp_path).generate(**ASK))
    assert video.url.startswith(net.url())
    assert Path(video.path).stat().st_size > 1000
    assert (posts(net) - before, resolved) == (1, [])
    if net.http in proxy.format(net):
        assert {*net.asked()} == {f"CONNECT gw.example.test:{net.port}"}


async def test_an_image_is_uploaded_through_it_too(
    make: Make, net: Network, resolved: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{net.http}")
    path = net.emulator.dashscope_url("beijing").removeprefix(net.emulator.url)
    before = posts(net)
    client = make(gateway="dashscope", api_key=BEIJING, base_url=net.url() + path)
    await settle(client.submit(prompt="The cat blinks", image=jpeg(640, 480), resolution="480p"))
    assert (posts(net) - before, resolved) == (1, [])
    assert {*net.asked()} == {f"CONNECT gw.example.test:{net.port}"}


async def test_an_unusable_proxy_for_other_schemes_stops_nothing(
    make: Make, net: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Desktop settings export all of them."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://{net.http}")
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:9")
    assert (await settle(make(save_to=tmp_path).generate(**ASK))).path


@pytest.mark.parametrize(
    ("proxy", "what", "hint"),
    [
        (
            "http://{0.http_with_password}",
            "proxy {0.http_with_password} of HTTPS_PROXY wants a user and a password, or other ones (407",
            "Write HTTPS_PROXY=http://USER:PASSWORD@{0.http_with_password}. In user and password, write @ as %40",
        ),
        (
            "http://me:wr0ng-pass@{0.http_with_password}",
            "proxy {0.http_with_password} of HTTPS_PROXY wants a user and a password, or other ones (401",
            "Write HTTPS_PROXY=",
        ),
        (
            "http://me:wr0ng-pass@127.0.0.1:9",
            "did not open through the proxy 127.0.0.1:9 of HTTPS_PROXY (ConnectError",
            "To go past it, set NO_PROXY=gw.example.test",
        ),
    ],
    ids=["no password", "wrong password", "nothing listens"],
)
async def test_a_proxy_that_does_not_connect_is_named_with_its_variable(
    make: Make, net: Network, monkeypatch: pytest.MonkeyPatch, proxy: str, what: str, hint: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.format(net))
    before = posts(net)
    with pytest.raises(NotSentError) as caught:
        await settle(make().generate(**ASK))
    assert what.format(net) in caught.value.what
    assert hint.format(net) in caught.value.hint
    assert "wr0ng" not in str(caught.value) + repr(caught.value)
    assert posts(net) == before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("user", ["", "me:wr0ng-pass@"], ids=["no password", "wrong password"])
async def test_so_is_one_that_speaks_socks(
    make: Make, net: Network, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    """The HTTP library (httpcore 1.0.9) leaves the socket of a refused connection to the garbage collector."""
    monkeypatch.setenv("ALL_PROXY", f"socks5h://{user}{net.socks}")
    with pytest.raises(NotSentError, match=f"proxy {net.socks} of ALL_PROXY wants a user and a password") as caught:
        await settle(make().generate(**ASK))
    assert f"Write ALL_PROXY=socks5h://USER:PASSWORD@{net.socks}" in caught.value.hint
    assert "wr0ng" not in str(caught.value)
    caught.value.__traceback__ = None
    del caught
    gc.collect()


async def test_a_name_that_the_proxy_does_not_reach_is_told_as_such(
    make: Make, net: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{net.http}")
    with pytest.raises(NotSentError, match=r"connection to nowhere\.example\.test did not open through the proxy"):
        await settle(make(base_url="https://nowhere.example.test").generate(**ASK))


async def test_a_download_over_plain_http_tells_of_the_proxys_password_too(
    make: Make, net: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Over plain http the proxy's refusal is the answer to the request itself."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://{net.http}")
    monkeypatch.setenv("HTTP_PROXY", f"http://{net.http_with_password}")
    video = (await settle(make().generate(**ASK))).model_copy(update={"url": "http://files.example.test/x.mp4"})
    with pytest.raises(DownloadError, match="HTTP 407, the proxy wants a user and a password"):
        await settle(make().download(video, tmp_path))


async def test_no_proxy_holds_for_submits_polls_and_downloads_alike(
    make: Make, net: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ALL_PROXY", f"http://{net.http}")
    monkeypatch.setenv("NO_PROXY", "*.example.test")
    plain = socket._socket.getaddrinfo  # type: ignore[attr-defined]

    def resolve(host: Any, *args: Any, **kwargs: Any) -> Any:
        return plain("127.0.0.1" if b".test" in str(host).encode() else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    video = await settle(make(save_to=tmp_path, download_hosts=["127.0.0.1"]).generate(**ASK))
    assert Path(video.path).stat().st_size > 1000
    assert net.asked() == []


class _Trickle(socketserver.StreamRequestHandler):
    """Answers one byte every 0.2 s, for twenty seconds."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            for number in range(100):
                self.wfile.write(b"T" if number else b"H")
                time.sleep(0.2)


@pytest.mark.parametrize("proxy", ["http://{0.http}", "socks5h://" + f"{USER}:{SOCKS_QUOTED}@" + "{0.socks}"])
async def test_an_answer_that_trickles_through_a_proxy_is_bounded(
    make: Make, net: Network, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.format(net))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(net.certificate)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Trickle) as server:
        server.daemon_threads = True
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        begun = time.monotonic()
        url = f"https://slow.example.test:{server.server_address[1]}"
        with pytest.raises(SubmissionUnconfirmedError, match="none within 3 s"):
            await settle(make(base_url=url, timeout=3, clock=None).generate(**ASK))
        assert time.monotonic() - begun < 15
        server.shutdown()


# --- certificates ---


async def test_an_issuer_that_is_not_trusted_is_told_and_what_to_set(
    make: Make, net: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{net.http}")
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(NotSentError) as caught:
        await settle(make().generate(**ASK))
    assert "gw.example.test did not open: its certificate is not trusted here" in caught.value.what
    assert "Set SSL_CERT_FILE to a file with the issuer's certificate, or pass verify=…" in caught.value.hint


async def test_verify_takes_a_file_or_a_context(
    make: Make, net: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{net.http}")
    monkeypatch.setenv("SSL_CERT_FILE", "/nope.pem")
    own = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    own.load_verify_locations(cafile=net.authority)
    for verify in (net.authority, ssl.create_default_context(cafile=net.authority), own):
        assert (await settle(make(verify=verify, save_to=tmp_path).generate(**ASK))).path


@pytest.mark.parametrize(("variable", "why"), [("SSL_CERT_FILE", "no such file"), ("SSL_CERT_DIR", "no such folder")])
async def test_certificates_that_are_not_there_are_named(
    make: Make, monkeypatch: pytest.MonkeyPatch, variable: str, why: str
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv(variable, "/nope.pem")
    with pytest.raises(NotSentError, match=f"{variable} names /nope.pem, and .*{why}"):
        await settle(make().generate(**ASK))


# --- fronts ---


@pytest.mark.parametrize(
    ("name", "error", "what", "hint"),
    [
        ("firewall", RefusedError, 'HTTP 403 with a web page ("Access denied")', "A firewall, a CDN or the login page"),
        ("portal", SubmissionUnconfirmedError, 'HTTP 200 with a web page ("Hotel & Bar: log in")', "Check base_url"),
        (
            "moved",
            RefusedError,
            "HTTP 307, a redirect to https://new.example.net.",
            "set base_url to where the gateway",
        ),
    ],
)
async def test_what_is_in_front_of_a_gateway_is_told_from_it(
    make: Make,
    net: Network,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    error: type[RequestError],
    what: str,
    hint: str,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{net.http}")
    with pytest.raises(error) as caught:
        await settle(make(base_url=net.url(name)).generate(**ASK))
    assert type(caught.value) is error
    assert what in caught.value.what
    assert hint in caught.value.hint
    assert caught.value.spent is (None if name == "portal" else False)


@pytest.mark.parametrize("only", [True, False], ids=["HTTP/2 only", "both"])
async def test_a_front_that_speaks_http2_is_spoken_to_in_it(
    make: Make, net: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, only: bool
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{net.http}")
    base_url = f"https://gw.example.test:{net.http2_port if only else net.port}"
    before = posts(net)
    client = make(base_url=base_url, http2=True)
    videos = [client.generate(**ASK | {"prompt": f"{number}"}) for number in range(3)]
    if asyncio.iscoroutine(videos[0]):
        videos = await asyncio.gather(*videos)
    assert (len({video.task_id for video in videos}), posts(net) - before) == (3, 3)


async def test_submits_over_http2_share_no_connection(net: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that broke would leave all of its submits in doubt."""
    opened: list[str] = []
    connect = anyio.connect_tcp

    async def count(**given: Any) -> Any:
        opened.append(given["remote_host"])
        return await connect(**given)

    monkeypatch.setattr(anyio, "connect_tcp", count)
    settings: dict[str, Any] = {"api_key": net.emulator.api_key, "clock": HurriedClock(), "verify": str(net.authority)}
    client = AsyncNebulaVideoClient(base_url=f"https://127.0.0.1:{net.http2_port}", http2=True, **settings)
    await asyncio.gather(*(client.submit(**ASK | {"prompt": f"{number}"}) for number in range(3)))
    assert len(opened) == 3


async def test_a_front_that_speaks_nothing_else_is_named_as_a_possible_cause(
    make: Make, net: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{net.http}")
    before = posts(net)
    with pytest.raises(SubmissionUnconfirmedError) as caught:
        await settle(make(base_url=f"https://gw.example.test:{net.http2_port}").generate(**ASK))
    assert "the gateway's front may speak HTTP/2 only: set http2=True" in caught.value.hint
    assert posts(net) == before
