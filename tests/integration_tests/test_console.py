"""The console over HTTP, without a browser: what it shows, what its forms do, and whom it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from html import unescape
from typing import Any

import httpx
import pytest

from langchain_nebula_video.emulator import Behaviour, Clock, Emulator, Status
from langchain_nebula_video.web.console import add_console
from tests.conftest import jpeg, png
from tests.tables import each_row

START = 1_762_254_911.0
KEY = 'sk-5ecret<>&"5ecret'
NASTY = "<img src=x onerror=alert(1)>\"'{{ 7 * 7 }} &amp;"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """An emulator whose clock stands, with the console."""
    emulator = Emulator(clock=Clock(start=START, running=False), api_key=KEY)
    add_console(emulator)
    with emulator:
        yield emulator


@pytest.fixture
def browser(emulator: Emulator) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=emulator.url, timeout=60) as client:
        yield client


def submit(emulator: Emulator, prompt: str = "a cat", **fields: Any) -> None:
    """Submit a task as a client does."""
    body = {"model": "wan2.5-i2v-preview", "prompt": prompt, "image": "https://example.com/cat.jpg", **fields}
    headers = {"Authorization": f"Bearer {emulator.api_key}"}
    answer = httpx.post(f"{emulator.url}/v1/video/generations", json=body, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text


def region(page: str, name: str) -> str:
    """The HTML of one region of the page."""
    return re.split(r"<(?:section|p|div) id=\"\w+\" data-live", page.partition(f'id="{name}" data-live')[2])[0]


def test_the_page_shows_a_task_from_its_request_to_its_bill(emulator: Emulator, browser: httpx.Client) -> None:
    assert "No tasks yet" in browser.get("/").text
    submit(emulator, "The cat blinks", resolution="480p")
    emulator.clock.advance(55)
    tasks = region(browser.get("/").text, "tasks")
    for shown in ("The cat blinks", "running", "<progress", "480p, 5 s", "$0.00", "https://example.com/cat.jpg"):
        assert shown in tasks, shown
    emulator.clock.advance(100)
    page = browser.get("/_console/live").text
    assert "succeeded" in region(page, "tasks")
    assert "<video" in region(page, "tasks")
    assert "$0.1845" in region(page, "bill")
    assert "0 under way, 1 succeeded, 0 failed." in region(page, "announcement")
    assert "Spend, USD from" in region(page, "charts")
    assert "POST /v1/video/generations" in region(page, "requests")


def test_tasks_of_another_gateway_are_shown_with_their_currency(emulator: Emulator, browser: httpx.Client) -> None:
    emulator.add_account("sk-beijing", region="beijing")
    headers = {"Authorization": "Bearer sk-beijing", "X-DashScope-Async": "enable"}
    for prompt in ("mist over hills", "never made"):
        body = {
            "model": "wan2.2-i2v-plus",
            "input": {"prompt": prompt, "img_url": "https://example.com/hills.jpg"},
            "parameters": {"resolution": "480P"},
        }
        path = f"{emulator.url}/api/v1/services/aigc/video-generation/video-synthesis"
        assert httpx.post(path, json=body, headers=headers, timeout=60).status_code == 200
    canceled = f"{emulator.url}/api/v1/tasks/{emulator.tasks[1].id}/cancel"
    assert httpx.post(canceled, headers=headers).status_code == 200
    emulator.clock.advance(400)
    page = browser.get("/").text
    assert re.findall(r"<h3[^>]*>(.*?)</h3>", region(page, "tasks")) == ["never made", "mist over hills"]
    assert "canceled" in region(page, "tasks")
    assert "¥0.70" in region(page, "bill")
    assert "Spend, CNY" in region(page, "charts")
    assert "Spend, USD" not in region(page, "charts")


def test_what_nebula_forwards_is_shown_where_its_code_is_played(emulator: Emulator, browser: httpx.Client) -> None:
    submit(emulator)
    assert "Forwarded to the vendor" not in browser.get("/").text
    emulator.behaviour = Behaviour.SOURCE
    submit(emulator)
    assert "Forwarded to the vendor" in browser.get("/").text


def test_a_key_that_a_client_sent_to_the_storage_is_counted(emulator: Emulator, browser: httpx.Client) -> None:
    assert "Keys leaked" not in browser.get("/").text
    httpx.get(f"{emulator.url}/hosted/x", headers={"Authorization": f"Bearer {KEY}"})
    assert re.search(r"Keys leaked</dt><dd>1<", region(browser.get("/").text, "summary"))


def test_of_many_tasks_the_newest_are_shown_and_all_are_counted(emulator: Emulator, browser: httpx.Client) -> None:
    for number in range(45):
        submit(emulator, f"cat {number}")
    page = browser.get("/").text
    assert page.count("<article") == 40
    assert "The newest 40 of 45 are shown." in page
    assert "cat 44" in page
    assert "45 under way" in region(page, "announcement")


def test_a_picture_and_a_video_are_served_without_a_trace(emulator: Emulator, browser: httpx.Client) -> None:
    submit(emulator, resolution="480p")
    (task,) = emulator.tasks
    assert browser.get(f"/_console/videos/{task.id}.mp4").status_code == 404
    emulator.clock.advance(200)
    before = emulator.requests
    thumbnail = browser.get(f"/_console/thumbnails/{task.id}")
    assert (thumbnail.headers["content-type"], thumbnail.content[:2]) == ("image/jpeg", b"\xff\xd8")
    video = browser.get(f"/_console/videos/{task.id}.mp4")
    assert (video.headers["content-type"], video.content[4:8]) == ("video/mp4", b"ftyp")
    part = browser.get(f"/_console/videos/{task.id}.mp4", headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")
    assert browser.get("/_console/videos/other.mp4").status_code == 404
    assert browser.get("/_console/thumbnails/other").status_code == 404
    assert emulator.requests == before


def test_the_form_submits_an_ordinary_request(emulator: Emulator, browser: httpx.Client) -> None:
    form = {"prompt": "a dog", "resolution": "1080p", "seconds": "10", "seed": "7"}
    page = browser.post("/_console/videos", data=form, files={"image": ("dog.png", png(400, 400))}).text
    (task,) = emulator.tasks
    assert "Accepted: task" in page
    assert f'href="#task-{task.id}"' in region(page, "message")
    assert (task.resolution, task.seconds, task.seed) == ("1080p", 10, 7)
    assert [request.point for request in emulator.requests] == ["submit"]
    emulator.clock.advance(200)
    assert emulator.bill.usd == Decimal("1.233")


@pytest.mark.parametrize("behaviour", Behaviour)
def test_without_a_file_a_cat_is_sent_whichever_nebula_is_played(
    emulator: Emulator, browser: httpx.Client, behaviour: Behaviour
) -> None:
    emulator.behaviour = behaviour
    assert "Accepted" in browser.post("/_console/videos", data={"prompt": "a cat"}, files={"image": ("", b"")}).text
    emulator.clock.advance(400)
    assert [task.status for task in emulator.tasks] == [Status.SUCCEEDED]


def test_a_refusal_is_shown_in_the_gateway_s_words(emulator: Emulator, browser: httpx.Client) -> None:
    page = browser.post("/_console/videos", data={"prompt": "forbidden"}).text
    assert "Refused: HTTP 400" in page
    assert "InvalidParameter.DataInspection" in unescape(page)
    assert emulator.tasks == ()


def test_a_file_that_is_no_picture_makes_a_task_that_fails(emulator: Emulator, browser: httpx.Client) -> None:
    browser.post("/_console/videos", data={"prompt": "x"}, files={"image": ("a.jpg", b"no picture")})
    emulator.clock.advance(200)
    assert "InvalidParameter.ImageFormat" in region(browser.get("/").text, "tasks")
    assert browser.get(f"/_console/thumbnails/{emulator.tasks[0].id}").status_code == 404


def test_a_lost_answer_is_told_as_one_that_may_have_been_paid(emulator: Emulator, browser: httpx.Client) -> None:
    emulator.faults.add("submit", "reset_after")
    page = browser.post("/_console/videos", data={"prompt": "a cat"}).text
    assert "The connection broke before an answer came" in page
    assert "The task may exist" in page
    assert len(emulator.tasks) == 1


def test_a_switch_of_a_fault_goes_off_by_itself_once_it_was_played(emulator: Emulator, browser: httpx.Client) -> None:
    switch = 'id="switch-too-many" aria-checked="{}"'
    assert switch.format("false") in browser.get("/").text
    assert switch.format("true") in browser.post("/_console/presets", data={"preset": "too-many"}).text
    for _ in range(2):
        assert "HTTP 429" in browser.post("/_console/videos", data={"prompt": "a cat"}).text
    assert switch.format("false") in browser.get("/").text
    assert "Accepted" in browser.post("/_console/videos", data={"prompt": "a cat"}).text


def test_a_switch_can_be_turned_off_again(emulator: Emulator, browser: httpx.Client) -> None:
    emulator.faults.add("download", "slow")
    for kinds in (["slow", "no_url"], ["slow"]):
        browser.post("/_console/presets", data={"preset": "no-address"})
        assert [record.kind for record in emulator.faults.records()] == kinds


def test_any_fault_can_be_added_and_removed(emulator: Emulator, browser: httpx.Client) -> None:
    form = {"point": "query", "kind": "status", "times": "", "after": "2", "params": '{"code": 502}'}
    browser.post("/_console/faults", data=form)
    browser.post("/_console/faults", data={**form, "kind": "late", "params": ""})
    first, second = emulator.faults.records()
    assert (first.point, first.kind, first.times, first.after, first.params["code"]) == (
        "query",
        "status",
        None,
        2,
        502,
    )
    browser.post("/_console/faults/remove", data={"number": str(first.number)})
    assert emulator.faults.records() == (second,)
    browser.post("/_console/faults/clear")
    assert emulator.faults.records() == ()


def test_the_form_tells_what_each_kind_of_fault_takes(emulator: Emulator, browser: httpx.Client) -> None:
    kinds = re.findall(
        r"<option>(\w+)</option>", browser.get("/").text.partition('id="kind"')[2].partition("</select>")[0]
    )
    assert {"status", "redirect", "truncated", "gateway_error"} <= {*kinds}
    told = {
        kind: " ".join(
            unescape(re.sub("<[^>]+>", "", browser.get("/_console/kinds", params={"kind": kind}).text)).split()
        )
        for kind in kinds
    }
    assert told["truncated"] == "It takes no parameters."
    assert told["redirect"] == "Parameters: to (needed); code = 302; accepted = false."
    assert told["regress"] == 'At query alone. Parameters: status = "PENDING", one of PENDING, RUNNING.'
    assert browser.get("/_console/kinds", params={"kind": "none"}).status_code == 404


@each_row(
    ("path", "form"),
    [
        ("faults", {"point": "nowhere", "kind": "status"}),
        ("faults", {"point": "query", "kind": "status", "params": "[]"}),
        ("faults", {"point": "query", "kind": "status", "params": "{"}),
        ("faults", {"point": "query", "kind": "status", "times": "many"}),
        ("faults/remove", {}),
        ("presets", {"preset": "none"}),
        ("speed", {"speed": "0"}),
        ("speed", {"speed": "fast"}),
        ("speed", {"speed": "nan"}),
        ("speed", {"speed": "inf"}),
        ("speed", {"speed": "1e-300"}),
        ("clock", {"do": "nan"}),
        ("clock", {"do": "inf"}),
        ("clock", {"do": "1e18"}),
        ("behaviour", {"behaviour": "other"}),
        ("clock", {"do": "-5"}),
        ("videos", {"prompt": "x", "seconds": "long"}),
    ],
)
def test_what_makes_no_sense_changes_nothing_and_is_told(
    emulator: Emulator, browser: httpx.Client, path: str, form: dict[str, str]
) -> None:
    answer = browser.post(f"/_console/{path}", data=form)
    assert answer.status_code == 200
    assert "Nothing was changed" in answer.text
    assert 'role="alert"' in answer.text
    assert (emulator.speed, emulator.behaviour, emulator.clock.now()) == (1.0, Behaviour.PAGE, START)
    assert (emulator.faults.records(), emulator.tasks) == ((), ())


def test_speed_behaviour_and_clock_are_set(emulator: Emulator, browser: httpx.Client) -> None:
    browser.post("/_console/speed", data={"speed": "25"})
    browser.post("/_console/behaviour", data={"behaviour": "source"})
    browser.post("/_console/clock", data={"do": "60"})
    assert (emulator.speed, emulator.behaviour, emulator.clock.now()) == (25.0, Behaviour.SOURCE, START + 60)
    browser.post("/_console/clock", data={"do": "resume"})
    assert emulator.clock.running
    browser.post("/_console/clock", data={"do": "pause"})
    assert not emulator.clock.running


def test_whatever_a_client_sent_is_text(emulator: Emulator, browser: httpx.Client) -> None:
    submit(emulator, NASTY)
    emulator.faults.add("submit", "status", code=500, body="html", message=NASTY)
    page = browser.post("/_console/videos", data={"prompt": "x"}).text + browser.get("/").text
    assert "<img src=x" not in page
    assert NASTY in unescape(region(page, "tasks"))
    assert "49" not in re.findall(r"<h3[^>]*>(.*?)</h3>", page)[0]


def test_no_key_is_ever_in_the_page(emulator: Emulator, browser: httpx.Client) -> None:
    """Whoever sees a screenshot reads none, also if a client put one where it does not belong."""
    emulator.add_account("sk-beijing-5ecret", region="beijing")
    submit(emulator, f"a prompt with {KEY}", image=f"https://example.com/{emulator.access_token}.jpg")
    httpx.get(f"{emulator.url}/hosted/sk-beijing-5ecret")
    page = browser.get("/").text
    for secret in (KEY, json.dumps(KEY)[1:-1], "sk-beijing-5ecret", emulator.access_token):
        assert secret not in unescape(page), secret
    assert "a prompt with ***" in page


# --- who may see it ---


def test_a_page_of_another_origin_sees_and_steers_nothing(emulator: Emulator, browser: httpx.Client) -> None:
    for origin in ("http://attacker.example.com", "null", "http://localhost:3000", "https://127.0.0.1"):
        headers = {"Origin": origin}
        for path in ("/", "/_console/live", "/_console/look/site.js", "/_console/thumbnails/x"):
            assert browser.get(path, headers=headers).status_code == 403, path
        for path in ("videos", "presets", "faults", "faults/clear", "speed", "behaviour", "clock"):
            form = {"prompt": "x", "preset": "too-many", "speed": "9"}
            assert browser.post(f"/_console/{path}", data=form, headers=headers).status_code == 403, path
    assert (emulator.tasks, emulator.faults.records(), emulator.speed) == ((), (), 1.0)


@each_row("host", ["attacker.example.com", "127.0.0.1.nip.io", "192.0.2.1", "emulator"])
def test_a_name_that_was_rebound_to_this_machine_sees_nothing(
    emulator: Emulator, browser: httpx.Client, host: str
) -> None:
    headers = {"Host": host, "Origin": f"http://{host}"}
    assert browser.get("/", headers={"Host": host}).status_code == 403
    assert browser.get("/_console/live", headers={"Host": host}).status_code == 403
    assert browser.post("/_console/faults/clear", headers=headers).status_code == 403


def test_a_link_leads_to_the_page_and_a_script_or_a_frame_of_another_site_does_not(browser: httpx.Client) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert browser.get("/", headers=link).status_code == 200
    assert browser.get("/_console/live", headers=link).status_code == 403
    assert browser.get("/", headers={**link, "Sec-Fetch-Dest": "iframe"}).status_code == 403
    assert browser.get("/", headers={**link, "Sec-Fetch-Mode": "no-cors"}).status_code == 403


def test_the_page_s_own_origin_may(browser: httpx.Client) -> None:
    own = {"Origin": str(browser.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert browser.post("/_console/faults/clear", headers=own).status_code == 200


def test_a_body_beyond_any_picture_is_told_and_not_kept(emulator: Emulator, browser: httpx.Client) -> None:
    for content in (bytes(33 * 1024 * 1024), iter([b"a length that nobody knows"])):
        assert "more than 32 MB were sent" in browser.post("/_console/videos", content=content).text
    assert emulator.tasks == ()


def test_the_console_is_in_no_log_and_no_fault_reaches_it(emulator: Emulator, browser: httpx.Client) -> None:
    for point in ("submit", "query", "download"):
        emulator.faults.add(point, "status", times=None)
    assert [browser.get(path).status_code for path in ("/", "/_console/live", "/_console/look/site.css")] == [200] * 3
    assert [each.point for each in emulator.requests] == []
    assert browser.get("/anything").status_code == 404
    assert [each.point for each in emulator.requests] == ["unknown"]


def test_without_a_console_the_root_says_how_to_get_it() -> None:
    with Emulator() as plain:
        answer = httpx.get(plain.url)
        assert (answer.status_code, answer.text.count("\n")) == (200, 1)
        assert 'pip install "langchain-nebula-video[emulator,web]"' in answer.text
        assert httpx.get(plain.url, headers={"Origin": "http://attacker.example.com"}).status_code == 403
        assert plain.requests == ()


def test_an_image_of_a_task_is_shown_whatever_its_format(emulator: Emulator, browser: httpx.Client) -> None:
    for content in (jpeg(400, 400), png(400, 400)):
        submit(emulator, image=emulator.host_image(content))
    for task in emulator.tasks:
        assert browser.get(f"/_console/thumbnails/{task.id}").content[:2] == b"\xff\xd8"
