"""The command line, on a gateway of functions."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from typer.testing import CliRunner, Result

from langchain_nebula_video import errors
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.catalog.models import MODELS
from langchain_nebula_video.cli.app import app
from langchain_nebula_video.cli.exit_codes import MEANINGS, Exit, exit_for
from langchain_nebula_video.cli.options import RequestOptions
from langchain_nebula_video.cli.request import parse_image, read_first_frame
from langchain_nebula_video.schema import VideoRequest
from tests.conftest import KEY, MOCKED, FakeClock, Gateway, failed, jpeg, png, running, succeeded
from tests.tables import each_row

COMMANDS = [
    *(
        "batch",
        "cancel",
        "completion",
        "demo",
        "docs",
        "doctor",
        "emulator",
        "fleet",
        "forget",
        "gallery",
        "generate",
        "mcp",
        "models",
        "quote",
    ),
    *("reconcile", "resume", "status", "submit", "tasks", "wait"),
]
MP4 = b"\0\0\0\x18ftypisom" + bytes(12) + b"\0\0\0\x08moov" + b"\0\0\0\x08mdat"
URL = "https://example.com/cat.jpg"
LAST = "https://example.com/dog.jpg"
UNIALL = ["--gateway", "uniall", "--base-url", "https://uniall.example.com"]
BEIJING = ["--gateway", "dashscope"]

PROGRAM = typer.main.get_command(app)
Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("typer.testing._get_command", lambda app: PROGRAM)  # built once, not at each call


@pytest.fixture
def run(gateway: Gateway, clock: FakeClock) -> Run:
    """Runs a command on the gateway of functions, which then also has a video to download."""
    gateway.fetches = [succeeded(), httpx.Response(200, content=MP4)]

    def run(*args: str, handler: Any = gateway, stdin: bytes | None = None) -> Result:
        settings = {
            "api_key": KEY,
            "clock": clock,
            "download_hosts": MOCKED,
            "http_client": httpx.Client(transport=httpx.MockTransport(handler)),
        }
        return CliRunner().invoke(app, args, obj=settings, input=stdin, catch_exceptions=False)

    return run


def told(result: Result) -> dict[str, Any]:
    """The one JSON object on stdout."""
    found: dict[str, Any] = json.loads(result.stdout)
    return found


# --- help ---


def test_every_documented_command_is_there() -> None:
    """The commands are these, and no others."""
    assert sorted(typer.main.get_command(app).commands) == COMMANDS  # type: ignore[attr-defined]


@each_row("command", COMMANDS)
def test_every_command_and_each_of_its_options_has_help(command: str) -> None:
    """A command or an option without help fails here."""
    found = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    assert found.help
    assert [option.name for option in found.params if not option.help] == []
    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert found.help.split()[0] in shown.stdout


@each_row("command", COMMANDS)
def test_the_list_of_commands_says_what_the_help_of_each_says_first(command: str) -> None:
    """The list is printed without the commands themselves, so its sentences are written twice."""
    group = typer.main.get_command(app)
    shown = " ".join(CliRunner().invoke(app, ["--help"]).stdout.replace("│", " ").split())
    first = group.commands[command].help.split("\n\n")[0]  # type: ignore[attr-defined]
    assert " ".join([command, *first.split()]) in shown


def test_the_list_of_commands_imports_none_of_them() -> None:
    """Each would bring the client along, the HTTP library and more."""
    program = (
        "import sys; from langchain_nebula_video.cli.app import app; app(['--help'], standalone_mode=False);"
        "print({'httpx', 'pydantic', 'asyncio', 'langchain_core'} & {*sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "exit code" in done.stdout.lower()
    assert done.stderr.strip() == "set()"


def test_help_lists_the_exit_codes() -> None:
    """Each exit code is in the help, with its meaning."""
    shown = " ".join(CliRunner().invoke(app, ["--help"]).stdout.split())
    assert set(MEANINGS) == set(Exit)
    for code, meaning in MEANINGS.items():
        assert f"{code.value} {meaning}" in shown


def test_version_is_shown() -> None:
    """--version names the program and the version."""
    assert CliRunner().invoke(app, ["--version"]).stdout.startswith("nebula-video 0.")


# One process for all of them: each line is a run in which one package cannot be imported.
_WITHOUT = """
import contextlib, io, json, sys
for missing, command in json.loads(sys.argv[1]):
    for name in [name for name in sys.modules if name.split(".")[0] in {"langchain_nebula_video", missing}]:
        del sys.modules[name]
    sys.modules[missing] = None
    sys.argv[1:] = [command]
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        try:
            from langchain_nebula_video.cli import main
            main()
        except SystemExit as end:
            print(json.dumps([missing, end.code, stderr.getvalue()]))
    del sys.modules[missing]
"""


def test_a_missing_extra_is_a_hint_and_no_traceback() -> None:
    """Where a package is not installed, the command says what to install."""
    extras = {
        ("typer", "quote"): "cli",
        ("rich", "quote"): "cli",
        ("uvicorn", "emulator"): "all",
        ("av", "emulator"): "all",
        ("PIL", "demo"): "all",
        ("fastmcp", "mcp"): "mcp",
    }
    command = [sys.executable, "-c", _WITHOUT, json.dumps([*extras])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(missing, code) for missing, code, _ in runs] == [(missing, Exit.INVALID) for missing, _ in extras]
    for (missing, _, stderr), extra in zip(runs, extras.values(), strict=True):
        assert f'pip install "langchain-nebula-video[{extra}]"' in stderr, missing
        assert "Traceback" not in stderr, missing


# --- quote and models ---


def test_quote_needs_no_key() -> None:
    """A price, in dollars and yuan, and what it is made of."""
    result = CliRunner().invoke(app, ["quote", "--duration", "10", "--resolution", "1080p"])
    assert result.exit_code == 0
    assert result.stdout == "$1.233 (¥8.8776): 10 s x $0.1233, estimated\n"


def test_quote_counts_with_the_group_ratio() -> None:
    """The ratio multiplies; JSON has exact decimals as strings."""
    result = CliRunner().invoke(app, ["quote", "--group-ratio", "0.5", "--json"])
    assert Decimal(told(result)["usd"]) == Decimal("0.1845")
    assert told(result)["basis"] == "estimated"


def test_quote_refuses_what_the_model_does_not_make() -> None:
    """A resolution that does not exist is an invalid request, told on stderr."""
    result = CliRunner().invoke(app, ["quote", "--resolution", "4k"])
    assert result.exit_code == Exit.INVALID
    assert result.stdout == ""
    assert "Choose one of: 480p, 720p, 1080p." in result.stderr


@each_row(
    ("args", "said"),
    [
        (BEIJING, "¥3.00 ($0.42): 5 s x ¥0.60, estimated\n"),
        (["--gateway", "dashscope-intl"], "$0.50 (¥3.60): 5 s x $0.10, estimated\n"),
        ([*BEIJING, "--model", "wan2.2-i2v-plus"], "¥3.50 ($0.49): 5 s x ¥0.70, estimated\n"),
        (["--gateway", "uniall", "--price", "0.05", "--duration", "16"], "$0.80 (¥5.76): 16 s x $0.05, estimated\n"),
        (["--gateway", "dashscope-passthrough", "--price", "0.5"], "¥2.50 ($0.35): 5 s x ¥0.50, estimated\n"),
        ([*BEIJING, "--price", "0.3"], "¥1.50 ($0.21): 5 s x ¥0.30, estimated\n"),
    ],
)
def test_quote_speaks_each_gateways_currency(args: list[str], said: str) -> None:
    """With the gateway's default model, its prices or the caller's own."""
    result = CliRunner().invoke(app, ["quote", *args])
    assert (result.exit_code, result.stdout) == (0, said)


def test_quote_says_that_a_price_is_unknown_and_what_helps() -> None:
    """A machine reads null."""
    result = CliRunner().invoke(app, ["quote", "--gateway", "uniall"])
    assert (result.exit_code, result.stdout) == (0, "unknown\n")
    assert "--price" in result.stderr
    quoted = told(CliRunner().invoke(app, ["quote", "--gateway", "uniall", "--json"]))
    assert (quoted["usd"], quoted["basis"], quoted["currency"]) == (None, "unknown", "USD")


@each_row("price", ["-1", "NaN", "Infinity", "$1", "much"])
def test_a_price_is_a_number_without_a_sign(price: str) -> None:
    """A sign could be that of another currency."""
    result = CliRunner().invoke(app, ["quote", "--price", price, "--json"])
    assert result.exit_code == Exit.INVALID
    assert told(result)["error"] == "UsageError"


def listed(*args: str, width: int = 80) -> str:
    result = CliRunner().invoke(app, ["models", *args], env={"COLUMNS": str(width)})
    assert result.exit_code == 0
    return result.stdout


@each_row("width", [80, 120])
def test_models_lists_every_row_of_every_gateway_within_the_terminal(width: int) -> None:
    """Rows that differ in their resolution alone share a line."""
    shown = listed(width=width)
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= width
    for gateway in GATEWAYS.values():
        block = shown.partition(f"{gateway.name}: {gateway.title}, in ")[2].partition("\n\n")[0]
        names = [line.split()[0] for line in block.splitlines()]
        for row in MODELS.values():
            tier = row.resolutions[0]
            written = row.name.replace(tier, "TIER") if f"-{tier}" in row.name else row.name
            assert (written in names) is (gateway.name in row.prices)
    assert ("Usually takes" in shown) is (width == 120)


def test_models_tells_prices_in_the_gateways_currency() -> None:
    """Those that no page tells are unknown; what is not made has none."""
    shown = " ".join(listed().split())
    assert "wan2.5-i2v-preview image 5, 10 $0.0369 $0.0738 $0.1233" in shown
    assert "wan2.5-i2v-preview image 5, 10 ¥0.30 ¥0.60 ¥1.00" in shown
    assert "viduq3p-mix-TIER-offpeak references 1 to 16 unknown unknown unknown" in shown
    assert "wan2.2-kf2v-flash two images 5 ¥0.10 ¥0.20 ¥0.48" in shown


def test_models_of_one_gateway_are_its_own() -> None:
    """Nothing of the others."""
    assert "wan2.5-i2v-preview" in listed("--gateway", "nebula")
    assert "dashscope" not in listed("--gateway", "nebula")


def test_all_of_one_model_is_told_by_gateway() -> None:
    """Options by the name that they have on the command line."""
    shown = " ".join(listed("wanx2.1-i2v-plus").split())
    for part in (
        "squish, rotation",
        "at most 800 characters",
        "¥0.70 at 720p",
        "wan2.1-i2v-plus there",
        "PROMPT, --duration, --resolution, --negative, --template",
        "sides of 360 to 2000 pixels",
        "DASHSCOPE_INTL_API_KEY",
        "unknown at 720p",
    ):
        assert part in shown
    assert "Needs PROMPT, --reference" in " ".join(listed("viduq3p-mix-720p").split())


@each_row("args", [["nothing"], ["wan2.2-kf2v-flash", "--gateway", "nebula"], ["--gateway", "nowhere"]])
def test_a_model_or_gateway_that_is_not_there_is_told(args: list[str]) -> None:
    """With what there is."""
    result = CliRunner().invoke(app, ["models", *args, "--json"])
    assert result.exit_code == Exit.INVALID
    assert told(result)["error"] == "InvalidRequestError"


def test_a_machine_gets_all_of_every_row() -> None:
    """Each model once, with what each gateway makes of it."""
    rows = told(CliRunner().invoke(app, ["models", "--json"]))["models"]
    assert [row["model"] for row in rows] == list(dict.fromkeys([row["model"] for row in rows]))
    assert {row["model"]: set(row["gateways"]) for row in rows} == {
        name: set(row.prices) for name, row in MODELS.items()
    }
    by_name = {row["model"]: row for row in rows}
    assert by_name["viduq3p-720p"]["aspect_ratios"] == ["16:9", "9:16", "1:1", "4:3", "3:4"]
    plus = by_name["wanx2.1-i2v-plus"]
    assert "squish" in plus["templates"]
    singapore = plus["gateways"]["dashscope-intl"]
    assert singapore["wire_name"] == "wan2.1-i2v-plus"
    assert (singapore["currency"], singapore["per_second"]) == ("USD", {"720p": "0.10"})
    assert singapore["images"]["sides"] == [360, 2000]
    assert plus["gateways"]["dashscope-passthrough"]["per_second"] == {"720p": None}
    one = told(CliRunner().invoke(app, ["models", "wanx2.1-i2v-plus", *BEIJING, "--json"]))["models"]
    assert one == [{**plus, "gateways": {"dashscope": plus["gateways"]["dashscope"]}}]


# --- generate ---


def test_generate_saves_the_video_and_tells_its_cost(run: Run) -> None:
    """The file is on stdout alone; cost, URL and its end are for people."""
    result = run("generate", URL, "The cat yawns", "--yes")
    assert result.exit_code == 0
    assert result.stdout == "task-1.mp4\n"
    assert Path("task-1.mp4").read_bytes() == MP4
    for part in ("for about $0.369", "$0.369 billed", "https://results.example.com/video.mp4?Expires", "UTC", "task-1"):
        assert part in result.stderr


def test_generate_tells_a_machine_one_object(run: Run) -> None:
    """With --json stdout holds the video, without the raw answer."""
    video = told(run("generate", URL, "The cat yawns", "--yes", "--json", "--out", "films/cat.mp4"))
    assert video["status"] == "succeeded"
    assert video["path"] == str(Path("films/cat.mp4"))
    assert (video["cost"]["usd"], video["cost"]["basis"]) == ("0.3690", "billed")
    assert "raw" not in video


def test_options_reach_the_gateway(run: Run, gateway: Gateway) -> None:
    """What is said on the command line is what is sent."""
    options = ["--duration", "10", "--resolution", "480P", "--seed", "7", "--smart-rewrite", "--audio"]
    assert run("generate", URL, "The cat yawns", "--yes", *options).exit_code == 0
    body = json.dumps(gateway.bodies[0])
    assert '"The cat yawns"' in body
    assert "480p" in body.lower()
    assert "7" in body
    assert gateway.posts == 1


def test_audio_url_wins_over_audio_and_says_so(run: Run) -> None:
    """Both may be given; no warning of Python's is shown."""
    result = run("submit", URL, "x", "-y", "--audio", "--audio-url", "https://example.com/a.mp3")
    assert result.exit_code == 0
    assert "--audio-url wins over --audio." in result.stderr


def test_progress_is_a_line_for_each_change_without_a_terminal(run: Run, gateway: Gateway) -> None:
    """No bar, no escape sequences."""
    gateway.fetches = [running(), running(), succeeded(), httpx.Response(200, content=MP4)]
    result = run("generate", URL, "x", "--yes")
    lines = [line.partition(":")[0] for line in result.stderr.splitlines()]
    assert [word for word in lines if word in {"submitting", "queued", "running", "succeeded"}] == [
        "submitting",
        "queued",
        "running",
        "succeeded",
    ]
    assert "\x1b" not in result.output


def test_while_the_video_is_saved_that_is_what_is_told(run: Run) -> None:
    """Not for long that it has succeeded: a large file takes a while."""
    lines = [line.partition(":")[0] for line in run("generate", URL, "x", "--yes").stderr.splitlines()]
    assert lines.index("succeeded") + 1 == lines.index("saving")


def test_docs_tells_where_the_documentation_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """And opens it, if that is wanted and there is a browser."""
    opened: list[str] = []

    def browse(url: str) -> bool:
        opened.append(url)
        return len(opened) == 1

    monkeypatch.setattr("webbrowser.open", browse)
    told = CliRunner().invoke(app, ["docs"])
    assert (told.exit_code, opened) == (0, [])
    assert told.stdout.startswith("https://")
    assert CliRunner().invoke(app, ["docs", "--open"]).exit_code == 0
    assert opened == [told.stdout.strip()]
    assert CliRunner().invoke(app, ["docs", "--open"]).exit_code == Exit.FAILURE


def test_the_name_of_another_kind_of_video_is_refused_before_paying(run: Run, gateway: Gateway) -> None:
    """It would be a folder."""
    refused = run("generate", URL, "x", "--yes", "--out", "film.mov")
    assert refused.exit_code == Exit.INVALID
    assert "Name it film.mp4" in refused.stderr
    assert gateway.requests == []
    assert run("generate", URL, "x", "--yes", "--out", "film.mov/").exit_code == 0
    assert Path("film.mov/task-1.mp4").is_file()


def test_an_argument_without_a_scheme_is_a_file(run: Run, gateway: Gateway) -> None:
    """Here a person types it, so it is a path."""
    Path("cat.jpg").write_bytes(jpeg())
    assert run("generate", "cat.jpg", "x", "--yes").exit_code == 0
    assert "data:image/jpeg;base64," in json.dumps(gateway.bodies[0])


def test_an_image_can_be_piped_in(run: Run, gateway: Gateway) -> None:
    """- reads the bytes on stdin."""
    assert run("generate", "-", "x", "--yes", stdin=jpeg()).exit_code == 0
    assert "data:image/jpeg;base64," in json.dumps(gateway.bodies[0])


@each_row("argument", [URL, "data:image/png;base64,AAAA", "file:///etc/passwd", "oss://bucket/cat.jpg"])
def test_what_has_a_scheme_is_no_file(argument: str) -> None:
    """It goes to the library as it is."""
    assert read_first_frame(argument, 10) == parse_image(argument) == argument


def test_none_is_no_image_and_a_path_of_that_name_is_one() -> None:
    """A file called so is named with its folder."""
    assert read_first_frame("none", 10) is None
    assert read_first_frame("./none", 10) == parse_image("none") == Path("none")


def test_every_field_of_a_request_can_be_said() -> None:
    """A field that the command line does not know fails here."""
    assert {field.name for field in fields(RequestOptions)} == set(VideoRequest.model_fields) - {"model"}


def test_a_video_of_text_needs_no_image(run: Run, gateway: Gateway) -> None:
    """What it needs instead is told."""
    assert run("submit", "none", "A coast", "--yes", *UNIALL, "--aspect-ratio", "9:16").exit_code == 0
    assert "image" not in gateway.bodies[0]
    assert (gateway.bodies[0]["model"], gateway.bodies[0]["aspect_ratio"]) == ("viduq3p-720p", "9:16")
    assert "There is no image." in run("submit", "none", "The cat yawns", "--yes").stderr
    assert gateway.posts == 1


def test_files_that_are_named_are_read_like_the_first_frame(run: Run, gateway: Gateway) -> None:
    """The last frame, and each reference in its order."""
    Path("cat.jpg").write_bytes(jpeg())
    Path("dog.png").write_bytes(png())
    assert run("submit", "cat.jpg", "x", "--yes", *UNIALL, "--last-image", "dog.png").exit_code == 0
    references = ["--reference", "dog.png", "--reference", URL]
    mixed = run("submit", "none", "@Image1 meets @Image2", "--yes", *UNIALL, "--model", "viduq3t-mix-540p", *references)
    assert mixed.exit_code == 0
    frames, mix = gateway.bodies
    assert (frames["image"][:16], frames["last_image"][:15]) == ("data:image/jpeg;", "data:image/png;")
    assert [text[:19] for text in mix["reference_image_urls"]] == ["data:image/png;base", URL[:19]]


def test_options_of_dashscope_reach_it(run: Run, gateway: Gateway) -> None:
    """A template instead of a prompt, which may then be left out; and no warning of Python's."""
    said = ["--template", "squish", "--model", "wanx2.1-i2v-turbo", "--negative", "rain", "--watermark", "--yes"]
    assert run("submit", URL, *BEIJING, *said).exit_code == 0
    both = run("submit", URL, "The cat yawns", *BEIJING, *said)
    assert both.exit_code == 0
    assert "--template wins over the prompt." in both.stderr
    for body in gateway.bodies:
        assert body["input"] == {"img_url": URL, "template": "squish", "negative_prompt": "rain"}
        assert body["parameters"]["watermark"] is True
    frames = ["--last-image", LAST, "--model", "wan2.2-kf2v-flash", "--yes"]
    assert run("submit", URL, "x", *BEIJING, *frames).exit_code == 0
    assert gateway.bodies[2]["input"] == {"prompt": "x", "first_frame_url": URL, "last_frame_url": LAST}


# --- asking, and what may be spent ---


def test_nobody_to_ask_is_no_consent(run: Run, gateway: Gateway) -> None:
    """Without a terminal and without --yes nothing is sent, whatever stdin says."""
    result = run("generate", URL, "x", stdin=b"y\n")
    assert result.exit_code == Exit.INVALID
    assert "Add --yes" in result.stderr
    assert gateway.requests == []


def test_json_needs_yes(run: Run, gateway: Gateway) -> None:
    """A machine is never asked."""
    result = run("submit", URL, "x", "--json")
    assert result.exit_code == Exit.INVALID
    assert told(result)["error"] == "InvalidRequestError"
    assert gateway.requests == []


def test_max_cost_refuses_what_is_dearer(run: Run, gateway: Gateway) -> None:
    """The estimate counts, and nothing is sent."""
    result = run("generate", URL, "x", "--yes", "--max-cost", "0.3689", "--json")
    assert result.exit_code == Exit.BUDGET
    assert told(result) | {"message": ""} == {
        "error": "BudgetExceededError",
        "message": "",
        "spent": False,
        "task_id": None,
        "code": None,
    }
    assert gateway.requests == []


def test_max_cost_lets_through_what_costs_just_that(run: Run) -> None:
    """The ceiling itself is allowed; a dollar sign is too."""
    assert run("generate", URL, "x", "--yes", "--max-cost", "$0.369").exit_code == 0


def test_a_price_in_yuan_is_told_in_dollars_too(run: Run) -> None:
    """The gateway's own amount is the exact one."""
    said = run("submit", URL, "x", *BEIJING, "--yes")
    assert "5 s at 720p, for about ¥3.00 ($0.42)." in said.stderr
    assert "Cost        ¥3.00 ($0.42) estimated" in said.stderr


def test_max_cost_is_in_dollars_whatever_the_gateways_currency(run: Run, gateway: Gateway) -> None:
    """Compared before anything is rounded for people."""
    assert run("submit", URL, "x", *BEIJING, "--yes", "--max-cost", "0.41666").exit_code == Exit.BUDGET
    assert gateway.requests == []
    assert run("submit", URL, "x", *BEIJING, "--yes", "--max-cost", "0.41667").exit_code == 0


def test_a_generation_of_days_is_told_in_hours(run: Run) -> None:
    """Off the peak it may take two of them."""
    said = run("generate", "none", "x", *UNIALL, "--model", "viduq3p-540p-offpeak", "--yes")
    assert said.exit_code == 0
    assert "usually within 48:00:00" in said.stderr


def test_an_unknown_price_is_said(run: Run) -> None:
    """Before paying, and of the task."""
    said = run("submit", "none", "x", *UNIALL, "--yes")
    assert said.exit_code == 0
    assert "viduq3p-720p: 5 s at 720p, for a price that is not known here." in said.stderr
    assert "Cost        unknown" in said.stderr


def test_max_cost_holds_nothing_whose_price_is_unknown(run: Run, gateway: Gateway) -> None:
    """It is refused, and --price is what helps."""
    refused = run("generate", "none", "x", *UNIALL, "--yes", "--max-cost", "5", "--json")
    assert refused.exit_code == Exit.INVALID
    assert told(refused)["spent"] is False
    assert "--price" in told(refused)["message"]
    dear = run("generate", "none", "x", *UNIALL, "--yes", "--max-cost", "0.20", "--price", "0.05")
    assert dear.exit_code == Exit.BUDGET
    assert gateway.requests == []
    fair = run("generate", "none", "x", *UNIALL, "--yes", "--max-cost", "0.25", "--price", "0.05")
    assert fair.exit_code == 0
    assert "for about $0.25." in fair.stderr


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (["--last-image", "nodog.jpg"], "There is no file 'nodog.jpg'."),
        (["--last-image", "-"], "There is no file '-'."),
        (["--last-image", "text.txt"], "This is no image but text"),
        (["--model", "viduq3p-mix-720p", "--reference", URL], "viduq3p-mix-720p takes no image."),
        (["--model", "viduq3p-720p-offpeak", "--reference", URL], "viduq3p-720p-offpeak takes no reference_images."),
        (["--reference", URL], "There are frames and reference images."),
        (["--aspect-ratio", "2:1"], "aspect_ratio is 2:1"),
        (["--template", "squish"], "viduq3p-720p takes no template."),
        (["--model", "wan2.5-i2v-preview"], "does not serve"),
    ],
)
def test_everything_that_is_named_is_looked_at_before_paying(
    args: list[str], what: str, run: Run, gateway: Gateway
) -> None:
    """The last frame and the references too."""
    Path("text.txt").write_text("no image")
    result = run("submit", URL, "x", *UNIALL, *args, "--yes", "--json", stdin=jpeg())
    assert result.exit_code == Exit.INVALID
    assert what in told(result)["message"]
    assert gateway.requests == []


@pytest.mark.parametrize("command", ["generate", "submit"])
def test_a_reference_that_cannot_be_used_is_found_before_paying(command: str, run: Run, gateway: Gateway) -> None:
    """Also behind one that can."""
    Path("cat.jpg").write_bytes(jpeg())
    references = ["--model", "viduq3p-mix-720p", "--reference", "cat.jpg", "--reference", "nodog.jpg"]
    result = run(command, "none", "x", *UNIALL, *references, "--yes", "--json")
    assert result.exit_code == Exit.INVALID
    assert "nodog.jpg" in told(result)["message"]
    assert gateway.requests == []


@pytest.mark.parametrize(
    "args",
    [
        ["nocat.jpg", "x"],
        [URL, " "],
        [URL, "x", "--duration", "7"],
        [URL, "x", "--max-cost", "much"],
        [URL, "x", "--seed", "one"],
        [URL, "x", "--out", "file/films"],
        [URL, "x", "--model", "nothing"],
        [URL, "x", "--timeout", "0"],
        [URL, "x", "--colour", "red"],
        [URL],
        ["-", "x"],
    ],
)
def test_what_cannot_work_is_found_before_anything_is_sent(args: list[str], run: Run, gateway: Gateway) -> None:
    """Exit code 2, and one JSON object that says that nothing was spent."""
    Path("file").touch()
    result = run("generate", *args, "--yes", "--json")
    assert result.exit_code == Exit.INVALID
    assert told(result)["spent"] is False
    assert told(result)["message"].strip() in " ".join(result.stderr.split("\n"))
    assert gateway.requests == []


def test_a_missing_key_is_told_with_its_variable() -> None:
    """The variable is named, and so is what works without."""
    result = CliRunner().invoke(app, ["generate", URL, "x", "--yes"])
    assert result.exit_code == Exit.INVALID
    assert "NEBULA_API_KEY" in result.stderr
    assert "nebula-video demo" in result.stderr


@each_row("command", ["generate", "submit", "wait", "status", "cancel"])
@each_row("name", [name for name in GATEWAYS if name != "nebula"])
def test_a_missing_key_is_told_with_its_gateways_variable(name: str, command: str) -> None:
    """Another gateway's key does not help."""
    images = [URL, "x", "--yes"] if command in {"generate", "submit"} else ["task-1"]
    environment = {"NEBULA_API_KEY": KEY}
    result = CliRunner().invoke(app, [command, *images, "--gateway", name], env=environment)
    assert result.exit_code == Exit.INVALID
    assert f"export {GATEWAYS[name].key_variable}=" in result.stderr


@pytest.mark.parametrize("name", ["dashscope-eu", "dashscope-passthrough"])
def test_a_missing_address_is_told_with_its_variable(name: str, run: Run) -> None:
    """Every deployment has its own."""
    result = run("submit", URL, "x", "--yes", "--gateway", name)
    assert result.exit_code == Exit.INVALID
    assert f"{GATEWAYS[name].url_variable}=…, or with --base-url" in result.stderr


# --- what goes wrong ---

CODES = {
    "AuthenticationError": 3,
    "SetupError": 2,
    "BudgetExceededError": 4,
    "DownloadError": 8,
    "InvalidInputError": 3,
    "InvalidRequestError": 2,
    "JournalError": 1,
    "ModerationError": 3,
    "NebulaVideoError": 1,
    "NotSentError": 1,
    "QuotaError": 3,
    "RateLimitError": 3,
    "RefusedError": 3,
    "RequestError": 1,
    "SubmissionUnconfirmedError": 7,
    "TaskCanceledError": 5,
    "TaskError": 5,
    "TaskFailedError": 5,
    "TaskNotFoundError": 5,
    "TaskTimeoutError": 6,
}


@each_row("name", [name for name in errors.__all__ if name != "Money"])
def test_each_error_has_its_exit_code(name: str) -> None:
    """A new error must be given one here."""
    assert exit_for(getattr(errors, name)("x")) == CODES[name]


def refusing(status: int, code: str, message: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": code, "message": message}})


def test_a_refusal_is_told_and_nothing_is_spent(run: Run, gateway: Gateway) -> None:
    """A wrong key ends in 3, with the gateway's own code."""
    gateway.submits = [refusing(401, "InvalidApiKey", "Invalid API Key")]
    result = run("generate", URL, "x", "--yes", "--json")
    assert result.exit_code == Exit.REFUSED
    assert told(result) | {"message": ""} == {
        "error": "AuthenticationError",
        "message": "",
        "spent": False,
        "task_id": None,
        "code": "InvalidApiKey",
    }
    assert "Traceback" not in result.output


def test_words_of_the_gateway_do_not_steer_the_terminal(run: Run, gateway: Gateway) -> None:
    """Markup is shown as it came; control characters are not."""
    gateway.submits = [refusing(400, "Bad", "[bold red]no[/bold red] [/] :cat: \x1b[2J\x07 end")]
    result = run("generate", URL, "x", "--yes")
    assert "[bold red]no[/bold red] [/] :cat: " in result.stderr
    assert "\x1b" not in result.stderr
    assert "\x07" not in result.stderr


def test_a_failed_task_is_told_with_its_reason(run: Run, gateway: Gateway) -> None:
    """5, the gateway's code, and that nothing was spent; there is nothing to go on with."""
    gateway.fetches = [failed()]
    result = run("generate", URL, "x", "--yes", "--json")
    assert result.exit_code == Exit.TASK
    assert (told(result)["code"], told(result)["spent"]) == ("InvalidParameter.ImageFormat", False)
    assert "Go on with" not in result.stderr


def test_a_task_that_takes_too_long_is_named_with_the_command_that_goes_on(run: Run, gateway: Gateway) -> None:
    """6, and the command has the options that it needs."""
    gateway.fetches = [running()]
    options = ["--timeout", "30", "--out", "my films", "--base-url", "https://gateway.example.com"]
    result = run("generate", URL, "x", "--yes", "--json", *options)
    assert result.exit_code == Exit.TIMEOUT
    assert (told(result)["task_id"], told(result)["spent"]) == ("task-1", None)
    command = "nebula-video wait task-1 --base-url https://gateway.example.com --out 'my films'\n"
    assert f"Go on with: {command}" in result.stderr


def test_an_unconfirmed_submit_has_a_code_of_its_own(run: Run, gateway: Gateway) -> None:
    """7: a script must not repeat it."""
    gateway.submits = [httpx.Response(500, text="oops")]
    result = run("submit", URL, "x", "--yes", "--json")
    assert result.exit_code == Exit.UNCONFIRMED
    assert told(result)["spent"] is None
    assert gateway.posts == 1


def test_a_video_that_cannot_be_saved_is_named_with_its_url(run: Run, gateway: Gateway) -> None:
    """8: it is paid for, so the address and the command are told."""
    gateway.fetches = [succeeded(), httpx.Response(403)]
    result = run("generate", URL, "x", "--yes", "--json")
    assert result.exit_code == Exit.DOWNLOAD
    assert told(result)["spent"] is True
    assert told(result)["url"].startswith("https://results.example.com/video.mp4")
    assert "nebula-video wait task-1" in result.stderr


def test_no_connection_is_another_failure(run: Run, gateway: Gateway) -> None:
    """1, and nothing was sent."""
    gateway.submits = [httpx.ConnectError("refused")]
    result = run("generate", URL, "x", "--yes", "--json")
    assert result.exit_code == Exit.FAILURE
    assert told(result)["spent"] is False


def test_the_key_is_never_shown(run: Run, gateway: Gateway) -> None:
    """Not even where a gateway repeats it."""
    gateway.submits = [refusing(401, "InvalidApiKey", f"Invalid API Key {KEY}")]
    assert KEY not in run("generate", URL, "x", "--yes", "--json").output


# --- Ctrl-C ---


def test_ctrl_c_in_mid_submit_says_that_money_may_be_spent(run: Run) -> None:
    """No answer came, so nobody knows."""

    def answer(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    result = run("generate", URL, "x", "--yes", "--json", handler=answer)
    assert result.exit_code == Exit.INTERRUPTED
    assert told(result) | {"message": ""} == {
        "error": "KeyboardInterrupt",
        "message": "",
        "spent": None,
        "task_id": None,
        "code": None,
    }
    assert "Interrupted while the submit was under way. Money may have been spent" in result.stderr


def test_ctrl_c_before_the_submit_says_that_nothing_was_sent(run: Run, clock: FakeClock, gateway: Gateway) -> None:
    """The wait for a place in the gateway's queue comes after a refusal: nothing is under way."""

    def sleep(_: float) -> None:
        raise KeyboardInterrupt

    clock.sleep = sleep  # type: ignore[assignment,method-assign]
    gateway.submits = [refusing(429, "Throttling", "Too many requests")]
    result = run("generate", URL, "x", "--yes", "--json")
    assert result.exit_code == Exit.INTERRUPTED
    assert told(result)["spent"] is False
    assert "Interrupted before anything was sent." in result.stderr


def test_ctrl_c_while_waiting_names_the_task(run: Run, clock: FakeClock) -> None:
    """It goes on and is billed when it succeeds; the command that goes on is told."""

    def sleep(_: float) -> None:
        raise KeyboardInterrupt

    clock.sleep = sleep  # type: ignore[assignment,method-assign]
    result = run("generate", URL, "x", "--yes", "--json")
    assert result.exit_code == Exit.INTERRUPTED
    assert (told(result)["task_id"], told(result)["spent"]) == ("task-1", None)
    assert "is billed when it succeeds" in result.stderr
    assert "Go on with: nebula-video wait task-1\n" in result.stderr


# --- tasks ---


def test_submit_tells_the_id_and_how_to_go_on(run: Run, gateway: Gateway) -> None:
    """The id is on stdout alone, for scripts."""
    result = run("submit", URL, "x", "--yes")
    assert (result.exit_code, result.stdout) == (0, "task-1\n")
    assert "nebula-video wait task-1" in result.stderr
    assert gateway.gets == 0


def test_submit_tells_a_machine_the_task(run: Run) -> None:
    """The task as it was accepted, with its estimate."""
    task = told(run("submit", URL, "x", "--yes", "--json"))
    assert (task["task_id"], task["status"], task["cost"]["basis"]) == ("task-1", "queued", "estimated")


def test_wait_saves_the_video_of_a_task(run: Run, gateway: Gateway) -> None:
    """Nothing is submitted."""
    result = run("wait", "task-1", "--out", "cat.mp4")
    assert (result.exit_code, result.stdout) == (0, "cat.mp4\n")
    assert gateway.posts == 0


def test_a_url_that_only_the_key_opens_is_not_told_as_a_link(run: Run, gateway: Gateway) -> None:
    done = {"task_id": "task-1", "status": "completed"}
    for command, *more in (["status"], ["wait", "--out", "cat.mp4"]):
        gateway.fetches = [done, httpx.Response(200, content=MP4)]
        result = run(command, "task-1", *more)
        assert result.exit_code == 0
        shown = " ".join([*result.stderr.split(), *result.stdout.split()])
        assert "/v1/videos/task-1/content" in shown
        assert "Opens with your key only, not in a browser" in shown


def test_status_looks_once(run: Run, gateway: Gateway) -> None:
    """Whatever the status, the question was answered."""
    gateway.fetches = [failed()]
    result = run("status", "task-1")
    assert result.exit_code == 0
    assert "failed" in result.stdout
    assert "Image format not supported" in result.stdout
    assert gateway.gets == 1
    assert told(run("status", "task-1", "--json"))["status"] == "failed"


def test_the_command_that_goes_on_has_gateway_and_model(run: Run, gateway: Gateway) -> None:
    """As they were said."""
    said = run("submit", "none", "x", "--yes", *UNIALL, "--model", "viduq3p-540p-offpeak").stderr
    place = "--gateway uniall --model viduq3p-540p-offpeak --base-url https://uniall.example.com"
    assert f"nebula-video wait task-1 {place}\n" in said


def test_a_task_that_waits_can_be_canceled(run: Run, gateway: Gateway) -> None:
    """Where the gateway can; the task is told as status tells it."""
    gateway.submits = [httpx.Response(200, json={"request_id": "r"})]
    gateway.fetches = [{"output": {"task_id": "task-1", "task_status": "CANCELED"}}]
    result = run("cancel", "task-1", *BEIJING)
    assert result.exit_code == 0
    assert "Status  canceled" in result.stdout
    assert "nebula-video wait" not in result.stderr
    assert [request.url.path for request in gateway.requests] == ["/api/v1/tasks/task-1/cancel", "/api/v1/tasks/task-1"]
    machine = told(run("cancel", "task-1", *BEIJING, "--json"))
    assert machine.keys() == told(run("status", "task-1", *BEIJING, "--json")).keys()
    assert machine["status"] == "canceled"


def test_a_task_that_runs_cannot_be_canceled(run: Run, gateway: Gateway) -> None:
    """3, and how to go on with it."""
    gateway.submits = [httpx.Response(400, json={"code": "UnsupportedOperation", "message": "not pending"})]
    gateway.fetches = [{"output": {"task_id": "task-1", "task_status": "RUNNING"}}]
    result = run("cancel", "task-1", *BEIJING, "--json")
    assert result.exit_code == Exit.REFUSED
    assert (told(result)["spent"], told(result)["code"]) == (None, "UnsupportedOperation")
    assert "Go on with: nebula-video wait task-1 --gateway dashscope\n" in result.stderr


@pytest.mark.parametrize("place", [[], UNIALL, ["--gateway", "dashscope-passthrough", "--base-url", URL]])
def test_where_nothing_can_be_canceled_that_is_said(place: list[str], run: Run, gateway: Gateway) -> None:
    """2: nothing was sent, and the task goes on."""
    result = run("cancel", "task-1", *place, "--json")
    assert result.exit_code == Exit.INVALID
    assert (told(result)["task_id"], told(result)["spent"]) == ("task-1", None)
    assert "documents no way to cancel a task" in told(result)["message"]
    assert "Go on with: nebula-video wait task-1" in result.stderr
    assert gateway.requests == []


def test_ctrl_c_in_mid_cancel_leaves_it_open(run: Run) -> None:
    """Nobody knows whether it was."""

    def answer(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    result = run("cancel", "task-1", *BEIJING, "--json", handler=answer)
    assert result.exit_code == Exit.INTERRUPTED
    assert "Task task-1 may be canceled or not." in told(result)["message"]
