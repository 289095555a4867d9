"""The console in a real Chromium: submit, watch, play, switch; with a keyboard alone, and as axe-core sees it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

from langchain_nebula_video.emulator import Clock, Emulator, Status
from langchain_nebula_video.web.console import add_console
from tests.chromium import PATIENCE, chromium, findings, visiting

expect.set_options(timeout=PATIENCE)
START = 1_762_254_911.0
LONG = 400.0
"""Seconds after which every task has ended."""
TIMES = "{}\N{MULTIPLICATION SIGN}"
NO_ANSWER = "Failed to load resource|Failed to fetch"
"""What the browser says of a missing thumbnail, and of an emulator that has stopped."""
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
DESK: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """An emulator whose clock stands until a test moves it."""
    emulator = Emulator(clock=Clock(start=START, running=False))
    add_console(emulator)
    with emulator:
        yield emulator


@pytest.fixture
def page(browser: Browser, emulator: Emulator) -> Iterator[Page]:
    """The console. A test fails if the browser complains, say of a script that the page's policy forbids."""
    complaints: list[str] = []
    with visiting(browser) as page:
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(emulator.url)
        yield page
    assert [text for text in complaints if not re.search(NO_ANSWER, text)] == []


def submit(page: Page, prompt: str) -> None:
    page.get_by_label("Prompt").fill(prompt)
    page.get_by_label("Resolution").select_option("480p")
    page.get_by_role("button", name="Submit to Nebula").click()
    expect(page.locator("#message")).to_contain_text("Accepted")


def card(page: Page, prompt: str) -> Locator:
    return page.get_by_role("article").filter(has_text=prompt)


def renewed(page: Page) -> None:
    """Wait until the page has asked twice and shows the second answer."""
    for _ in range(2):
        with page.expect_response(re.compile("/_console/live")) as answer:
            pass
        answer.value.finished()
    page.wait_for_timeout(100)


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    path = tmp_path / "cat.jpg"
    path.write_bytes(files("langchain_nebula_video").joinpath("assets", "cat.jpg").read_bytes())
    return path


def test_an_image_is_submitted_watched_and_played(page: Page, emulator: Emulator, cat: Path) -> None:
    page.get_by_label("Image").set_input_files(cat)
    submit(page, "The cat blinks")
    shown = card(page, "The cat blinks")
    expect(shown).to_contain_text("queued")
    emulator.clock.advance(45)
    expect(shown).to_contain_text("running")
    expect(shown.get_by_role("progressbar")).to_have_attribute("value", re.compile(r"[3-7]\d"))
    expect(shown.locator("img")).to_have_js_property("complete", value=True)
    emulator.clock.advance(LONG)
    expect(shown).to_contain_text("succeeded")
    expect(shown).to_contain_text("$0.1845")
    video = shown.locator("video")
    video.evaluate("video => { video.muted = true; return video.play(); }")
    page.wait_for_function(
        "video => video.readyState >= 2 && video.currentTime > 0.2 && !video.error", arg=video.element_handle()
    )
    assert emulator.bill.usd == emulator.tasks[0].cost
    assert [request.point for request in emulator.requests] == ["submit"]


def test_news_leave_alone_what_a_person_is_at(page: Page, emulator: Emulator) -> None:
    """Somebody reads, writes and watches while tasks come and end."""
    submit(page, "The first")
    emulator.clock.advance(LONG)
    video = card(page, "The first").locator("video")
    video.evaluate("video => { video.muted = true; return video.play(); }")
    page.wait_for_function("video => video.currentTime > 0.1", arg=video.element_handle())
    player = video.element_handle()
    card(page, "The first").get_by_text("Request as received").click()
    page.get_by_label("Prompt").fill("half a sen")
    emulator.faults.add("query", "late")
    emulator.clock.advance(1)
    page.evaluate("window.scrollTo(0, 150)")
    place = page.evaluate("window.scrollY")
    submitted = page.request.post(f"{emulator.url}/_console/videos", form={"prompt": "The second"})
    assert submitted.ok
    expect(card(page, "The second")).to_be_visible()
    page.keyboard.type("tence")
    expect(page.get_by_label("Prompt")).to_have_value("half a sentence")
    expect(page.get_by_label("Prompt")).to_be_focused()
    assert page.evaluate("window.scrollY") == place
    expect(card(page, "The first").locator("pre")).to_be_visible()
    assert player.evaluate("video => video.isConnected && !video.paused")


def test_a_fault_is_switched_on_hits_and_goes_off(page: Page, emulator: Emulator) -> None:
    switch = page.get_by_role("switch", name="Lose the answer to the next submit")
    expect(switch).to_have_attribute("aria-checked", "false")
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "true")
    expect(switch).to_be_focused()
    page.get_by_role("button", name="Submit to Nebula").click()
    expect(page.get_by_role("alert").filter(has_text="The task may exist")).to_be_visible()
    expect(switch).to_have_attribute("aria-checked", "false")
    expect(page.get_by_role("article")).to_have_count(1)
    assert [record.played for record in emulator.faults.records()] == [1]


def test_any_fault_is_added_with_what_its_kind_takes(page: Page, emulator: Emulator) -> None:
    page.get_by_role("heading", name="Any fault").click()
    page.get_by_label("Point").select_option("query")
    page.get_by_label("Kind").select_option("status")
    expect(page.locator("#kind-hint")).to_contain_text("code = 500")
    page.get_by_label("Times").fill("")
    page.get_by_label("Parameters, as JSON").fill('{"code": 502}')
    page.get_by_role("button", name="Add fault").click()
    waiting = page.get_by_role("listitem").filter(has_text="at query, played 0 times")
    expect(waiting).to_be_visible()
    (record,) = emulator.faults.records()
    assert (record.kind, record.times, record.params["code"]) == ("status", None, 502)
    waiting.get_by_role("button", name="Remove status at query").click()
    expect(waiting).to_have_count(0)
    assert emulator.faults.records() == ()


def test_on_a_phone_too_a_person_sees_why_something_was_not_done(page: Page) -> None:
    page.set_viewport_size(PHONE)
    page.get_by_role("heading", name="Any fault").click()
    page.get_by_label("Parameters, as JSON").fill("{")
    button = page.get_by_role("button", name="Add fault")
    button.scroll_into_view_if_needed()
    expect(page.locator("#message")).not_to_be_in_viewport()
    button.click()
    expect(page.get_by_role("alert").filter(has_text="Nothing was changed")).to_be_in_viewport()


def test_a_message_leads_to_its_task(page: Page) -> None:
    page.set_viewport_size(PHONE)
    submit(page, "A cat")
    expect(page.get_by_role("article")).not_to_be_in_viewport()
    page.locator("#message").get_by_role("link").click()
    expect(page.get_by_role("article")).to_be_in_viewport()


def test_speed_and_behaviour_are_chosen(page: Page, emulator: Emulator) -> None:
    page.get_by_text(TIMES.format(50), exact=True).click()
    expect(page.locator("#message")).to_contain_text("50 times as fast")
    page.get_by_text("its code", exact=True).click()
    expect(page.locator("#message")).to_contain_text("source")
    assert (emulator.speed, emulator.behaviour) == (50.0, "source")
    emulator.speed = 10  # somebody else changes it: the page follows
    page.get_by_label("Prompt").focus()
    expect(page.get_by_label(TIMES.format(10), exact=True)).to_be_checked()


def test_everything_can_be_done_with_the_keyboard_alone(page: Page, emulator: Emulator) -> None:
    def tab_to(target: Locator) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if target.evaluate("element => element === document.activeElement"):
                return
        pytest.fail(f"no way to {target}")

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    tab_to(page.get_by_label("Prompt"))
    page.keyboard.press("Control+A")
    page.keyboard.type("Typed")
    tab_to(page.get_by_role("button", name="Submit to Nebula"))
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_contain_text("Accepted")
    emulator.clock.advance(LONG)
    expect(card(page, "Typed").locator("video")).to_be_visible()
    tab_to(card(page, "Typed").get_by_text("Request as received"))
    page.keyboard.press("Enter")
    expect(card(page, "Typed").locator("pre")).to_be_visible()
    tab_to(page.get_by_label(TIMES.format(1), exact=True))
    page.keyboard.press("ArrowRight")
    expect(page.locator("#message")).to_contain_text("10 times as fast")
    switch = page.get_by_role("switch", name="Let three looks fail")
    tab_to(switch)
    page.keyboard.press("Space")
    expect(switch).to_have_attribute("aria-checked", "true")
    tab_to(page.get_by_role("button", name="Remove all faults"))
    page.keyboard.press("Enter")
    expect(switch).to_have_attribute("aria-checked", "false")
    assert [task.status for task in emulator.tasks] == [Status.SUCCEEDED]


def test_axe_finds_nothing_in_light_in_dark_and_on_a_phone(page: Page, emulator: Emulator) -> None:
    def check() -> None:
        for scheme, size in itertools.product(SCHEMES, (DESK, PHONE)):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size(size)
            assert findings(page) == [], (scheme, size)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (scheme, size)

    check()
    submit(page, "A short one")
    submit(page, "A task that fails [fail]")
    emulator.clock.advance(LONG)
    submit(page, "One under way " * 40)
    emulator.clock.advance(30)
    page.get_by_role("switch", name="Success without an address").click()
    page.get_by_label("Prompt").fill("forbidden")
    page.get_by_role("button", name="Submit to Nebula").click()
    expect(page.get_by_role("alert").filter(has_text="Refused")).to_be_visible()
    for summary in page.locator("summary").all():
        summary.click()
    renewed(page)
    expect(page.locator("details[open]")).to_have_count(page.locator("details").count())
    check()


def test_a_screen_reader_hears_what_changed(page: Page, emulator: Emulator) -> None:
    status = page.locator("#announcement")
    expect(status).to_have_role("status")
    submit(page, "A cat")
    expect(status).to_have_text("1 under way, 0 succeeded, 0 failed.")
    emulator.clock.advance(LONG)
    expect(status).to_have_text("0 under way, 1 succeeded, 0 failed.")
    drawing = page.get_by_role("img", name=re.compile("Spend, USD from"))
    expect(drawing).to_be_visible()
    page.get_by_text("Spend, USD as a table").click()
    expect(page.locator("#table-spend-usd").get_by_role("cell").last).to_have_text("$0.1845")


def test_what_a_client_sent_runs_nowhere(page: Page, emulator: Emulator) -> None:
    submit(page, "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>")
    renewed(page)
    expect(page.get_by_role("article").get_by_role("heading")).to_contain_text("<script>")
    assert page.title() == "Nebula emulator"


def test_it_says_when_nobody_answers(page: Page, emulator: Emulator) -> None:
    renewed(page)
    expect(page.locator("#offline")).to_be_hidden()
    emulator.stop()
    expect(page.locator("#offline")).to_be_visible()


def test_a_theme_is_kept(page: Page) -> None:
    page.emulate_media(color_scheme="light")
    button = page.get_by_role("button", name="Theme")
    for theme, ground in (("light", "rgb(245, 245, 251)"), ("dark", "rgb(15, 14, 26)")):
        button.click()
        expect(button).to_have_text(f"Theme: {theme}")
        expect(page.locator("body")).to_have_css("background-color", ground)
    page.reload()
    expect(page.locator("body")).to_have_css("background-color", "rgb(15, 14, 26)")


def test_without_scripts_the_forms_still_work(browser: Browser, emulator: Emulator) -> None:
    with visiting(browser, java_script_enabled=False) as page:
        page.goto(emulator.url)
        page.get_by_label("Prompt").fill("Plain HTML")
        page.get_by_role("button", name="Submit to Nebula").click()
        expect(page.locator("#message")).to_contain_text("Accepted")
        expect(card(page, "Plain HTML")).to_be_visible()
        page.get_by_role("switch", name="Let three looks fail").click()
        expect(page.get_by_role("switch", name="Let three looks fail")).to_have_attribute("aria-checked", "true")
