"""The gallery of a journal: served and exported, over HTTP and in a real Chromium."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect

from langchain_nebula_video import InvalidRequestError, MemoryJournal, NebulaVideoClient, SqlJournal
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.journal.table import entries_as_csv
from langchain_nebula_video.web.gallery import export_gallery, gallery_app
from tests.chromium import PATIENCE, chromium, findings, visiting
from tests.processes import run_command

expect.set_options(timeout=PATIENCE)
NOW = datetime.now(UTC)
SIGNATURE = "5ecretSignature"
NASTY = "<img src=x onerror=alert(1)>\"'{{ 7 * 7 }}"
PHONE = {"width": 390, "height": 844}


def entry(number: int, **fields: Any) -> Entry:
    """An entry of a real gateway: its video is at a signed address that lives for an hour."""
    made = NOW - timedelta(days=number)
    video = {
        "url": f"https://results.example.com/{number}.mp4?Signature={SIGNATURE}",
        "expires_at": (NOW + timedelta(hours=1)).isoformat(),
        "duration": 5,
        "resolution": "720p",
    }
    given: dict[str, Any] = {
        "id": f"entry-{number}",
        "gateway": "nebula",
        "model": "wan2.5-i2v-preview",
        "request": {"prompt": f"Take {number}"},
        "created_at": made,
        "state": EntryState.SUCCEEDED,
        "task_id": f"task-{number}",
        "reserved_usd": Decimal("0.369"),
        "billed_usd": Decimal("0.369"),
        "video": video,
        "host": "llm.example.com",
        **fields,
    }
    return Entry(**given)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video that a client saved."""
    with Emulator(speed=500) as emulator:
        folder = tmp_path_factory.mktemp("videos")
        client = NebulaVideoClient(base_url=emulator.url, api_key=emulator.api_key, save_to=folder)
        video = client.generate(prompt="The cat blinks", image="https://example.com/cat.jpg", resolution="480p")
    assert video.path is not None
    return Path(video.path)


@pytest.fixture
def journal(saved: Path) -> MemoryJournal:
    """Real money and play money, saved and not, open, lost and failed."""
    made = MemoryJournal()
    open_ones: dict[str, Any] = {"video": None, "billed_usd": None}
    for each in (
        entry(0, video={**(entry(0).video or {}), "path": str(saved), "image_name": "cat"}),
        entry(1, model="wan2.2-i2v-plus", gateway="dashscope", billed_usd=Decimal("0.5")),
        entry(2, request={"prompt": NASTY}),
        entry(3, state=EntryState.RUNNING, **open_ones),
        entry(4, state=EntryState.UNCONFIRMED, task_id=None, **open_ones),
        entry(5, state=EntryState.FAILED, video=None, billed_usd=None, reason="InvalidParameter: too dark"),
        entry(6, play_money=True, host="127.0.0.1:8788"),
        entry(9, video={**(entry(9).video or {}), "expires_at": (NOW - timedelta(hours=1)).isoformat()}),
    ):
        made.reserve(each, None)
    return made


@contextmanager
def served(journal: Any) -> Iterator[str]:
    """The address of a journal's gallery."""
    server = uvicorn.Server(uvicorn.Config(gallery_app(journal), host="127.0.0.1", port=0, log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def url(journal: MemoryJournal) -> Iterator[str]:
    with served(journal) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@contextmanager
def looking(browser: Browser, address: str, **options: Any) -> Iterator[Page]:
    """A page that fails the test if the browser complains."""
    complaints: list[str] = []
    with visiting(browser, **options) as page:
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        yield page
    assert complaints == []


# --- over HTTP ---


def test_the_page_tells_real_money_from_play_money(url: str) -> None:
    page = httpx.get(url, timeout=60).text
    real, play = page.split('id="play-title"')
    assert "$1.607" in real, "four videos: three at 0.369 and one at 0.50"
    assert "$0.738" in real, "what runs and what is in doubt"
    assert "$0.369" in play
    assert page.count("play money</span>") == 1


def test_what_is_open_has_the_command_that_goes_on_with_it(url: str) -> None:
    panel = httpx.get(url, timeout=60).text.partition('id="open-title"')[2].partition("</section>")[0]
    assert re.findall(r">(Take \d)<|<code>(nebula-video \w+)</code></li>", panel) == [
        ("Take 3", ""), ("", "nebula-video resume"), ("Take 4", ""), ("", "nebula-video reconcile"),
    ]  # fmt: skip


def test_no_signature_is_in_the_page_or_the_table_but_a_link_leads_to_the_video(url: str) -> None:
    for path in ("/", "/entries.csv"):
        assert SIGNATURE not in httpx.get(url + path, timeout=60).text
    answer = httpx.get(f"{url}/open/entry-1", timeout=60)
    assert (answer.status_code, answer.headers["location"]) == (303, (entry(1).video or {})["url"])
    for gone in ("entry-9", "entry-3", "nobody"):
        assert httpx.get(f"{url}/open/{gone}", timeout=60).status_code == 404


def test_a_prompt_is_text(url: str) -> None:
    page = httpx.get(url, timeout=60).text
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_the_video_of_an_entry_is_its_file_and_no_other_file_is_served(url: str, saved: Path) -> None:
    answer = httpx.get(f"{url}/videos/entry-0.mp4", headers={"Range": "bytes=4-7"}, timeout=60)
    assert (answer.status_code, answer.content) == (206, saved.read_bytes()[4:8])
    for other in ("entry-1", "../entry-0", "%2e%2e%2fetc%2fpasswd"):
        assert httpx.get(f"{url}/videos/{other}.mp4", timeout=60).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "video"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
    ],
)
def test_other_sites_get_nothing(url: str, headers: dict[str, str]) -> None:
    for path in ("/", "/entries.csv", "/videos/entry-0.mp4", "/open/entry-1"):
        answer = httpx.get(url + path, headers=headers, timeout=60)
        assert answer.status_code in {400, 403}, path
        assert "Take" not in answer.text


def test_a_journal_that_cannot_be_read_is_told_in_the_browser(tmp_path: Path) -> None:
    with served(SqlJournal(tmp_path / "journal.db")) as address:
        assert "No videos yet" in httpx.get(address, timeout=60).text
    (tmp_path / "other.db").write_bytes(b"no database" * 1000)
    with served(SqlJournal(tmp_path / "other.db")) as address:
        answer = httpx.get(address, timeout=60)
    assert answer.status_code == 503
    assert "The journal" in answer.text


# --- in a browser ---


def test_a_saved_video_plays_and_filters_hide_cards(browser: Browser, url: str) -> None:
    with looking(browser, url) as page:
        player = page.locator("#entry-entry-0 video")
        player.evaluate("video => { video.muted = true; return video.play(); }")
        page.wait_for_function(
            "video => video.readyState >= 2 && video.currentTime > 0.2 && !video.error", arg=player.element_handle()
        )
        filters(page)


def filters(page: Page) -> None:
    cards = page.locator(".tasks > .task:visible")
    expect(cards).to_have_count(8)
    page.get_by_label("Search").fill("TAKE i2v-plus")
    expect(cards).to_have_count(1)
    expect(page.locator("#shown")).to_have_text("1 of 8")
    page.get_by_label("Search").fill("nothing like it")
    expect(page.get_by_text("Nothing matches.")).to_be_visible()
    page.get_by_label("Search").fill("")
    page.get_by_label("Money", exact=True).select_option("play")
    expect(cards).to_have_count(1)
    page.get_by_label("Money", exact=True).select_option("real")
    page.get_by_label("State", exact=True).select_option("succeeded")
    page.get_by_label("Model", exact=True).select_option("wan2.5-i2v-preview")
    expect(cards).to_have_count(3)


def test_axe_finds_nothing_in_light_in_dark_and_on_a_phone(browser: Browser, url: str) -> None:
    for scheme in ("light", "dark"):
        for size in ({"width": 1280, "height": 900}, PHONE):
            with looking(browser, url, color_scheme=scheme, viewport=size) as page:
                assert findings(page) == [], (scheme, size)
                width = page.evaluate("document.documentElement.scrollWidth")
                assert width <= size["width"], "the page scrolls in one direction only"


def test_an_export_opened_from_the_disk_plays_and_filters(
    browser: Browser, journal: MemoryJournal, tmp_path: Path
) -> None:
    page_file = export_gallery(journal, tmp_path / "site", now=NOW)
    assert all(SIGNATURE.encode() not in path.read_bytes() for path in page_file.parent.rglob("*") if path.is_file())
    with looking(browser, page_file.as_uri()) as page:
        player = page.locator("#entry-entry-0 video")
        player.evaluate("video => { video.muted = true; return video.play(); }")
        page.wait_for_function("video => video.currentTime > 0.2 && !video.error", arg=player.element_handle())
        filters(page)


# --- exports ---


def test_an_export_is_written_anew_but_nothing_of_ones_own_is_touched(journal: MemoryJournal, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "index.html").write_text("mine")
    with pytest.raises(InvalidRequestError, match="holds something else"):
        export_gallery(journal, own, now=NOW)
    assert [path.name for path in own.iterdir()] == ["index.html"]
    site = tmp_path / "site"
    export_gallery(journal, site, now=NOW)
    (site / "notes.txt").write_text("mine")
    journal.reserve(entry(7, request={"prompt": "The newest"}), None)
    assert "The newest" in export_gallery(journal, site, now=NOW).read_text(encoding="utf-8")
    assert (site / "notes.txt").read_text() == "mine"


def test_a_paid_video_that_was_saved_into_an_export_outlives_the_next_exports(tmp_path: Path) -> None:
    journal, site = MemoryJournal(), tmp_path / "site"
    export_gallery(journal, site, now=NOW)
    paid, own_name = site / "videos" / "cat.mp4", site / "videos" / "entry-2.mp4"
    for number, file in enumerate((paid, own_name), start=1):
        file.write_bytes(b"paid")
        journal.reserve(entry(number, video={"path": str(file)}), None)
    for _ in range(3):
        export_gallery(journal, site, now=NOW)
    assert paid.read_bytes() == own_name.read_bytes() == b"paid"
    assert (site / "videos" / "entry-1.mp4").read_bytes() == b"paid"


def test_an_export_leaves_out_what_is_not_in_the_journal_any_more(tmp_path: Path, saved: Path) -> None:
    journal, site = MemoryJournal(), tmp_path / "site"
    journal.reserve(entry(1, video={"path": str(saved)}), None)
    export_gallery(journal, site, now=NOW)
    assert [file.name for file in (site / "videos").iterdir()] == ["entry-1.mp4"]
    export_gallery(MemoryJournal(), site, now=NOW)
    assert list((site / "videos").iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="links")
def test_an_export_writes_through_no_link(tmp_path: Path, saved: Path) -> None:
    journal, site, mine = MemoryJournal(), tmp_path / "site", tmp_path / "mine.txt"
    journal.reserve(entry(1, video={"path": str(saved)}), None)
    export_gallery(journal, site, now=NOW)
    mine.write_text("mine")
    for name in ("index.html", "entries.csv", "videos/entry-1.mp4", "look/site.css"):
        (site / name).unlink()
        (site / name).symlink_to(mine)
    export_gallery(journal, site, now=NOW)
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("name", ["../../evil", "..", "a/b", "x" * 300])
def test_the_id_of_a_strangers_entry_leads_to_no_file_outside(tmp_path: Path, saved: Path, name: str) -> None:
    journal, site = MemoryJournal(), tmp_path / "in" / "site"
    journal.reserve(entry(1, id=name, video={"path": str(saved)}), None)
    export_gallery(journal, site, now=NOW)
    assert not [*tmp_path.rglob("*.mp4")]


@pytest.mark.parametrize(
    "video",
    [
        {"path": "x" * 5000 + ".mp4"},
        {"path": "a\0.mp4"},
        {"path": "/tmp/\udc80.mp4"},
        {"url": "https://results.example.com/1.mp4", "expires_at": "2099-01-01T00:00:00"},
    ],
)
def test_a_strange_entry_does_not_keep_the_others_from_being_seen(tmp_path: Path, video: dict[str, str]) -> None:
    journal = MemoryJournal()
    journal.reserve(entry(1, video=video), None)
    journal.reserve(entry(2), None)
    assert "Take 2" in export_gallery(journal, tmp_path / "site", now=NOW).read_text(encoding="utf-8")
    assert "Take 2" in entries_as_csv(journal.entries()).encode().decode()


def test_a_reason_that_quotes_a_signed_address_is_told_without_the_signature(tmp_path: Path) -> None:
    journal, site = MemoryJournal(), tmp_path / "site"
    reason = f"cannot read https://me:{SIGNATURE}@bucket.example.com/cat.jpg?Expires=9&Signature={SIGNATURE}: HTTP 403"
    journal.reserve(entry(1, state=EntryState.FAILED, video=None, reason=reason), None)
    page = export_gallery(journal, site, now=NOW).read_text(encoding="utf-8")
    for text in (page, (site / "entries.csv").read_text(encoding="utf-8")):
        assert SIGNATURE not in text
        assert "cannot read https://bucket.example.com/cat.jpg" in text


def test_the_command_exports_the_journal_that_it_is_given(tmp_path: Path, journal: MemoryJournal) -> None:
    file = SqlJournal(tmp_path / "journal.db")
    for each in journal.entries():
        file.reserve(each, None)
    file.close()
    ended = run_command(["gallery", "--journal", "journal.db", "--export", "site"], cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr.decode()
    assert ended.stdout.decode().strip() == str(Path("site", "index.html"))
    assert "Take 3" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
