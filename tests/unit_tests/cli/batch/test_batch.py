"""The command `batch`, on a gateway of functions that gives each submit a task of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from langchain_nebula_video.cli.app import app
from langchain_nebula_video.cli.exit_codes import Exit
from langchain_nebula_video.cli.journal import CommandJournal
from langchain_nebula_video.journal import EntryState
from tests.conftest import KEY, MOCKED, FakeClock, failed, jpeg, submitted, succeeded
from tests.tables import each_row

MP4 = b"\0\0\0\x18ftypisom" + bytes(12) + b"\0\0\0\x08moov" + b"\0\0\0\x08mdat"
PRICE = Decimal("0.369")
Answer = Callable[[dict[str, Any]], httpx.Response | dict[str, Any] | None]


class Studio:
    """A gateway whose tasks succeed at the first look. What a prompt stands for may be told otherwise."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.requests = 0
        self.refuse: Answer = lambda body: None
        self.fails: set[str] = set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        if request.method == "POST":
            body = json.loads(request.content)
            refusal = self.refuse(body)
            if isinstance(refusal, httpx.Response):
                return refusal
            self.bodies.append(body)
            return httpx.Response(200, json=submitted(f"task-{len(self.bodies)}"))
        if "results" in request.url.host:
            return httpx.Response(200, content=MP4)
        task_id = request.url.path.rpartition("/")[2]
        body = self.bodies[int(task_id.removeprefix("task-")) - 1]
        answer = failed() if prompt_of(body) in self.fails else succeeded()
        return httpx.Response(200, json=answer | {"task_id": task_id})

    @property
    def prompts(self) -> list[str]:
        return [prompt_of(body) for body in self.bodies]


def prompt_of(body: dict[str, Any]) -> str:
    found: str = body["prompt"]
    return found


@pytest.fixture
def studio() -> Studio:
    return Studio()


@pytest.fixture
def run(studio: Studio, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, piped: str | None = None) -> Result:
        settings = {
            "api_key": KEY,
            "clock": clock,
            "download_hosts": MOCKED,
            "http_async_client": httpx.AsyncClient(transport=httpx.MockTransport(studio)),
        }
        return CliRunner().invoke(app, ["batch", *arguments], input=piped, obj=settings, catch_exceptions=False)

    return run


Run = Callable[..., Result]


def images(*names: str, folder: str = "cats") -> str:
    """A folder of images, each of another content."""
    Path(folder).mkdir(exist_ok=True)
    for name in names:
        Path(folder, name).write_bytes(jpeg() + name.encode())
    return folder


def shots(*prompts: str, more: str = "") -> str:
    """A table with a row for each prompt, all of one image."""
    Path("cat.jpg").write_bytes(jpeg())
    Path("shots.csv").write_text("\n".join(["image,prompt", *(f"cat.jpg,{prompt}" for prompt in prompts), more]))
    return "shots.csv"


def told(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def states(result: Result) -> list[str]:
    return [row["state"] for row in told(result)["rows"]]


def test_each_image_of_a_folder_becomes_a_video_of_its_name(run: Run, studio: Studio) -> None:
    done = run(images("cat-1.jpg", "cat-2.jpg"), "--prompt", "It blinks", "--yes")
    assert done.exit_code == 0, done.stderr
    assert studio.prompts == ["It blinks"] * 2
    assert sorted(path.name for path in Path("videos").iterdir()) == ["cat-1.mp4", "cat-2.mp4"]
    assert sorted(done.stdout.split()) == ["videos/cat-1.mp4", "videos/cat-2.mp4"]
    assert "2 videos: 2 made. Cost: $0.738; $0.738 of it in this run." in done.stderr


def test_a_second_run_pays_nothing_and_asks_the_gateway_nothing(run: Run, studio: Studio) -> None:
    folder = images("cat-1.jpg", "cat-2.jpg")
    run(folder, "--prompt", "It blinks", "--yes")
    before = studio.requests
    again = run(folder, "--prompt", "It blinks")  # nobody is asked, as nothing is paid
    assert again.exit_code == 0
    assert studio.requests == before
    assert "2 videos: 2 made. Cost: $0.738; $0.00 of it in this run." in again.stderr


def test_a_table_may_be_piped_in(run: Run, studio: Studio) -> None:
    images("cat-1.jpg")
    table = '{"image": "cats/cat-1.jpg", "prompt": "It blinks"}\n{"image": "cats/cat-1.jpg", "prompt": "It naps"}\n'
    done = run("-", "--yes", piped=table)
    assert done.exit_code == 0, done.stderr
    assert sorted(studio.prompts) == ["It blinks", "It naps"]
    refused = run("-", "--format", "csv", "--yes", piped=table)
    assert refused.exit_code == Exit.INVALID
    assert "standard input, line 1" in refused.stderr


def test_a_piped_table_cannot_be_answered_for_so_it_wants_yes(run: Run, studio: Studio) -> None:
    images("cat-1.jpg")
    done = run("-", piped="image,prompt\ncats/cat-1.jpg,It blinks\n")
    assert done.exit_code == Exit.INVALID
    assert "--yes" in done.stderr
    assert studio.requests == 0


def test_only_what_is_new_in_a_folder_is_paid_for(run: Run, studio: Studio) -> None:
    run(images("cat-1.jpg"), "--prompt", "It blinks", "--yes")
    done = run(images("cat-2.jpg"), "--prompt", "It blinks", "--yes")
    assert "2 videos: 1 to pay for, 1 made before." in done.stderr
    assert len(studio.bodies) == 2


@each_row(
    "change",
    [["--prompt", "It yawns"], ["--prompt", "It blinks", "--seed", "7"], ["--prompt", "It blinks", "--duration", "10"]],
)
def test_another_prompt_or_option_is_another_video(change: list[str], run: Run, studio: Studio) -> None:
    folder = images("cat-1.jpg")
    run(folder, "--prompt", "It blinks", "--yes")
    before = len(studio.bodies)
    assert run(folder, *change, "--yes").exit_code == 0
    assert len(studio.bodies) == before + 1


def test_a_second_run_tells_the_same_names_of_files(run: Run) -> None:
    folder = images("cat-1.jpg", "cat-2.jpg")
    first = run(folder, "--prompt", "It blinks", "--yes").stdout.splitlines()[-2:]
    assert [Path(name) for name in first] == [Path("videos/cat-1.mp4"), Path("videos/cat-2.mp4")]
    assert run(folder, "--prompt", "It blinks").stdout.splitlines()[-2:] == first


def test_a_file_is_known_by_its_content_and_not_by_its_name(run: Run, studio: Studio) -> None:
    folder = images("cat-1.jpg")
    run(folder, "--prompt", "It blinks", "--yes")
    Path(folder, "cat-1.jpg").rename(Path(folder, "tom.jpg"))
    assert states(run(folder, "--prompt", "It blinks", "--json")) == ["made"]
    images("tom.jpg")
    assert states(run(folder, "--prompt", "It blinks", "--yes", "--json")) == ["made"]
    assert len(studio.bodies) == 2


def test_a_default_that_is_said_is_the_same_video(run: Run, studio: Studio) -> None:
    folder = images("cat-1.jpg")
    run(folder, "--prompt", "It blinks", "--yes")
    run(folder, "--prompt", "It blinks", "--yes", "--duration", "5", "--resolution", "720p")
    assert len(studio.bodies) == 1


def test_a_row_that_is_there_twice_is_paid_once_and_with_keys_of_their_own_twice(run: Run, studio: Studio) -> None:
    done = run(shots("It blinks", "It blinks"), "--yes", "--json")
    assert states(done) == ["made", "made"]
    assert len(studio.bodies) == 1
    Path("takes.csv").write_text("image,prompt,key\ncat.jpg,It blinks,take-1\ncat.jpg,It blinks,take-2\n")
    assert run("takes.csv", "--yes", "--out", "videos/{key}.mp4").stdout.split() == [
        "videos/take-1.mp4",
        "videos/take-2.mp4",
    ]
    assert len(studio.bodies) == 3


def test_cells_win_over_options(run: Run, studio: Studio) -> None:
    Path("cat.jpg").write_bytes(jpeg())
    Path("shots.csv").write_text("image,prompt,duration\ncat.jpg,,10\ncat.jpg,It yawns,\n")
    done = run("shots.csv", "--prompt", "It blinks", "--duration", "5", "--yes", "--json", "--concurrency", "1")
    assert studio.prompts == ["It blinks", "It yawns"]
    assert [
        row["cost"]["seconds"] for row in told(run("shots.csv", "--prompt", "It blinks", "--dry-run", "--json"))["rows"]
    ] == [10, 5]
    assert done.exit_code == 0


def test_broken_rows_are_kept_apart_and_the_others_run(run: Run, studio: Studio) -> None:
    table = shots("It blinks", more='no.jpg,It blinks\ncat.jpg,""\ncat.jpg,It yawns')
    done = run(table, "--yes")
    assert done.exit_code == Exit.FAILURE
    assert sorted(studio.prompts) == ["It blinks", "It yawns"]
    assert "Broken: shots.csv, line 3: There is no file" in done.stderr
    assert "Broken: shots.csv, line 4: The prompt is empty." in done.stderr
    assert "2 videos: 2 made, 2 broken rows." in done.stderr


def test_strict_sends_nothing_if_a_row_is_broken(run: Run, studio: Studio) -> None:
    done = run(shots("It blinks", more="no.jpg,It blinks"), "--yes", "--strict", "--json")
    assert done.exit_code == Exit.INVALID
    assert told(done)["spent"] is False
    assert studio.requests == 0


def test_a_dry_run_tells_the_price_and_sends_nothing(run: Run, studio: Studio) -> None:
    table = shots("It blinks", "It yawns", "It blinks", more="no.jpg,It blinks")
    done = run(table, "--dry-run")
    assert done.exit_code == Exit.FAILURE  # a row is broken
    for part in ("Rows        4", "2, about $0.738 at Nebula (", "Repeated    1", "Broken      1"):
        assert part in done.stdout
    plan = told(run(table, "--dry-run", "--json"))
    assert (plan["to_pay"], plan["estimated_usd"]) == (2, "0.7380")
    assert [row["standing"] for row in plan["rows"]] == ["new", "new", "same"]
    assert studio.requests == 0


def test_a_dry_run_needs_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images("cat.jpg")
    assert CliRunner().invoke(app, ["batch", "cats", "--prompt", "x", "--dry-run"]).exit_code == 0
    refused = CliRunner().invoke(app, ["batch", "cats", "--prompt", "x", "--yes"])
    assert refused.exit_code == Exit.INVALID
    assert "NEBULA_API_KEY is not set" in refused.stderr


def test_without_a_terminal_and_without_yes_nothing_is_paid(run: Run, studio: Studio) -> None:
    done = run(shots("It blinks"))
    assert done.exit_code == Exit.INVALID
    assert "Add --yes" in done.stderr
    assert studio.requests == 0


def test_the_budget_is_for_all_rows_and_all_runs_together(run: Run, studio: Studio) -> None:
    table = shots("one", "two", "three", "four")
    done = run(table, "--yes", "--budget", "0.80", "--json")
    assert done.exit_code == Exit.BUDGET
    assert sorted(states(done)) == ["failed", "failed", "made", "made"]
    assert "Of 4 new videos, about 2 fit into the budget of $0.80 in all" in done.stderr
    assert run(table, "--yes", "--budget", "1.11").exit_code == Exit.BUDGET  # room for one more
    assert len(studio.bodies) == 3
    assert run(table, "--yes", "--budget", "$1.476").exit_code == 0
    assert len(studio.bodies) == 4


def test_a_budget_does_not_count_what_the_journal_holds_of_others(run: Run, studio: Studio) -> None:
    run(shots("one", "two"), "--yes")
    assert run(shots("three"), "--yes", "--budget", "0.40").exit_code == 0


def test_a_budget_needs_a_price(run: Run, studio: Studio) -> None:
    Path("cat.jpg").write_bytes(jpeg())
    place = ["--gateway", "uniall", "--base-url", "https://uniall.example.com", "--prompt", "x", "--yes"]
    done = run("cat.jpg", *place, "--budget", "5")
    assert done.exit_code == Exit.INVALID
    assert "--price" in done.stderr
    assert studio.requests == 0


def test_one_that_fails_does_not_stop_the_others_and_is_not_paid_again_unasked(run: Run, studio: Studio) -> None:
    studio.fails = {"two"}
    table = shots("one", "two", "three")
    done = run(table, "--yes", "--json")
    assert done.exit_code == Exit.TASK
    assert states(done) == ["made", "failed", "made"]
    again = run(table, "--yes")
    assert again.exit_code == Exit.TASK
    assert "--retry-failed submits it again" in again.stderr
    assert len(studio.bodies) == 3
    studio.fails = set()
    assert run(table, "--yes", "--retry-failed").exit_code == 0
    assert studio.prompts[3:] == ["two"]
    assert states(run(table, "--json")) == ["made"] * 3


def test_after_a_refusal_of_the_key_no_further_row_is_begun(run: Run, studio: Studio) -> None:
    studio.refuse = lambda body: httpx.Response(401, json={"error": {"message": "Invalid API key"}})
    done = run(shots(*map(str, range(20))), "--yes", "--json", "--concurrency", "2")
    assert done.exit_code == Exit.REFUSED
    assert states(done).count("not begun") >= 18
    assert "No further row was begun" in done.stderr
    assert studio.requests <= 2


def test_a_refused_row_is_free_to_be_submitted_again(run: Run, studio: Studio) -> None:
    studio.refuse = lambda body: (
        httpx.Response(400, json={"error": {"message": "Bad prompt"}}) if prompt_of(body) == "two" else None
    )
    table = shots("one", "two")
    assert run(table, "--yes").exit_code == Exit.REFUSED
    studio.refuse = lambda body: None
    assert run(table, "--yes").exit_code == 0
    assert sorted(studio.prompts) == ["one", "two"]


def test_a_submit_in_doubt_is_told_and_never_repeated(run: Run, studio: Studio) -> None:
    def lose(body: dict[str, Any]) -> None:
        if prompt_of(body) == "two":
            raise httpx.ReadError("lost")

    studio.refuse = lose
    table = shots("one", "two")
    assert run(table, "--yes").exit_code == Exit.UNCONFIRMED
    studio.refuse = lambda body: None
    again = run(table, "--yes")
    assert again.exit_code == Exit.UNCONFIRMED
    assert "nebula-video reconcile" in again.stderr
    assert studio.prompts == ["one"]


def test_a_rehearsal_on_this_machine_stands_for_no_real_video(run: Run, studio: Studio) -> None:
    table = shots("one")
    assert run(table, "--yes", "--base-url", "http://127.0.0.1:9").exit_code == 0
    assert run(table, "--yes", "--json").exit_code == 0
    assert studio.prompts == ["one", "one"]


def test_no_more_are_under_way_at_once_than_concurrency_says(run: Run, studio: Studio) -> None:
    assert run(shots("one", "two", "three"), "--yes", "--concurrency", "1").exit_code == 0
    assert studio.prompts == ["one", "two", "three"]  # in the order of the table


def test_a_line_for_each_row_where_there_is_no_terminal(run: Run) -> None:
    done = run(shots("one", "two"), "--yes", "--concurrency", "1")
    assert "[1/2] cat.jpg: saved videos/cat.mp4, $0.369 billed" in done.stderr
    assert "[2/2] cat.jpg: saved videos/cat.mp4, $0.369 billed" in done.stderr  # the same bytes are the same file
    assert "\x1b" not in done.output


def test_the_rows_costs_add_up_to_what_the_journal_holds(run: Run) -> None:
    done = told(run(shots("one", "two"), "--yes", "--json"))
    assert Decimal(done["cost_usd"]) == Decimal(done["cost_of_this_run_usd"]) == CommandJournal().spent() == 2 * PRICE


# --- what changes between runs, and while one runs ---


def test_an_image_that_changes_while_the_batch_runs_is_left_for_the_next_run(run: Run, studio: Studio) -> None:
    folder = images("a.jpg", "b.jpg")

    def change_the_other(body: dict[str, Any]) -> None:
        Path("cats/b.jpg").write_bytes(jpeg() + b"edited")

    studio.refuse = change_the_other
    command = [folder, "--prompt", "It blinks", "--yes", "--concurrency", "1"]
    done = run(*command)
    assert "changed" in done.stderr
    assert len(studio.bodies) == 1
    studio.refuse = lambda body: None
    assert run(*command).exit_code == Exit.OK
    assert run(*command).exit_code == Exit.OK
    assert len(studio.bodies) == 2


def test_a_key_of_ones_own_stands_for_one_video(run: Run, studio: Studio) -> None:
    Path("cat.jpg").write_bytes(jpeg())
    Path("shots.csv").write_text("image,prompt,key\ncat.jpg,It blinks,one\ncat.jpg,It yawns,one\n")
    done = run("shots.csv", "--yes", "--json")
    assert studio.prompts == ["It blinks"]
    assert [row["where"] for row in told(done)["broken"]] == ["shots.csv, line 3"]
    assert done.exit_code == Exit.FAILURE
    Path("shots.csv").write_text("image,prompt,key\ncat.jpg,It sleeps,one\n")
    again = run("shots.csv", "--yes", "--json")
    assert "belongs to another request" in told(again)["broken"][0]["reason"]
    assert len(studio.bodies) == 1


def test_a_failed_row_with_a_key_of_its_own_is_told_what_to_do(run: Run, studio: Studio) -> None:
    Path("cat.jpg").write_bytes(jpeg())
    Path("shots.csv").write_text("image,prompt,key\ncat.jpg,two,mine\n")
    studio.fails = {"two"}
    run("shots.csv", "--yes")
    again = run("shots.csv", "--yes", "--retry-failed")
    assert "--retry-failed" not in again.stderr
    assert "another key" in again.stderr
    assert len(studio.bodies) == 1


def test_an_address_with_a_new_signature_is_the_same_image(run: Run, studio: Studio) -> None:
    for signature in ("one", "two"):
        address = f"https://example.com/cat.jpg?Expires={len(signature)}&Signature={signature}"
        assert run(address, "--prompt", "It blinks", "--yes").exit_code == Exit.OK
    assert len(studio.bodies) == 1


@pytest.mark.parametrize("source", ["~nobody-of-this-name/cat.jpg", "x" * 5000, "x" * 5000 + ".csv"])
def test_a_source_that_cannot_be_is_told(run: Run, source: str) -> None:
    assert run(source, "--prompt", "It blinks", "--dry-run").exit_code == Exit.INVALID


@pytest.mark.parametrize("key", ["", "  "])
def test_an_empty_key_is_none(run: Run, studio: Studio, key: str) -> None:
    Path("cat.jpg").write_bytes(jpeg())
    rows = [{"image": "cat.jpg", "prompt": prompt, "key": key} for prompt in ("It blinks", "It yawns")]
    Path("shots.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for _ in range(2):
        assert run("shots.jsonl", "--yes", "--concurrency", "1").exit_code == Exit.OK
    assert studio.prompts == ["It blinks", "It yawns"]


@pytest.mark.parametrize("key", ["../../x", "k" * 3000, "a\0b", "\x1b[31m"])
def test_a_strange_key_pays_once_and_steers_no_terminal(run: Run, studio: Studio, key: str) -> None:
    Path("cat.jpg").write_bytes(jpeg())
    Path("shots.jsonl").write_text(json.dumps({"image": "cat.jpg", "prompt": "It blinks", "key": key}))
    for _ in range(2):
        done = run("shots.jsonl", "--yes")
        assert "\x1b" not in done.stdout + done.stderr
    assert len(studio.bodies) == 1


def test_a_key_that_no_journal_can_hold_is_a_broken_row(run: Run, studio: Studio) -> None:
    Path("cat.jpg").write_bytes(jpeg())
    Path("shots.jsonl").write_text(json.dumps({"image": "cat.jpg", "prompt": "It blinks", "key": "\udc80"}))
    done = run("shots.jsonl", "--dry-run", "--json")
    assert told(done)["to_pay"] == 0
    assert "The key is" in told(done)["broken"][0]["reason"]


def test_a_task_that_was_written_off_is_not_said_to_be_free(run: Run, studio: Studio) -> None:
    table = shots("one")
    run(table, "--yes")
    (entry,) = CommandJournal().entries()
    reason = "written off by hand on 2026-01-01; it may have been billed"
    CommandJournal().update(entry.id, state=EntryState.CANCELED, reason=reason, video=None, billed_usd=None)
    again = run(table, "--yes")
    assert reason in again.stderr
    assert "was not billed" not in again.stderr
