"""A journal that fails in the middle of a paid task: the error names the task, and never claims a free one."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    InvalidInputError,
    JournalError,
    MemoryJournal,
    NebulaVideoClient,
    SqlJournal,
    SubmissionUnconfirmedError,
    Video,
)
from langchain_nebula_video.errors import Money
from tests.conftest import KEY, Gateway, MakeClient, running, settle, succeeded
from tests.storage import MOVIE

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}
METHODS = ("reserve", "begin", "update", "hold", "release", "find", "forget", "claim", "entries")


class Failing(MemoryJournal):
    """A journal whose methods fail from some call on, in the words of a database that knows nothing of tasks."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.fails: dict[str, int] = {}
        """Method -> the number of its first call that fails."""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in METHODS:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            if self.calls[name] >= self.fails.get(name, 10**9):
                raise JournalError(f"The journal did not work in {name}.")
            return found(*args, **kwargs)

        return call

    def fail(self, *names: str) -> None:
        self.fails = dict.fromkeys(names, 0)
        self.calls.clear()


def check(error: JournalError, *, paid: bool = False) -> None:
    assert error.task_id == "task-1"
    assert error.spent is (True if paid else None)
    assert "wait('task-1')" in str(error)
    assert "Nothing was" not in str(error)


@pytest.mark.parametrize("method", ["find", "update", "hold"])
async def test_a_journal_that_fails_while_a_task_is_waited_for_does_not_say_that_nothing_was_spent(
    make_client: MakeClient, gateway: Gateway, method: str
) -> None:
    gateway.fetches = [running(), *[running()] * 20, succeeded()]
    journal = Failing()
    client = make_client(journal=journal, timeout=3600)
    task = await settle(client.submit(**ASK, key="k"))
    journal.fail(method)
    with pytest.raises(JournalError, match=f"did not work in {method}") as caught:
        await settle(client.wait(task))
    check(caught.value)


async def test_a_journal_that_fails_once_the_video_is_there_says_that_it_is_paid_for(
    make_client: MakeClient,
) -> None:
    for failing in ("find", "update"):
        journal = Failing()
        client = make_client(journal=journal)
        journal.fails = {failing: 1 if failing == "find" else 2}
        with pytest.raises(JournalError, match=f"did not work in {failing}") as caught:
            await settle(client.generate(**ASK))
        check(caught.value, paid=True)


async def test_fetch_and_cancel_name_the_task_too(make_client: MakeClient) -> None:
    journal = Failing()
    client = make_client(journal=journal)
    await settle(client.submit(**ASK))
    journal.fail("find")
    for verb in (client.fetch, client.cancel):
        with pytest.raises(JournalError) as caught:
            await settle(verb("task-1"))
        check(caught.value)


async def test_a_download_says_that_the_video_is_paid_for(
    make_client: MakeClient, gateway: Gateway, tmp_path: Path
) -> None:
    journal = Failing()
    client = make_client(journal=journal)
    video: Video = await settle(client.generate(**ASK))
    gateway.fetches = [httpx.Response(200, content=MOVIE)]
    for method in ("find", "update"):
        journal.fail(method)
        with pytest.raises(JournalError) as caught:
            await settle(client.download(video, tmp_path / method))
        check(caught.value, paid=True)


async def test_a_lease_that_cannot_be_given_back_costs_nobody_the_task_or_the_video(make_client: MakeClient) -> None:
    """It ends by itself."""
    journal = Failing()
    journal.fail("release")
    client = make_client(journal=journal)
    assert (await settle(client.submit(**ASK, key="a"))).task_id == "task-1"
    assert (await settle(client.generate(**ASK, key="a"))).url


# --- the first error is the one that is raised ---


async def test_a_journal_that_fails_before_the_submit_says_so_and_not_what_the_cleanup_met(
    make_client: MakeClient, gateway: Gateway
) -> None:
    for method in ("reserve", "begin"):
        journal = Failing()
        journal.fail(method, "forget")
        with pytest.raises(JournalError, match=f"did not work in {method}") as caught:
            await settle(make_client(journal=journal).submit(**ASK))
        assert caught.value.money is Money.NOT_SENT
        assert any("forget" in note for note in caught.value.__notes__)
    assert gateway.requests == []


async def test_a_refusal_is_told_though_the_journal_fails_afterwards(make_client: MakeClient, gateway: Gateway) -> None:
    gateway.submits = [httpx.Response(400, json={"code": "InvalidParameter.ImageFormat", "message": "no"})]
    journal = Failing()
    journal.fail("update", "forget")
    with pytest.raises(InvalidInputError) as caught:
        await settle(make_client(journal=journal).submit(**ASK))
    assert caught.value.spent is False
    assert len(caught.value.__notes__) == 2


async def test_a_lost_answer_is_told_though_the_journal_fails_afterwards(
    make_client: MakeClient, gateway: Gateway
) -> None:
    gateway.submits = [httpx.ReadError("lost")]
    journal = Failing()
    journal.fail("update")
    with pytest.raises(SubmissionUnconfirmedError) as caught:
        await settle(make_client(journal=journal).submit(**ASK))
    assert caught.value.spent is None


async def test_an_accepted_task_whose_id_cannot_be_written_is_named(make_client: MakeClient) -> None:
    journal = Failing()
    journal.fail("update")
    with pytest.raises(JournalError, match="did not work in update") as caught:
        await settle(make_client(journal=journal).submit(**ASK))
    check(caught.value)


async def test_a_search_for_a_lost_submit_that_the_journal_ends_does_not_say_that_nothing_was_spent(
    make_client: MakeClient, gateway: Gateway
) -> None:
    gateway.submits = [httpx.ReadError("lost")]
    journal = Failing()
    journal.fails = {"entries": 1, "find": 1}
    gateway.fetches = [{"data": [{"task_id": "t", "gmt_create": 1767226600000}], "total": 1}]
    with pytest.raises((JournalError, SubmissionUnconfirmedError)) as caught:
        await settle(make_client(gateway="dashscope", journal=journal, sole_account=True).submit(**ASK))
    assert caught.value.spent is None


async def test_a_cancelled_submit_names_its_task_though_the_journal_fails(gateway: Gateway) -> None:
    journal = Failing()
    journal.fail("update")

    async def slow(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.1)
        return gateway(request)

    http = httpx.AsyncClient(transport=httpx.MockTransport(slow))
    client = AsyncNebulaVideoClient(api_key=KEY, journal=journal, http_async_client=http)
    running_submit = asyncio.create_task(client.submit(**ASK))
    await asyncio.sleep(0.05)
    running_submit.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await running_submit
    assert any("wait('task-1')" in note for note in caught.value.__notes__)


# --- a real database ---


def test_a_journal_file_that_breaks_in_mid_task_does_not_say_that_nothing_was_spent(
    options: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "journal.db"
    client = NebulaVideoClient(**options, journal=SqlJournal(f"sqlite:///{file}", patience=0.2))
    task = client.submit(**ASK)
    for path in tmp_path.iterdir():
        path.write_bytes(b"no database at all" * 400)
    for verb in (client.wait, client.fetch):
        with pytest.raises(JournalError) as caught:
            verb(task.task_id)
        check(caught.value)


def test_every_method_of_a_journal_that_a_paid_task_uses_is_tried_here() -> None:
    public = {name for name, _ in inspect.getmembers(MemoryJournal, inspect.isfunction) if not name.startswith("_")}
    assert public - {*METHODS} == {"summarize", "spent", "sweep", "close"}
