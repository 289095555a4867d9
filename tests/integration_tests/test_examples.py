"""Every example runs offline, as its own program, and says what it is there to say."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

import pytest

from langchain_nebula_video.emulator import Emulator
from tests.fleets import PATIENCE, fresh_url
from tests.gateways import played_from
from tests.processes import fork, run_script

EXAMPLES = Path(__file__).parents[2] / "examples"

TELLING = {
    "agent.py": '"status": "succeeded"',
    "approval.py": """\
nebula_image_to_video makes a video for about $1.233.
Person: five seconds at 480p will do.
Made for 0.1845 dollars: 5 s at 480p
""",
    "budget_and_keys.py": "Same key, same task: True",
    "chain_after_image.py": "Video: 5 s at 480p for $0.1845",
    "crash_and_resume.py": "Tasks in the journal: 1",
    "five_gateways.py": """\
nebula: wan2.5-i2v-preview, 5 s at 720p, cost $0.369
dashscope: wan2.5-i2v-preview, 5 s at 720p, cost ¥3.00 (about $0.42, estimated)
dashscope-intl: wan2.5-i2v-preview, 5 s at 720p, cost $0.50 (estimated)
dashscope-passthrough: wan2.5-i2v-preview, 5 s at 720p, cost unknown
uniall: viduq3p-720p, 5 s at 720p, cost unknown
Videos paid for: 5
""",
    "fleet_graph.py": """\
Process 1 ends. The graph waits for 4 videos, about $0.738.
Process 2 resumed it: The cat, wide, The cat, close, The cat, at dusk
Shot 3 failed: ModerationError: """,
    "fleet_night.py": "of 12 made for $",
    "lost_answer.py": "POSTs sent: 1",
    "sse_server.py": "event: video\ndata: {",
    "storyboard.py": "8 of 10 made for $1.4760 of $1.50",
    "streaming_progress.py": "[####################] succeeded",
    "two_gateways.py": """\
The first one refuses: made by dashscope for ¥1.50 (about $0.21, estimated)
Its answer is lost: not sent to the second one, as it may be paid for.
Tasks in all: 2
""",
}


def test_every_example_is_here() -> None:
    assert {path.name for path in EXAMPLES.glob("[!_]*.py")} == set(TELLING)


def offline() -> dict[str, str]:
    """The environment without anybody's settings."""
    settings = ("NEBULA_", "DASHSCOPE_", "UNIALL_", "LANG")
    return {name: value for name, value in os.environ.items() if not name.startswith(settings)}


@pytest.mark.parametrize("name", TELLING)
def test_an_example_runs_and_prints_what_it_shows(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    env = offline()
    if name.startswith("fleet"):
        env["NEBULA_JOURNAL"] = fresh_url(request.getfixturevalue("server"))
    ended = run_script(EXAMPLES / name, cwd=tmp_path, env=env, timeout=3 * PATIENCE)
    told = ended.stderr.decode()
    assert ended.returncode == 0, told
    assert TELLING[name] in ended.stdout.decode()
    assert told == ""


def run_as_the_code(path: Path) -> None:
    """Run an example whose emulator plays Nebula's published code."""
    with played_from("source"):
        sys.path.insert(0, str(path.parent))
        runpy.run_path(str(path), run_name="__main__")


@pytest.mark.parametrize(
    "name",
    ["agent.py", "approval.py", "chain_after_image.py", "crash_and_resume.py", "five_gateways.py", "lost_answer.py"],
)
def test_an_example_shows_the_same_where_nebula_does_as_its_code(name: str, tmp_path: Path) -> None:
    """But for what the code leaves an estimate, and for what it does unasked."""
    ended = fork(run_as_the_code, EXAMPLES / name, cwd=tmp_path, env=offline())
    told = ended.stderr.decode()
    assert ended.returncode == 0, told
    shown, documented = (text.replace(" (estimated)", "") for text in (ended.stdout.decode(), TELLING[name]))
    assert documented in shown
    assert all("rewritten" in line for line in told.splitlines()), told


def test_an_example_spends_real_money_only_if_asked_to_and_after_a_question(tmp_path: Path) -> None:
    with Emulator(speed=500) as account:  # it stands for the real gateway
        real = {**offline(), "NEBULA_API_KEY": account.api_key, "NEBULA_BASE_URL": account.url}
        ended = run_script(EXAMPLES / "storyboard.py", cwd=tmp_path, env=real)
        assert b"8 of 10 made" in ended.stdout
        assert not account.requests

        ended = run_script(EXAMPLES / "storyboard.py", "--live", cwd=tmp_path, env=real)
        assert f"Gateway: Nebula at {account.url}. This spends up to $1.50 of real money." in ended.stdout.decode()
        assert ended.stderr == b"Nothing was sent and nothing was spent.\n"
        assert not account.requests
