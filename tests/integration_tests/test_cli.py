"""The real command against the emulator over loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import av
import pytest

from langchain_nebula_video.emulator import Emulator
from tests.conftest import jpeg

COMMAND = [sys.executable, "-m", "langchain_nebula_video.cli"]
LONGEST = 60.0
FAST = ["--poll-interval", "0.1", "--resolution", "480p"]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(speed=200) as emulator:
        yield emulator


@pytest.fixture
def cat(tmp_path: Path) -> str:
    path = tmp_path / "cat.jpg"
    path.write_bytes(jpeg())
    return str(path)


def environment(emulator: Emulator | None, **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("NEBULA_", "FORCE_"))}
    if emulator is not None:
        clean |= {"NEBULA_BASE_URL": emulator.url, "NEBULA_API_KEY": emulator.api_key}
    return {**clean, **more}


def run(
    emulator: Emulator | None, folder: Path, *args: str, stdin: bytes | None = None, more: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    return subprocess.run(
        [*COMMAND, *args],
        cwd=folder,
        env=environment(emulator, **(more or {})),
        capture_output=True,
        timeout=LONGEST,
        check=False,
        **given,
    )


@pytest.fixture(autouse=True)
def _ctrl_c_reaches_children() -> Iterator[None]:
    """A shell lets its background jobs ignore SIGINT, and children would inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@contextmanager
def started(folder: Path, *args: str, env: dict[str, str], **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The command, running; whatever happens to the test, it does not outlive it."""
    with subprocess.Popen([*COMMAND, *args], cwd=folder, env=env, **streams) as process:
        try:
            yield process
        finally:
            process.kill()


def frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def until(found: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_generate_saves_a_video_that_plays(emulator: Emulator, tmp_path: Path, cat: str) -> None:
    """A file in, a file out, and the bill is the emulator's."""
    done = run(emulator, tmp_path, "generate", cat, "The cat yawns", "--yes", *FAST)
    assert done.returncode == 0, done.stderr
    (task,) = emulator.tasks
    saved = tmp_path / done.stdout.decode().strip()
    assert saved.name == f"{task.id}.mp4"
    assert frames(saved) == 5 * 24
    assert emulator.bill.usd == Decimal("0.1845")
    assert b"$0.1845 billed" in done.stderr
    assert b"\x1b" not in done.stderr
    assert emulator.violations == ()


def test_json_can_be_read_by_a_machine(emulator: Emulator, tmp_path: Path, cat: str) -> None:
    """One object on stdout and nothing else."""
    done = run(emulator, tmp_path, "generate", "-", "x", "-y", "--json", *FAST, stdin=Path(cat).read_bytes())
    video = json.loads(done.stdout)
    assert Decimal(video["cost"]["usd"]) == emulator.bill.usd
    assert (tmp_path / video["path"]).is_file()


def test_a_wrong_key_is_refused(emulator: Emulator, tmp_path: Path, cat: str) -> None:
    """3, one object, no task."""
    done = run(emulator, tmp_path, "generate", cat, "x", "--yes", "--json", more={"NEBULA_API_KEY": "sk-wrong"})
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"] == "AuthenticationError"
    assert emulator.tasks == ()


def test_submit_and_wait_are_one_video_in_two_processes(emulator: Emulator, tmp_path: Path, cat: str) -> None:
    """The id is all that the second one needs."""
    task_id = run(emulator, tmp_path, "submit", cat, "x", "--yes", "--resolution", "480p").stdout.decode().strip()
    looked = run(emulator, tmp_path, "status", task_id, "--json")
    assert json.loads(looked.stdout)["task_id"] == task_id
    done = run(emulator, tmp_path, "wait", task_id, "--poll-interval", "0.1", "--out", "films")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "films" / f"{task_id}.mp4").is_file()
    assert len(emulator.tasks) == 1


@pytest.mark.skipif(os.name == "nt", reason="SIGINT is sent to one process")
def test_ctrl_c_names_the_task_and_leaves_it(emulator: Emulator, tmp_path: Path, cat: str) -> None:
    """130, the id and the command on stderr, and exactly one task."""
    emulator.speed = 0.1
    arguments = ["generate", cat, "x", "--yes", *FAST]
    with started(
        tmp_path,
        *arguments,
        env=environment(emulator),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        until(lambda: any(request.point == "query" for request in emulator.requests))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LONGEST)
    (task,) = emulator.tasks
    assert process.returncode == 130
    assert out == b""
    assert f"Go on with: nebula-video wait {task.id}" in err.decode()
    assert b"billed when it succeeds" in err
    assert b"Traceback" not in err


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals")
@pytest.mark.parametrize(("answer", "code", "tasks"), [("y\n", 0, 1), ("n\n", 1, 0), ("\n", 1, 0), ("\x04", 1, 0)])
def test_a_terminal_is_asked(answer: str, code: int, tasks: int, emulator: Emulator, tmp_path: Path, cat: str) -> None:
    """Only yes is yes; and a dumb terminal gets no escape sequences."""
    ours, theirs = os.openpty()
    with started(
        tmp_path,
        *["generate", cat, "x", *FAST],
        env=environment(emulator, TERM="dumb"),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        while b"[y/N] " not in shown:
            shown += os.read(ours, 1000)
        assert b"for about $0.1845" in shown
        assert emulator.requests == ()
        os.write(ours, answer.encode())
        try:
            while True:
                shown += os.read(ours, 1000)
        except OSError:  # how Linux says that the other side has been closed
            pass
        process.communicate(timeout=LONGEST)
    os.close(ours)
    assert process.returncode == code, shown
    assert len(emulator.tasks) == tasks
    assert b"\x1b" not in shown


def test_the_emulator_serves_another_process_until_ctrl_c(tmp_path: Path, cat: str) -> None:
    """The two lines that it prints are all that another process needs."""
    with started(
        tmp_path,
        *["emulator", "--port", "0", "--speed", "200"],
        env=environment(None),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().decode().strip() for _ in range(2)]
        settings = dict(line.removeprefix("export ").split("=", 1) for line in lines)
        assert list(settings) == ["NEBULA_BASE_URL", "NEBULA_API_KEY"]
        done = run(None, tmp_path, "generate", cat, "x", "--yes", *FAST, more=settings)
        assert done.returncode == 0, done.stderr
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=LONGEST)
    assert process.returncode == 0
    assert b"1 task, $0.1845 in play money" in err


def test_a_taken_port_is_told(emulator: Emulator, tmp_path: Path) -> None:
    """A sentence and exit code 1."""
    done = run(None, tmp_path, "emulator", "--port", emulator.url.rpartition(":")[2])
    assert done.returncode == 1
    assert b"Try --port 0." in done.stderr
    assert b"Traceback" not in done.stderr


# A machine whose proxy, gateway and tracing lead nowhere: whoever uses them fails.
NOWHERE = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "ALL_PROXY": "http://127.0.0.1:9",
    "NEBULA_BASE_URL": "https://127.0.0.1:9",
    "LANGSMITH_TRACING": "true",
    "LANGSMITH_ENDPOINT": "http://127.0.0.1:9",
    "LANGSMITH_API_KEY": "none",
}


@pytest.mark.parametrize("without", ["nothing", "langchain"])
def test_the_demo_makes_a_video_without_key_and_network(without: str, tmp_path: Path) -> None:
    """An agent, or the tool alone where LangChain's agents are missing; and it says what it is."""
    code = f"import sys; sys.modules[{without!r}] = None; sys.argv[1:] = ['demo', '--speed', '200', '--audio']; "
    code += "from langchain_nebula_video.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(None, **NOWHERE),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LONGEST,
        check=False,
    )
    said = done.stderr.decode()
    assert done.returncode == 0, said
    assert frames(tmp_path / "nebula-demo.mp4") == 5 * 24
    for part in (
        "emulator",
        "this cost you nothing",
        "h264, 1176x784, 24 fps, 120 frames, 5.0 s, aac",
        "nebula-demo.mp4",
    ):
        assert part in said
    assert "Failed" not in said  # LangSmith's word for a trace that it could not send


@pytest.mark.skipif(os.name == "nt", reason="SIGINT is sent to one process")
def test_ctrl_c_ends_the_demo_at_once(tmp_path: Path) -> None:
    """Nobody has to wait for a video of play money."""
    with started(tmp_path, "demo", "--speed", "1", env=environment(None), stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said = b""
        for line in process.stderr:
            said += line
            if line.startswith((b"queued", b"running")):
                break
        assert process.poll() is None, said
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=LONGEST / 6)
    assert process.returncode == 130
    assert b"Interrupted. Nothing was spent." in err
    assert b"Traceback" not in err
