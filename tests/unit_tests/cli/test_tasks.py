"""The commands on the journal: `tasks`, `forget`, and what `resume` leaves alone."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from langchain_nebula_video import Budget, BudgetExceededError
from langchain_nebula_video.cli.app import app
from langchain_nebula_video.cli.exit_codes import Exit
from langchain_nebula_video.cli.journal import CommandJournal
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.journal.budget import check_budget
from tests.conftest import KEY, MOCKED, FakeClock, Gateway, submitted, succeeded

MP4 = b"\0\0\0\x18ftypisom" + bytes(12) + b"\0\0\0\x08moov" + b"\0\0\0\x08mdat"
URL = "https://example.com/cat.jpg"
Run = Callable[..., Result]


@pytest.fixture
def run(gateway: Gateway, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, columns: int = 80) -> Result:
        settings = {
            "api_key": KEY,
            "clock": clock,
            "download_hosts": MOCKED,
            "http_client": httpx.Client(transport=httpx.MockTransport(gateway)),
        }
        runner = CliRunner(env={"COLUMNS": str(columns)})
        return runner.invoke(app, arguments, obj=settings, catch_exceptions=False)

    return run


def make(run: Run, gateway: Gateway, prompt: str = "The cat yawns") -> None:
    gateway.fetches = [succeeded(), httpx.Response(200, content=MP4)]
    assert run("generate", URL, prompt, "--yes", "--out", "cat.mp4").exit_code == 0


def lose(run: Run, gateway: Gateway, prompt: str = "The cat is lost") -> Entry:
    """A submit whose answer was lost."""
    gateway.submits = [httpx.ReadError("lost")]
    assert run("submit", URL, prompt, "--yes").exit_code == Exit.UNCONFIRMED
    entry: Entry
    (entry,) = CommandJournal().entries(states=[EntryState.UNCONFIRMED])
    return entry


def told(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


# --- tasks ---


def test_an_empty_journal_says_what_to_do(run: Run) -> None:
    result = run("tasks")
    assert result.exit_code == 0
    assert "No task so far. The first one: nebula-video generate" in result.stderr


def test_a_task_is_told_by_its_prompt_its_model_and_its_file(run: Run, gateway: Gateway) -> None:
    make(run, gateway)
    shown = run("tasks").stdout.splitlines()
    assert [line.strip() for line in shown[1:]] == ["wan2.5-i2v-preview: The cat yawns", f"→ {Path.cwd() / 'cat.mp4'}"]
    assert "succeeded" in shown[0]
    assert shown[0].endswith("$0.369  task-1")


@pytest.mark.parametrize("columns", [80, 160])
def test_no_line_is_wider_than_the_terminal_but_a_path(columns: int, run: Run, gateway: Gateway) -> None:
    make(run, gateway, "The cat looks up and down and up again " * 20)
    lines = [line for line in run("tasks", columns=columns).stdout.splitlines() if "→" not in line]
    assert max(len(line.rstrip()) for line in lines) <= columns
    assert any("The cat looks up" in line for line in lines)


def test_a_wide_terminal_gets_a_line_for_each_task(run: Run, gateway: Gateway) -> None:
    make(run, gateway)
    head = next(line for line in run("tasks", columns=200).stdout.splitlines() if line.strip())
    assert head.split() == ["Made", "(UTC)", "State", "USD", "Task", "Model", "Prompt", "Saved", "as"]


def test_csv_has_every_task_with_prompt_file_and_cost(run: Run, gateway: Gateway) -> None:
    make(run, gateway, '=HYPERLINK("x"), "two"\nlines')
    (row,) = csv.DictReader(io.StringIO(run("tasks", "--csv").stdout))
    assert row["prompt"] == '\'=HYPERLINK("x"), "two"\nlines'  # no formula for a spreadsheet
    assert (row["billed_usd"], row["state"], row["model"]) == ("0.3690", "succeeded", "wan2.5-i2v-preview")
    assert row["path"] == str(Path.cwd() / "cat.mp4")
    assert "Signature" not in json.dumps(row)


def test_csv_has_all_and_the_table_the_newest_twenty(run: Run, gateway: Gateway) -> None:
    for number in range(22):
        gateway.submits = [submitted(f"task-{number}")]
        assert run("submit", URL, f"Take {number}", "--yes").exit_code == 0
    assert len(list(csv.DictReader(io.StringIO(run("tasks", "--csv").stdout)))) == 22
    assert len(list(csv.DictReader(io.StringIO(run("tasks", "--csv", "--limit", "3").stdout)))) == 3
    assert run("tasks").stdout.count("wan2.5-i2v-preview") == 20


def test_a_script_gets_the_prompt_too(run: Run, gateway: Gateway) -> None:
    make(run, gateway)
    (task,) = told(run("tasks", "--json"))["tasks"]
    assert (task["prompt"], task["task_id"], task["elsewhere"]) == ("The cat yawns", "task-1", False)


@pytest.mark.parametrize("pair", [("--csv", "--json"), ("--csv", "--watch"), ("--json", "--watch")])
def test_two_ways_to_show_it_are_refused(pair: tuple[str, str], run: Run) -> None:
    assert run("tasks", *pair).exit_code == Exit.INVALID


def test_a_lost_submit_has_an_id_and_what_can_be_done_about_it_is_told(run: Run, gateway: Gateway) -> None:
    entry = lose(run, gateway)
    result = run("tasks")
    assert f"none, id {entry.id[:8]}" in result.stdout
    assert f"nebula-video forget {entry.id[:8]}" in result.stderr


# --- another address or key ---


@pytest.fixture
def emulator_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names the real account. The journal's tasks are of another one."""
    monkeypatch.setenv("NEBULA_API_KEY", "sk-another")


@pytest.mark.usefixtures("emulator_is_gone")
def test_what_is_open_at_another_address_is_marked_and_left_alone(run: Run, gateway: Gateway) -> None:
    gateway.submits = [submitted("task-2")]
    run("submit", URL, "The cat runs", "--yes")
    before = len(gateway.requests)
    shown = run("tasks")
    assert "submitted*" in shown.stdout
    assert "* At another address, or of another key" in shown.stderr
    done = run("resume", "--json")
    assert done.exit_code == 0
    assert [task["task_id"] for task in told(done)["left_alone"]] == ["task-2"]
    assert "nebula-video forget task-2" in done.stderr
    assert len(gateway.requests) == before


@pytest.mark.usefixtures("emulator_is_gone")
def test_what_is_settled_at_another_address_is_not_marked(run: Run, gateway: Gateway) -> None:
    make(run, gateway)
    assert "*" not in run("tasks").stdout


# --- forget ---


def test_nothing_is_forgotten_unless_somebody_types_what_may_be_lost(run: Run, gateway: Gateway) -> None:
    entry = lose(run, gateway)
    refused = run("forget", entry.id[:8])
    assert refused.exit_code == Exit.INVALID
    assert "It may be billed, or has been: $0.369." in refused.stderr
    assert "--accept-loss 0.369" in refused.stderr
    assert run("forget", entry.id[:8], "--accept-loss", "0.36").exit_code == Exit.INVALID
    assert CommandJournal().entries() == [entry]


def test_a_forgotten_submit_frees_its_reservation_and_its_request(run: Run, gateway: Gateway) -> None:
    entry = lose(run, gateway)
    assert run("submit", URL, "The cat is lost", "--yes").exit_code == Exit.UNCONFIRMED
    done = run("forget", entry.id[:8], "--accept-loss", "$0.369", "--json")
    assert done.exit_code == 0
    assert [task["forgotten"] for task in told(done)["tasks"]] == [True]
    assert CommandJournal().spent() == 0
    gateway.submits = [submitted("task-2")]
    assert run("submit", URL, "The cat is lost", "--yes").exit_code == 0


def test_a_task_that_never_ends_is_written_off_and_its_row_stays(run: Run, gateway: Gateway) -> None:
    gateway.submits = [submitted("task-2")]
    run("submit", URL, "The cat runs", "--yes")
    assert run("forget", "task-2", "--accept-loss", "0.369").exit_code == 0
    (entry,) = CommandJournal().entries()
    assert (entry.state, entry.spent_usd) == (EntryState.CANCELED, 0)
    assert "written off by hand" in run("tasks").stdout


def test_a_task_that_was_written_off_and_is_made_after_all_can_still_be_had(run: Run, gateway: Gateway) -> None:
    gateway.submits = [submitted("task-2")]
    run("submit", URL, "The cat runs", "--yes")
    run("forget", "task-2", "--accept-loss", "0.369")
    gateway.fetches = [succeeded() | {"task_id": "task-2"}, httpx.Response(200, content=MP4)]
    assert run("wait", "task-2", "--out", "cat.mp4").exit_code == 0
    (entry,) = CommandJournal().entries()
    assert (entry.state, str(entry.billed_usd)) == (EntryState.SUCCEEDED, "0.3690")


def test_what_is_settled_is_never_forgotten(run: Run, gateway: Gateway) -> None:
    make(run, gateway)
    refused = run("forget", "task-1", "--accept-loss", "0.369", "--json")
    assert refused.exit_code == Exit.INVALID
    assert told(refused)["spent"] is True
    assert len(CommandJournal().entries()) == 1


def test_what_a_command_works_on_now_is_not_forgotten(run: Run, gateway: Gateway) -> None:
    run("submit", URL, "The cat yawns", "--yes")
    journal, now = CommandJournal(), datetime.now(UTC)
    (entry,) = journal.entries()
    assert journal.hold(entry.id, holder="elsewhere", now=now, until=now + timedelta(minutes=1))
    refused = run("forget", "task-1", "--accept-loss", "0.369")
    assert refused.exit_code == Exit.INVALID
    assert "A command is working on task-1 now." in refused.stderr


def test_a_task_that_a_command_takes_up_while_the_question_is_open_is_kept(
    run: Run, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("submit", URL, "The cat yawns", "--yes")
    now = datetime.now(UTC)

    def take_up(*_: object) -> bool:
        journal = CommandJournal()
        (entry,) = journal.entries()
        assert journal.hold(entry.id, holder="elsewhere", now=now, until=now + timedelta(minutes=1))
        return True

    monkeypatch.setattr("langchain_nebula_video.cli.forget.ask_for_word", take_up)
    kept = run("forget", "task-1")
    assert kept.exit_code == Exit.FAILURE
    assert "something has changed meanwhile" in kept.stderr
    assert CommandJournal().entries()[0].state is not EntryState.CANCELED


def test_a_task_that_is_not_there_is_told(run: Run) -> None:
    refused = run("forget", "task-9", "--accept-loss", "1")
    assert refused.exit_code == Exit.INVALID
    assert "There is no task 'task-9' in the journal." in refused.stderr


# --- what errors and emulators say of amounts ---


def test_a_budget_without_a_window_does_not_speak_of_one() -> None:
    for budget, said in ((Budget("1"), False), (Budget("1", timedelta(days=1)), True)):
        with pytest.raises(BudgetExceededError) as refused:
            check_budget(budget, Decimal("0.9"), Decimal("0.3"))
        assert ("its window" in str(refused.value)) is said


def test_a_balance_that_is_a_float_has_the_digits_that_it_is_written_with() -> None:
    assert str(Emulator(balance=0.1).balance) == "0.1"  # type: ignore[arg-type]
