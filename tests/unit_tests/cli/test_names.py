"""Names on the command line: wrong ones are told the nearest right one, and a shell completes them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.catalog.models import MODELS
from langchain_nebula_video.catalog.suggestions import nearest_name
from langchain_nebula_video.cli.app import app
from tests.tables import each_row

PROGRAM = [sys.executable, "-m", "langchain_nebula_video"]


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    return " ".join(result.stderr.replace("│", " ").split())


@each_row(
    ("arguments", "meant"),
    [
        (["genrate", "cat.jpg"], "'generate'"),
        (["bach", "cats"], "'batch'"),
        (["generate", "cat.jpg", "x", "--resoluton", "480p"], "--resolution"),
        (["generate", "cat.jpg", "x", "--negative-prompt", "rain"], "--negative"),
        (["generate", "cat.jpg", "x", "--output", "here"], "--out"),
        (["batch", "cats", "--concurency", "3"], "--concurrency"),
        (["tasks", "--cvs"], "--csv"),
        (["quote", "--gateway", "nebla"], "nebula"),
        (["quote", "--model", "wan2.5-i2v-previw"], "wan2.5-i2v-preview"),
        (["quote", "--model", "wan2.5-i2v"], "wan2.5-i2v-preview"),
    ],
)
def test_a_wrong_command_option_gateway_or_model_is_told_the_nearest_right_one(
    arguments: list[str], meant: str
) -> None:
    assert f"Did you mean {meant}?" in said(*arguments)


def test_a_wrong_choice_is_told_the_choices() -> None:
    told = said("tasks", "--state", "lost")
    assert "Invalid value for '--state': 'lost' is not one of 'submitting', 'submitted'" in told


def test_what_is_like_nothing_gets_no_suggestion() -> None:
    assert "Did you mean" not in said("quote", "--xyzzy", "1")
    assert "Did you mean" not in said("quote", "--gateway", "xyzzy")


@each_row(
    ("wrong", "meant"),
    [
        ("promt", "prompt"),
        ("negative", "negative_prompt"),
        ("Prompt", "prompt"),
        ("frame", "last_frame"),
        ("x", None),
        ("dura", "duration"),
    ],
)
def test_the_nearest_name_may_begin_with_the_wrong_one_or_have_it_as_a_part(wrong: str, meant: str | None) -> None:
    assert nearest_name(wrong, ["prompt", "negative_prompt", "last_frame", "duration"]) == meant


def test_the_package_itself_is_the_command_line() -> None:
    done = subprocess.run([*PROGRAM, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("nebula-video ")


def completed(words: str) -> list[str]:
    """What bash is told to complete the last word with."""
    env = {"_NEBULA_VIDEO_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(PROGRAM, env=os.environ | env, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_a_shell_completes_commands_options_gateways_and_models() -> None:
    assert {"generate", "batch", "tasks"} <= {*completed("nebula-video ")}
    assert completed("nebula-video gen") == ["generate"]
    assert "--dry-run" in completed("nebula-video batch cats --")
    assert completed("nebula-video quote --gateway dashscope-") == [name for name in GATEWAYS if "dashscope-" in name]
    assert completed("nebula-video quote --model wan2.5") == [name for name in MODELS if name.startswith("wan2.5")]


def test_to_complete_a_command_imports_none_of_them() -> None:
    code = (
        "import sys; from langchain_nebula_video.cli import main\n"
        "try: main()\n"
        "except SystemExit: print({'httpx', 'rich.live'} & {*sys.modules}, file=sys.stderr)"
    )
    env = {"_NEBULA_VIDEO_COMPLETE": "complete_bash", "COMP_WORDS": "nebula-video ta", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | env, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "tasks"
    assert done.stderr.strip() == "set()"


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_takes_what_completion_prints() -> None:
    lines = CliRunner().invoke(app, ["completion", "bash"]).stdout
    asked = "COMP_WORDS=(nebula-video recon); COMP_CWORD=1; _nebula_video_completion nebula-video; echo ${COMPREPLY[@]}"
    program = f"nebula-video() {{ {' '.join(PROGRAM)}; }}; export -f nebula-video\n{lines}\n{asked}"
    program = program.replace("complete_bash $1", "complete_bash bash -c nebula-video")
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["reconcile"]


@each_row("shell", ["bash", "zsh", "fish", "powershell"])
def test_each_shell_gets_lines_of_its_own(shell: str) -> None:
    done = CliRunner().invoke(app, ["completion", shell])
    assert done.exit_code == 0
    assert "_NEBULA_VIDEO_COMPLETE" in done.stdout
    assert f"complete_{shell}" in done.stdout
