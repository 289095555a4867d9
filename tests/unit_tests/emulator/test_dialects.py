"""What every dialect of the emulator shares: faults, the ledger, the control routes, the storage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from langchain_nebula_video.emulator import Clock, Dialect, Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

START = 1_762_254_911.0
LONGEST = 300.0
IMAGE = "https://example.com/cat.jpg"
DASHSCOPE_SUBMIT = "/api/v1/services/aigc/video-generation/video-synthesis"
DASHSCOPE_REQUEST = {"model": "wan2.2-i2v-flash", "input": {"img_url": IMAGE, "prompt": "a cat"}}


@dataclass(frozen=True)
class Spoken:
    """How one dialect is spoken, and where its answers say what."""

    dialect: Dialect
    submit: str
    query: str
    request: Mapping[str, Any]
    status: tuple[str, ...]
    url: tuple[str, ...]
    error: frozenset[str]
    key: str = "sk-emulator"
    amount: str = "0"


def at(body: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        body = body[name]
    return body


PLAIN = frozenset({"code", "message", "data"})
NATIVE = frozenset({"code", "message", "request_id"})
TASK, OUTPUT = ("output", "task_status"), ("output", "video_url")
ALL = (
    Spoken(
        Dialect.NEBULA,
        "/v1/video/generations",
        "/v1/video/generations/",
        {"model": "wan2.5-i2v-preview", "prompt": "a cat", "image": IMAGE},
        ("status",),
        ("url",),
        PLAIN,
        amount="0.369",
    ),
    Spoken(
        Dialect.DASHSCOPE,
        DASHSCOPE_SUBMIT,
        "/api/v1/tasks/",
        DASHSCOPE_REQUEST,
        TASK,
        OUTPUT,
        NATIVE,
        "sk-beijing",
        "1",
    ),
    Spoken(
        Dialect.PASSTHROUGH,
        "/alibailian" + DASHSCOPE_SUBMIT,
        "/alibailian/api/v1/tasks/",
        DASHSCOPE_REQUEST,
        TASK,
        OUTPUT,
        PLAIN,
        amount="1",
    ),
    Spoken(
        Dialect.VIDU,
        "/v1/video/generations",
        "/v1/video/generations/",
        {"model": "viduq3p-540p", "prompt": "a cat"},
        ("status",),
        ("video_url",),
        PLAIN,
    ),
    Spoken(
        Dialect.NEWAPI,
        "/newapi/v1/video/generations",
        "/newapi/v1/videos/",
        {"model": "wan2.5-i2v-preview", "prompt": "a cat", "image": IMAGE, "size": "480P"},
        ("status",),
        ("metadata", "url"),
        PLAIN,
        amount="0.25",
    ),
)


@pytest.fixture(params=ALL, ids=lambda spoken: spoken.dialect)
def spoken(request: pytest.FixtureRequest) -> Spoken:
    which: Spoken = request.param
    return which


@pytest.fixture
def emulator() -> Emulator:
    emulator = Emulator(clock=Clock(START, running=False))
    emulator.add_account("sk-beijing", region="beijing", name="beijing")
    return emulator


@pytest.fixture
async def http(emulator: Emulator, spoken: Spoken) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=emulator.app),
        base_url="http://127.0.0.1",
        headers={"Authorization": f"Bearer {spoken.key}", "X-DashScope-Async": "enable"},
    ) as client:
        yield client


async def submit(http: httpx.AsyncClient, spoken: Spoken) -> httpx.Response:
    return await http.post(spoken.submit, json=spoken.request)


async def query(http: httpx.AsyncClient, emulator: Emulator, spoken: Spoken) -> httpx.Response:
    return await http.get(spoken.query + emulator.tasks[0].id)


async def test_records_say_whose_words_and_which_money(
    http: httpx.AsyncClient, emulator: Emulator, spoken: Spoken
) -> None:
    """In the tasks, the bill and the requests."""
    await submit(http, spoken)
    emulator.clock.advance(LONGEST)
    await query(http, emulator, spoken)
    (task,), (line,) = emulator.tasks, emulator.bill.lines
    assert {task.dialect, line.dialect, *(request.dialect for request in emulator.requests)} == {spoken.dialect}
    assert [request.point for request in emulator.requests] == ["submit", "query"]
    assert task.cost == line.amount == emulator.bill.total(task.currency)
    assert f"{line.amount.normalize():f}" == spoken.amount
    assert emulator.requests[0].task_id == task.id


@pytest.mark.parametrize("accepted", [True, False])
async def test_failing_submit_has_the_dialects_own_form(
    http: httpx.AsyncClient, emulator: Emulator, spoken: Spoken, accepted: bool
) -> None:
    """And leaves a task or none, as it was told to."""
    emulator.faults.add("submit", "status", code=500, accepted=accepted)
    answer = await submit(http, spoken)
    assert (answer.status_code, answer.json().keys()) == (500, spoken.error)
    assert len(emulator.tasks) == accepted


@pytest.mark.parametrize(("body", "keys"), [("native", {"code", "message", "request_id"}), ("distributor", {"error"})])
async def test_form_of_a_failing_query_can_be_chosen(
    http: httpx.AsyncClient, emulator: Emulator, spoken: Spoken, body: str, keys: set[str]
) -> None:
    """Any of those that occur anywhere."""
    await submit(http, spoken)
    emulator.faults.add("query", "status", code=503, body=body)
    answer = await query(http, emulator, spoken)
    assert (answer.status_code, answer.json().keys()) == (503, keys)


async def test_status_word_stands_where_the_dialect_has_it(
    http: httpx.AsyncClient, emulator: Emulator, spoken: Spoken
) -> None:
    """On submission and on a query."""
    emulator.faults.add("submit", "status_word", word="dreaming")
    emulator.faults.add("query", "status_word")
    assert at((await submit(http, spoken)).json(), spoken.status) == "dreaming"
    assert at((await query(http, emulator, spoken)).json(), spoken.status) == "resting"


async def test_success_can_come_without_its_address(
    http: httpx.AsyncClient, emulator: Emulator, spoken: Spoken
) -> None:
    """Nowhere in the answer; the next one has it."""
    await submit(http, spoken)
    emulator.clock.advance(LONGEST)
    emulator.faults.add("query", "no_url")
    assert "mp4?" not in (await query(http, emulator, spoken)).text
    assert ".mp4?" in at((await query(http, emulator, spoken)).json(), spoken.url)


async def test_status_can_go_back(http: httpx.AsyncClient, emulator: Emulator, spoken: Spoken) -> None:
    """From success to what it was before, without the address."""
    await submit(http, spoken)
    emulator.clock.advance(LONGEST)
    done = at((await query(http, emulator, spoken)).json(), spoken.status)
    emulator.faults.add("query", "regress", status="RUNNING")
    answer = await query(http, emulator, spoken)
    assert at(answer.json(), spoken.status) != done
    assert "mp4?" not in answer.text


async def test_download_fails_when_told_to(http: httpx.AsyncClient, emulator: Emulator, spoken: Spoken) -> None:
    """The storage is the same for all."""
    await submit(http, spoken)
    emulator.clock.advance(LONGEST)
    url = at((await query(http, emulator, spoken)).json(), spoken.url)
    emulator.faults.add("download", "status", code=503, body="html")
    assert (await http.get(url)).status_code == 503
    assert emulator.requests[-1].dialect is None


async def test_address_expires_a_day_after_the_end(http: httpx.AsyncClient, emulator: Emulator, spoken: Spoken) -> None:
    """Whoever it was given to."""
    await submit(http, spoken)
    emulator.clock.advance(LONGEST)
    url = at((await query(http, emulator, spoken)).json(), spoken.url)
    emulator.clock.advance(86_400)
    assert (await http.get(url)).status_code == 403


@pytest.mark.parametrize(
    ("point", "method", "path"),
    [
        ("list", "GET", "/api/v1/tasks/"),
        ("cancel", "POST", "/api/v1/tasks/x/cancel"),
        ("policy", "GET", "/api/v1/uploads?action=getPolicy&model=m"),
        ("upload", "POST", "/oss"),
    ],
)
@pytest.mark.parametrize("spoken", [ALL[1]], indirect=True, ids=["dashscope"])
async def test_faults_are_played_on_dashscopes_other_routes(
    http: httpx.AsyncClient, emulator: Emulator, point: str, method: str, path: str
) -> None:
    """Each is a point of its own."""
    emulator.faults.add(point, "status", code=502)
    assert (await http.request(method, path)).status_code == 502
    assert emulator.requests[0].point == point


@pytest.mark.parametrize("spoken", [ALL[1]], indirect=True, ids=["dashscope"])
async def test_control_routes_add_accounts_and_show_both_moneys(
    http: httpx.AsyncClient, emulator: Emulator, spoken: Spoken
) -> None:
    """So that a test in another process can speak every dialect."""
    asked = {"api_key": "sk-far", "region": "singapore", "balance": "5", "name": "far"}
    added = (await http.post("/_emulator/accounts", json=asked)).json()[-1]
    far = {"name": "far", "region": "singapore", "balance": "5", "currency": "USD", "group_ratio": "1"}
    assert added == far | {"number": len(emulator.accounts)}
    await submit(http, spoken)
    singapore = {"Authorization": "Bearer sk-far"}
    await http.post("/singapore" + DASHSCOPE_SUBMIT, json=spoken.request, headers=singapore)
    emulator.clock.advance(LONGEST)
    bill = (await http.get("/_emulator/bill")).json()
    assert (bill["cny"], bill["usd"]) == ("1.00", "0.180")
    assert [line["currency"] for line in sorted(bill["lines"], key=lambda line: line["account"])] == ["CNY", "USD"]
    summary = (await http.get("/_emulator")).json()
    assert (summary["cny"], summary["usd"]) == ("1.00", "0.180")


@pytest.mark.parametrize("spoken", [ALL[1]], indirect=True, ids=["dashscope"])
@pytest.mark.parametrize("asked", [{"api_key": "sk-x", "region": "mars"}, {"api_key": "sk-x", "balance": "much"}, {}])
async def test_control_routes_refuse_a_wrong_account(http: httpx.AsyncClient, asked: dict[str, Any]) -> None:
    """With the reason."""
    answer = await http.post("/_emulator/accounts", json=asked)
    assert answer.status_code == 400
    assert answer.json()["error"]
