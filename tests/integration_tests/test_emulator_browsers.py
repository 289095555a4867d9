"""What a web page in the developer's browser may ask of an emulator on the same machine, over real HTTP."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from langchain_nebula_video.emulator import Emulator
from tests.tables import each_row

if TYPE_CHECKING:
    from collections.abc import Iterator

SUBMIT = {"model": "wan2.5-i2v-preview", "prompt": "a cat", "image": "https://example.com/cat.jpg"}
FAULT = {"point": "submit", "kind": "status"}
EVIL = "http://attacker.example.com"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


def asked(emulator: Emulator, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
    """Status and text of a request with these headers; `Host` may say what it likes."""
    address = urlsplit(emulator.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, None if body is None else json.dumps(body), named)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def key(emulator: Emulator) -> str:
    return f"Bearer {emulator.api_key}"


@each_row("origin", [EVIL, "null", "http://localhost:3000", "http://127.0.0.1:1", "https://127.0.0.1", "file://"])
def test_a_page_of_another_origin_steers_nothing(emulator: Emulator, origin: str) -> None:
    before = emulator.clock.now()
    page = {"Origin": origin, "Content-Type": "text/plain"}
    for path, body in (("faults", FAULT), ("clock", {"advance": 1e6}), ("accounts", {"api_key": "sk-evil"})):
        assert asked(emulator, "POST", f"/_emulator/{path}", body, **page)[0] == 403
    assert asked(emulator, "DELETE", "/_emulator/faults", **page)[0] == 403
    assert asked(emulator, "GET", "/_emulator/tasks", Origin=origin)[0] == 403
    assert emulator.clock.now() - before < 1000
    assert len(emulator.accounts) == 1
    assert asked(emulator, "GET", "/_emulator/faults")[1] == "[]"


@each_row("site", ["cross-site", "same-site"])
def test_a_request_that_the_browser_marks_as_another_site_s_is_refused_without_an_origin(
    emulator: Emulator, site: str
) -> None:
    assert asked(emulator, "GET", "/_emulator/tasks", Sec_Fetch_Site=site)[0] == 403
    assert asked(emulator, "GET", "/_emulator/tasks", Sec_Fetch_Site="none")[0] == 200  # typed into the address bar


@each_row(
    "host",
    ["attacker.example.com", "attacker.example.com:80", "127.0.0.1.nip.io", "localhost.example.com", "192.0.2.1", "x"],
)
def test_a_name_that_was_rebound_to_this_machine_reads_and_steers_nothing(emulator: Emulator, host: str) -> None:
    assert asked(emulator, "GET", "/_emulator/tasks", Host=host)[0] == 403
    assert asked(emulator, "POST", "/_emulator/faults", FAULT, Host=host, Origin=f"http://{host}")[0] == 403
    assert asked(emulator, "GET", "/_emulator/faults")[1] == "[]"


@each_row("host", ["127.0.0.1", "127.0.0.2:8788", "localhost", "LOCALHOST.:1", "[::1]:8788", "emulator.localhost"])
def test_every_name_of_this_machine_is_answered(emulator: Emulator, host: str) -> None:
    assert asked(emulator, "GET", "/_emulator", Host=host)[0] == 200
    assert asked(emulator, "POST", "/_emulator/clock", {}, Host=host, Origin=f"http://{host}")[0] == 200


@each_row(
    "page",
    [{"Origin": EVIL}, {"Origin": "null"}, {"Host": "evil.com", "Origin": "http://evil.com"}, {"Host": "evil.com:80"}],
)
def test_a_page_submits_no_task_and_uses_up_no_fault(emulator: Emulator, page: dict[str, str]) -> None:
    emulator.faults.add("submit", "status", code=503, times=None)
    calls = [
        ("POST", "/v1/video/generations", SUBMIT),
        ("GET", "/v1/video/generations/any", None),
        ("GET", "/beijing/api/v1/tasks", None),
        ("POST", "/anything", SUBMIT),
    ]
    for method, path, body in calls:
        status, text = asked(emulator, method, path, body, Authorization=key(emulator), **page)
        assert (status, json.loads(text)["error"]["type"]) == (403, "emulator")
    assert emulator.tasks == ()
    assert emulator.requests == ()
    assert json.loads(asked(emulator, "GET", "/_emulator/faults")[1])[0]["seen"] == 0


@each_row("host", ["gateway.test", "gw.example.test:443", "emulator", "host.docker.internal", "192.168.1.5:8788"])
def test_a_proxy_or_a_container_may_give_the_emulator_a_name(emulator: Emulator, host: str) -> None:
    status, _ = asked(emulator, "POST", "/v1/video/generations", SUBMIT, Authorization=key(emulator), Host=host)
    assert status == 200


def test_a_page_may_show_a_video_by_its_signed_url(emulator: Emulator) -> None:
    _, text = asked(emulator, "POST", "/v1/video/generations", SUBMIT, Authorization=key(emulator))
    emulator.clock.advance(180)
    task = f"/v1/video/generations/{json.loads(text)['task_id']}"
    url = urlsplit(json.loads(asked(emulator, "GET", task, Authorization=key(emulator))[1])["url"])
    hosted = urlsplit(emulator.host_image(b"x"))
    page = {"Origin": EVIL, "Sec_Fetch_Site": "cross-site"}
    address = urlsplit(emulator.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
    connection.request("GET", f"{url.path}?{url.query}", headers={"Origin": EVIL})
    assert connection.getresponse().status == 200
    connection.close()
    assert asked(emulator, "GET", hosted.path, **page)[0] == 200
