"""The command `batch`, as a process that is killed, interrupted and looked at, against the emulator."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from PIL import Image

from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.cli.exit_codes import Exit
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.emulator.rendering import encoder
from langchain_nebula_video.emulator.rendering.scene import Scene
from tests.gateways import all_gateways, reached
from tests.processes import run_command
from tests.terminals import Terminal

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and terminals of POSIX")

LONGEST = 300.0
QUICK = ["--poll-interval", "0.05", "--resolution", "480p", "--seed", "1"]


@pytest.fixture(autouse=True)
def _one_video_is_rendered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two hundred images would be two hundred renderings. What they look like is not looked at here."""
    real, known = encoder.render, dict[tuple[int, int], bytes]()

    def render(scene: Scene, stop: Any = None) -> bytes:
        size = (scene.seconds, scene.pixels)
        if size not in known:
            known[size] = real(scene, stop)
        return known[size]

    with mock.patch.object(encoder, "render", render):
        yield


@pytest.fixture(autouse=True)
def _ctrl_c_reaches_children() -> Iterator[None]:
    """A shell lets its background jobs ignore SIGINT, and children would inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def environment(emulator: Emulator, gateway: str = "nebula") -> dict[str, str]:
    place, row = reached(emulator, gateway), GATEWAYS[gateway]
    return {**os.environ, row.url_variable: place["base_url"], row.key_variable: place["api_key"]}


def images(folder: Path, count: int) -> None:
    """That many images, each of another content."""
    folder.mkdir()
    for number in range(count):
        picture = io.BytesIO()
        Image.new("RGB", (400, 400), (number, 90, 120)).save(picture, "PNG")
        (folder / f"cat-{number:03}.png").write_bytes(picture.getvalue())


def table(folder: Path, count: int) -> str:
    """A table of that many images, each with a prompt of its own."""
    images(folder / "cats", count)
    lines = [f"cats/cat-{number:03}.png,Cat {number} blinks" for number in range(count)]
    (folder / "shots.csv").write_text("\n".join(["image,prompt", *lines]))
    return "shots.csv"


def begin(folder: Path, *arguments: str, env: dict[str, str], **streams: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "langchain_nebula_video.cli", "batch", *arguments]
    return subprocess.Popen(command, cwd=folder, env=env, **streams)


def until(found: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + LONGEST
    while not found():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def saved(folder: Path) -> int:
    return len(list((folder / "videos").glob("*.mp4")))


def test_a_batch_of_images_that_is_killed_twice_pays_for_each_once(tmp_path: Path) -> None:
    """Without a chance to clean up. What a kill leaves in doubt is looked for in the gateway's list of tasks."""
    count = 60
    with all_gateways(speed=200, balance=1000) as emulator:
        env = environment(emulator, "dashscope")
        command = [table(tmp_path, count), "--gateway", "dashscope", "--sole-account", *QUICK, "--concurrency", "16"]
        kill_twice(tmp_path, command, env, count)
        done = run_command(["batch", *command, "--yes", "--json"], cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stderr
        assert len(emulator.tasks) == len(emulator.bill.lines) == count
        assert emulator.violations == ()
    assert_each_has_its_own(tmp_path, done, count)


def test_a_batch_of_200_images_that_is_killed_twice_pays_for_200_videos(tmp_path: Path) -> None:
    """Nebula has no list of tasks, so it is killed between two requests: what is in doubt stays so, see the others."""
    count = 200
    with all_gateways(speed=200, balance=1000) as emulator:
        env = environment(emulator)
        command = [table(tmp_path, count), *QUICK, "--concurrency", "16"]
        kill_twice(tmp_path, command, env, count, is_safe=lambda: not submits_under_way())
        done = run_command(["batch", *command, "--yes", "--json"], cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stderr
        assert len(emulator.tasks) == len(emulator.bill.lines) == count
        assert str(emulator.bill.usd) == json.loads(done.stdout)["cost_usd"] == "36.9000"
        assert emulator.violations == ()
    assert_each_has_its_own(tmp_path, done, count)


def submits_under_way() -> bool:
    """Whether a submit has left, and its answer is not in the journal yet.

    A copy of the files is read, as the next process will read them: the stopped one may have committed what its own
    index of the log does not show yet.
    """
    path = Path(os.environ["NEBULA_JOURNAL"].removeprefix("sqlite:///"))
    with tempfile.TemporaryDirectory() as folder:
        for name in (path.name, f"{path.name}-wal"):
            if (path.parent / name).exists():
                shutil.copy(path.parent / name, folder)
        with contextlib.closing(sqlite3.connect(Path(folder) / path.name)) as reader:
            query = "SELECT count(*) FROM nebula_entries WHERE state = 'submitting' AND sent_at IS NOT NULL"
            return bool(reader.execute(query).fetchone()[0])


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop all threads of a process, and wait until they have stopped."""
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)


def kill_twice(
    folder: Path, command: list[str], env: dict[str, str], count: int, is_safe: Callable[[], bool] = lambda: True
) -> None:
    """Run the batch, and kill it after a quarter of its videos; then again after half of them."""
    for least in (count // 4, count // 2):
        with begin(folder, *command, "--yes", env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as one:
            until(lambda least=least: saved(folder) >= least, one)  # type: ignore[misc]
            stop(one)
            while not is_safe():  # look again a moment later
                one.send_signal(signal.SIGCONT)
                time.sleep(0.05)
                stop(one)
            one.kill()
        assert one.returncode == -signal.SIGKILL
        assert saved(folder) < count


def assert_each_has_its_own(folder: Path, done: subprocess.CompletedProcess[bytes], count: int) -> None:
    """Each row has a task and a file of its own, which has its image's name, and there is one summary."""
    rows = json.loads(done.stdout)["rows"]
    assert {row["state"] for row in rows} == {"made"}
    assert len({row["task_id"] for row in rows}) == len({row["path"] for row in rows}) == count
    assert [Path(row["path"]).stem for row in rows] == [path.stem for path in sorted((folder / "cats").iterdir())]
    assert sorted(path.stem for path in (folder / "videos").glob("*.mp4")) == [Path(row["path"]).stem for row in rows]
    assert done.stderr.decode().count(f"{count} videos: {count} made. Cost: ") == 1


def test_ctrl_c_keeps_what_is_paid_and_tells_how_to_go_on(tmp_path: Path) -> None:
    with all_gateways(speed=20) as emulator:
        env = environment(emulator)
        command = [table(tmp_path, 12), *QUICK, "--concurrency", "4", "--yes"]
        with begin(tmp_path, *command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            until(lambda: saved(tmp_path) >= 2, process)
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=LONGEST)
        said = told.decode()
        assert process.returncode == Exit.INTERRUPTED
        assert re.search(r"Interrupted\. \d+ of 12 videos are saved, \d+ go on at the gateway\.", said), said
        assert "Go on with the same command" in said
        assert "nebula-video batch shots.csv" in said
        assert "Traceback" not in said
        emulator.speed = 2000
        assert run_command(["batch", *command], cwd=tmp_path, env=env).returncode == 0
        assert len(emulator.tasks) == 12
    assert saved(tmp_path) == 12


def test_two_of_the_same_batch_at_once_pay_for_each_row_once(tmp_path: Path) -> None:
    with all_gateways(speed=200) as emulator:
        env = environment(emulator)
        command = [table(tmp_path, 20), *QUICK, "--yes"]
        both = [begin(tmp_path, *command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in "ab"]
        told = [process.communicate(timeout=LONGEST)[1] for process in both]
        assert [process.returncode for process in both] == [0, 0], told
        assert len(emulator.tasks) == 20
    assert saved(tmp_path) == 20


STATUS_AT = slice(40, 50)
"""Where the table has the status, in a terminal of 80 columns."""
STATUSES = {"submitting", "waiting", "queued", "running", "succeeded", "saving", ""}


def test_the_table_holds_still_in_a_terminal_of_80_columns(tmp_path: Path) -> None:
    """Its lines stay where they are, whatever becomes of the rows; it goes when all is done, and the summary comes."""
    images(tmp_path / "cats", 9)
    long_name = tmp_path / "cats" / f"{'a very long name of a cat ' * 4}.png"
    (tmp_path / "cats" / "cat-000.png").rename(long_name)
    terminal = Terminal(columns=80, lines=24)
    with all_gateways(speed=40) as emulator:
        command = ["batch", "cats", "--prompt", "It blinks", "--yes", "--concurrency", "4", *QUICK]
        screens = list(terminal.run(*command, cwd=tmp_path, env=environment(emulator)))
    assert terminal.code == 0, screens[-1]
    tables = [screen for screen in screens if any(" made  " in line for line in screen)]
    assert len(tables) >= 10
    heads = [next(at for at, line in enumerate(screen) if " made  " in line) for screen in tables]
    assert len(set(heads)) == 1
    (head,) = set(heads)
    seen = set()
    for screen in tables:
        assert screen[:head] == tables[0][:head]
        assert re.fullmatch(r"[━╸╺]{16} \d/9 made  0 failed  \$[\d.]+ +\d:\d\d", screen[head]), screen[head]
        for line in screen[head + 1 : head + 5]:
            assert line[STATUS_AT].strip() in STATUSES, line
            assert not line.strip() or re.fullmatch(r"\d .{37} .{10} [━╸╺]{16} [ \d]{3}% +\d:\d\d", line), line
            seen.add(line[STATUS_AT].strip())
        assert not any(line.strip() for line in screen[head + 5 :])
    assert {"running", "saving"} <= seen
    assert not any(" made  " in line for line in screens[-1])
    assert "9 videos: 9 made. Cost: $1.6605; $1.6605 of it in this run." in [line.rstrip() for line in screens[-1]]


def test_watch_shows_tasks_as_they_change_until_ctrl_c(tmp_path: Path) -> None:
    """A command in another terminal makes a video meanwhile."""
    images(tmp_path / "cats", 1)
    with all_gateways(speed=40) as emulator:
        env = environment(emulator)
        watched = [sys.executable, "-m", "langchain_nebula_video.cli", "tasks", "--watch"]
        with subprocess.Popen(
            watched, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert (
                run_command(["batch", "cats", "--prompt", "x", "--yes", *QUICK], cwd=tmp_path, env=env).returncode == 0
            )
            assert process.stdout is not None
            lines = iter(process.stdout.readline, b"")
            last = next(line for line in lines if b"cat-000.mp4" in line)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=LONGEST)
    assert b"succeeded" in last
    assert b"$0.1845+" in last  # play money
    assert emulator.tasks[0].id.encode() in last
    assert (process.returncode, err) == (0, b"")


def test_a_terminal_is_asked_once_for_all_rows_with_price_gateway_and_host(tmp_path: Path) -> None:
    """And whoever says no pays for none."""
    images(tmp_path / "cats", 3)
    with all_gateways() as emulator:
        for answer, code, tasks in (("n\n", Exit.FAILURE, 0), ("y\n", Exit.OK, 3)):
            terminal, answered = Terminal(columns=120), False
            command = ["batch", "cats", "--prompt", "It blinks", *QUICK]
            for screen in terminal.run(*command, cwd=tmp_path, env=environment(emulator)):
                question = "Pay about $0.5535 for 3 videos at Nebula (127.0.0.1, this machine)? [y/N]"
                if not answered and any(question in line for line in screen):
                    terminal.write(answer)
                    answered = True
            assert (terminal.code, len(emulator.tasks), answered) == (code, tasks, True), screen


def test_watch_on_a_terminal_shows_the_list_and_its_totals(tmp_path: Path) -> None:
    images(tmp_path / "cats", 2)
    with all_gateways() as emulator:
        env = environment(emulator)
        assert (
            run_command(["batch", "cats", "--prompt", "It blinks", "--yes", *QUICK], cwd=tmp_path, env=env).returncode
            == 0
        )
        screen = next(
            screen
            for screen in Terminal(columns=80).run("tasks", "--watch", cwd=tmp_path, env=env)
            if any("2 in all: 2 succeeded." in line for line in screen)
        )
        for task in emulator.tasks:
            assert any(task.id in line for line in screen)
