"""The status of a fleet on a screen, and as lines in a log."""

from __future__ import annotations

from dataclasses import replace

import pytest

from langchain_nebula_video.cli.fleet import watch
from langchain_nebula_video.cli.fleet.report import report
from langchain_nebula_video.cli.output import Output
from langchain_nebula_video.fleet import FleetStatus
from langchain_nebula_video.fleet.troubles import Trouble, find_troubles
from tests.unit_tests.fleet.test_troubles import WORKER, batch, fleet


def lines_of(status: FleetStatus) -> list[str]:
    return [line.plain for line in report(status, find_troubles(status))]


def test_what_needs_a_person_and_what_runs_stand_on_a_small_screen_before_what_has_ended() -> None:
    ended = [batch({"done": 3, "failed": 1}, id=number, name=f"old-{number}") for number in range(1, 6)]
    lines = lines_of(fleet(*ended[:4], batch({"unconfirmed": 1}, id=5, name="lost"), batch({"waiting": 2}, name="new")))
    assert lines[3:5] == ["Needs a person", "  lost: 1 unconfirmed submit: $0.5000 may have been spent"]
    assert "new  running  ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  0 of 2 ended" in lines[:24]
    at = lines.index("lost  ended  ━━━━━━━━━━━━━━━━━━━━  1 of 1 ended")
    assert [line.split()[0] for line in lines[at : at + 5]] == ["lost", "old-4", "old-3", "old-2", "old-1"]


def test_a_dead_worker_has_no_place_and_no_rate() -> None:
    dead = replace(WORKER, id="w", died=True, silent=20.0, running=6, per_minute=9.0, finished=4)
    lines = lines_of(fleet(batch({"done": 1}), workers=(dead,)))
    at = lines.index("Accounts")
    assert lines[at - 3 : at - 1] == [
        "0 workers, 0 of 0 places taken, 1 dead",
        "  w  dead, last heard of 20 s ago  4 made",
    ]


def test_one_video_a_minute_is_one_video() -> None:
    assert lines_of(fleet(workers=(replace(WORKER, per_minute=1.0),)))[1] == "1 video/min, $0.00/min"


def test_a_log_gets_a_line_only_if_something_has_changed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watch, "_SECONDS", 0.0)
    dead = [replace(WORKER, id="w", silent=seconds) for seconds in (20.0, 22.0, 24.0)]
    alive = [replace(WORKER, id="v", per_minute=rate) for rate in (10.0, 9.0, 8.0)]
    looks = [fleet(batch({"waiting": 5, "done": 1}), workers=each) for each in zip(alive, dead, strict=True)]
    looks.append(fleet(batch({"waiting": 4, "done": 2}), workers=(alive[0], dead[0])))

    def look() -> tuple[FleetStatus, list[Trouble]]:
        if not looks:
            raise KeyboardInterrupt
        status = looks.pop(0)
        return status, find_troubles(status)

    watch.watch_fleet(Output(), look)
    told = [line.partition("  ")[2] for line in capsys.readouterr().out.splitlines()]
    assert [line.partition(",")[0] for line in told] == ["1 of 6 ended", "2 of 6 ended"]
    assert told[0].endswith("w: it is dead")
