"""The lines about a task under way, where there is no terminal to draw a bar on."""

from __future__ import annotations

import pytest

from langchain_nebula_video import TaskStatus, VideoProgress, quote
from langchain_nebula_video.cli.output import Output
from langchain_nebula_video.cli.progress_bar import TaskProgressBar
from tests.tables import each_row


@each_row(
    ("elapsed", "told"),
    [
        (59.0, "0:59, usually within 2:00"),
        (120.4, "2:00, usually within 2:00"),
        (121.0, "2:01, longer than the usual 2:00"),
    ],
)
def test_a_task_is_late_once_the_times_that_are_shown_differ(
    capsys: pytest.CaptureFixture[str], elapsed: float, told: str
) -> None:
    event = VideoProgress("task-1", TaskStatus.RUNNING, elapsed, 120.0, 0.5, 1, quote())
    TaskProgressBar(Output(), status="queued").on_progress(event)
    assert f"running: {told}, task task-1" in capsys.readouterr().err
