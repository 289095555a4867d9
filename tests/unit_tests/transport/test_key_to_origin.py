"""A video on the gateway itself wants the key. It goes to scheme, host and port of base_url, and nowhere else."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from langchain_nebula_video import AsyncNebulaVideoClient, DownloadError, NebulaVideoClient, TaskStatus, Video
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.lifecycle.video_urls import locate_video
from langchain_nebula_video.media.urls import gateway_address, needs_key, same_origin
from langchain_nebula_video.protocols import TaskSnapshot, WireRequest
from langchain_nebula_video.transport import Endpoint
from langchain_nebula_video.transport.exchange import Exchange
from tests.conftest import KEY, FakeClock, Gateway, settle, submitted, succeeded
from tests.storage import MOVIE
from tests.tables import each_row

BASE = "https://gateway.example.com"
CONTENT = "/v1/videos/task-1/content"
ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}


class Web:
    """All hosts there are. Each address has its answer; whatever else is asked for is the video."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.redirects: dict[str, str] = {}
        self.keys: list[tuple[str, str | None]] = []
        self.headers: list[httpx.Headers] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(200, json=submitted())
        if request.url.path in {"/v1/video/generations/task-1", "/v1/videos/task-1"}:
            return httpx.Response(200, json=self.answers["look"])
        url = str(request.url)
        self.keys.append((url, request.headers.get("Authorization")))
        self.headers.append(request.headers)
        if url in self.redirects:
            return httpx.Response(302, headers={"Location": self.redirects[url]})
        return httpx.Response(200, content=MOVIE)

    def client(self, base_url: str = BASE, *, blocking: bool = True) -> Any:
        own: dict[str, Any] = {"api_key": KEY, "base_url": base_url, "clock": FakeClock(), "download_hosts": [".com"]}
        if blocking:
            return NebulaVideoClient(http_client=httpx.Client(transport=httpx.MockTransport(self)), **own)
        return AsyncNebulaVideoClient(http_async_client=httpx.AsyncClient(transport=httpx.MockTransport(self)), **own)


def done(url: str | None) -> dict[str, Any]:
    return {"task_id": "task-1", "status": "completed", "url": url}


BEARER = f"Bearer {KEY}"

SAME = [
    (BASE, BASE + CONTENT),
    (BASE, f"{BASE}:443{CONTENT}"),
    (f"{BASE}:443", BASE + CONTENT),
    (BASE, f"HTTPS://GateWay.Example.COM{CONTENT}"),
    (f"{BASE}:8443", f"{BASE}:8443{CONTENT}"),
    (f"{BASE}/team", BASE + CONTENT),
    ("https://[2606:4700::1]", f"https://[2606:4700:0:0:0:0:0:1]{CONTENT}"),
    ("http://127.0.0.1:4000", f"http://127.0.0.1:4000{CONTENT}"),
    ("https://b\u00fccher.example.com", f"https://xn--bcher-kva.example.com{CONTENT}"),
    (BASE, f"{BASE}?download=1"),
]
OTHER = [
    (BASE, f"http://gateway.example.com{CONTENT}"),
    (BASE, f"http://gateway.example.com:443{CONTENT}"),
    (BASE, f"{BASE}:8443{CONTENT}"),
    (f"{BASE}:8443", BASE + CONTENT),
    (BASE, f"{BASE}.evil.example{CONTENT}"),
    (BASE, f"https://evil-gateway.example.com{CONTENT}"),
    (BASE, f"https://example.com{CONTENT}"),
    (BASE, f"https://gateway.example.com.{CONTENT}"),
    (BASE, f"https://gateway.example.com@files.example.com{CONTENT}"),
    (BASE, f"https://user:pass@gateway.example.com{CONTENT}"),
    (BASE, f"https://gateway.example.com:443@files.example.com{CONTENT}"),
    (BASE, f"https://files.example.com\\@gateway.example.com{CONTENT}"),
    (BASE, f"https://files.example.com#@gateway.example.com{CONTENT}"),
    (BASE, f"https://files.example.com?@gateway.example.com{CONTENT}"),
    (BASE, f"https://gateway.example.com%2e{CONTENT}"),
    (BASE, f"https://gateway%2eexample.com{CONTENT}"),
    (BASE, f"//gateway.example.com{CONTENT}"),
    (BASE, f"ftp://gateway.example.com{CONTENT}"),
    (BASE, f"https://gateway.example.com:0{CONTENT}"),
    (BASE, f"https://gateway.example.com:x{CONTENT}"),
    ("https://[2606:4700::1]", f"https://[2606:4700::2]{CONTENT}"),
    ("http://127.0.0.1:4000", f"http://localhost:4000{CONTENT}"),
    ("http://127.0.0.1:4000", f"http://127.1:4000{CONTENT}"),
    ("http://127.0.0.1:4000", f"http://2130706433:4000{CONTENT}"),
    (BASE, CONTENT),
    (BASE, "data:video/mp4;base64,AAAA"),
    (BASE, ""),
]


@each_row(("base_url", "url"), SAME)
def test_one_origin_has_many_spellings(base_url: str, url: str) -> None:
    assert same_origin(url, base_url)
    assert needs_key(url, base_url)


@each_row(("base_url", "url"), OTHER)
def test_what_only_looks_like_the_gateway_is_another_origin(base_url: str, url: str) -> None:
    assert not same_origin(url, base_url)
    assert not needs_key(url, base_url)


@each_row(
    ("base_url", "url", "sent_to"),
    [
        (BASE, f"HTTPS://GATEWAY.example.com:443{CONTENT}?a=b#c", f"{BASE}{CONTENT}?a=b"),
        (BASE, f"{BASE}?a=b", f"{BASE}/?a=b"),
        (BASE, BASE, f"{BASE}/"),
        (f"{BASE}:8443/team", f"{BASE}:8443{CONTENT}", f"{BASE}:8443{CONTENT}"),
    ],
)
def test_scheme_host_and_port_are_those_of_base_url_whatever_the_answer_spells(
    base_url: str, url: str, sent_to: str
) -> None:
    assert gateway_address(url, base_url) == sent_to


def exchange(base_url: str) -> Exchange:
    return Exchange(Endpoint(base_url, SecretStr(KEY), "test"), None, FakeClock())


@each_row(("base_url", "url"), OTHER)
def test_the_transport_itself_gives_no_other_address_the_key(base_url: str, url: str) -> None:
    if not url.startswith("/"):  # behind base_url, a path is one on the gateway, however it begins
        assert not exchange(base_url).is_to_gateway(WireRequest("GET", url, with_key=True))


@each_row(("base_url", "url"), SAME)
def test_the_transport_gives_the_gateway_s_own_address_the_key_only_if_told_to_and_only_to_read(
    base_url: str, url: str
) -> None:
    assert exchange(base_url).is_to_gateway(WireRequest("GET", url, with_key=True))
    assert not exchange(base_url).is_to_gateway(WireRequest("GET", url))
    assert not exchange(base_url).is_to_gateway(WireRequest("POST", url, with_key=True))


@pytest.mark.parametrize("blocking", [True, False], ids=["sync", "async"])
async def test_a_video_on_the_gateway_is_fetched_with_the_key(blocking: bool, tmp_path: Path) -> None:
    web = Web(look=done(BASE + CONTENT))
    client = web.client(blocking=blocking)
    video = await settle(client.generate(**ASK))
    assert (video.url, video.url_needs_key) == (BASE + CONTENT, True)
    saved = await settle(client.download(video, tmp_path))
    assert Path(saved.path).read_bytes() == MOVIE
    assert web.keys == [(BASE + CONTENT, BEARER)]
    assert "range" not in web.headers[0]


@each_row(("base_url", "url"), OTHER)
@pytest.mark.parametrize("blocking", [True, False], ids=["sync", "async"])
async def test_no_other_address_gets_the_key(base_url: str, url: str, blocking: bool, tmp_path: Path) -> None:
    web = Web(look=succeeded())
    client = web.client(base_url, blocking=blocking)
    video = (await settle(client.generate(**ASK))).model_copy(update={"url": url})
    with contextlib.suppress(DownloadError):  # some are no web addresses at all
        await settle(client.download(video, tmp_path))
    assert {key for _, key in web.keys} <= {None}


async def test_a_signed_address_on_the_gateway_has_its_permission_in_itself(tmp_path: Path) -> None:
    """A storage beside the gateway refuses a request with two permissions."""
    signed = f"{BASE}/oss/video.mp4?Expires=1799999999&Signature=abc"
    web = Web(look=done(signed))
    client = web.client()
    video = client.generate(**ASK)
    assert not video.url_needs_key
    client.download(video, tmp_path)
    assert web.keys == [(signed, None)]


@each_row(
    ("steps", "keys"),
    [
        (["https://files.example.com/v.mp4"], [BEARER, None]),
        (["https://files.example.com/v.mp4", BASE + CONTENT + "?again"], [BEARER, None, None]),
        ([BASE + "/other"], [BEARER, BEARER]),
        ([BASE + "/oss/v.mp4?Signature=abc"], [BEARER, None]),
        ([f"{BASE}:8443/v.mp4"], [BEARER, None]),
        ([f"{BASE}.example.com/v.mp4"], [BEARER, None]),
        (["/other"], [BEARER, BEARER]),
        (["//files.example.com/v.mp4"], [BEARER, None]),
    ],
)
def test_after_a_redirect_away_the_key_stays_here(steps: list[str], keys: list[str | None], tmp_path: Path) -> None:
    """And it does not come back, whatever the other host says."""
    web = Web(look=done(BASE + CONTENT))
    at = BASE + CONTENT
    for step in steps:
        web.redirects[at] = step
        at = str(httpx.URL(at).join(step))
    client = web.client()
    client.download(client.generate(**ASK), tmp_path)
    assert [key for _, key in web.keys] == keys


def test_a_redirect_to_plain_http_ends_the_download(tmp_path: Path) -> None:
    web = Web(look=done(BASE + CONTENT))
    web.redirects[BASE + CONTENT] = f"http://gateway.example.com{CONTENT}"
    client = web.client()
    with pytest.raises(DownloadError, match="from https to http"):
        client.download(client.generate(**ASK), tmp_path)
    assert [key for _, key in web.keys] == [BEARER]


def test_a_video_of_another_gateway_is_fetched_without_this_one_s_key(tmp_path: Path) -> None:
    web = Web(look=done(BASE + CONTENT))
    client = web.client()
    video: Video = client.generate(**ASK)
    client.download(video.model_copy(update={"gateway": "uniall"}), tmp_path)
    assert [key for _, key in web.keys] == [None]


# --- where the video is ---


@each_row(
    ("gateway", "base_url", "given", "url"),
    [
        ("nebula", BASE, None, f"{BASE}/v1/videos/task-1/content"),
        ("nebula", f"{BASE}/team", None, f"{BASE}/team/v1/videos/task-1/content"),
        ("nebula", f"{BASE}/v1", None, f"{BASE}/v1/videos/task-1/content"),
        ("uniall", BASE, None, f"{BASE}/v1/videos/task-1/content"),
        ("nebula", BASE, "https://files.example.com/v.mp4", "https://files.example.com/v.mp4"),
    ],
)
def test_a_finished_task_without_an_address_has_its_video_on_the_gateway(
    gateway: str, base_url: str, given: str | None, url: str
) -> None:
    played = Gateway()
    played.submits, played.fetches = [submitted()], [done(given)]
    client = NebulaVideoClient(
        gateway=gateway,
        base_url=base_url,
        api_key=KEY,
        clock=FakeClock(),
        http_client=httpx.Client(transport=httpx.MockTransport(played)),
    )
    video = client.generate(**ASK)
    assert (video.url, video.url_needs_key) == (url, given is None)
    assert (video.expires_at - video.finished_at).total_seconds() == 24 * 3600
    assert played.gets == 1


@each_row(
    ("base_url", "path", "url"),
    [
        (BASE, "/v1/videos/x/content", f"{BASE}/v1/videos/x/content"),
        (f"{BASE}/team", "/v1/videos/x/content", f"{BASE}/team/v1/videos/x/content"),
        (f"{BASE}/team", "/team/v1/videos/x/content", f"{BASE}/team/v1/videos/x/content"),
        (f"{BASE}/team", "/teamwork/x.mp4", f"{BASE}/team/teamwork/x.mp4"),
        (BASE, "//files.example.com/x.mp4", "https://files.example.com/x.mp4"),
    ],
)
def test_a_path_in_an_answer_is_one_on_the_gateway(base_url: str, path: str, url: str) -> None:
    snapshot = TaskSnapshot(status=TaskStatus.SUCCEEDED, url=path, raw={})
    assert locate_video(snapshot, "x", GATEWAYS["nebula"], base_url, FakeClock().utcnow()).url == url


@each_row("status", [status for status in TaskStatus if status is not TaskStatus.SUCCEEDED])
def test_a_task_that_has_not_succeeded_has_no_video_anywhere(status: TaskStatus) -> None:
    snapshot = TaskSnapshot(status=status, raw={})
    assert locate_video(snapshot, "x", GATEWAYS["nebula"], BASE, FakeClock().utcnow()).url is None
