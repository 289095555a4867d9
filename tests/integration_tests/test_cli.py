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
import httpx
import pytest

from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.cli.exit_codes import Exit
from langchain_nebula_video.emulator import Emulator
from tests.conftest import jpeg
from tests.gateways import SPEED
from tests.processes import run_command

COMMAND = [sys.executable, "-m", "langchain_nebula_video.cli"]
LONGEST = 60.0
FAST = ["--poll-interval", "0.02", "--resolution", "480p", "--seed", "1"]


UNKNOWN = ["--gateway", "uniall", "--model", "viduq3t-540p", "--resolution", "540p"]
QUICK = ["--yes", "--poll-interval", "0.02", "--seed", "1"]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    emulator = Emulator(speed=SPEED)
    for region in ("beijing", "singapore"):
        emulator.add_account(f"sk-{region}", region=region)
    with emulator:
        yield emulator


@pytest.fixture
def cat(tmp_path: Path) -> str:
    path = tmp_path / "cat.jpg"
    path.write_bytes(jpeg(400, 400))
    return str(path)


@pytest.fixture
def dog(tmp_path: Path) -> str:
    path = tmp_path / "dog.jpg"
    path.write_bytes(jpeg(400, 400, "brown"))
    return str(path)


def settings(emulator: Emulator) -> dict[str, str]:
    """What leads each gateway's client to the emulator."""
    places = {
        "nebula": (emulator.url, emulator.api_key),
        "dashscope": (emulator.dashscope_url("beijing"), "sk-beijing"),
        "dashscope-intl": (emulator.dashscope_url("singapore"), "sk-singapore"),
        "dashscope-passthrough": (emulator.passthrough_url, emulator.api_key),
        "uniall": (emulator.url, emulator.api_key),
    }
    urls = {GATEWAYS[name].url_variable: url for name, (url, _) in places.items()}
    return urls | {GATEWAYS[name].key_variable: key for name, (_, key) in places.items()}


def environment(emulator: Emulator | None, **more: str) -> dict[str, str]:
    ours = ("NEBULA_", "DASHSCOPE_", "UNIALL_", "FORCE_")
    kept = ("NEBULA_JOURNAL",)  # each test has one of its own
    clean = {name: value for name, value in os.environ.items() if name in kept or not name.startswith(ours)}
    return {**clean, **(settings(emulator) if emulator is not None else {}), **more}


def run(
    emulator: Emulator | None, folder: Path, *args: str, stdin: bytes = b"", more: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return run_command(list(args), cwd=folder, env=environment(emulator, **(more or {})), stdin=stdin)


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


def asked_after(emulator: Emulator) -> bool:
    """Whether a task was polled: then its id is in the journal."""
    return any(request.point == "query" for request in emulator.requests)


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
    done = run(emulator, tmp_path, "wait", task_id, "--poll-interval", "0.02", "--out", "films")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "films" / f"{task_id}.mp4").is_file()
    assert len(emulator.tasks) == 1


@pytest.mark.parametrize(
    ("gateway", "args", "billed"),
    [
        ("nebula", ["--resolution", "480p"], "$0.1845 billed"),
        ("dashscope", ["--resolution", "480p", "--negative", "rain", "--watermark"], "¥1.50 ($0.21) estimated"),
        ("dashscope-intl", ["--model", "wan2.2-i2v-flash", "--resolution", "480p"], "$0.075 estimated"),
        ("dashscope-passthrough", ["--resolution", "480p", "--price", "0.2"], "¥1.00 ($0.14) estimated"),
        ("uniall", ["--model", "viduq3t-540p", "--audio"], "unknown"),
    ],
)
def test_every_gateway_makes_a_video(
    gateway: str, args: list[str], billed: str, emulator: Emulator, tmp_path: Path, cat: str
) -> None:
    """A file in, a file out, and one task that is not paid for twice."""
    done = run(emulator, tmp_path, "generate", cat, "The cat yawns", "--gateway", gateway, *args, *QUICK)
    assert done.returncode == 0, done.stderr
    (task,) = emulator.tasks
    assert frames(tmp_path / f"{task.id}.mp4") == 5 * (30 if task.model == "wan2.2-i2v-flash" else 24)
    assert f"Cost         {billed}" in done.stderr.decode()
    assert b"Warning" not in done.stderr
    assert emulator.violations == ()


def test_a_last_frame_is_a_file_too(emulator: Emulator, tmp_path: Path, cat: str, dog: str) -> None:
    """Both are uploaded, and both are in the request."""
    place = ["--gateway", "dashscope", "--model", "wan2.2-kf2v-flash", "--resolution", "480p"]
    done = run(emulator, tmp_path, "generate", cat, "x", "--last-image", dog, *place, *QUICK)
    assert done.returncode == 0, done.stderr
    (task,) = emulator.tasks
    assert {"first_frame_url", "last_frame_url"} <= task.request["input"].keys()
    assert emulator.bill.cny == Decimal("0.50")


def test_a_template_needs_no_prompt(emulator: Emulator, tmp_path: Path, cat: str) -> None:
    """By the name that the model has in Singapore."""
    place = ["--gateway", "dashscope-intl", "--model", "wanx2.1-i2v-turbo", "--resolution", "480p"]
    done = run(emulator, tmp_path, "generate", cat, "--template", "squish", "--duration", "3", *place, *QUICK)
    assert done.returncode == 0, done.stderr
    (task,) = emulator.tasks
    assert (task.model, task.seconds, task.request["input"]["template"]) == ("wan2.1-i2v-turbo", 3, "squish")


def test_references_and_none_make_a_video_without_a_first_frame(
    emulator: Emulator, tmp_path: Path, cat: str, dog: str
) -> None:
    """Of two files that the prompt names, and of text alone."""
    options = ["--model", "viduq3t-mix-540p", "--reference", cat, "--reference", dog, "--aspect-ratio", "1:1"]
    said = ["generate", "none", "@Image1 greets @Image2", "--gateway", "uniall", "--duration", "1"]
    mixed = run(emulator, tmp_path, *said, *options, *QUICK)
    assert mixed.returncode == 0, mixed.stderr
    text = run(emulator, tmp_path, *said[:2], "A coast", *said[3:], "--model", "viduq3t-540p", *QUICK)
    assert text.returncode == 0, text.stderr
    mix, coast = emulator.tasks
    assert len(mix.request["reference_image_urls"]) == 2
    assert "image" not in coast.request
    assert frames(tmp_path / f"{coast.id}.mp4") == 24


def test_what_waits_in_dashscopes_queue_is_taken_back(emulator: Emulator, tmp_path: Path, cat: str) -> None:
    """Nothing is billed; elsewhere it is refused, and the task goes on."""
    emulator.speed = 0.01
    place = ["--gateway", "dashscope"]
    submitted = run(emulator, tmp_path, "submit", cat, "x", "--yes", *place)
    task_id = submitted.stdout.decode().strip()
    canceled = run(emulator, tmp_path, "cancel", task_id, *place, "--json")
    assert canceled.returncode == 0, canceled.stderr
    assert json.loads(canceled.stdout)["status"] == "canceled"
    assert run(emulator, tmp_path, "wait", task_id, *place).returncode == Exit.TASK
    assert run(emulator, tmp_path, "cancel", "nobodys", *place).returncode == Exit.TASK
    other = run(emulator, tmp_path, "submit", cat, "x", "--yes").stdout.decode().strip()
    refused = run(emulator, tmp_path, "cancel", other)
    assert refused.returncode == Exit.INVALID
    assert f"Go on with: nebula-video wait {other}" in refused.stderr.decode()
    assert [task.status for task in emulator.tasks] == ["CANCELED", "PENDING"]


def test_a_ceiling_is_not_kept_by_guessing(emulator: Emulator, tmp_path: Path) -> None:
    """Where no price is known nothing is sent; with one of the caller's own it is what it is made for."""
    said = ["generate", "none", "A coast", "--gateway", "uniall", "--max-cost", "0.10", "--duration", "1"]
    unknown = run(emulator, tmp_path, *said, *QUICK)
    assert unknown.returncode == Exit.INVALID
    assert b"--price" in unknown.stderr
    assert run(emulator, tmp_path, *said, "--price", "0.11", *QUICK).returncode == Exit.BUDGET
    assert emulator.requests == ()
    assert run(emulator, tmp_path, *said, "--price", "0.10", *QUICK).returncode == 0


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
        until(lambda: asked_after(emulator))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LONGEST)
    (task,) = emulator.tasks
    assert process.returncode == 130
    assert out == b""
    assert f"Go on with: nebula-video wait {task.id}" in err.decode()
    assert b"billed when it succeeds" in err
    assert b"Traceback" not in err


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals")
@pytest.mark.parametrize(
    ("answer", "code", "tasks", "place", "price", "question"),
    [
        ("y\n", 0, 1, [], "for about $0.1845.", "Pay about $0.1845 to Nebula (127.0.0.1, this machine)? [y/N] "),
        ("n\n", 1, 0, [], "for about $0.1845.", "Pay about $0.1845 to Nebula (127.0.0.1, this machine)? [y/N] "),
        (
            "\n",
            1,
            0,
            ["--gateway", "dashscope"],
            "for about ¥1.50 ($0.21).",
            "Pay about ¥1.50 ($0.21) to Alibaba DashScope, ",
        ),
        ("\x04", 1, 0, UNKNOWN, "for a price that is not known here.", "Pay whatever it costs to UniAll ("),
    ],
)
def test_a_terminal_is_asked(
    answer: str,
    code: int,
    tasks: int,
    place: list[str],
    price: str,
    question: str,
    emulator: Emulator,
    tmp_path: Path,
    cat: str,
) -> None:
    """Only yes is yes; and a dumb terminal gets no escape sequences."""
    ours, theirs = os.openpty()
    with started(
        tmp_path,
        *["generate", cat, "x", *FAST, *place],
        env=environment(emulator, TERM="dumb", PYTHONUTF8="1"),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        while b"[y/N] " not in shown:
            shown += os.read(ours, 1000)
        assert price in shown.decode()
        assert question in shown.decode()
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
    """The lines that it prints are all that another process needs, whichever gateway it speaks to."""
    with started(
        tmp_path,
        *["emulator", "--port", "0", "--speed", "200", "--api-key", "sk-mine"],
        env=environment(None),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        names = {name: None for row in GATEWAYS.values() for name in (row.url_variable, row.key_variable)}
        lines = [process.stdout.readline().decode().strip() for _ in range(2 * len(GATEWAYS))]
        printed = dict(line.removeprefix("export ").split("=", 1) for line in lines)
        assert list(printed) == list(names)
        done = run(None, tmp_path, "generate", cat, "x", "--yes", *FAST, more=printed)
        assert done.returncode == 0, done.stderr
        for gateway in list(GATEWAYS)[1:]:
            sent = run(None, tmp_path, "submit", cat, "x", "--yes", "--gateway", gateway, more=printed)
            assert sent.returncode == 0, sent.stderr
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=LONGEST)
    assert process.returncode == 0
    for row in GATEWAYS.values():
        assert f"# --gateway {row.name}: {row.title}" in err.decode()
    assert f"Ended. {len(GATEWAYS)} tasks, $".encode() in err


@pytest.mark.parametrize("missing", ["nothing", "jinja2", "python_multipart"])
def test_the_emulator_has_a_console_unless_its_extra_is_missing(missing: str, tmp_path: Path) -> None:
    """The line on stderr and the page at the root say the same."""
    code = f"import sys; sys.modules[{missing!r}] = None; sys.argv[1:] = ['emulator', '--port', '0']; "
    code += "from langchain_nebula_video.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(None),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().decode().strip().partition("=")[2]
            root = httpx.get(url, timeout=LONGEST).text
        finally:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=LONGEST)
    if missing == "nothing":
        assert f"Look at it in a browser: {url}/" in err.decode()
        assert "<title>Nebula emulator</title>" in root
    else:
        assert f'pip install "langchain-nebula-video[web]" ({missing} is missing)' in err.decode()
        assert 'pip install "langchain-nebula-video[emulator,web]"' in root


@pytest.mark.skipif(os.name == "nt", reason="the browser is a shell script")
def test_open_opens_the_console_in_the_browser(tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text('#!/bin/sh\necho "$1" > part && mv part opened\n')  # in the command's folder
    browser.chmod(0o700)
    with started(
        tmp_path,
        *["emulator", "--port", "0", "--open"],
        env=environment(None, BROWSER=str(browser)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().decode().strip().partition("=")[2]
        until((tmp_path / "opened").exists)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LONGEST)
    assert (tmp_path / "opened").read_text() == f"{url}/\n"


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


def test_the_demo_overwrites_no_file_and_says_at_once_what_it_does(tmp_path: Path) -> None:
    """Its first line comes before it imports what takes long; a film of one's own keeps its name."""
    own = tmp_path / "nebula-demo.mp4"
    own.write_bytes(b"a film of one's own")
    done = run(None, tmp_path, "demo", "--speed", "200")
    assert done.returncode == 0, done.stderr
    assert done.stderr.decode().startswith("Starting the emulator, and an agent")
    assert own.read_bytes() == b"a film of one's own"
    assert frames(tmp_path / "nebula-demo-2.mp4") == 5 * 24
    code = "import sys; sys.modules['langchain_nebula_video.cli.output'] = None; sys.argv[1:] = ['demo']; "
    code += "from langchain_nebula_video.cli import main; main()"
    broken = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=False)
    assert broken.stderr.decode().startswith("Starting the emulator")
    assert b"cli.output" in broken.stderr  # so it had not been imported before


@pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX")
def test_the_setup_of_a_checkout_says_at_once_what_it_does(tmp_path: Path) -> None:
    """Before the first program runs that takes long."""
    script = Path(__file__).parents[2] / "scripts" / "setup"
    env = {"PATH": "/nowhere", "PYTHON": "/nowhere/python"}
    done = subprocess.run(["/bin/sh", script, tmp_path / "venv", "agents"], env=env, capture_output=True, check=False)
    first, *rest = done.stderr.decode().splitlines()
    assert first.startswith(f"Setting up {tmp_path / 'venv'}: ")
    assert any("/nowhere/python" in line for line in rest)


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


# --- the journal ---


def test_what_one_command_has_submitted_another_one_finishes(emulator: Emulator, tmp_path: Path, cat: str) -> None:
    """Neither has to know a task's id."""
    for number in range(3):
        assert run(emulator, tmp_path, "submit", cat, f"The cat yawns {number}", "--yes", *FAST[2:]).returncode == 0
    listed = json.loads(run(emulator, tmp_path, "tasks", "--json").stdout)
    assert [task["state"] for task in listed["tasks"]] == ["submitted"] * 3
    assert listed["totals"]["states"] == {"submitted": 3}
    done = run(emulator, tmp_path, "resume", "--out", "videos", "--poll-interval", "0.02")
    assert done.returncode == 0, done.stderr
    assert sorted(path.stem for path in (tmp_path / "videos").iterdir()) == sorted(task.id for task in emulator.tasks)
    assert b"3 saved, 0 not, 0 unconfirmed." in done.stderr
    listed = json.loads(run(emulator, tmp_path, "tasks", "--json", "--state", "succeeded").stdout)
    assert listed["totals"] == {
        "count": 3, "states": {"succeeded": 3}, "billed_usd": "0.5535", "reserved_usd": "0.0000"
    }  # fmt: skip
    again = run(emulator, tmp_path, "resume", "--out", "videos")
    assert b"0 saved, 0 not, 0 unconfirmed." in again.stderr
    assert len(emulator.tasks) == 3


def test_a_command_that_was_killed_is_finished_by_resume(emulator: Emulator, tmp_path: Path, cat: str) -> None:
    emulator.speed = 1
    with started(tmp_path, "generate", cat, "The cat yawns", "--yes", *FAST, env=environment(emulator)) as process:
        until(lambda: asked_after(emulator))
        process.kill()
        process.wait()
    emulator.speed = SPEED
    done = run(emulator, tmp_path, "resume", "--poll-interval", "0.02")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"{emulator.tasks[0].id}.mp4").is_file()


def test_a_command_that_was_killed_and_is_repeated_pays_once_and_says_so(
    emulator: Emulator, tmp_path: Path, cat: str
) -> None:
    emulator.speed = 1
    command = ("generate", cat, "The cat yawns", "--yes", *FAST)
    with started(tmp_path, *command, env=environment(emulator)) as process:
        until(lambda: asked_after(emulator))
        process.kill()
        process.wait()
    emulator.speed = SPEED
    done = run(emulator, tmp_path, *command)
    assert done.returncode == 0, done.stderr
    assert b"an earlier identical request paid for it; nothing was paid again" in done.stderr
    assert len(emulator.tasks) == 1


def test_a_submit_in_doubt_is_told_by_resume_and_never_repeated(emulator: Emulator, tmp_path: Path, cat: str) -> None:
    emulator.faults.add("submit", "reset_after")
    assert run(emulator, tmp_path, "generate", cat, "The cat yawns", "--yes", *FAST).returncode == Exit.UNCONFIRMED
    done = run(emulator, tmp_path, "resume", "--json")
    assert done.returncode == Exit.UNCONFIRMED
    (entry,) = json.loads(done.stdout)["unconfirmed"]
    assert (entry["state"], entry["task_id"], entry["gateway"]) == ("unconfirmed", None, "nebula")
    assert b"$0.1845 may have been spent" in done.stderr
    assert len(emulator.tasks) == 1


def test_the_same_command_again_goes_on_with_what_was_paid_for(emulator: Emulator, tmp_path: Path, cat: str) -> None:
    emulator.speed = 1
    asked = ["generate", cat, "The cat yawns", "--yes", *FAST]
    assert run(emulator, tmp_path, *asked, "--timeout", "2").returncode == Exit.TIMEOUT
    emulator.speed = SPEED
    assert run(emulator, tmp_path, *asked).returncode == 0
    assert len(emulator.tasks) == 1


def test_sigterm_ends_as_ctrl_c_does(emulator: Emulator, tmp_path: Path, cat: str) -> None:
    emulator.speed = 1
    with started(
        tmp_path, "generate", cat, "x", "--yes", *FAST, env=environment(emulator), stderr=subprocess.PIPE
    ) as process:
        until(lambda: asked_after(emulator))
        process.terminate()
        _, told = process.communicate(timeout=LONGEST)
    assert process.returncode == Exit.INTERRUPTED
    assert emulator.tasks[0].id.encode() in told
