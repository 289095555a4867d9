"""A fleet from the command line, as processes: workers that are killed and drained, a terminal, and Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.cli.exit_codes import Exit
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.emulator.rendering import encoder
from langchain_nebula_video.emulator.rendering.scene import Scene
from langchain_nebula_video.fleet import BatchState, Fleet, ItemState
from langchain_nebula_video.fleet.options import account_mark
from langchain_nebula_video.lifecycle.account import resolve_base_url
from tests.conftest import png
from tests.fleets import PATIENCE, batch_status, query, submits_of
from tests.postgres import Server
from tests.terminals import Terminal

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and terminals of POSIX")

LIMIT = 0
PROGRAM = [sys.executable, "-m", "langchain_nebula_video.cli", "fleet"]
_MORE_THAN_A_PIPE_HOLDS = 4000
"""Rows, of some 60 bytes each: a pipe and the buffers at its end hold 100 kB."""
_OPEN = (ItemState.WAITING, ItemState.DELAYED, ItemState.QUEUED, ItemState.RUNNING)
QUICK = ["--resolution", "480p", "--seed", "1"]


@pytest.fixture(autouse=True)
def _one_video_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each prompt would be a rendering of its own. What the videos look like is not looked at here."""
    real, known = encoder.render, dict[tuple[int, int], bytes]()

    def render(scene: Scene, stop: threading.Event | None = None) -> bytes:
        size = (scene.seconds, scene.pixels)
        if size not in known:
            known[size] = real(scene, stop)
        return known[size]

    monkeypatch.setattr(encoder, "render", render)


@pytest.fixture(autouse=True)
def _ctrl_c_reaches_children() -> Iterator[None]:
    """A shell lets its background jobs ignore SIGINT, and children would inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def env(fleet_url: str, emulator: Emulator) -> dict[str, str]:
    """What a machine of the fleet has: the database and the gateway's key. The address is the emulator's."""
    names = {"NEBULA_JOURNAL": fleet_url, "NEBULA_API_KEY": emulator.api_key, "NEBULA_BASE_URL": emulator.url}
    return {**os.environ, **names}


@pytest.fixture
def nebula(tmp_path: Path, env: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command of the fleet to its end."""

    def run(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PROGRAM, *arguments],
            cwd=tmp_path,
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            **{"env": env, "stdin": subprocess.DEVNULL, **more},
        )

    return run


@contextmanager
def worker(folder: Path, env: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A worker that has begun. It is killed after the body, if it has not ended."""
    process = subprocess.Popen(
        [*PROGRAM, "worker", *arguments],
        cwd=folder,
        env=env,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    try:
        begun = "SELECT 1 FROM nebula_fleet_workers WHERE pid = %s"
        until(lambda: process.poll() is not None or query(env["NEBULA_JOURNAL"], begun, process.pid), "a worker")
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=PATIENCE)


def until(true: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := true()):
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.1)
    return found


def counts(url: str, batch: str = "night") -> dict[ItemState, int]:
    return dict(asyncio.run(batch_status(Fleet(url), batch)).counts)


def drained(process: subprocess.Popen[str]) -> str:
    """Ask a worker to drain, and wait for its end; its log."""
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == Exit.OK, log
    return log


def lists(folder: Path) -> list[str]:
    """A folder, a CSV table with a broken row, and a JSONL table with another one: 30 videos."""
    (folder / "cats").mkdir()
    for number in range(10):
        (folder / "cats" / f"cat-{number}.png").write_bytes(png(400, 400 + number))
    rows = [f"cats/cat-{number}.png,Cat {number} yawns,shot {number}" for number in range(10)]
    (folder / "shots.csv").write_text("\n".join(["image,prompt,tag", *rows, "cats/none.png,It hides,", ""]))
    objects = [
        json.dumps({"image": f"https://example.com/{number}.jpg", "prompt": f"Dog {number} naps"})
        for number in range(10)
    ]
    (folder / "dogs.jsonl").write_text("\n".join([*objects, "{", ""]))
    return ["cats", "shots.csv", "dogs.jsonl"]


@pytest.mark.parametrize("emulator", [20], indirect=True)
def test_a_night_with_two_workers_one_killed_and_one_drained(
    tmp_path: Path, env: dict[str, str], nebula: Callable[..., Any], fleet_url: str, emulator: Emulator
) -> None:
    """All rows but the broken ones become videos, each is paid once, and the list again adds nothing."""
    command = ["enqueue", *lists(tmp_path), "--batch", "night", "--prompt", "The cat blinks", *QUICK]
    command += ["--out", "videos/{key}.mp4"]
    assert nebula("init").returncode == Exit.OK
    first = nebula(*command, "--yes", "--json")
    assert first.returncode == Exit.FAILURE, first.stderr  # rows are broken
    told = json.loads(first.stdout)
    assert (told["rows"], told["new"], told["broken"]) == (32, 30, 2)
    assert "Broken: shots.csv, line 12:" in first.stderr
    assert "Broken: dogs.jsonl, line 11:" in first.stderr

    with worker(tmp_path, env, "--concurrency", "6") as one, worker(tmp_path, env, "--concurrency", "6") as other:
        until(lambda: counts(fleet_url).get(ItemState.DONE, 0) >= 3, "the first videos")
        shown = json.loads(nebula("status", "--json").stdout)
        assert {each["pid"] for each in shown["workers"]} == {one.pid, other.pid}
        assert all(each["lives"] for each in shown["workers"])
        one.kill()
        one.wait()
        dead = f"-{one.pid}-"
        until(lambda: re.search(rf"{dead}\w+: it is dead", nebula("status").stdout), "the notice of the dead worker")
        held = "SELECT 1 FROM nebula_fleet_items WHERE worker LIKE %s"
        until(lambda: not query(fleet_url, held, f"%{dead}%"), "the sweep")
        log = drained(other)
        assert re.search(r"stopping: no more items are taken, and \d+ run to their end", log), log
        assert re.search(r"drained: \d+ videos? made$", log.strip()), log
        assert counts(fleet_url).get(ItemState.RUNNING, 0) == 0

    again = nebula(*command, "--json")
    assert (json.loads(again.stdout)["new"], json.loads(again.stdout)["present"]) == (0, 30)

    with worker(tmp_path, env, "--concurrency", "20") as last:
        until(lambda: not any(counts(fleet_url).get(each) for each in _OPEN), "the end")
        drained(last)
    found = counts(fleet_url)
    # A kill between the POST and its answer leaves a submit in doubt, which is never sent again.
    assert found.get(ItemState.DONE, 0) + found.get(ItemState.UNCONFIRMED, 0) == 30
    assert found.get(ItemState.DONE, 0) >= 24
    assert len(list((tmp_path / "videos").iterdir())) == found[ItemState.DONE]
    paid = submits_of(emulator)
    assert paid.pop("The cat blinks") <= 10
    assert set(paid.values()) == {1}
    assert len(emulator.bill.lines) == len(emulator.tasks) <= 30
    ended = nebula("status", "night")
    assert ended.returncode == (Exit.UNCONFIRMED if ItemState.UNCONFIRMED in found else Exit.OK), ended.stdout


@pytest.mark.parametrize("emulator", [1], indirect=True)
def test_a_second_signal_cuts_off_and_another_worker_takes_the_videos_up(
    tmp_path: Path, env: dict[str, str], nebula: Callable[..., Any], fleet_url: str, emulator: Emulator
) -> None:
    nebula("enqueue", *lists(tmp_path)[1:2], "--batch", "night", *QUICK, "--yes")
    with worker(tmp_path, env, "--concurrency", "4") as process:
        until(lambda: len(emulator.tasks) == 4, "four submits")
        until(lambda: query(fleet_url, "SELECT 1 FROM nebula_entries WHERE task_id IS NOT NULL OFFSET 3"), "four tasks")
        process.send_signal(signal.SIGTERM)
        until(lambda: query(fleet_url, "SELECT 1 FROM nebula_fleet_workers WHERE draining"), "the drain")
        log = drained(process)
    assert "drained: 0 videos made; 4 videos given back, for other workers" in log
    assert counts(fleet_url)[ItemState.WAITING] + counts(fleet_url).get(ItemState.QUEUED, 0) == 10
    assert len(emulator.tasks) == 4


def test_a_worker_without_a_key_names_the_variable_and_waits(
    tmp_path: Path, env: dict[str, str], nebula: Callable[..., Any], fleet_url: str
) -> None:
    nebula("enqueue", *lists(tmp_path)[1:2], "--batch", "night", *QUICK, "--yes")
    with worker(tmp_path, {**env, "NEBULA_API_KEY": ""}) as process:
        until(lambda: query(fleet_url, "SELECT 1 FROM nebula_fleet_workers WHERE note IS NOT NULL"), "the note")
        shown = nebula("status")
        assert shown.returncode == Exit.FAILURE
        assert "no worker has the key of account" in shown.stdout
        assert "NEBULA_API_KEY" in shown.stdout.partition("Notices")[2]
        assert "set NEBULA_API_KEY" in drained(process)
    assert counts(fleet_url) == {ItemState.WAITING: 10}


def test_a_worker_s_log_tells_that_the_gateway_refuses_for_a_while_but_not_for_each_video(
    tmp_path: Path, env: dict[str, str], nebula: Callable[..., Any], fleet_url: str, emulator: Emulator
) -> None:
    emulator.faults.add("submit", "status", code=429, times=4)
    nebula("enqueue", *lists(tmp_path)[1:2], "--batch", "night", *QUICK, "--yes")
    with worker(tmp_path, env, "--concurrency", "10") as process:
        until(lambda: counts(fleet_url) == {ItemState.DONE: 10}, "the end")
        log = drained(process)
    told = [line for line in log.splitlines() if "refuses requests for a while, and is asked again" in line]
    assert told
    assert len(told) < 4, log


def test_a_worker_with_the_key_of_another_account_names_both(
    tmp_path: Path, env: dict[str, str], nebula: Callable[..., Any], fleet_url: str
) -> None:
    nebula("enqueue", *lists(tmp_path)[1:2], "--batch", "night", *QUICK, "--yes")
    ((wanted,),) = query(fleet_url, "SELECT id FROM nebula_fleet_accounts")
    with worker(tmp_path, {**env, "NEBULA_API_KEY": "sk-another-0123456789"}) as process:
        note = until(
            lambda: query(fleet_url, "SELECT note FROM nebula_fleet_workers WHERE note IS NOT NULL"), "the note"
        )[0][0]
        drained(process)
    url = resolve_base_url(GATEWAYS["nebula"], env["NEBULA_BASE_URL"])
    other = account_mark("nebula", url, SecretStr("sk-another-0123456789"))
    assert note.endswith(f"set NEBULA_API_KEY to that of {wanted} (it has that of {other})")


def test_a_worker_is_counted_for_the_first_list_of_its_account(
    tmp_path: Path, env: dict[str, str], nebula: Callable[..., Any], fleet_url: str
) -> None:
    with worker(tmp_path, env) as process:
        until(lambda: query(fleet_url, "SELECT 1 FROM nebula_fleet_workers WHERE accounts <> '{}'"), "its accounts")
        assert query(fleet_url, "SELECT 1 FROM nebula_fleet_accounts") == []
        command = ["enqueue", *lists(tmp_path)[1:2], "--batch", "night", *QUICK, "--not-before", "2100-01-01T00:00Z"]
        done = nebula(*command, "--yes")
        assert "1 worker can make them." in done.stderr, done.stderr
        drained(process)


def test_a_worker_whose_database_is_away_says_it_at_once_and_ends_when_it_is_asked_to(
    tmp_path: Path, env: dict[str, str]
) -> None:
    away = {**env, "NEBULA_JOURNAL": "postgresql://me@127.0.0.1:1/videos"}
    process = subprocess.Popen(
        [*PROGRAM, "worker"], cwd=tmp_path, env=away, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    assert process.stderr is not None
    try:
        first = process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert "WARNING The fleet's database postgresql+psycopg://me@127.0.0.1:1/videos did not work: " in first
    assert first.strip().endswith("It is tried again for 30 seconds.")
    assert process.returncode == Exit.OK, rest
    assert "place" not in first + rest
    assert "did not work" not in rest, "it ended before the time was over"


def test_an_outage_of_the_database_is_told_in_two_lines(tmp_path: Path, env: dict[str, str], server: Server) -> None:
    with worker(tmp_path, env) as process:
        assert process.stderr is not None
        server.stop("immediate")
        lines = [process.stderr.readline()]
        while "does not work" not in lines[-1]:
            lines.append(process.stderr.readline())
        time.sleep(3)  # the pool of connections tries in vain meanwhile
        server.start()
        while "works again" not in lines[-1]:
            lines.append(process.stderr.readline())
        drained(process)
    assert [line for line in lines if "WARNING" in line or "ERROR" in line] == [
        line for line in lines if "the fleet's database" in line
    ]
    assert not any("\\" in line for line in lines)


def test_a_worker_of_a_database_without_tables_says_what_makes_them(
    nebula: Callable[..., Any], env: dict[str, str], fleet_url: str
) -> None:
    query(fleet_url, "DROP TABLE nebula_fleet_meta")
    done = nebula("worker", env=env)
    assert done.returncode == Exit.FAILURE
    assert "Make its tables: nebula-video fleet init" in done.stderr


# --- a terminal ---


def test_a_terminal_is_asked_with_price_gateway_and_host(tmp_path: Path, env: dict[str, str], fleet_url: str) -> None:
    """Whoever says no leaves the batch paused; the same command asks again."""
    source = lists(tmp_path)[2]
    question = "Pay about $1.84 for 10 videos at Nebula (127.0.0.1, this machine)? [y/N]"
    for answer, code, state in (("n\n", Exit.FAILURE, BatchState.PAUSED), ("y\n", Exit.FAILURE, BatchState.RUNNING)):
        terminal, answered = Terminal(columns=120), False
        command = ["fleet", "enqueue", source, "--batch", "night", *QUICK]
        for screen in terminal.run(*command, cwd=tmp_path, env=env):
            if not answered and any(question in line for line in screen):
                terminal.write(answer)
                answered = True
        assert (terminal.code, answered) == (code, True), screen  # one row is broken
        assert asyncio.run(batch_status(Fleet(fleet_url), "night")).state is state


@pytest.mark.parametrize("emulator", [20], indirect=True)
def test_watch_holds_still_in_80_columns_and_shows_the_throughput(
    tmp_path: Path, env: dict[str, str], nebula: Callable[..., Any], fleet_url: str
) -> None:
    nebula("enqueue", *lists(tmp_path), "--batch", "night", "--prompt", "x", *QUICK, "--yes")
    screens: list[list[str]] = []
    with worker(tmp_path, env, "--concurrency", "10") as process:
        for screen in Terminal(columns=80, lines=24).run("fleet", "status", "--watch", cwd=tmp_path, env=env):
            if any("of 30 ended" in line for line in screen):
                screens.append(screen)
            if any("30 of 30 ended" in line for line in screen):
                break
        drained(process)
    assert len(screens) >= 2
    for screen in screens:
        assert re.fullmatch(r"Fleet [0-9a-f]{8}, [\d-]{10} [\d:]{8} UTC", screen[0].rstrip()), screen
        assert re.match(r"[\d,]+ videos/min, \$[\d.,]+/min", screen[1]), screen
        assert re.match(r"[▁▂▃▄▅▆▇█]+  videos/min, the last \d+ s", screen[2]), screen
        assert re.match(r"night  (running|ended)  [━╌]{20}  \d+ of 30 ended", screen[4]), screen
        assert re.match(r"  \d+ running  \d+ queued  \d+ delayed  \d+ waiting  \d+ done", screen[5]), screen
        assert re.match(r"  \$[\d.]+ spent  \$[\d.]+ reserved  \$[\d.]+ to come", screen[6]), screen
    assert any("█" in screen[2] for screen in screens)


def test_watch_without_a_terminal_prints_a_line_whenever_it_changes(
    tmp_path: Path, env: dict[str, str], nebula: Callable[..., Any]
) -> None:
    nebula("enqueue", lists(tmp_path)[2], "--batch", "night", *QUICK, "--yes")
    with subprocess.Popen(
        [*PROGRAM, "status", "--watch"],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert "0 of 10 ended, 0 videos/min, $0.00/min, night: no worker runs" in process.stdout.readline()
        with worker(tmp_path, env) as making:
            assert any("10 of 10 ended" in line for line in process.stdout)
            drained(making)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (Exit.OK, "")


# --- Ctrl-C ---


def test_ctrl_c_in_the_middle_of_a_list_keeps_what_was_read_and_says_how_to_go_on(
    tmp_path: Path, env: dict[str, str], fleet_url: str
) -> None:
    """A list through a pipe that never ends; it is interrupted when much of it was read."""
    with subprocess.Popen(
        [*PROGRAM, "enqueue", "-", "--format", "jsonl", "--batch", "night", *QUICK],
        cwd=tmp_path,
        env=env,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        write = process.stdin.write
        rows = (json.dumps({"image": "https://example.com/a.jpg", "prompt": f"Take {n}"}) for n in itertools.count())
        for row in itertools.islice(rows, _MORE_THAN_A_PIPE_HOLDS):
            write(f"{row}\n")
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + PATIENCE
        with contextlib.suppress(BrokenPipeError):
            while process.poll() is None and time.monotonic() < deadline:
                write(f"{next(rows)}\n")
                process.stdin.flush()
                time.sleep(0.02)
        _, err = process.communicate(timeout=PATIENCE)
    told = " ".join(err.split())
    assert process.returncode == Exit.INTERRUPTED, err
    found = asyncio.run(batch_status(Fleet(fleet_url), "night"))
    assert found.state is BatchState.PAUSED
    assert found.size > 0
    assert f"Interrupted. {found.size:,} new of the list are in the batch 'night'." in told
    assert "The same command adds the rest." in told
    assert "Begin: nebula-video fleet resume night." in told
    assert "Delete: nebula-video fleet forget night." in told
