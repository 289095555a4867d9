"""The commands of a fleet on a real PostgreSQL: lists, consent, steering and status."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from langchain_nebula_video.cli.app import app
from langchain_nebula_video.cli.exit_codes import Exit
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.fleet import BatchState, BatchStatus, Fleet, ItemState
from tests.conftest import png
from tests.fleets import batch_status, fresh_url, items_of, query, submits_of, until, working
from tests.postgres import Server
from tests.tables import each_row

Run = Callable[..., Result]
LIST = "shots.csv"
QUICK = ["--resolution", "480p", "--seed", "1"]


@pytest.fixture
def run(fleet_url: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command on a machine with a list of three rows, whose environment names database, gateway and key."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEBULA_JOURNAL", fleet_url)
    monkeypatch.setenv("NEBULA_BASE_URL", emulator.url)
    monkeypatch.setenv("NEBULA_API_KEY", emulator.api_key)
    for number in range(3):
        Path(f"cat-{number}.png").write_bytes(png(400, 400 + number))
    write_list(3)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["fleet", *arguments], catch_exceptions=False)

    return run


@pytest.fixture
def empty_url(server: Server) -> str:
    """A database without tables."""
    return fresh_url(server)


def write_list(count: int, *more: str) -> None:
    lines = [f"cat-{number}.png,Cat {number} blinks,shot {number}" for number in range(count)]
    Path(LIST).write_text("\n".join(["image,prompt,tag", *lines, *more, ""]), "utf-8")


def enqueue(run: Run, *more: str, source: str = LIST, batch: str = "cats") -> Result:
    return run("enqueue", source, "--batch", batch, *QUICK, *more)


def told(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def status_of(url: str, batch: str = "cats") -> BatchStatus:
    return asyncio.run(batch_status(Fleet(url), batch))


def make_all(url: str, batch: str = "cats", **worker: Any) -> None:
    """Let a worker make what can be made of a batch."""

    async def make() -> None:
        async with working(url, **worker):
            await until(lambda: _has_ended(url, batch), "the end of the batch")

    asyncio.run(make())


async def _has_ended(url: str, batch: str) -> bool:
    return not (await batch_status(Fleet(url), batch)).left


# --- init ---


def test_init_makes_the_tables_once(run: Run, empty_url: str) -> None:
    first = run("init", "--database", empty_url, "--json")
    assert (first.exit_code, told(first)["made"]) == (Exit.OK, True)
    again = run("init", "--database", empty_url, "--json")
    assert told(again) == {"fleet": told(first)["fleet"], "made": False}


@each_row("command", [["status"], ["pause", "cats"], ["enqueue", LIST, "--batch", "cats"]])
def test_without_tables_the_command_that_makes_them_is_named(run: Run, empty_url: str, command: list[str]) -> None:
    result = run(*command, "--database", empty_url)
    assert result.exit_code == Exit.FAILURE
    assert "nebula-video fleet init" in result.stderr


# --- enqueue ---


def test_a_list_is_counted_and_priced_without_writing(run: Run, fleet_url: str, emulator: Emulator) -> None:
    result = enqueue(run, "--dry-run")
    assert result.exit_code == Exit.OK
    assert "New   3: about $0.5535 at Nebula (127.0.0.1, this machine)" in result.stdout
    assert query(fleet_url, "SELECT count(*) FROM nebula_fleet_batches") == [(0,)]
    assert emulator.tasks == ()


def test_a_dry_run_counts_what_is_there_and_what_is_twice_in_the_list(run: Run) -> None:
    enqueue(run, "--paused")
    write_list(3, "cat-0.png,Another prompt,", "cat-0.png,Another prompt,", "nowhere.png,x,")
    found = enqueue(run, "--dry-run", "--json", batch="dogs")
    assert found.exit_code == Exit.FAILURE
    assert {name: told(found)[name] for name in ("new", "present", "elsewhere", "broken", "usd")} == {
        "new": 1,
        "present": 4,
        "elsewhere": 3,
        "broken": 1,
        "usd": "0.1845",
    }


def test_a_list_whose_videos_are_all_in_other_batches_makes_no_batch(run: Run, fleet_url: str) -> None:
    enqueue(run, "--paused")
    again = enqueue(run, "--yes", "--json", batch="dogs")
    assert (again.exit_code, told(again)["state"], told(again)["elsewhere"]) == (Exit.OK, None, 3)
    assert "no new video, 3 there before (3 of them in other batches: cats)." in again.stderr.replace("\n", " ")
    assert "There is no video for a batch 'dogs', so none was made." in again.stderr.replace("\n", " ")
    assert query(fleet_url, "SELECT name FROM nebula_fleet_batches") == [("cats",)]


@each_row(("count", "batches"), [(2, []), (12, [("odd",)])])
def test_a_list_of_broken_rows_makes_a_batch_only_to_list_those_that_were_not_told(
    run: Run, fleet_url: str, count: int, batches: list[Any]
) -> None:
    write_list(0, *(f"nowhere-{number}.png,x," for number in range(count)))
    result = enqueue(run, batch="odd")
    assert result.exit_code == Exit.FAILURE
    assert result.stderr.count("Broken: ") == min(count, 10)
    assert query(fleet_url, "SELECT name FROM nebula_fleet_batches") == batches
    run("forget", "odd", "--yes")


def test_the_name_of_the_batch_may_stand_in_the_place(run: Run, fleet_url: str) -> None:
    assert enqueue(run, "--paused", "--out", "videos/{batch}/{stem}.mp4", batch="my cats").exit_code == Exit.OK
    assert status_of(fleet_url, "my cats").save_to == f"{Path.cwd()}/videos/my_cats/{{stem}}.mp4"
    assert enqueue(run, "--paused", "--out", "videos/{batch}/{stem}.mp4", batch="my cats").exit_code == Exit.OK


def test_rows_of_a_canceled_batch_are_told_to_wait_there(run: Run) -> None:
    enqueue(run, "--paused")
    run("cancel", "cats")
    told = enqueue(run, "--yes", batch="cats again").stderr.replace("\n", " ")
    assert "The batch cats is canceled: what it has of this list is not made." in told
    assert "nebula-video fleet forget cats" in told


def test_with_yes_workers_begin_at_once(run: Run, fleet_url: str, emulator: Emulator) -> None:
    result = enqueue(run, "--yes", "--json")
    assert result.exit_code == Exit.OK
    assert told(result) == {
        "batch": "cats",
        "state": "running",
        "rows": 3,
        "new": 3,
        "present": 0,
        "elsewhere": 0,
        "broken": 0,
        "estimate_usd": "0.5535",
        "unpriced": 0,
    }
    assert "No worker runs for it: nebula-video fleet worker" in result.stderr
    make_all(fleet_url)
    assert status_of(fleet_url).counts == {ItemState.DONE: 3}
    assert sorted(path.name for path in Path("videos").iterdir()) == ["cat-0.mp4", "cat-1.mp4", "cat-2.mp4"]
    assert set(submits_of(emulator).values()) == {1}


def test_a_local_place_is_told_to_be_on_each_workers_own_disk_once(run: Run) -> None:
    first, again = enqueue(run, "--paused"), enqueue(run, "--paused")
    said = f"Each worker saves on its own disk: {Path.cwd()}/videos/{{stem}}.mp4"
    assert said in first.stderr.replace("\n", " ")
    assert said not in again.stderr.replace("\n", " ")


def test_without_consent_nothing_is_begun_and_the_way_on_is_told(run: Run, fleet_url: str) -> None:
    result = enqueue(run)
    assert result.exit_code == Exit.INVALID
    assert "3 videos to pay for, at Nebula (127.0.0.1, this machine): about $0.5535." in result.stderr
    said = result.stderr.replace("\n", " ")
    assert "There is no terminal to ask on, and this costs money: about $0.5535 for 3 videos at Nebula" in said
    assert "The list waits in the batch 'cats'. Nothing was spent. The batch is paused." in said
    assert "Begin: nebula-video fleet resume cats --yes." in said
    assert "Add --yes" not in said
    found = status_of(fleet_url)
    assert (found.state, found.reason, found.size) == (BatchState.PAUSED, "its price was not accepted yet", 3)


def test_the_same_list_again_asks_for_what_was_not_accepted(run: Run, fleet_url: str) -> None:
    enqueue(run)
    assert enqueue(run).exit_code == Exit.INVALID
    assert status_of(fleet_url).state is BatchState.PAUSED
    assert enqueue(run, "--yes").exit_code == Exit.OK
    assert status_of(fleet_url).state is BatchState.RUNNING


def test_the_same_list_again_adds_nothing_and_asks_nothing(run: Run, fleet_url: str) -> None:
    enqueue(run, "--yes")
    result = enqueue(run)
    assert result.exit_code == Exit.OK
    assert "cats: no new video, 3 there before." in result.stderr
    found = status_of(fleet_url)
    assert (found.state, found.size) == (BatchState.RUNNING, 3)


def test_rows_for_a_batch_that_runs_hold_it_until_their_price_is_accepted(run: Run, fleet_url: str) -> None:
    enqueue(run, "--yes")
    write_list(3, "cat-0.png,One more,")
    assert enqueue(run).exit_code == Exit.INVALID
    assert status_of(fleet_url).state is BatchState.PAUSED
    assert run("resume", "cats", "--yes").exit_code == Exit.OK
    assert status_of(fleet_url).counts == {ItemState.WAITING: 4}


def test_a_batch_that_a_person_paused_stays_so(run: Run, fleet_url: str) -> None:
    enqueue(run, "--yes")
    run("pause", "cats")
    write_list(3, "cat-0.png,One more,")
    result = enqueue(run, "--yes")
    assert "It is paused (paused by a person). Begin: nebula-video fleet resume cats" in result.stderr
    assert status_of(fleet_url).state is BatchState.PAUSED


def test_broken_rows_are_kept_apart_until_they_are_corrected(run: Run, fleet_url: str) -> None:
    write_list(3, "nowhere.png,It blinks,", "cat-0.png,,")
    result = enqueue(run, "--yes")
    assert result.exit_code == Exit.FAILURE
    assert "Broken: shots.csv, line 5:" in result.stderr
    assert "cats: 3 new, 2 broken rows." in result.stderr
    listed = run("status", "cats", "--broken")
    assert [line.partition(":")[0] for line in listed.stdout.splitlines()] == ["shots.csv, line 5", "shots.csv, line 6"]
    write_list(3, "cat-2.png,It yawns,", "cat-0.png,,")
    again = enqueue(run, "--yes")
    assert "cats: 1 new, 3 there before, 1 broken row." in again.stderr
    rows = told(run("status", "cats", "--broken", "--json"))["broken"]
    assert [row["where"] for row in rows] == ["shots.csv, line 6"]
    assert status_of(fleet_url).size == 4


def test_only_the_first_broken_rows_are_told_one_by_one(run: Run) -> None:
    write_list(1, *(f"nowhere-{number}.png,x," for number in range(14)))
    result = enqueue(run, "--paused")
    assert result.stderr.count("Broken: ") == 10
    assert "4 more broken rows: nebula-video fleet status cats --broken" in result.stderr


def test_a_second_source_that_cannot_be_read_leaves_what_was_read_paused(run: Run, fleet_url: str) -> None:
    result = run("enqueue", LIST, "nowhere.csv", "--batch", "cats", *QUICK)
    assert result.exit_code == Exit.INVALID
    assert "There is no nowhere.csv." in result.stderr
    assert query(fleet_url, "SELECT count(*) FROM nebula_fleet_items") == [(0,)]
    assert query(fleet_url, "SELECT count(*) FROM nebula_fleet_batches") == [(0,)]


@each_row(
    ("arguments", "why"),
    [
        (["--out", "s3://bucket/x"], "it differs in save_to"),
        (["--budget", "7"], "with another --budget. Nothing was sent and nothing was spent. Change it with"),
        (["--priority", "7"], "with another --priority"),
    ],
)
def test_a_batch_of_the_same_name_with_other_options_is_not_touched(
    run: Run, fleet_url: str, arguments: list[str], why: str
) -> None:
    enqueue(run, "--yes", "--budget", "5")
    result = enqueue(run, *arguments)
    assert result.exit_code == Exit.INVALID
    assert why in result.stderr.replace("\n", " ")
    assert status_of(fleet_url).state is BatchState.RUNNING


def test_tags_and_limits_stand_in_the_batch(run: Run, fleet_url: str) -> None:
    arguments = ["--budget", "5", "--priority", "3", "--not-before", "2020-01-01T00:00+01:00"]
    enqueue(run, "--paused", *arguments, "--hours", "22:00-06:00 Europe/Berlin")
    found = status_of(fleet_url)
    assert (found.budget, found.priority, found.hours) == (Decimal(5), 3, "22:00-06:00 Europe/Berlin")
    assert found.not_before is not None
    assert found.not_before.timestamp() == 1577833200
    tags = query(fleet_url, "SELECT tag FROM nebula_fleet_items ORDER BY n")
    assert tags == [("shot 0",), ("shot 1",), ("shot 2",)]


# --- steering ---


def test_a_batch_is_paused_and_goes_on_after_a_question(run: Run, fleet_url: str) -> None:
    enqueue(run, "--yes")
    assert told(run("pause", "cats", "--json")) == {"batch": "cats", "state": "paused", "under_way": 0}
    assert status_of(fleet_url).state is BatchState.PAUSED
    assert run("resume", "cats").exit_code == Exit.INVALID  # nobody can be asked
    assert status_of(fleet_url).state is BatchState.PAUSED
    assert run("resume", "cats", "--yes", "--budget", "9", "--priority", "2").exit_code == Exit.OK
    found = status_of(fleet_url)
    assert (found.state, found.budget, found.priority) == (BatchState.RUNNING, Decimal(9), 2)


def test_a_higher_budget_for_a_batch_that_runs_is_asked_for(run: Run, fleet_url: str) -> None:
    enqueue(run, "--yes", "--budget", "0.2")
    result = run("resume", "cats", "--budget", "5")
    assert result.exit_code == Exit.INVALID
    assert "this costs money" in result.stderr
    assert status_of(fleet_url).budget == Decimal("0.2")
    assert run("resume", "cats", "--budget", "0.1").exit_code == Exit.OK


def test_limits_of_a_batch_are_taken_away(run: Run, fleet_url: str) -> None:
    enqueue(run, "--yes", "--budget", "5", "--hours", "22:00-06:00", "--not-before", "2099-01-01T00:00")
    assert run("resume", "cats", "--hours", "none", "--not-before", "None").exit_code == Exit.OK
    found = status_of(fleet_url)
    assert (found.hours, found.not_before, found.budget) == (None, None, Decimal(5))
    asked = run("resume", "cats", "--budget", "none")
    assert (asked.exit_code, "this costs money" in asked.stderr) == (Exit.INVALID, True)
    assert run("resume", "cats", "--budget", "none", "--yes").exit_code == Exit.OK
    assert status_of(fleet_url).budget is None


@each_row(("budget", "price"), [("0.40", "at most $0.4000"), ("9", "about $0.5535"), ("none", "about $0.5535")])
def test_what_a_batch_may_cost_is_told_where_nobody_can_be_asked(run: Run, budget: str, price: str) -> None:
    enqueue(run, "--paused", "--budget", "1")
    result = run("resume", "cats", "--budget", budget)
    assert result.exit_code == Exit.INVALID
    assert f"this costs money: {price} for 3 videos." in result.stderr.replace("\n", " ")


@each_row("command", ["pause", "cancel"])
def test_a_batch_that_has_ended_is_neither_paused_nor_canceled(run: Run, fleet_url: str, command: str) -> None:
    enqueue(run, "--yes")
    make_all(fleet_url)
    result = run(command, "cats")
    assert (result.exit_code, "The batch 'cats' has ended." in result.stderr) == (Exit.INVALID, True)
    assert status_of(fleet_url).state is BatchState.RUNNING
    assert "cats has ended: nothing of it is left to make." in run("resume", "cats").stderr.replace("\n", " ")


@each_row(
    ("options", "why"),
    [
        ([], "no worker runs, with 3 videos left"),
        (["--not-before", "2999-01-01T00:00+00:00"], "not before 2999-01-01 00:00 UTC"),
    ],
)
def test_a_batch_that_cannot_go_on_at_once_says_why_when_it_is_resumed(run: Run, options: list[str], why: str) -> None:
    enqueue(run, "--paused")
    told = run("resume", "cats", "--yes", *options).stderr.replace("\n", " ")
    assert f"cats is resumed, and waits: {why}." in told


def test_what_is_canceled_waits_again_after_resume(run: Run, fleet_url: str) -> None:
    enqueue(run, "--yes")
    assert told(run("cancel", "cats", "--json")) == {"batch": "cats", "state": "canceled", "canceled": 3}
    assert status_of(fleet_url).counts == {ItemState.CANCELED: 3}
    refused = run("pause", "cats")
    assert (refused.exit_code, "is canceled" in refused.stderr) == (Exit.INVALID, True)
    assert run("resume", "cats").exit_code == Exit.INVALID
    assert "3 canceled videos wait again." in run("resume", "cats", "--yes").stderr
    assert status_of(fleet_url).counts == {ItemState.WAITING: 3}


def test_a_batch_is_forgotten_after_a_question_and_its_payments_are_not(
    run: Run, fleet_url: str, emulator: Emulator
) -> None:
    enqueue(run, "--yes")
    make_all(fleet_url)
    assert run("forget", "cats").exit_code == Exit.INVALID
    assert told(run("forget", "cats", "--yes", "--json")) == {"batch": "cats", "deleted": 3}
    assert run("status", "cats").exit_code == Exit.INVALID
    enqueue(run, "--yes")
    make_all(fleet_url)
    assert len(emulator.tasks) == 3  # the journal has their keys


def test_failed_videos_are_tried_again_after_a_question(run: Run, fleet_url: str, emulator: Emulator) -> None:
    write_list(2)
    enqueue(run, "--yes")
    emulator.faults.add("submit", "status", code=400, message="inappropriate content")
    make_all(fleet_url)
    assert status_of(fleet_url).counts == {ItemState.DONE: 1, ItemState.FAILED: 1}
    assert run("status").exit_code == Exit.TASK
    (failed,) = told(run("status", "cats", "--failed", "--json"))["failed"]
    line = run("status", "cats", "--failed").stdout
    number = failed["number"]
    name = f"cat-{number - 1}.png"
    assert (failed["state"], failed["image"], failed["prompt"]) == ("failed", name, f"Cat {number - 1} blinks")
    assert line.startswith(f'{number}: {name}, tag "shot {number - 1}": failed: {failed["error"][:20]}')
    assert "inappropriate content" in failed["error"]
    assert run("retry", "cats").exit_code == Exit.INVALID
    assert told(run("retry", "cats", "--yes", "--json")) == {"batch": "cats", "waiting_again": 1}
    make_all(fleet_url)
    assert status_of(fleet_url).counts == {ItemState.DONE: 2}
    assert told(run("retry", "cats", "--json")) == {"batch": "cats", "waiting_again": 0}


@each_row("command", ["pause", "resume", "cancel", "retry", "forget", "status"])
def test_a_batch_that_is_not_there_is_told_the_nearest_name(run: Run, command: str) -> None:
    enqueue(run, "--paused")
    result = run(command, "cast")
    assert result.exit_code == Exit.INVALID
    assert "There is no batch 'cast'. Did you mean cats?" in result.stderr


# --- accounts ---


def test_an_account_is_limited_paused_and_resumed(run: Run, fleet_url: str) -> None:
    enqueue(run, "--yes")
    mark = status_of(fleet_url).account
    assert told(run("account", mark, "--cap", "5", "--rate", "60", "--json")) == {
        "account": mark,
        "cap": 5,
        "rate": 60,
        "paused": False,
    }
    assert told(run("account", mark, "--pause", "--json"))["paused"] is True
    shown = run("status").stdout
    assert f"{mark}  nebula" in shown
    assert "at most 5 at once  60/min  paused" in shown
    assert told(run("account", mark, "--resume", "--cap", "0", "--json")) == {
        "account": mark,
        "cap": None,
        "rate": 60,
        "paused": False,
    }


@each_row(
    ("arguments", "why"),
    [
        (["0000", "--cap", "5"], "There is no account '0000'."),
        (["MARK"], "There is nothing to change."),
        (["MARK", "--pause", "--resume"], "exclude each other"),
        (["MARK", "--new-key", "--cap", "5"], "--new-key stands alone"),
        (["MARK", "--new-key", "--yes"], "is the one that is here"),
    ],
)
def test_what_makes_no_sense_for_an_account_is_refused(
    run: Run, fleet_url: str, arguments: list[str], why: str
) -> None:
    enqueue(run, "--paused")
    mark = status_of(fleet_url).account
    result = run("account", *(word.replace("MARK", mark) for word in arguments))
    assert result.exit_code == Exit.INVALID
    assert why in result.stderr.replace("\n", " ")


def test_a_key_that_was_taken_back_is_replaced_and_its_batches_go_on(
    run: Run, fleet_url: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEBULA_API_KEY", "sk-taken-back")
    enqueue(run, "--yes")
    old = status_of(fleet_url).account

    async def try_it() -> None:
        fleet = Fleet(fleet_url)

        async def is_paused() -> bool:
            (account,) = (await fleet.status()).accounts
            return account.needs_a_person

        async with working(fleet_url):
            await until(is_paused, "the pause of the account")

    asyncio.run(try_it())
    shown = run("status")
    assert shown.exit_code == Exit.FAILURE
    assert f"nebula-video fleet account {old} --resume" in shown.stdout
    assert "AuthenticationError" in shown.stdout
    monkeypatch.setenv("NEBULA_API_KEY", emulator.api_key)
    found = told(run("account", old, "--new-key", "--yes", "--json"))
    assert (found["account"], found["batches"]) == (old, ["cats"])
    assert status_of(fleet_url).account == found["new_account"] != old
    make_all(fleet_url)
    assert status_of(fleet_url).counts == {ItemState.DONE: 3}
    assert set(submits_of(emulator).values()) == {1}


def test_another_key_pays_only_after_a_question(
    run: Run, fleet_url: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEBULA_API_KEY", "sk-old")
    enqueue(run, "--yes")
    old = status_of(fleet_url).account
    monkeypatch.setenv("NEBULA_API_KEY", emulator.api_key)
    result = run("account", old, "--new-key")
    assert result.exit_code == Exit.INVALID
    assert f"Account {old} pays for cats: $0.5535 to come." in result.stderr.replace("\n", " ")
    assert "this changes who pays" in result.stderr
    assert status_of(fleet_url).account == old


def test_what_was_queued_with_the_old_key_is_not_left_in_its_queue(
    run: Run, fleet_url: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workers have the new key alone, so nobody fetches from the queue of the old one any more."""
    monkeypatch.setenv("NEBULA_API_KEY", "sk-old")
    enqueue(run, "--yes")
    query(
        fleet_url,
        "WITH job AS (INSERT INTO procrastinate_jobs (queue_name, task_name, queueing_lock, args) SELECT 'old', 'x', "
        "key, '{}'::jsonb FROM nebula_fleet_items RETURNING id, queueing_lock) UPDATE nebula_fleet_items AS item "
        "SET state = 'queued', job_id = job.id FROM job WHERE job.queueing_lock = item.key",
    )
    monkeypatch.setenv("NEBULA_API_KEY", emulator.api_key)
    assert run("account", status_of(fleet_url).account, "--new-key", "--yes").exit_code == Exit.OK
    assert {item["state"] for item in items_of(fleet_url, "cats")} == {"waiting"}
    make_all(fleet_url)
    assert status_of(fleet_url).counts == {ItemState.DONE: 3}


# --- status ---


def test_status_tells_how_an_empty_fleet_is_filled(run: Run) -> None:
    result = run("status")
    assert result.exit_code == Exit.OK
    assert "Nothing has been enqueued: nebula-video fleet enqueue SOURCE --batch NAME" in result.stdout


def test_status_shows_batches_money_and_what_to_do(run: Run, fleet_url: str) -> None:
    enqueue(run, "--yes", "--budget", "3")
    result = run("status")
    assert result.exit_code == Exit.FAILURE
    lines = result.stdout.splitlines()
    assert "cats  running  ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  0 of 3 ended" in lines
    assert "  0 running  0 queued  0 delayed  3 waiting  0 done" in lines
    assert "  $0.00 spent  $0.00 reserved  $0.5535 to come  budget $3.00" in lines
    at = lines.index("Needs a person")
    assert lines[at + 1 : at + 3] == [
        "  cats: no worker runs, with 3 videos left",
        "    Run one: nebula-video fleet worker",
    ]
    make_all(fleet_url)
    after = run("status", "cats")
    assert after.exit_code == Exit.OK
    assert "cats  ended  ━━━━━━━━━━━━━━━━━━━━  3 of 3 ended" in after.stdout.splitlines()


def test_status_as_json_has_all_of_it(run: Run, fleet_url: str) -> None:
    enqueue(run, "--yes")
    make_all(fleet_url)
    found = told(run("status", "--json"))
    (batch,) = found["batches"]
    assert (batch["name"], batch["state"], batch["counts"]) == ("cats", "running", {"done": 3})
    assert (batch["size"], batch["ended"], batch["left"], batch["spent"]) == (3, 3, 0, "0.5535")
    assert found["accounts"][0]["gateway"] == "nebula"
    assert (found["workers"], found["troubles"], found["seconds_left"]) == ([], [], None)


def test_a_lost_submit_is_told_first_and_has_an_exit_code_of_its_own(
    run: Run, fleet_url: str, emulator: Emulator
) -> None:
    write_list(2)
    enqueue(run, "--yes")
    emulator.faults.add("submit", "reset_after")
    make_all(fleet_url, concurrency=1)
    result = run("status")
    assert result.exit_code == Exit.UNCONFIRMED
    lines = result.stdout.splitlines()
    at = lines.index("Needs a person")
    assert lines[at + 1] == "  cats: 1 unconfirmed submit: $0.1845 may have been spent"
    assert "nebula-video fleet retry cats --unconfirmed" in lines[at + 2]
    assert "SubmissionUnconfirmedError" in result.stdout
    assert "$0.1845 spent  $0.1845 may have been spent" in result.stdout
    # Tried again, it stays unconfirmed: it may be paid for.
    assert told(run("retry", "cats", "--unconfirmed", "--yes", "--json"))["waiting_again"] == 1
    make_all(fleet_url)
    assert status_of(fleet_url).counts == {ItemState.DONE: 1, ItemState.UNCONFIRMED: 1}
    assert len(emulator.tasks) == 2


def test_three_ways_to_show_it_exclude_each_other(run: Run) -> None:
    assert run("status", "--watch", "--json").exit_code == Exit.INVALID
    assert run("status", "--broken").exit_code == Exit.INVALID
    assert run("status", "--failed").exit_code == Exit.INVALID
    assert run("status", "cats", "--failed", "--broken").exit_code == Exit.INVALID
