"""The list of faults, the control routes and the storage, without a socket."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from PIL import Image

from langchain_nebula_video import emulator as package
from langchain_nebula_video.emulator import Clock, Emulator
from langchain_nebula_video.emulator.extras import require_extra
from langchain_nebula_video.emulator.faults.nebula import ALL_KINDS
from tests.tables import each_row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATH = "/v1/video/generations"
REQUEST = {"model": "wan2.5-i2v-preview", "prompt": "a cat", "resolution": "480p", "seed": 1}
LONGEST = 180.0


@pytest.fixture
def emulator() -> Emulator:
    return Emulator(clock=Clock(1_762_254_911.0, running=False))


@pytest.fixture
async def http(emulator: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=emulator.app)
    headers = {"Authorization": "Bearer sk-emulator"}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
        yield client


@pytest.fixture
async def storage(emulator: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    """A client that sends no key."""
    transport = httpx.ASGITransport(app=emulator.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client
    emulator.stop()


async def submit(http: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await http.post(PATH, json=REQUEST | {"image": "https://example.com/cat.jpg"} | fields)


async def finished(http: httpx.AsyncClient, emulator: Emulator, **fields: Any) -> str:
    """The address of a finished video."""
    task_id = (await submit(http, **fields)).json()["task_id"]
    emulator.clock.advance(LONGEST)
    task = (await http.get(f"{PATH}/{task_id}")).json()
    return str(task.get("url") or task["video_url"])


async def test_fault_is_played_as_often_as_asked(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """After some requests, for some requests, and no more."""
    emulator.faults.add("submit", "status", times=2, after=1)
    statuses = [(await submit(http)).status_code for _ in range(4)]
    assert statuses == [200, 500, 500, 200]
    assert len(emulator.tasks) == 2
    assert [request.fault for request in emulator.requests] == [None, "status", "status", None]


async def test_faults_of_a_point_are_played_in_order(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """The next one begins when the one before it is used up."""
    emulator.faults.add("submit", "status", code=502)
    emulator.faults.add("submit", "status", code=429)
    assert [(await submit(http)).status_code for _ in range(3)] == [502, 429, 200]


async def test_fault_without_a_number_is_played_until_cleared(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """Clearing one point leaves the others."""
    emulator.faults.add("submit", "status", times=None)
    emulator.faults.add("query", "empty")
    assert [(await submit(http)).status_code for _ in range(3)] == [500] * 3
    emulator.faults.clear("submit")
    assert (await submit(http)).status_code == 200
    assert [fault.point for fault in emulator.faults.records()] == ["query"]


@each_row(
    ("point", "kind", "params", "words"),
    [
        ("submit", "explode", {}, "no fault 'explode'"),
        ("hosted", "empty", {}, "no fault 'empty' at 'hosted'"),
        ("submit", "no_url", {}, "is for query"),
        ("submit", "status", {"colour": "red"}, "takes code, body"),
        ("submit", "reset_before", {"accepted": True}, "takes no parameters"),
        ("submit", "redirect", {}, "needs to"),
        ("submit", "status", {"body": "xml"}, "takes one of json"),
        ("query", "regress", {"status": "SUCCEEDED"}, "takes one of PENDING"),
    ],
)
def test_fault_that_cannot_be_is_refused(
    emulator: Emulator, point: str, kind: str, params: dict[str, Any], words: str
) -> None:
    """When it is added, with the words to put it right."""
    with pytest.raises(ValueError, match=words):
        emulator.faults.add(point, kind, **params)


async def test_fault_of_the_wire_says_that_it_needs_one(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """Without a socket there is nothing to reset."""
    emulator.faults.add("submit", "reset_before")
    with pytest.raises(RuntimeError, match=r"start\(\)"):
        await submit(http)


@each_row(
    ("kind", "params", "tasks"),
    [
        ("status", {}, 0),
        ("status", {"accepted": True}, 1),
        ("empty", {}, 1),
        ("html", {}, 1),
        ("redirect", {"to": "https://example.com/"}, 0),
        ("doubled", {}, 1),
        ("half", {}, 1),
        ("answer", {"body": {}}, 1),
    ],
)
async def test_fault_lets_the_submit_count_or_not(
    http: httpx.AsyncClient, emulator: Emulator, kind: str, params: dict[str, Any], tasks: int
) -> None:
    """Whether there is a task is the difference that costs money."""
    before = len(emulator.tasks)
    emulator.faults.add("submit", kind, **params)
    await submit(http)
    assert len(emulator.tasks) - before == tasks


@each_row(
    ("params", "text"),
    [
        ({}, '{"code":"InternalError","message":"Internal Server Error","data":null}'),
        ({"code": 429}, '{"code":"Throttling.RateLimit","message":"Too Many Requests","data":null}'),
        ({"code": 503, "body": "distributor"}, '"type":"new_api_error"'),
        ({"code": 502, "body": "html"}, "<h1>502 Bad Gateway</h1>"),
        ({"code": 504, "body": "empty"}, ""),
    ],
)
async def test_status_fault_has_the_body_asked_for(
    http: httpx.AsyncClient, emulator: Emulator, params: dict[str, Any], text: str
) -> None:
    """A gateway's error, a proxy's page, or nothing."""
    emulator.faults.add("submit", "status", **params)
    answer = await submit(http)
    assert answer.status_code == params.get("code", 500)
    assert text in answer.text
    assert bool(answer.text) is bool(text)


async def test_status_fault_can_say_when_to_come_back(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """Only if asked: the real gateway seldom does."""
    emulator.faults.add("submit", "status", code=429, retry_after=3)
    emulator.faults.add("submit", "status", code=429)
    assert [(await submit(http)).headers.get("Retry-After") for _ in range(2)] == ["3", None]


async def test_answer_can_be_patched(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """A merge patch: what is null goes, what is there changes."""
    emulator.faults.add("submit", "patch", fields={"format": None, "metadata": {"group_ratio": "1"}})
    body = (await submit(http)).json()
    assert "format" not in body
    assert body["metadata"]["group_ratio"] == "1"
    assert body["metadata"]["model_price"] == 0.0369


async def test_success_can_come_without_an_address(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """Neither of the two places has it."""
    await finished(http, emulator)
    emulator.faults.add("query", "no_url")
    body = (await http.get(f"{PATH}/{emulator.tasks[0].id}")).json()
    assert body["status"] == "succeeded"
    assert "url" not in body
    assert "video_url" not in body["metadata"]["output"]


async def test_status_can_go_back(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """For one answer a finished task is queued again."""
    await finished(http, emulator)
    emulator.faults.add("query", "regress")
    seen = [(await http.get(f"{PATH}/{emulator.tasks[0].id}")).json()["status"] for _ in range(2)]
    assert seen == ["in_progress", "succeeded"]


async def test_status_can_be_a_word_that_nobody_knows(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """Clients have to bear it."""
    emulator.faults.add("query", "status_word", word="meditating")
    task_id = (await submit(http)).json()["task_id"]
    assert (await http.get(f"{PATH}/{task_id}")).json()["status"] == "meditating"


async def test_address_opens_for_as_long_as_it_says(
    http: httpx.AsyncClient, storage: httpx.AsyncClient, emulator: Emulator
) -> None:
    """Twenty-four hours after the task ended it is over, in the storage's own words."""
    url = await finished(http, emulator, model="viduq3t-540p", resolution=None, duration=1)  # quick to draw
    assert (await storage.get(url, headers={"Range": "bytes=4-7"})).content == b"ftyp"
    emulator.clock.advance(24 * 3600)
    answer = await storage.get(url)
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/xml")
    assert "<Code>AccessDenied</Code>" in answer.text
    assert "Request has expired" in answer.text


async def test_address_cannot_be_made_up(
    http: httpx.AsyncClient, storage: httpx.AsyncClient, emulator: Emulator
) -> None:
    """A later expiry, another task or no signature: all closed."""
    url = httpx.URL(await finished(http, emulator))
    expires = str(int(url.params["Expires"]) + 1)
    forged = [
        url.copy_set_param("Expires", expires),
        url.copy_with(query=None),
        url.copy_with(path="/results/another.mp4"),
        url.copy_set_param("Signature", "é"),
    ]
    assert [(await storage.get(each)).status_code for each in forged] == [403] * 4


async def test_key_sent_to_the_storage_is_a_violation(
    http: httpx.AsyncClient, storage: httpx.AsyncClient, emulator: Emulator
) -> None:
    """The key belongs to the gateway alone."""
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    url = emulator.host_image(picture.getvalue())
    assert (await storage.get(url)).headers["content-type"] == "image/png"
    rules = [violation.rule for violation in emulator.violations]
    await http.get(url)
    rules += [violation.rule for violation in emulator.violations]
    assert rules == ["key_outside_gateway"]


async def test_control_routes_show_what_there_is(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """The same records as in Python, money as text; and they are not in the log themselves."""
    await finished(http, emulator)
    bill = (await http.get("/_emulator/bill")).json()
    tasks = (await http.get("/_emulator/tasks")).json()
    summary = (await http.get("/_emulator")).json()
    assert bill["usd"] == bill["lines"][0]["amount"] == "0.1845"
    assert tasks[0]["status"] == "SUCCEEDED"
    assert (summary["tasks"], summary["requests"], summary["usd"]) == (1, 2, "0.1845")
    for name in ("accounts", "peaks", "violations", "requests", "faults", "clock"):
        assert (await http.get(f"/_emulator/{name}")).status_code == 200
    assert len(emulator.requests) == 2


async def test_control_routes_add_and_clear_faults(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """A test in any language can play them."""
    fault = {"point": "submit", "kind": "status", "times": 3, "code": 503}
    added = (await http.post("/_emulator/faults", json=fault)).json()
    assert added[0]["params"]["code"] == 503
    assert (await submit(http)).status_code == 503
    await http.delete("/_emulator/faults", params={"point": "query"})
    assert len(emulator.faults.records()) == 1
    assert (await http.delete("/_emulator/faults")).json() == []


async def test_control_routes_move_the_clock(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """Forward, to a stop, and to another speed."""
    before = emulator.clock.now()
    body = (await http.post("/_emulator/clock", json={"advance": 60, "speed": 5})).json()
    assert body == {"now": before + 60, "running": False, "speed": 5.0}
    assert (await http.post("/_emulator/clock", json={"running": True})).json()["running"] is True


@each_row(
    ("path", "body"),
    [
        ("faults", {"point": "submit"}),
        ("faults", {"point": "submit", "kind": "nothing"}),
        ("faults", []),
        ("clock", {"advance": -1}),
        ("clock", {"backwards": 1}),
        ("clock", {"speed": "fast"}),
    ],
)
async def test_control_routes_refuse_nonsense(http: httpx.AsyncClient, path: str, body: object) -> None:
    """With a reason."""
    answer = await http.post(f"/_emulator/{path}", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


async def test_control_routes_answer_this_machine_alone(emulator: Emulator) -> None:
    """An emulator that listens on every interface is not everybody's to steer."""
    transport = httpx.ASGITransport(app=emulator.app, client=("192.0.2.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as stranger:
        assert (await stranger.get("/_emulator/tasks")).status_code == 403


@each_row("kind", ALL_KINDS)
def test_every_kind_of_fault_is_documented(kind: str) -> None:
    """With each of its parameters, in the table of the README."""
    readme = (Path(package.__path__[0]) / "README.md").read_text(encoding="utf-8")
    (row,) = [line for line in readme.splitlines() if line.startswith("|") and f"`{kind}`" in line.split("|")[1]]
    assert [name for name in ALL_KINDS[kind].params if f"`{name}" not in row] == []


def test_public_names_are_sorted_and_there() -> None:
    """The list is what the package offers."""
    assert package.__all__ == sorted(package.__all__)
    assert all(hasattr(package, name) for name in package.__all__)


def test_missing_extra_says_how_to_install_it() -> None:
    """Instead of naming a package that nobody asked for."""
    hint = r'pip install "langchain-nebula-video\[emulator\]" \(av is missing\)'
    with pytest.raises(ImportError, match=hint), require_extra():
        raise ModuleNotFoundError(name="av")
