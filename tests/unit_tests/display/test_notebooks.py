"""What a notebook shows and keeps of a video, a task and their progress."""

from __future__ import annotations

import base64
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from IPython.core.formatters import DisplayFormatter

from langchain_nebula_video import Cost, Task, TaskStatus, Video, VideoProgress, quote
from langchain_nebula_video.notebook import EMBED_LIMIT, progress_bar, show

SIGNED = "https://results.example.com/v.mp4?Expires=1799999999&Signature=5ecret"
DAY = datetime(2026, 1, 2, tzinfo=UTC)
COMMON: dict[str, Any] = {
    "task_id": "task-1",
    "gateway": "nebula",
    "model": "wan2.5-i2v-preview",
    "cost": quote(),
    "duration": 5,
    "resolution": "720p",
    "submitted_at": DAY,
    "finished_at": DAY,
    "expires_at": DAY,
}
VIDEO = Video(**COMMON, url=SIGNED, raw={"url": SIGNED})
TASK = Task(**COMMON, status=TaskStatus.SUCCEEDED, url=SIGNED, raw={"url": SIGNED})
EVENT = VideoProgress(
    task_id="task-1", status=TaskStatus.RUNNING, elapsed=30.0, expected=75.0, fraction=0.4, polls=2, cost=quote()
)


def kept(item: Any) -> dict[str, str]:
    """All that IPython puts into the notebook for the last line of a cell."""
    found, _ = DisplayFormatter().format(item)
    return {kind: str(value) for kind, value in found.items()}


@pytest.fixture
def movie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "my videos" / "a&b.mp4"
    path.parent.mkdir()
    path.write_bytes(b"the video")
    return path


@pytest.mark.parametrize("item", [VIDEO, TASK], ids=["video", "task"])
def test_no_form_of_a_cell_s_output_has_the_signature(item: Any) -> None:
    shown = kept(item)
    assert set(shown) == {"text/html", "text/plain"}
    for text in shown.values():
        assert "5ecret" not in text
        assert "Expires" not in text
        assert "https://results.example.com/v.mp4?[redacted], until 2026-01-02 00:00 UTC" in text
        assert "$0.369" in text
    assert "<video" not in shown["text/html"]
    assert "<a " not in shown["text/html"]


def test_a_saved_video_is_embedded_and_plays(movie: Path) -> None:
    shown = kept(VIDEO.model_copy(update={"path": "my videos/a&b.mp4"}))["text/html"]
    (data,) = re.findall(r'<video src="data:video/mp4;base64,([^"]+)" controls', shown)
    assert base64.b64decode(data) == b"the video"
    assert "my videos/a&amp;b.mp4" in shown
    assert "5ecret" not in shown


def test_a_larger_file_is_referred_to_where_jupyter_serves_it(movie: Path) -> None:
    os.truncate(movie, EMBED_LIMIT + 1)
    shown = kept(VIDEO.model_copy(update={"path": str(movie)}))["text/html"]
    assert '<video src="my%20videos/a%26b.mp4" controls' in shown


def test_a_larger_file_elsewhere_a_bucket_and_a_file_that_is_gone_have_no_player(
    movie: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.truncate(movie, EMBED_LIMIT + 1)
    elsewhere = movie.parents[1].parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    monkeypatch.chdir(elsewhere)
    for path in (str(movie), "s3://bucket/a.mp4", "gone.mp4", str(movie.parent), "a\0b"):
        shown = kept(VIDEO.model_copy(update={"path": path}))["text/html"]
        assert "<video" not in shown, path
        assert "Saved" in shown


def test_a_video_that_only_the_key_opens_has_no_player_that_stays_black() -> None:
    for signed_url in (False, True):
        locked = VIDEO.model_copy(update={"url_needs_key": True, "url": "https://gateway.example.com/v1/content"})
        shown = locked.card(signed_url=signed_url).as_html()
        assert "<video" not in shown
        assert "gateway.example.com" not in shown
        assert "opens with your key only" in shown


def test_a_reason_that_quotes_a_signed_address_has_no_signature() -> None:
    reason = "cannot read https://bucket.example.com/cat.jpg?Signature=5ecret: HTTP 403"
    failed = TASK.model_copy(update={"reason": reason, "url": None})
    bundle = failed._repr_mimebundle_()
    assert all("cannot read https://bucket.example.com/cat.jpg" in text for text in bundle.values())
    assert all("5ecret" not in text for text in bundle.values())


def test_an_address_that_is_not_signed_is_linked_and_played() -> None:
    shown = kept(VIDEO.model_copy(update={"url": "https://files.example.com/v.mp4"}))["text/html"]
    assert '<video src="https://files.example.com/v.mp4" controls' in shown
    assert '<a href="https://files.example.com/v.mp4"' in shown


HOSTILE = '"><script>alert(1)</script>'


@pytest.mark.parametrize(
    "update",
    [{name: HOSTILE} for name in ("url", "model", "prompt", "task_id", "gateway", "warning", "path", "resolution")]
    + [{"url": "javascript:alert(1)"}, {"url": "data:text/html,<script>"}, {"url": "https://[x/<script>"}],
    ids=str,
)
def test_nothing_of_a_gateway_or_a_prompt_breaks_out_of_the_card(update: dict[str, str]) -> None:
    shown = VIDEO.model_copy(update=update).card(signed_url=True).as_html()
    task = TASK.model_copy(update={"reason": HOSTILE, "code": HOSTILE, **update}).card(signed_url=True).as_html()
    for text in (shown, task):
        assert "<script" not in text
        assert 'src="javascript' not in text
        assert 'href="javascript' not in text
        assert 'href="data' not in text


def test_a_task_under_way_shows_a_bar_and_a_failed_one_its_reason() -> None:
    running = TASK.model_copy(update={"status": TaskStatus.RUNNING, "progress": 0.25, "url": None})
    assert '<progress max="1" value="0.2500"' in kept(running)["text/html"]
    failed = TASK.model_copy(update={"status": TaskStatus.FAILED, "code": "Bad", "reason": "no", "url": None})
    assert "Bad: no" in kept(failed)["text/html"]
    assert "<progress" not in kept(failed)["text/html"]


def test_progress_shows_a_bar_with_its_time_and_cost() -> None:
    shown = kept(EVENT)
    assert '<progress max="1" value="0.4000"' in shown["text/html"]
    assert "30 s, usually 75 s" in shown["text/plain"]
    assert "$0.369" in shown["text/plain"]


def test_a_cost_that_nobody_knows_is_no_obstacle() -> None:
    unknown = Cost(
        usd=None, cny=None, price_per_second=None, seconds=None, group_ratio=quote().group_ratio, basis="unknown"
    )
    assert (
        "unknown"
        in kept(VIDEO.model_copy(update={"cost": unknown, "duration": None, "resolution": None}))["text/plain"]
    )


class Cell:
    """A cell of a notebook: what is displayed in it, by the id of the display."""

    def __init__(self) -> None:
        self.outputs: list[Any] = []

    def display(self, item: Any, *, display_id: bool = False, raw: bool = False) -> Cell.Handle:
        self.outputs.append(item)
        return Cell.Handle(self, len(self.outputs) - 1)

    class Handle:
        def __init__(self, cell: Cell, place: int) -> None:
            self.cell, self.place = cell, place

        def update(self, item: Any) -> None:
            self.cell.outputs[self.place] = item


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Cell:
    made = Cell()
    monkeypatch.setattr("IPython.display.display", made.display)
    return made


def test_one_bar_follows_a_video_from_its_wait_for_a_place(cell: Cell) -> None:
    update = progress_bar()
    waiting = VideoProgress("", TaskStatus.QUEUED, 1.0, 75.0, 0.0, 0, quote(), phase="waiting")
    for event in (waiting, waiting, EVENT, EVENT):
        update(event)
    assert cell.outputs == [EVENT]


def test_each_task_has_a_bar_of_its_own(cell: Cell) -> None:
    update = progress_bar()
    other = VideoProgress("task-2", TaskStatus.RUNNING, 1.0, 75.0, 0.1, 1, quote())
    for event in (EVENT, other, EVENT):
        update(event)
    assert cell.outputs == [EVENT, other]


def test_the_signed_address_is_played_and_linked_on_demand(cell: Cell) -> None:
    show(VIDEO)
    show(VIDEO, signed_url=True)
    show(TASK, signed_url=True)
    hidden, video, task = (output["text/html"] for output in cell.outputs)
    assert "5ecret" not in hidden
    assert '<video src="https://results.example.com/v.mp4?Expires=1799999999&amp;Signature=5ecret"' in video
    assert 'href="https://results.example.com/v.mp4?Expires=1799999999&amp;Signature=5ecret"' in task
