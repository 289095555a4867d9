"""A lost submit on an account that others use too: likeness is no proof of whose task it is."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    JournalError,
    MemoryJournal,
    NebulaVideoClient,
    RequestError,
    SqlJournal,
    SubmissionUnconfirmedError,
)
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.transport import FIRST_BYTE_SECONDS
from tests.conftest import KEY, FakeClock, jpeg, settle
from tests.lost_submits import ASK, PROMPT, Account, Listed

Make = Callable[..., Any]
HOLD = FIRST_BYTE_SECONDS + 300.0


@pytest.fixture
def account(clock: FakeClock) -> Account:
    return Account(clock)


@pytest.fixture(params=["sync", "async"])
def make(request: pytest.FixtureRequest, account: Account, clock: FakeClock) -> Make:
    def client(**options: Any) -> Any:
        settings: dict[str, Any] = {"gateway": "dashscope", "api_key": KEY, "clock": clock, **options}
        transport = httpx.MockTransport(account)
        if request.param == "sync":
            return NebulaVideoClient(http_client=httpx.Client(transport=transport), **settings)
        return AsyncNebulaVideoClient(http_async_client=httpx.AsyncClient(transport=transport), **settings)

    return client


async def test_a_user_never_gets_the_video_of_another_user_with_the_same_prompt(make: Make, account: Account) -> None:
    """Two users, a journal each, one account: Alice's submit never arrives, Bob's does, in the same half minute."""
    alice, bob = make(journal=(hers := MemoryJournal())), make(journal=MemoryJournal())
    with pytest.raises(SubmissionUnconfirmedError):
        await settle(alice.submit(**ASK))
    his = await settle(bob.submit(**ASK))
    with pytest.raises(SubmissionUnconfirmedError, match=his.task_id) as caught:
        await settle(alice.generate(**ASK))
    assert caught.value.spent is None
    assert [entry.state for entry in hers.entries()] == [EntryState.UNCONFIRMED]
    assert await settle(alice.resume()) == []
    assert account.posts == 2


async def test_a_task_with_the_same_prompt_of_the_same_moment_is_named_and_not_taken(
    make: Make, account: Account
) -> None:
    account.tasks = {"bobs": Listed(PROMPT)}
    with pytest.raises(SubmissionUnconfirmedError, match=r"bobs.*another program's") as caught:
        await settle(make(journal=(journal := MemoryJournal())).generate(**ASK, key="k"))
    assert "fetch(id)" in caught.value.hint
    assert "sole_account=True" in caught.value.hint
    (entry,) = journal.entries()
    assert (entry.state, entry.task_id) == (EntryState.UNCONFIRMED, None)


async def test_nor_is_it_when_the_image_was_uploaded(account: Account, make: Make) -> None:
    """The address of the upload cannot be guessed, but no answer of the vendor repeats it."""
    uploads: list[str] = []

    def storing(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/uploads":
            names = ("policy", "signature", "oss_access_key_id")
            folder = {"upload_dir": "dashscope/1", "upload_host": "https://storage.example.com"}
            return httpx.Response(200, json={"data": dict.fromkeys(names, "x") | folder})
        if request.url.host == "storage.example.com":
            uploads.append("one")
            return httpx.Response(200)
        return account(request)

    transport = httpx.MockTransport(storing)
    account.tasks = {"bobs": Listed(PROMPT)}
    http = {
        "http_client": httpx.Client(transport=transport),
        "http_async_client": httpx.AsyncClient(transport=transport),
    }
    client = make(download_hosts=(".example.com",))
    client = type(client)(
        gateway="dashscope", api_key=KEY, clock=account.clock, download_hosts=(".example.com",), **http
    )
    with pytest.raises(SubmissionUnconfirmedError, match="bobs"):
        await settle(client.generate(prompt=PROMPT, image=jpeg(640, 480)))
    assert uploads == ["one"]


# --- proof ---


@pytest.mark.parametrize(
    "answer",
    [
        {"status_code": 500, "json": {"code": "InternalError.Timeout", "message": "x", "request_id": "req-9"}},
        {"status_code": 200, "json": {"request_id": "req-9", "output": {}}},
        {"status_code": 502, "headers": {"X-Request-Id": "req-9"}, "text": "<html>bad gateway</html>"},
    ],
    ids=["error", "no task", "proxy"],
)
async def test_a_task_with_the_request_id_of_this_very_submit_is_taken(
    make: Make, account: Account, answer: dict[str, Any]
) -> None:
    account.answer = httpx.Response(**answer)
    account.tasks = {"bobs": Listed(PROMPT, request_id="req-8"), "mine": Listed(PROMPT, request_id="req-9")}
    video = await settle(make().generate(**ASK))
    assert (video.task_id, account.posts) == ("mine", 1)


async def test_the_request_id_is_remembered_for_a_later_resume(make: Make, account: Account) -> None:
    account.answer = httpx.Response(500, json={"code": "InternalError", "message": "x", "request_id": "req-9"})
    account.list_status = 403
    client = make(journal=(journal := MemoryJournal()))
    with pytest.raises(SubmissionUnconfirmedError):
        await settle(client.submit(**ASK))
    assert [entry.reason for entry in journal.entries()] == ["req-9"]
    account.list_status = 200
    account.tasks = {"bobs": Listed(PROMPT), "mine": Listed(PROMPT, request_id="req-9")}
    assert [task.task_id for task in await settle(make(journal=journal).resume())] == ["mine"]


async def test_a_request_id_that_several_tasks_have_proves_nothing(make: Make, account: Account) -> None:
    account.answer = httpx.Response(502, headers={"X-Request-Id": "-"})
    account.tasks = {"t1": Listed(PROMPT, request_id="-"), "t2": Listed(PROMPT, request_id="-")}
    with pytest.raises(SubmissionUnconfirmedError, match="t1, t2"):
        await settle(make().generate(**ASK))


# --- absence ---


async def test_a_submit_that_a_proxy_delivers_after_45_s_is_not_paid_twice(
    make: Make, account: Account, clock: FakeClock
) -> None:
    client = make(journal=(journal := MemoryJournal()), timeout=60, sole_account=True)
    account.tasks = {"late": Listed(PROMPT, made=1045.0, appears_after=8)}
    video = await settle(client.generate(**ASK, key="k"))
    assert (video.task_id, account.posts, len(journal.entries())) == ("late", 1, 1)
    assert clock.now >= 1045


async def test_absence_proves_nothing_before_a_server_has_given_up_and_the_row_stays(
    make: Make, account: Account, clock: FakeClock
) -> None:
    client = make(journal=(journal := MemoryJournal()), timeout=40)
    for call in (client.generate, client.submit):
        with pytest.raises(SubmissionUnconfirmedError, match=r"may still hold the submit.*until 00:22:10") as caught:
            await settle(call(**ASK, key="k"))
        assert caught.value.spent is None
        assert "Call resume() after 00:22:10 UTC" in caught.value.hint
    assert [entry.state for entry in journal.entries()] == [EntryState.UNCONFIRMED]
    assert await settle(client.resume()) == []
    assert len(journal.entries()) == 1
    account.tasks = {"late": Listed(PROMPT, made=clock.now)}
    (task,) = await settle(make(journal=journal, sole_account=True).resume())
    assert (task.task_id, account.posts) == ("late", 1)


@pytest.mark.parametrize("sole", [True, False])
async def test_after_that_time_a_whole_list_without_it_releases_the_submit(
    make: Make, account: Account, clock: FakeClock, sole: bool
) -> None:
    client = make(journal=(journal := MemoryJournal()), timeout=40, sole_account=sole)
    with pytest.raises(SubmissionUnconfirmedError):
        await settle(client.generate(**ASK, key="k"))
    account.tasks = {"other": Listed("Somebody else's", made=1100.0)}
    clock.now = 1000 + HOLD
    assert await settle(client.resume()) == []
    assert journal.entries() == []
    assert (await settle(client.generate(**ASK, key="k"))).task_id == "own-2"


async def test_a_call_with_time_enough_waits_for_that_proof(make: Make, account: Account, clock: FakeClock) -> None:
    with pytest.raises(RequestError, match=r"300 s after it left.*counts as not accepted") as caught:
        await settle(make(journal=(journal := MemoryJournal())).generate(**ASK, key="k"))
    assert caught.value.spent is False
    assert 1000 + HOLD <= clock.now < 1000 + HOLD + 20
    assert (journal.entries(), account.lists < 30) == ([], True)


async def test_a_gateway_s_row_may_say_that_servers_hold_a_submit_longer(
    make: Make, account: Account, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GATEWAYS, "dashscope", replace(GATEWAYS["dashscope"], max_hold=3 * HOLD - FIRST_BYTE_SECONDS))
    client = make(timeout=40)
    with pytest.raises(SubmissionUnconfirmedError):
        await settle(client.generate(**ASK, key="k"))
    clock.now = 1000 + 2 * HOLD
    with pytest.raises(SubmissionUnconfirmedError, match="until 00:33:10"):
        await settle(client.generate(**ASK, key="k"))
    clock.now = 1000 + 3 * HOLD
    assert (await settle(client.generate(**ASK, key="k"))).task_id == "own-2"


# --- many at once ---


def _prompt(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def _lost(number: int, client: Any, clock: FakeClock, **fields: Any) -> Entry:
    moment = clock.utcnow()
    request = {
        "prompt": _prompt(number),
        "duration": 5,
        "resolution": "720p",
        "image": "url:https://e.com/c.jpg",
    }
    return Entry(
        **{
            "id": f"lost-{number}", "gateway": "dashscope", "model": "wan2.5-i2v-preview", "request": request,
            "created_at": moment, "sent_at": moment, "lost_at": moment, "state": EntryState.UNCONFIRMED,
            "account": client._lifecycle._context.account, "abandoned": True, **fields,
        }
    )  # fmt: skip


async def test_resume_asks_for_one_list_for_150_lost_submits(make: Make, account: Account, clock: FakeClock) -> None:
    client = make(journal=(journal := MemoryJournal()), sole_account=True)
    for number in range(150):
        journal.reserve(_lost(number, client, clock), None)
    running = _lost(999, client, clock, state=EntryState.RUNNING, task_id="running", created_at=clock.utcnow())
    journal.reserve(replace(running, created_at=running.created_at + timedelta(seconds=1)), None)
    account.tasks = {"theirs": Listed("Somebody else's"), "mine": Listed(_prompt(7))}
    begun = clock.now
    clock.now += HOLD
    assert [task.task_id for task in await settle(client.resume())] == ["running", "mine"]
    assert (account.lists, account.queries) == (1, 2)
    assert clock.now - begun == HOLD
    assert len(journal.entries()) == 2


async def test_windows_that_lie_apart_and_other_models_are_listed_separately(
    make: Make, account: Account, clock: FakeClock
) -> None:
    client = make(journal=(journal := MemoryJournal()))
    clock.now += 6 * 3600
    now = clock.utcnow()
    for number, (ago, model) in enumerate(
        [
            (0, "wan2.5-i2v-preview"),
            (1, "wan2.5-i2v-preview"),
            (3 * 3600, "wan2.5-i2v-preview"),
            (0, "wan2.2-i2v-flash"),
        ]
    ):
        moment = now - timedelta(seconds=ago + HOLD)
        journal.reserve(
            _lost(number, client, clock, model=model, created_at=moment, sent_at=moment, lost_at=moment), None
        )
    assert await settle(client.resume()) == []
    assert (account.lists, journal.entries()) == (3, [])


@pytest.mark.parametrize(
    "broken", [{"model": "gone-1.0"}, {"request": ["no", "mapping"]}, {"request": {"prompt": PROMPT, "duration": "x"}}]
)
@pytest.mark.parametrize("state", [EntryState.UNCONFIRMED, EntryState.RUNNING])
async def test_one_row_that_cannot_be_read_hides_no_other_task(
    make: Make, account: Account, clock: FakeClock, broken: dict[str, Any], state: EntryState
) -> None:
    client = make(journal=(journal := MemoryJournal()), sole_account=True)
    of_task = {"task_id": "odd"} if state is EntryState.RUNNING else {}
    journal.reserve(_lost(1, client, clock, state=state, **of_task, **broken), None)
    journal.reserve(_lost(2, client, clock, state=EntryState.RUNNING, task_id="running"), None)
    journal.reserve(_lost(3, client, clock), None)
    account.tasks = {"mine": Listed(_prompt(3)), "odd-prompt": Listed(PROMPT)}
    found = [task.task_id for task in await settle(client.resume())]
    assert [name for name in found if not name.startswith("odd")] == ["running", "mine"]
    assert {entry.id for entry in journal.entries()} == {"lost-1", "lost-2", "lost-3"}


@pytest.mark.parametrize("broken", ["state = 'archived'", "request = '{\"prompt\": '", "reserved_usd = 'much'"])
async def test_a_row_of_a_file_that_this_version_cannot_read_hides_no_other_task(
    make: Make, account: Account, clock: FakeClock, tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    journal = SqlJournal(f"sqlite:///{tmp_path / 'j.db'}")
    client = make(journal=journal, sole_account=True)
    held = {"holder": "gone", "held_until": clock.utcnow()}
    kinds: list[dict[str, Any]] = [
        {},
        {"state": EntryState.RUNNING, "task_id": "odd"},
        {"state": EntryState.SUBMITTING, "lost_at": None, **held},
        {"state": EntryState.RUNNING, "task_id": "running"},
        {},
    ]
    for number, fields in enumerate(kinds):
        journal.reserve(_lost(number, client, clock, **fields), None)
    with contextlib.closing(sqlite3.connect(tmp_path / "j.db")) as connection, connection:
        connection.execute(f"UPDATE nebula_entries SET {broken} WHERE id IN ('lost-0', 'lost-1', 'lost-2')")
    account.tasks = {"mine": Listed(_prompt(4))}
    clock.now += 60
    assert [task.task_id for task in await settle(client.resume())] == ["running", "mine"]
    with contextlib.closing(sqlite3.connect(tmp_path / "j.db")) as connection:
        assert connection.execute("SELECT count(*) FROM nebula_entries").fetchone() == (5,)
    if "archived" not in broken:
        assert "cannot be read, and stays as it is" in caplog.text


@pytest.mark.parametrize("make", ["async"], indirect=True)
async def test_an_async_client_looks_at_several_candidates_at_once_and_at_no_more_than_eight(
    make: Make, account: Account, clock: FakeClock
) -> None:
    at_once, most = 0, 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal at_once, most
        at_once, most = at_once + 1, max(most, at_once + 1)
        await asyncio.sleep(0.001)
        at_once -= 1
        return account(request)

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    client = AsyncNebulaVideoClient(
        gateway="dashscope", api_key=KEY, clock=clock, http_async_client=http, journal=(journal := MemoryJournal())
    )
    journal.reserve(_lost(1, client, clock), None)
    account.tasks = {f"t{number}": Listed(_prompt(100 + number)) for number in range(30)}
    clock.now += HOLD
    assert await client.resume() == []
    assert (journal.entries(), account.lists, account.queries) == ([], 1, 30)
    assert 2 <= most <= 8


async def test_more_candidates_than_can_be_looked_at_leave_the_submit_unconfirmed(
    make: Make, account: Account, clock: FakeClock
) -> None:
    client = make(journal=(journal := MemoryJournal()))
    journal.reserve(_lost(1, client, clock), None)
    account.tasks = {f"t{number}": Listed(_prompt(100 + number)) for number in range(250)}
    clock.now += HOLD
    assert await settle(client.resume()) == []
    assert ([entry.state for entry in journal.entries()], account.queries) == ([EntryState.UNCONFIRMED], 200)


async def test_a_journal_that_fails_while_candidates_are_looked_at_says_so_itself(
    make: Make, account: Account, clock: FakeClock
) -> None:
    """And not within a group of exceptions, as the concurrent looks would raise it."""

    class Broken(MemoryJournal):
        def find(self, **_: Any) -> Any:
            raise JournalError("The disk is gone.")

    client = make(journal=(journal := Broken()))
    journal.reserve(_lost(1, client, clock), None)
    account.tasks = {"t1": Listed(PROMPT), "t2": Listed(PROMPT)}
    with pytest.raises(JournalError, match="The disk is gone"):
        await settle(client.resume())
