"""Every gateway through the same doors, over real HTTP; the judge is the emulator's ledger."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
from langchain_core.runnables import Runnable, RunnableLambda

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    AuthenticationError,
    BudgetExceededError,
    InvalidRequestError,
    MemoryJournal,
    NebulaVideoClient,
    NebulaVideoRunnable,
    NebulaVideoTool,
    QuotaError,
    RefusedError,
    RequestError,
    SubmissionUnconfirmedError,
    TaskCanceledError,
    TaskFailedError,
    TaskNotFoundError,
    TaskStatus,
    Video,
)
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.catalog.offers import offers
from langchain_nebula_video.emulator import Emulator
from langchain_nebula_video.emulator.rendering import images
from langchain_nebula_video.journal import EntryState
from langchain_nebula_video.testing import EmulatorClock
from tests.conftest import settle
from tests.gateways import (
    BEIJING,
    REGIONS,
    SINGAPORE,
    HurriedClock,
    all_gateways,
    reached,
    standing_clock,
)

CAT = "https://example.com/cat.png"
PHOTOGRAPH = images.sample("a photograph", (640, 480))
ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": CAT}
FILES_ALONE = {"vllm-omni"}
"""Gateways that take no URL of an image."""
EVERY = sorted(GATEWAYS)
LISTING = sorted(REGIONS)
UNPRICED = {"uniall", "dashscope-us", "dashscope-eu", "dashscope-hk", "sglang", "vllm-omni"}
"""There the emulator knows no price of the default model."""
PLAYED = [*((gateway, "page") for gateway in EVERY), ("nebula", "source")]
"""Every gateway as its page has it, and Nebula as its published code."""
played = pytest.mark.parametrize(("gateway", "behaviour"), PLAYED, indirect=["behaviour"])


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with all_gateways() as running:
        yield running


def ask(gateway: str, prompt: str = ASK["prompt"]) -> dict[str, Any]:
    return {"prompt": prompt, "image": PHOTOGRAPH if gateway in FILES_ALONE else CAT}


def counted(emulator: Emulator, method: str, part: str) -> int:
    return sum(request.method == method and part in request.path for request in emulator.requests)


# --- the same chain, another word ---


def chain(emulator: Emulator, gateway: str) -> Runnable[Any, Video]:
    """An image-generation step, then the video; nothing but the word changes, and what is in the environment."""
    where = {name: value for name, value in reached(emulator, gateway).items() if name != "gateway"}
    draw: Runnable[Any, Any] = RunnableLambda(lambda subject: {"image": PHOTOGRAPH, "prompt": f"{subject} blinks"})
    return draw | NebulaVideoRunnable(gateway=gateway, duration=5, resolution="720p", **where)


@played
def test_the_same_chain_runs_on_every_gateway(emulator: Emulator, gateway: str) -> None:
    video = chain(emulator, gateway).invoke("The cat")
    assert (video.gateway, video.duration, video.resolution) == (gateway, 5, "720p")
    assert (video.model, video.prompt) == (GATEWAYS[gateway].default_model, "The cat blinks")
    (task,) = emulator.tasks
    assert task.image_digest == hashlib.sha256(PHOTOGRAPH).hexdigest()
    assert emulator.violations == ()


@played
async def test_the_same_chain_runs_async_on_every_gateway(emulator: Emulator, gateway: str) -> None:
    video = await chain(emulator, gateway).ainvoke("The cat")
    assert video.gateway == gateway


@pytest.mark.parametrize(
    ("gateway", "behaviour"), [case for case in PLAYED if case[0] not in FILES_ALONE], indirect=["behaviour"]
)
def test_an_agent_s_tool_call_works_on_every_gateway(emulator: Emulator, gateway: str) -> None:
    tool = NebulaVideoTool(**reached(emulator, gateway), handle_tool_error=False)
    call = {"name": tool.name, "args": ASK, "id": "1", "type": "tool_call"}
    message = tool.invoke(call)
    told = json.loads(message.content)
    assert (told["status"], told["duration"], told["resolution"]) == ("succeeded", 5, "720p")
    assert message.artifact["video"]["mime_type"] == "video/mp4"


OFFERS = [(offer.gateway.name, offer.model.name) for name in EVERY for offer in offers(GATEWAYS[name])]


@pytest.mark.parametrize(
    ("gateway", "model"), [pair for pair in OFFERS if "-1080p" not in pair[1]], ids=lambda name: name
)
def test_every_model_of_every_gateway_makes_its_smallest_video(gateway: str, model: str) -> None:
    offer = next(offer for offer in offers(GATEWAYS[gateway]) if offer.model.name == model)
    fields: dict[str, Any] = {"prompt": "A boat", "duration": min(offer.model.durations)}
    fields |= {name: ask(gateway)["image"] for name in ("image", "last_image") if offer.requires(name)}
    if offer.requires("reference_images"):
        fields["reference_images"] = [CAT]
    fields["resolution"] = offer.resolutions[0]
    with all_gateways(speed=1_000_000) as emulator:  # off-peak takes days
        client = NebulaVideoClient(**reached(emulator, gateway), model=model)
        estimate = client.quote(**fields)
        video = client.generate(**fields)
        line = emulator.bill.lines[-1]
    assert (video.duration, video.resolution, video.model) == (fields["duration"], fields["resolution"], model)
    if estimate.usd is not None:
        assert (line.amount, str(line.currency)) == (
            video.cost.cny if video.cost.currency == "CNY" else video.cost.usd,
            video.cost.currency,
        )
        assert video.cost.usd == estimate.usd
    elif gateway == "newapi":  # its table has no prices, and its row the bill
        assert (video.cost.basis, video.cost.usd) == ("billed", line.amount)
    else:
        assert (video.cost.basis, str(video.cost)) == ("unknown", "unknown")


# --- money ---


PRICED = [name for name in EVERY if any(offer.prices for offer in offers(GATEWAYS[name]))]


@pytest.mark.parametrize("gateway", PRICED)
def test_every_price_of_the_catalog_is_what_the_account_is_charged(gateway: str) -> None:
    """With sound and without, the shortest video and the longest: the estimate, the cost and the bill are one."""
    with all_gateways(speed=1_000_000, balance=100_000) as emulator:
        for offer in (offer for offer in offers(GATEWAYS[gateway]) if offer.prices):
            client = NebulaVideoClient(**reached(emulator, gateway), model=offer.model.name)
            least = {name: CAT for name in ("image", "last_image") if offer.requires(name)}
            sounds = [True, False] if offer.accepts("generate_audio") else [False]
            ends = {offer.model.durations[0], offer.model.durations[-1]}
            for tier, sound, duration in product(offer.prices, sounds, ends):
                fields = {"resolution": tier, "generate_audio": sound, "duration": duration}
                estimate = client.quote(fields)
                video = client.generate({"prompt": "A boat", **least, **fields})
                line = emulator.bill.lines[-1]
                costs = [cost.cny if cost.currency == "CNY" else cost.usd for cost in (estimate, video.cost)]
                assert costs == [line.amount] * 2, (offer.model.name, fields)
                assert (line.resolution.lower(), line.seconds) == (tier, duration)
                assert str(line.currency) == estimate.currency
                assert video.cost.basis in {"estimated", "billed"}


@pytest.mark.parametrize(
    ("gateway", "usd", "cny", "told"),
    [
        ("nebula", "0.369", "2.6568", "$0.369"),
        ("dashscope", "0.416667", "3.0", "¥3.00 (about $0.42, estimated)"),
        ("dashscope-intl", "0.50", "3.6", "$0.50 (estimated)"),
        ("newapi", "0.50", "3.60", "$0.50"),
    ],
)
def test_what_is_reported_is_what_the_account_was_charged(
    emulator: Emulator, gateway: str, usd: str, cny: str, told: str
) -> None:
    video = NebulaVideoClient(**reached(emulator, gateway)).generate(**ASK)
    assert (video.cost.usd, video.cost.cny, str(video.cost)) == (Decimal(usd), Decimal(cny), told)
    charged = emulator.bill.cny if gateway == "dashscope" else emulator.bill.usd
    assert charged == (video.cost.cny if gateway == "dashscope" else video.cost.usd)


@pytest.mark.parametrize("gateway", ["dashscope-passthrough", "uniall"])
def test_where_no_price_is_documented_a_budget_needs_one(emulator: Emulator, gateway: str) -> None:
    where = reached(emulator, gateway)
    model = GATEWAYS[gateway].default_model
    assert NebulaVideoClient(**where).generate(**ASK).cost.usd is None
    posts = counted(emulator, "POST", "/")
    with pytest.raises(InvalidRequestError, match="no price is known") as caught:
        NebulaVideoClient(**where, budget="1").generate(**ASK)
    assert f"prices={{'{model}'" in caught.value.hint
    client = NebulaVideoClient(**where, budget="1", prices={model: {"720p": "0.10"}})
    with pytest.raises(BudgetExceededError):
        NebulaVideoClient(**where, budget="0.05", prices={model: "0.10"}).generate(**ASK)
    assert counted(emulator, "POST", "/") == posts
    told = str(client.generate(**ASK).cost)
    assert told.endswith("estimated)")


def test_a_budget_in_dollars_holds_where_prices_are_in_yuan(emulator: Emulator) -> None:
    client = NebulaVideoClient(**reached(emulator, "dashscope"), budget="0.84")
    client.generate(**ASK)
    client.generate(**{**ASK, "prompt": "The dog blinks"})
    with pytest.raises(BudgetExceededError):
        client.generate(**{**ASK, "prompt": "The bird blinks"})
    assert emulator.bill.cny == 6


# --- keys ---


@pytest.mark.parametrize(
    ("gateway", "key", "other"), [("dashscope", SINGAPORE, "dashscope-intl"), ("dashscope-intl", BEIJING, "dashscope")]
)
def test_a_key_of_the_other_region_is_told_as_what_it_may_be(
    emulator: Emulator, gateway: str, key: str, other: str
) -> None:
    client = NebulaVideoClient(**{**reached(emulator, gateway), "api_key": key})
    for image in (CAT, PHOTOGRAPH):
        with pytest.raises(AuthenticationError, match=f"gateway='{other}'"):
            client.generate(prompt="x", image=image)
    assert emulator.tasks == ()


def test_the_key_goes_to_no_storage(emulator: Emulator, tmp_path: Path) -> None:
    with NebulaVideoClient(**reached(emulator, "dashscope"), save_to=tmp_path) as client:
        client.generate(prompt="x", image=PHOTOGRAPH, resolution="480p")
    assert counted(emulator, "POST", "/oss") == 1
    assert emulator.violations == ()


# --- refusals and failures, in each dialect ---


@played
def test_a_failed_task_says_why_and_that_it_was_free(emulator: Emulator, gateway: str) -> None:
    with pytest.raises(TaskFailedError) as caught:
        NebulaVideoClient(**reached(emulator, gateway)).generate(**ask(gateway, "[fail]"))
    assert caught.value.spent is False
    assert caught.value.task is not None
    assert caught.value.task.reason


@played
def test_a_forbidden_prompt_is_refused_as_such(emulator: Emulator, gateway: str) -> None:
    with pytest.raises(RefusedError) as caught:
        NebulaVideoClient(**reached(emulator, gateway)).generate(**ask(gateway, "forbidden"))
    assert type(caught.value).__name__ == "ModerationError"
    assert caught.value.spent is False


@played
def test_a_key_that_nobody_knows_is_refused(emulator: Emulator, gateway: str) -> None:
    client = NebulaVideoClient(**{**reached(emulator, gateway), "api_key": "sk-wrong-0123456789"})
    with pytest.raises(AuthenticationError):
        client.generate(**ask(gateway))


@pytest.mark.parametrize("gateway", sorted({*EVERY} - UNPRICED))
def test_an_empty_account_is_refused(gateway: str) -> None:
    with Emulator(balance=0) as poor:
        poor.add_account(BEIJING, region="beijing", balance=0)
        poor.add_account(SINGAPORE, region="singapore", balance=0)
        with pytest.raises(QuotaError):
            NebulaVideoClient(**reached(poor, gateway)).generate(**ask(gateway))


@played
def test_a_task_that_nobody_knows_is_not_found(emulator: Emulator, gateway: str) -> None:
    with pytest.raises(TaskNotFoundError) as caught:
        NebulaVideoClient(**reached(emulator, gateway)).fetch("no-such-task")
    told = dict.fromkeys(("uniall", "sglang", "vllm-omni"), "; a task that is old may be gone.")
    told |= dict.fromkeys(("nebula", "newapi", "newapi-videos"), ": this gateway keeps its tasks.")
    gone = told.get(gateway, "; a task older than 24 hours is gone.")
    assert caught.value.hint == f"Check the task id, the gateway and the account{gone}"


@pytest.mark.parametrize("gateway", ["dashscope", "dashscope-intl", "dashscope-passthrough"])
def test_a_task_is_gone_after_a_day(emulator: Emulator, gateway: str) -> None:
    client = NebulaVideoClient(**reached(emulator, gateway), clock=HurriedClock())
    task = client.submit(**ASK)
    emulator.clock.advance(24 * 3600 + 1)
    with pytest.raises(TaskNotFoundError, match="24 hours") as caught:
        client.wait(task)
    assert caught.value.task_id == task.task_id


@played
def test_a_rate_limit_is_waited_out(emulator: Emulator, gateway: str) -> None:
    emulator.faults.add("submit", "status", times=2, code=429)
    clock = HurriedClock()
    video = NebulaVideoClient(**{**reached(emulator, gateway), "clock": clock}).generate(**ask(gateway))
    assert video.gateway == gateway
    assert len(emulator.tasks) == 1


# --- an answer that is lost ---


@pytest.mark.parametrize("gateway", sorted({*EVERY} - {*LISTING}))
@pytest.mark.parametrize("fault", ["reset_after", "eof_after", "truncated", "empty", "html"])
def test_where_no_list_is_documented_a_lost_submit_is_one_post_and_a_question(
    emulator: Emulator, gateway: str, fault: str
) -> None:
    emulator.faults.add("submit", fault)
    with pytest.raises(SubmissionUnconfirmedError):
        NebulaVideoClient(**reached(emulator, gateway)).generate(**ask(gateway))
    assert len(emulator.tasks) == 1


@pytest.mark.parametrize("kind", [NebulaVideoClient, AsyncNebulaVideoClient])
@pytest.mark.parametrize("gateway", LISTING)
@pytest.mark.parametrize("fault", ["reset_after", "eof_after", "truncated", "empty", "html"])
async def test_where_tasks_are_listed_a_lost_submit_is_one_post_and_a_video(
    emulator: Emulator, gateway: str, fault: str, kind: Any
) -> None:
    emulator.faults.add("submit", fault)
    journal = MemoryJournal()
    client = kind(**reached(emulator, gateway), journal=journal, clock=HurriedClock(), sole_account=True)
    video = await settle(client.generate(**ASK))
    (task,) = emulator.tasks
    assert (video.task_id, counted(emulator, "POST", "/video-synthesis")) == (task.id, 1)
    assert [entry.state for entry in journal.entries()] == [EntryState.SUCCEEDED]


@pytest.mark.parametrize("fault", ["reset_before", "eof_before"])
def test_a_lost_submit_that_was_not_accepted_is_free_to_repeat_once_no_server_can_hold_it(
    emulator: Emulator, fault: str
) -> None:
    class Later(HurriedClock):
        ahead = timedelta()

        def utcnow(self) -> datetime:
            return super().utcnow() + self.ahead

    emulator.faults.add("submit", fault)
    journal, clock = MemoryJournal(), Later()
    client = NebulaVideoClient(**reached(emulator, "dashscope"), clock=clock, journal=journal, timeout=30)
    with pytest.raises(SubmissionUnconfirmedError, match=r"Call resume\(\) after"):
        client.generate(**ASK, key="k")
    assert client.resume() == []
    assert len(journal.entries()) == 1
    clock.ahead = timedelta(minutes=6)
    assert client.resume() == []
    assert (journal.entries(), emulator.tasks) == ([], ())
    assert client.generate(**ASK, key="k").task_id == emulator.tasks[0].id


@pytest.mark.parametrize("gateway", LISTING)
def test_the_list_names_the_request_that_submitted_a_task_and_that_is_proof(emulator: Emulator, gateway: str) -> None:
    """Somebody else asks for the very same; the answer came cut off behind its request id."""
    here = reached(emulator, gateway)
    theirs = NebulaVideoClient(**here).submit(**ASK)
    emulator.faults.add("submit", "patch", fields={"output": None})
    video = NebulaVideoClient(**here, clock=HurriedClock()).generate(**ASK)
    assert video.task_id != theirs.task_id
    assert video.task_id == emulator.tasks[-1].id
    assert len(emulator.tasks) == 2


@pytest.mark.parametrize("sole", [True, False])
def test_the_task_of_another_program_is_never_taken(emulator: Emulator, sole: bool) -> None:
    """The same account, model and moment; even the same prompt is left to a person once there are two of it."""
    other = NebulaVideoClient(**reached(emulator, "dashscope"))
    theirs = [other.submit(prompt="Somebody else's", image=CAT), other.submit(prompt=ASK["prompt"], image=CAT)]
    emulator.faults.add("submit", "reset_before")
    ours = NebulaVideoClient(**reached(emulator, "dashscope"), clock=HurriedClock(), sole_account=sole)
    emulator.faults.clear("submit")
    emulator.faults.add("submit", "reset_after")
    with pytest.raises(SubmissionUnconfirmedError) as caught:
        ours.generate(**ASK)
    if sole:  # otherwise there is nothing to wait for: it may not have told its prompt yet
        assert theirs[0].task_id not in str(caught.value)
    assert theirs[1].task_id in str(caught.value)
    assert emulator.tasks[-1].id in str(caught.value)


# --- DashScope's extras ---


@pytest.mark.parametrize("kind", [NebulaVideoClient, AsyncNebulaVideoClient])
@pytest.mark.parametrize("gateway", LISTING)
async def test_a_task_that_waits_can_be_taken_back_and_costs_nothing(gateway: str, kind: Any) -> None:
    model = GATEWAYS[gateway].default_model
    with all_gateways(speed=1) as emulator:
        journal = MemoryJournal()
        client = kind(**reached(emulator, gateway), journal=journal, budget="1", prices={model: "0.05"})
        first = await settle(client.submit(**ASK))
        second = await settle(client.submit(prompt="Another", image=CAT))
        taken = await settle(client.cancel(second))
        assert taken.status is TaskStatus.CANCELED
        assert (await settle(client.cancel(second.task_id))).status is TaskStatus.CANCELED
        assert journal.spent() == first.cost.usd
        with pytest.raises(TaskCanceledError):
            await settle(client.wait(second))


def test_a_task_that_runs_cannot_be_taken_back_and_says_that_it_goes_on() -> None:
    with all_gateways(speed=1) as emulator:
        client = NebulaVideoClient(**reached(emulator, "dashscope"))
        task = client.submit(**ASK)
        while client.fetch(task.task_id).status is TaskStatus.QUEUED:
            emulator.clock.advance(5)
        with pytest.raises(RefusedError, match="UnsupportedOperation") as caught:
            client.cancel(task)
        assert caught.value.spent is None
        assert "wait(" in caught.value.hint


def test_a_cancel_whose_answer_is_lost_has_worked(emulator: Emulator) -> None:
    emulator.speed = 1
    client = NebulaVideoClient(**reached(emulator, "dashscope"), clock=HurriedClock())
    task = client.submit(**ASK)
    emulator.faults.add("cancel", "reset_after")
    assert client.cancel(task).status is TaskStatus.CANCELED


@pytest.mark.parametrize("gateway", sorted({*EVERY} - {*LISTING}))
def test_a_gateway_without_a_cancel_route_refuses_to_cancel(emulator: Emulator, gateway: str) -> None:
    client = NebulaVideoClient(**reached(emulator, gateway))
    with pytest.raises(InvalidRequestError, match="documents no way to cancel"):
        client.cancel(client.submit(**ask(gateway)))


def test_a_local_image_is_uploaded_once_for_each_model(emulator: Emulator) -> None:
    with NebulaVideoClient(**reached(emulator, "dashscope")) as client:
        for prompt in ("one", "two", "three"):
            client.generate(prompt=prompt, image=PHOTOGRAPH)
        client.generate(prompt="four", image=PHOTOGRAPH, model="wan2.2-i2v-flash")
    assert counted(emulator, "GET", "/uploads") == counted(emulator, "POST", "/oss") == 2


def test_local_frames_of_a_list_of_media_are_uploaded_too(emulator: Emulator) -> None:
    """And the header goes along that has them looked up."""
    last = images.sample("another photograph", (640, 480))
    with NebulaVideoClient(**reached(emulator, "dashscope"), model="wan2.7-i2v") as client:
        client.generate(prompt="x", image=PHOTOGRAPH, last_image=last, audio_url="https://example.com/song.mp3")
    (task,) = emulator.tasks
    media = {each["type"]: each["url"] for each in task.request["input"]["media"]}
    assert list(media) == ["first_frame", "last_frame", "driving_audio"]
    assert [url.partition("://")[0] for url in media.values()] == ["oss", "oss", "https"]
    assert task.image_digest == hashlib.sha256(PHOTOGRAPH).hexdigest()
    assert counted(emulator, "POST", "/oss") == 2


def test_a_local_image_is_uploaded_again_after_two_days(emulator: Emulator) -> None:
    """Two days by the calendar: while a machine sleeps, the other clock may stand still."""

    class Later(HurriedClock):
        ahead = timedelta()

        def utcnow(self) -> datetime:
            return super().utcnow() + self.ahead

    clock = Later()
    client = NebulaVideoClient(**reached(emulator, "dashscope"), clock=clock)
    client.generate(prompt="one", image=PHOTOGRAPH)
    clock.ahead = timedelta(hours=47.5)
    emulator.clock.advance(48 * 3600 + 1)
    assert client.generate(prompt="two", image=PHOTOGRAPH).duration == 5
    assert counted(emulator, "POST", "/oss") == 2


@pytest.mark.parametrize("point", ["policy", "upload"])
@pytest.mark.parametrize("fault", ["reset_after", "empty", "html", "truncated"])
def test_an_upload_that_goes_wrong_is_simply_done_again(emulator: Emulator, point: str, fault: str) -> None:
    emulator.faults.add(point, fault)
    client = NebulaVideoClient(**reached(emulator, "dashscope"), clock=HurriedClock())
    assert client.generate(prompt="x", image=PHOTOGRAPH).duration == 5
    assert len(emulator.tasks) == 1


def test_an_upload_that_never_works_spends_nothing_and_frees_the_key(emulator: Emulator) -> None:
    emulator.faults.add("upload", "status", times=None, code=503)
    journal = MemoryJournal()
    client = NebulaVideoClient(**reached(emulator, "dashscope"), clock=HurriedClock(), journal=journal)
    with pytest.raises(RequestError, match="HTTP 503") as caught:
        client.generate(prompt="x", image=PHOTOGRAPH, key="k")
    assert caught.value.spent is False
    assert (journal.entries(), emulator.tasks) == ([], ())
    emulator.faults.clear()
    assert client.generate(prompt="x", image=PHOTOGRAPH, key="k").duration == 5


@pytest.mark.parametrize("gateway", ["dashscope-intl", "dashscope-passthrough"])
def test_without_a_storage_a_local_image_goes_in_the_body(emulator: Emulator, gateway: str) -> None:
    NebulaVideoClient(**reached(emulator, gateway)).generate(prompt="x", image=PHOTOGRAPH)
    assert counted(emulator, "POST", "/oss") == 0
    assert len(emulator.tasks) == 1


def test_a_task_whose_model_nobody_names_has_no_price(emulator: Emulator) -> None:
    """The answers do not tell the model, and another model's price would be a wrong cost."""
    here = reached(emulator, "dashscope")
    task = NebulaVideoClient(**here, model="wan2.2-i2v-flash").submit(**ASK)
    stranger = NebulaVideoClient(**here).wait(task.task_id)
    assert (stranger.model, str(stranger.cost), stranger.duration) == ("", "unknown", 5)
    told = NebulaVideoClient(**here, model="wan2.2-i2v-flash").wait(task.task_id)
    assert (told.model, told.cost.cny) == ("wan2.2-i2v-flash", Decimal(1))


def test_a_gateway_that_tells_the_model_is_believed(emulator: Emulator) -> None:
    here = reached(emulator, "uniall")
    task = NebulaVideoClient(**here, model="viduq3t-540p").submit(**ASK)
    assert NebulaVideoClient(**here).wait(task.task_id).model == "viduq3t-540p"


def test_a_first_and_a_last_frame_are_both_uploaded(emulator: Emulator) -> None:
    client = NebulaVideoClient(**reached(emulator, "dashscope"), model="wan2.2-kf2v-flash")
    client.generate(prompt="x", image=PHOTOGRAPH, last_image=images.sample("the end", (640, 480)))
    assert counted(emulator, "POST", "/oss") == 2


# --- Vidu ---


@pytest.mark.parametrize("status", [404, 405])
def test_where_the_documented_query_is_not_there_the_other_one_is_asked(status: int) -> None:
    with all_gateways(vidu_query_refusal=status) as emulator:
        client = NebulaVideoClient(**reached(emulator, "uniall"))
        assert client.generate(**ASK).duration == 5
        assert counted(emulator, "GET", "/v1/video/generations/") == 1
        client.generate(prompt="Another", image=CAT)
        assert counted(emulator, "GET", "/v1/video/generations/") == 1


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("viduq3p-540p", {}),
        ("viduq3t-540p", {"image": CAT}),
        ("viduq3p-540p", {"image": CAT, "last_image": "https://example.com/dog.png"}),
        ("viduq3p-mix-540p", {"reference_images": [CAT, "https://example.com/dog.png"]}),
    ],
    ids=["text", "image", "first and last frame", "references"],
)
def test_vidu_makes_videos_in_its_four_modes(emulator: Emulator, model: str, fields: dict[str, Any]) -> None:
    client = NebulaVideoClient(**reached(emulator, "uniall"), model=model)
    video = client.generate(prompt="A boat", duration=1, generate_audio=True, seed=42, **fields)
    assert (video.duration, video.resolution) == (1, "540p")
    with av.open(io.BytesIO(httpx.get(video.url, timeout=60).content)) as film:
        assert len(film.streams.audio) == 1


def test_progress_is_the_gateway_s_own_where_it_tells() -> None:
    with all_gateways(speed=1, clock=standing_clock()) as emulator:
        seen: list[float] = []
        where = {**reached(emulator, "uniall"), "poll_interval": 5.0}
        client = NebulaVideoClient(**where, clock=EmulatorClock(emulator))
        client.generate(**ASK, on_progress=lambda event: seen.append(event.fraction))
    between = [fraction for fraction in seen if 0 < fraction < 1]
    assert between == sorted(between)
    assert all(abs(fraction * 100 - round(fraction * 100)) < 1e-9 for fraction in between)
    assert seen[-1] == 1.0
