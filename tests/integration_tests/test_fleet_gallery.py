"""The gallery of a journal whose database has a fleet: batches with their counts, and videos by batch."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect

from langchain_nebula_video import SqlJournal
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.fleet import Fleet
from langchain_nebula_video.web.gallery import gallery_app
from tests.chromium import PATIENCE, chromium, findings, visiting
from tests.fleets import all_results, asks, query, working
from tests.processes import run_command

expect.set_options(timeout=PATIENCE)
NASTY = "<img src=x onerror=alert(1)>&\"'"
PHONE = {"width": 390, "height": 844}
SIGNATURE = "5ecretSignature"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@contextmanager
def served(url: str, fleet: Fleet | None) -> Iterator[str]:
    """The address of the gallery of a database."""
    app = gallery_app(SqlJournal(url), fleet=fleet)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


async def play(fleet: Fleet, url: str, options: dict[str, Any], emulator: Emulator) -> None:
    """A batch that is made but for one that fails, a canceled one, and one that waits."""
    rows = [*asks(3), {**asks(1)[0], "prompt": "[fail] scene"}]
    await fleet.submit_many(rows, batch="made", budget="5.00", **options)
    async with working(url):
        await all_results(fleet, "made")
    await fleet.submit_many(asks(2, seed=7), batch="canceled", **options)
    await fleet.cancel("canceled")
    await fleet.submit_many([*asks(5, seed=8), {"prompt": ""}], batch=NASTY, paused="after the weekend", **options)


@pytest.fixture
def address(fleet: Fleet, fleet_url: str, fleet_options: dict[str, Any], emulator: Emulator) -> Iterator[str]:
    # In a thread of its own: Playwright's loop runs in this one.
    thread = threading.Thread(target=lambda: asyncio.run(play(fleet, fleet_url, fleet_options, emulator)))
    thread.start()
    thread.join()
    with served(fleet_url, fleet) as where:
        yield where


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


def test_a_journal_without_a_fleet_says_nothing_of_one(fleet_url: str) -> None:
    with served(fleet_url, None) as where:
        assert "fleet" not in httpx.get(where, timeout=60).text.partition("<main")[2].partition("</main>")[0].lower()
        assert httpx.get(f"{where}/fleet", timeout=60).status_code == 404


def test_batches_are_shown_with_counts_and_money_and_what_needs_a_person_first(address: str) -> None:
    page = httpx.get(f"{address}/fleet", timeout=60).text
    for words in (
        "3 made, 1 failed",
        "2 canceled",
        "5 to make",
        "$0.5535 of $5.00",
        "after the weekend",
        "TaskFailedError",
    ):
        assert words in page
    names = [part.partition(">")[2].partition("<")[0] for part in page.split('#tasks"')[1:]]
    assert names[1:] == ["canceled", "made"], "the paused one is first"
    assert '<span class="badge">ended</span>' in page, "the word of the status"
    assert page.index("Videos a minute") < page.index("What needs a person</h2>"), "many errors hide no figures"
    assert "<img src=x" not in page


def test_a_reason_that_quotes_a_signed_address_is_told_without_the_signature(address: str, fleet_url: str) -> None:
    reason = f"cannot read https://bucket.example.com/cat.jpg?Expires=9&Signature={SIGNATURE}: HTTP 403"
    query(fleet_url, "UPDATE nebula_fleet_items SET error = %s WHERE state = 'failed'", reason)
    for path in ("fleet", "fleet/live"):
        page = httpx.get(f"{address}/{path}", timeout=60).text
        assert SIGNATURE not in page
        assert "cannot read https://bucket.example.com/cat.jpg" in page


def test_other_sites_get_nothing_of_the_fleet(address: str) -> None:
    for path in ("fleet", "fleet/live"):
        answer = httpx.get(f"{address}/{path}", headers={"Sec-Fetch-Site": "cross-site"}, timeout=60)
        assert (answer.status_code, "canceled" in answer.text) == (403, False)


def test_a_video_is_found_by_its_batch_also_after_it_was_tried_again(
    browser: Browser, address: str, fleet: Fleet, fleet_url: str
) -> None:
    in_thread(lambda: asyncio.run(try_again(fleet, fleet_url)))
    with looking(browser, address) as page:
        cards = page.locator(".tasks > .task:visible")
        expect(cards).to_have_count(5)
        page.get_by_label("Batch", exact=True).select_option("made")
        expect(cards).to_have_count(5)
        page.get_by_label("State", exact=True).select_option("succeeded")
        expect(cards).to_have_count(3)
        page.get_by_role("link", name="Batches of the fleet").click()
        page.get_by_role("link", name="made", exact=True).click()
        expect(page.get_by_label("Batch", exact=True)).to_have_value("made")
        expect(page).to_have_url(f"{address}/?batch=made#tasks")


def in_thread(work: Any) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


async def try_again(fleet: Fleet, url: str) -> None:
    await fleet.retry("made")
    async with working(url):
        await all_results(fleet, "made")


def test_the_page_renews_itself_and_keeps_the_focus(browser: Browser, address: str, fleet: Fleet) -> None:
    with looking(browser, f"{address}/fleet") as page:
        link = page.get_by_role("link", name="canceled", exact=True)
        link.focus()
        in_thread(lambda: asyncio.run(fleet.resume("canceled")))
        expect(page.get_by_role("img", name="2 to make", exact=True)).to_be_visible()
        assert link.evaluate("each => each === document.activeElement")
        expect(page.locator("#batches")).to_contain_text("stalled")


def test_axe_finds_nothing_in_light_in_dark_and_on_a_phone(browser: Browser, address: str) -> None:
    for scheme in ("light", "dark"):
        for size in ({"width": 1280, "height": 900}, PHONE):
            for path in ("fleet", ""):
                with looking(browser, f"{address}/{path}", color_scheme=scheme, viewport=size) as page:
                    assert findings(page) == [], (scheme, size, path)
                    width = page.evaluate("document.documentElement.scrollWidth")
                    assert width <= size["width"], "the page scrolls in one direction only"


def test_the_command_exports_the_fleet_of_its_journal(address: str, fleet_url: str, tmp_path: Path) -> None:
    ended = run_command(["gallery", "--journal", fleet_url, "--export", "site"], cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr.decode()
    assert "3 made, 1 failed" in (tmp_path / "site" / "fleet.html").read_text(encoding="utf-8")
    assert 'href="fleet.html"' in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
