"""What the MCP tools do, on a gateway of functions."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from langchain_nebula_video import BudgetExceededError, InvalidRequestError, MemoryJournal, ModerationError
from langchain_nebula_video.lifecycle.orders import Order
from langchain_nebula_video.mcp.consent import ConsentRefusedError
from langchain_nebula_video.mcp.service import VideoService, error_answer
from langchain_nebula_video.mcp.settings import read_settings
from tests.conftest import FakeClock, Gateway, failed, jpeg, running, submitted, succeeded

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}
Serve = Callable[..., VideoService]


class Person:
    """Whoever is asked for consent."""

    def __init__(self, *, agrees: bool = True) -> None:
        self.agrees = agrees
        self.asked: list[str] = []

    async def __call__(self, order: Order) -> None:
        self.asked.append(str(order.cost.usd))
        if not self.agrees:
            raise ConsentRefusedError("The user declined.")


@pytest.fixture
def person() -> Person:
    return Person()


@pytest.fixture
def serve(options: dict[str, Any]) -> Serve:
    def make(**more: Any) -> VideoService:
        settings, client = read_settings({**options, **more})
        return VideoService(client, settings)

    return make


async def test_a_video_is_facts_and_a_link(serve: Serve, person: Person) -> None:
    answer = await serve().animate(ASK, person)
    assert answer.facts["status"] == "succeeded"
    assert answer.facts["cost_usd"] == 0.369
    assert answer.link == answer.facts["url"]
    assert "video" not in answer.facts
    assert answer.text.startswith('{"status": "succeeded", "url": "https://')
    assert person.asked == ["0.3690"]


async def test_the_same_call_again_is_not_paid_and_nobody_is_asked(
    serve: Serve, person: Person, gateway: Gateway
) -> None:
    service = serve()
    first = await service.animate(ASK, person)
    again = await service.animate(ASK, person)
    assert gateway.posts == 1
    assert len(person.asked) == 1
    assert again.facts["task_id"] == first.facts["task_id"]
    assert again.facts["reused"] is True
    assert "another seed" in again.facts["note"]


async def test_another_server_on_the_same_journal_joins_too(serve: Serve, person: Person, gateway: Gateway) -> None:
    journal = MemoryJournal()
    await serve(journal=journal).submit(ASK, person)
    await serve(journal=journal).animate(ASK, person)
    assert gateway.posts == 1


async def test_an_identical_call_joins_for_as_long_as_a_video_may_take(
    serve: Serve, person: Person, gateway: Gateway, clock: FakeClock
) -> None:
    service = serve(timeout=7200)
    await service.submit(ASK, person)
    clock.now += 14_000
    await service.submit(ASK, person)
    assert gateway.posts == 1


async def test_a_picture_that_does_not_fit_is_refused_in_words_that_a_language_model_can_follow(
    serve: Serve, person: Person, gateway: Gateway
) -> None:
    image = f"data:image/jpeg;base64,{base64.b64encode(jpeg(64, 48)).decode()}"
    with pytest.raises(InvalidRequestError) as caught:
        await serve(gateway="dashscope").animate({**ASK, "image": image}, person)
    assert "with Pillow: " in caught.value.hint
    text = error_answer(caught.value).text
    assert text.startswith("The image has 64 x 48 pixels; the model reads sides of 360 to 2000 pixels. Nothing was ")
    assert text.endswith("Use another image, or ask the user for one. Whoever runs this tool can have images made to "
                         "fit: fit=True in Python, --fit on the command line.")  # fmt: skip
    assert (person.asked, gateway.requests) == ([], [])


async def test_whoever_declines_pays_nothing(serve: Serve, gateway: Gateway) -> None:
    for call in (serve().animate, serve().submit):
        with pytest.raises(ConsentRefusedError):
            await call(ASK, Person(agrees=False))
    assert gateway.requests == []


async def test_nobody_is_asked_about_a_video_that_the_budget_refuses(
    serve: Serve, person: Person, gateway: Gateway
) -> None:
    with pytest.raises(BudgetExceededError):
        await serve(budget="0.30").animate(ASK, person)
    assert person.asked == []
    assert gateway.requests == []


async def test_after_max_wait_the_task_is_the_answer_and_the_same_call_goes_on(
    serve: Serve, person: Person, gateway: Gateway
) -> None:
    gateway.fetches = [running()]
    service = serve(max_wait=30, poll_interval=5)
    answer = await service.animate(ASK, person)
    assert answer.facts["status"] == "running"
    assert answer.facts["note"].startswith("The video is not ready yet. Call nebula_get_video")
    gateway.fetches = [succeeded()]
    assert (await service.animate(ASK, person)).facts["status"] == "succeeded"
    assert gateway.posts == 1


async def test_a_submitted_video_is_got_and_waited_for(serve: Serve, person: Person, gateway: Gateway) -> None:
    service = serve(poll_interval=5)
    gateway.fetches = [running(), running(), succeeded()]
    started = await service.submit(ASK, person)
    assert (started.facts["status"], started.facts["ready_in_seconds"]) == ("queued", [60, 120])
    task_id = {"task_id": started.facts["task_id"]}
    assert (await service.get(task_id, person)).facts["status"] == "running"
    got = await service.get({**task_id, "wait_seconds": 60}, person)
    assert (got.facts["status"], got.link) == ("succeeded", got.facts["url"])


async def test_a_wait_that_is_too_short_is_no_error(serve: Serve, person: Person, gateway: Gateway) -> None:
    service = serve(poll_interval=5)
    gateway.fetches = [running()]
    started = await service.submit(ASK, person)
    got = await service.get({"task_id": started.facts["task_id"], "wait_seconds": 20}, person)
    assert (got.facts["status"], got.is_error) == ("running", False)


async def test_a_failed_task_tells_why_and_that_it_was_free(serve: Serve, person: Person, gateway: Gateway) -> None:
    service = serve()
    gateway.fetches = [failed()]
    started = await service.submit(ASK, person)
    got = await service.get({"task_id": started.facts["task_id"]}, person)
    assert (got.facts["status"], got.facts["cost_usd"]) == ("failed", 0.0)
    assert "Image format not supported" in got.facts["reason"]


async def test_a_url_that_only_the_key_opens_is_no_link(serve: Serve, person: Person, gateway: Gateway) -> None:
    own = "https://llm.ai-nebula.com/v1/videos/task-1/content"
    gateway.fetches = [{**succeeded(output={"task_status": "SUCCEEDED"}), "url": own}]
    service = serve()
    answer = await service.animate(ASK, person)
    assert answer.link is None
    assert "url" not in answer.facts
    assert answer.facts["no_link"].startswith("The video is on the gateway and opens with its API key only")
    listed = (await service.list_videos({}, person)).facts
    assert "url" not in listed["finished"][0]
    assert own not in str(listed)


async def test_a_saved_video_is_a_resource(serve: Serve, person: Person, gateway: Gateway, tmp_path: Path) -> None:
    clip = b"\0\0\0\x18ftypisom" + bytes(12) + b"\0\0\0\x08moov" + b"\0\0\0\x08mdat"
    gateway.fetches = [succeeded(), httpx.Response(200, content=clip)]
    service = serve(save_to=tmp_path / "videos")
    answer = await service.animate(ASK, person)
    assert answer.facts["resource"] == "resource://videos/task-1"
    assert (await service.saved_video("task-1")).read_bytes() == clip
    with pytest.raises(InvalidRequestError, match="No file of task other is here"):
        await service.saved_video("other")


async def test_the_price_and_what_is_left(serve: Serve, person: Person) -> None:
    answer = await serve(budget="1.00").quote({"duration": 10, "resolution": "480p"}, person)
    assert answer.facts == {
        "cost_usd": 0.369,
        "seconds": 10,
        "basis": "estimated",
        "model": "wan2.5-i2v-preview",
        "budget_left_usd": 1.0,
    }
    assert person.asked == []


async def test_the_list_has_every_unfinished_video_and_the_newest_others(
    serve: Serve, person: Person, gateway: Gateway
) -> None:
    service = serve(budget="5")
    gateway.submits = [submitted(f"task-{number}") for number in range(1, 4)]
    gateway.fetches = [succeeded()]
    for seed in (1, 2, 3):
        await service.submit({**ASK, "seed": seed}, person)
    await service.get({"task_id": "task-1"}, person)
    listed = (await service.list_videos({"limit": 1}, person)).facts
    assert [each["task_id"] for each in listed["unfinished"]] == ["task-3", "task-2"]
    (done,) = listed["finished"]
    assert (done["task_id"], done["status"], done["cost"], done["prompt"]) == (
        "task-1", "succeeded", "$0.369", "The cat blinks",
    )  # fmt: skip
    assert listed["budget_left_usd"] == pytest.approx(5 - 3 * 0.369)


async def test_another_account_s_videos_are_not_listed(serve: Serve, person: Person) -> None:
    journal = MemoryJournal()
    await serve(journal=journal).submit(ASK, person)
    listed = await serve(journal=journal, api_key="sk-of-somebody-else").list_videos({}, person)
    assert listed.facts == {"unfinished": [], "finished": []}


async def test_a_name_is_no_file_without_a_folder(serve: Serve, person: Person, gateway: Gateway) -> None:
    for image in ("cat.jpg", "/etc/passwd", "file:///etc/passwd", "resource://images/cat.jpg"):
        with pytest.raises(InvalidRequestError, match="is no https URL and no data: URI") as refused:
            await serve().animate({**ASK, "image": image}, person)
        assert "--image-folder" in str(refused.value)
    assert gateway.requests == []
    assert person.asked == []


async def test_a_file_of_the_folder_is_named_in_either_way(
    serve: Serve, person: Person, gateway: Gateway, tmp_path: Path
) -> None:
    (tmp_path / "a cat.jpg").write_bytes(jpeg(400, 400))
    service = serve(image_folder=tmp_path)
    for image in ("a cat.jpg", "resource://images/a%20cat.jpg"):
        await service.animate({**ASK, "image": image}, person)
    assert gateway.posts == 1  # the very same image
    for image in ("../secret.jpg", "resource://images/..%2Fsecret.jpg", "/etc/passwd"):
        with pytest.raises(InvalidRequestError, match="is no file inside the allowed folder"):
            await service.animate({**ASK, "image": image}, person)


def test_an_error_says_what_happened_what_it_cost_and_what_to_do() -> None:
    answer = error_answer(ModerationError("The prompt broke the rules.", task_id="task-1"))
    assert answer.is_error
    assert answer.facts["error"] == "ModerationError"
    assert (answer.facts["spent"], answer.facts["task_id"]) == (False, "task-1")
    assert answer.text == str(answer.facts["message"])
    assert answer.text.startswith("The prompt broke the rules. [task task-1] Nothing was spent.")


def test_an_option_that_is_not_valid_is_refused(options: dict[str, Any]) -> None:
    for wrong in ({"confirm": "maybe"}, {"max_wait": 0}, {"links": True}, {"budgte": 5}):
        with pytest.raises(InvalidRequestError) as refused:
            read_settings({**options, **wrong})
        assert next(iter(wrong)) in str(refused.value)
