"""The emulated DashScope against the vendor's pages, without a socket."""

from __future__ import annotations

import base64
import io
import re
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from PIL import Image

from langchain_nebula_video.emulator import Clock, Currency, Dialect, Emulator, Region, Status
from langchain_nebula_video.emulator.dialects.dashscope_families import DASHSCOPE_MODELS
from tests.tables import each_row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# 2025-11-04 19:15:11.819 in Beijing.
START = 1_762_254_911.819
LONGEST = 300.0
DAY = 86_400.0
MODEL = "wan2.2-i2v-plus"
WITH_SOUND = "wan2.5-i2v-preview"
SUBMIT = "/api/v1/services/aigc/video-generation/video-synthesis"
KEYS = {"": "sk-beijing", "/singapore": "sk-singapore", "/alibailian": "sk-emulator"}
UNSIGNED = "Unable to download the media resource during the data inspection process."


def picture(kind: str = "JPEG", size: tuple[int, int] = (480, 360), mode: str = "RGB") -> str:
    out = io.BytesIO()
    Image.new(mode, size, "teal").save(out, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(out.getvalue()).decode()}"


@pytest.fixture
def clock() -> Clock:
    return Clock(START, running=False)


@pytest.fixture
def emulator(clock: Clock) -> Emulator:
    emulator = Emulator(clock=clock)
    emulator.add_account("sk-beijing", region="beijing", name="beijing")
    emulator.add_account("sk-singapore", region=Region.SINGAPORE, name="singapore")
    return emulator


@pytest.fixture
async def http(emulator: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(emulator) as client:
        yield client


def connect(emulator: Emulator, prefix: str = "", key: str | None = None) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=emulator.app),
        base_url="http://127.0.0.1" + prefix,
        headers={"Authorization": f"Bearer {key or KEYS[prefix]}", "X-DashScope-Async": "enable"},
    )


def a_request(model: str = MODEL, parameters: Any = None, **given: Any) -> dict[str, Any]:
    fields = {"prompt": "a cat runs", "img_url": "https://example.com/cat.jpg"} | given
    kept = {name: value for name, value in fields.items() if value is not ...}
    return {"model": model, "input": kept, "parameters": {"seed": 7} | (parameters or {})}


async def submit(http: httpx.AsyncClient, *args: Any, **given: Any) -> str:
    answer = await http.post(SUBMIT, json=a_request(*args, **given))
    assert answer.status_code == 200, answer.text
    task_id: str = answer.json()["output"]["task_id"]
    return task_id


async def refusal(http: httpx.AsyncClient, *args: Any, **given: Any) -> tuple[int, str, str]:
    answer = await http.post(SUBMIT, json=a_request(*args, **given))
    body = answer.json()
    assert body.keys() == {"request_id", "code", "message"}
    return answer.status_code, body["code"], body["message"]


async def output(http: httpx.AsyncClient, task_id: str) -> dict[str, Any]:
    answer = await http.get(f"/api/v1/tasks/{task_id}")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()["output"]
    return told


async def test_submitted_answer_has_the_shape_of_the_page(http: httpx.AsyncClient) -> None:
    """Output and request id, and nothing else."""
    body = (await http.post(SUBMIT, json=a_request())).json()
    assert body == {
        "request_id": str(uuid.UUID(body["request_id"])),
        "output": {"task_status": "PENDING", "task_id": str(uuid.UUID(body["output"]["task_id"]))},
    }


async def test_succeeded_answer_has_the_shape_of_the_page(http: httpx.AsyncClient, clock: Clock) -> None:
    """Three times in Beijing, both prompts, a signed address, the usage."""
    task_id = await submit(http)
    clock.advance(LONGEST)
    body = (await http.get(f"/api/v1/tasks/{task_id}")).json()
    told = body["output"]
    assert body.keys() == {"request_id", "output", "usage"}
    assert told.keys() == {
        *("task_id", "task_status", "submit_time", "scheduled_time", "end_time"),
        *("orig_prompt", "actual_prompt", "video_url"),
    }
    assert told["task_status"] == "SUCCEEDED"
    assert told["submit_time"] == "2025-11-04 19:15:11.819"
    assert told["submit_time"] < told["scheduled_time"] < told["end_time"]
    assert re.fullmatch(r"2025-11-04 19:\d\d:\d\d\.\d{3}", told["end_time"])
    assert told["video_url"].startswith(f"http://127.0.0.1/results/{task_id}.mp4?Expires=")
    assert body["usage"] == {"duration": 5, "video_count": 1, "SR": 1080}


async def test_usage_of_the_older_models_is_the_older_one(http: httpx.AsyncClient, clock: Clock) -> None:
    """As in the page's example with the turbo model."""
    task_id = await submit(http, "wanx2.1-i2v-turbo", {"duration": 4})
    clock.advance(LONGEST)
    usage = (await http.get(f"/api/v1/tasks/{task_id}")).json()["usage"]
    assert usage == {"video_duration": 4, "video_ratio": "standard", "video_count": 1}


async def test_task_passes_through_pending_and_running(
    http: httpx.AsyncClient, emulator: Emulator, clock: Clock
) -> None:
    """Each status shows the times that are known by then."""
    task_id = await submit(http)
    assert (await output(http, task_id)).keys() == {"task_id", "task_status", "submit_time"}
    clock.advance(emulator.tasks[0].started_at - clock.now())
    running = await output(http, task_id)
    assert running["task_status"] == "RUNNING"
    assert running.keys() == {"task_id", "task_status", "submit_time", "scheduled_time"}


async def test_failed_task_is_an_answer_of_200_and_free(
    http: httpx.AsyncClient, emulator: Emulator, clock: Clock
) -> None:
    """With code and message in the output."""
    task_id = await submit(http, prompt="a cat [moderated]")
    clock.advance(LONGEST)
    told = await output(http, task_id)
    assert told["task_status"] == "FAILED"
    assert (told["code"], told["message"]) == ("DataInspectionFailed", "Input data may contain inappropriate content.")
    assert emulator.bill.lines == ()


async def test_synchronous_call_is_refused(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """In the page's words, and nothing is begun."""
    answer = await http.post(SUBMIT, json=a_request(), headers={"X-DashScope-Async": ""})
    assert answer.status_code == 403
    assert answer.json()["message"] == "current user api does not support synchronous calls"
    assert emulator.tasks == ()


async def test_trailing_slash_is_the_same_query(http: httpx.AsyncClient) -> None:
    """The SDK's part for asyncio asks so."""
    task_id = await submit(http)
    assert (await http.get(f"/api/v1/tasks/{task_id}/")).json()["output"]["task_id"] == task_id


async def test_unknown_and_expired_tasks_are_unknown(http: httpx.AsyncClient, clock: Clock) -> None:
    """Not an error: a status, with 200."""
    assert await output(http, "nothing") == {"task_id": "nothing", "task_status": "UNKNOWN"}
    task_id = await submit(http)
    clock.advance(DAY - 1)
    assert (await output(http, task_id))["task_status"] == "SUCCEEDED"
    clock.advance(1)
    assert await output(http, task_id) == {"task_id": task_id, "task_status": "UNKNOWN"}


async def test_another_accounts_task_is_unknown(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """Tasks are seen by the account they belong to."""
    task_id = await submit(http)
    emulator.add_account("sk-other", region="beijing")
    async with connect(emulator, key="sk-other") as other:
        assert (await output(other, task_id))["task_status"] == "UNKNOWN"


@pytest.mark.parametrize("prefix", KEYS)
@pytest.mark.parametrize("key", [*KEYS.values(), "sk-nobody"])
async def test_key_is_good_behind_its_own_door_only(emulator: Emulator, prefix: str, key: str) -> None:
    """Regions and gateways do not share keys."""
    async with connect(emulator, prefix, key) as http:
        model = "wan2.5-i2v-preview"
        assert (await http.post(SUBMIT, json=a_request(model))).status_code == (200 if key == KEYS[prefix] else 401)


async def test_vendors_key_is_not_a_gateways(emulator: Emulator) -> None:
    """Nebula knows no key of Beijing's."""
    async with connect(emulator, key="sk-beijing") as http:
        assert (await http.get("/v1/video/generations/x")).status_code == 401


async def test_wrong_key_has_the_vendors_code(emulator: Emulator) -> None:
    """The error's three fields."""
    async with connect(emulator, key="sk-nobody") as http:
        assert await refusal(http) == (401, "InvalidApiKey", "Invalid API-key provided.")


@pytest.mark.parametrize(
    ("region", "model", "resolution", "seconds", "cost"),
    [
        ("", "wan2.5-i2v-preview", "480P", 5, "1.5"),
        ("", "wan2.5-i2v-preview", "1080P", 10, "10"),
        ("", "wan2.2-i2v-flash", "1080P", 5, "2.4"),
        ("", "wan2.2-i2v-plus", "480P", 5, "0.7"),
        ("", "wanx2.1-i2v-plus", "720P", 5, "3.5"),
        ("", "wanx2.1-i2v-turbo", "720P", 3, "0.72"),
        ("/singapore", "wan2.5-i2v-preview", "720P", 10, "1"),
        ("/singapore", "wan2.2-i2v-flash", "480P", 5, "0.075"),
        ("/singapore", "wan2.2-i2v-plus", "1080P", 5, "0.5"),
        ("/singapore", "wan2.1-i2v-plus", "720P", 5, "0.5"),
        ("/singapore", "wan2.1-i2v-turbo", "480P", 4, "0.144"),
    ],
)
async def test_cost_is_that_of_the_region(
    emulator: Emulator, clock: Clock, region: str, model: str, resolution: str, seconds: int, cost: str
) -> None:
    """Yuan in Beijing, dollars in Singapore, to the last digit."""
    async with connect(emulator, region) as http:
        await submit(http, model, {"resolution": resolution, "duration": seconds})
    clock.advance(LONGEST)
    (line,) = emulator.bill.lines
    assert line.currency is (Currency.USD if region else Currency.CNY)
    assert line.amount == emulator.bill.total(line.currency) == Decimal(cost)
    assert {account.balance for account in emulator.accounts} == {Decimal(100), 100 - Decimal(cost)}
    assert (emulator.tasks[0].dialect, emulator.tasks[0].currency) == (Dialect.DASHSCOPE, line.currency)


@pytest.mark.parametrize(
    ("region", "model"),
    [("", "wan2.1-i2v-plus"), ("/singapore", "wanx2.1-i2v-plus"), ("", "wan9"), ("/singapore", "wan2.2-kf2v-flash")],
)
async def test_model_of_another_region_does_not_exist(emulator: Emulator, region: str, model: str) -> None:
    """Each region has its own names."""
    async with connect(emulator, region) as http:
        assert (await refusal(http, model))[:2] == (404, "ModelNotFound")


@each_row(
    ("model", "resolution", "rate"),
    [
        ("wan2.5-i2v-preview", "1080P", 24),
        ("wan2.2-i2v-flash", "720P", 30),
        ("wan2.2-i2v-plus", "1080P", 30),
        ("wanx2.1-i2v-plus", "720P", 30),
        ("wanx2.1-i2v-turbo", "720P", 30),
        ("wan2.2-kf2v-flash", "720P", 30),
    ],
)
def test_every_model_has_its_own_default(model: str, resolution: str, rate: int) -> None:
    """Of resolution; five seconds are everybody's."""
    row = DASHSCOPE_MODELS[Region.BEIJING][model].model
    assert (row.default_resolution, row.frame_rate, row.default_seconds) == (resolution, rate, 5)
    assert row.default_resolution in row.prices


@each_row(
    ("model", "parameters"),
    [
        ("wan2.2-i2v-plus", {"resolution": "720P"}),
        ("wanx2.1-i2v-plus", {"resolution": "480P"}),
        ("wanx2.1-i2v-turbo", {"resolution": "1080P"}),
        ("wan2.2-i2v-plus", {"resolution": "480p"}),
        ("wan2.2-i2v-plus", {"duration": 10}),
        ("wan2.5-i2v-preview", {"duration": 7}),
        ("wanx2.1-i2v-turbo", {"duration": 2}),
        ("wan2.2-i2v-plus", {"seed": -1}),
        ("wan2.2-i2v-plus", {"seed": 2**31}),
        ("wan2.2-i2v-plus", {"duration": "5"}),
        ("wan2.2-i2v-plus", {"watermark": 1}),
    ],
)
async def test_value_that_is_not_the_models_is_refused(
    http: httpx.AsyncClient, model: str, parameters: dict[str, Any]
) -> None:
    """Resolutions and lengths are each model's own."""
    assert (await refusal(http, model, parameters))[:2] == (400, "InvalidParameter")


async def test_singapore_sells_no_1080p_of_the_flash_model(emulator: Emulator) -> None:
    """What has no price is not on offer."""
    async with connect(emulator, "/singapore") as http:
        assert (await refusal(http, "wan2.2-i2v-flash", {"resolution": "1080P"}))[:2] == (400, "InvalidParameter")


async def test_unknown_fields_are_ignored(http: httpx.AsyncClient) -> None:
    """The SDK always sends two."""
    await submit(http, MODEL, {"size": "1280*720"}, extend_prompt=True, function="video-synthesis")


@pytest.mark.parametrize("prompt", [..., None, ""])
async def test_prompt_may_be_left_out(http: httpx.AsyncClient, clock: Clock, prompt: Any) -> None:
    """The picture alone is enough; there is nothing to rewrite then."""
    task_id = await submit(http, prompt=prompt)
    clock.advance(LONGEST)
    assert "actual_prompt" not in await output(http, task_id)


@each_row("missing", [..., None, "", "  "])
async def test_picture_must_not_be_left_out(http: httpx.AsyncClient, missing: Any) -> None:
    """Absent, null, empty and blank are all missing."""
    assert await refusal(http, img_url=missing) == (400, "InvalidParameter", "Field required: input.img_url")


async def test_prompt_is_rewritten_unless_declined(http: httpx.AsyncClient, clock: Clock) -> None:
    """On by default, unlike Nebula's."""
    rewritten, plain = await submit(http), await submit(http, MODEL, {"prompt_extend": False})
    clock.advance(LONGEST)
    assert (await output(http, rewritten))["actual_prompt"].startswith("a cat runs. ")
    assert "actual_prompt" not in await output(http, plain)


async def test_long_prompt_is_cut_off(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """At the model's limit, without a word."""
    await submit(http, MODEL, {"seed": 1}, prompt="x" * 800 + " forbidden")
    assert (await refusal(http, WITH_SOUND, prompt="x" * 800 + " forbidden"))[1] == "DataInspectionFailed"


@pytest.mark.parametrize(
    ("model", "parameters", "heard"),
    [
        (WITH_SOUND, {}, True),
        (WITH_SOUND, {"audio": True}, True),
        (WITH_SOUND, {"audio": False}, False),
        (MODEL, {"audio": True}, False),
    ],
)
async def test_sound_is_on_unless_declined_and_one_models_only(
    http: httpx.AsyncClient, emulator: Emulator, model: str, parameters: dict[str, Any], heard: bool
) -> None:
    """Silence must be asked for."""
    task_id = await submit(http, model, parameters)
    assert emulator._state.engine.find(task_id)[0].spec.generate_audio is heard


async def test_given_sound_wins(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """And is ignored by a model without sound."""
    first = await submit(http, WITH_SOUND, {"audio": False}, audio_url="https://example.com/rap.mp3")
    second = await submit(http, MODEL, audio_url="https://example.com/rap.mp3")
    find = emulator._state.engine.find
    assert find(first)[0].spec.audio is not None
    assert find(second)[0].spec.audio is None


@each_row(
    ("model", "template", "status"),
    [
        ("wanx2.1-i2v-turbo", "flying", 200),
        ("wanx2.1-i2v-plus", "flying", 200),
        ("wanx2.1-i2v-plus", "dance3", 200),
        ("wanx2.1-i2v-turbo", "dance3", 400),
        ("wanx2.1-i2v-plus", "waltz", 400),
        (MODEL, "flying", 400),
    ],
)
async def test_templates_are_the_older_models(http: httpx.AsyncClient, model: str, template: str, status: int) -> None:
    """Some of both, some of the plus model alone."""
    assert (await http.post(SUBMIT, json=a_request(model, template=template))).status_code == status


async def test_prompt_is_ignored_with_a_template(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """Whatever stands in it."""
    await submit(http, "wanx2.1-i2v-plus", template="hug", prompt="forbidden [fail]")
    emulator.clock.advance(LONGEST)
    assert emulator.tasks[0].status is Status.SUCCEEDED


@each_row(
    ("image", "code"),
    [
        (picture("PNG"), None),
        (picture("BMP"), None),
        (picture("WEBP"), None),
        (picture(size=(360, 2000)), None),
        (picture("GIF"), "InvalidParameter.ImageFormat"),
        (picture("PNG", mode="RGBA"), "InvalidParameter.ImageFormat"),
        (picture(size=(359, 400)), "InvalidParameter.ImageSize"),
        (picture(size=(400, 2001)), "InvalidParameter.ImageSize"),
        ("data:image/png;base64,????", "InvalidParameter.ImageFormat"),
        ("data:image/png;base64," + "A" * 14_000_000, "InvalidParameter.ImageSize"),
    ],
)
async def test_picture_in_the_request_is_what_the_page_says(
    http: httpx.AsyncClient, image: str, code: str | None
) -> None:
    """Four formats, no alpha channel, sides of 360 to 2000 pixels, ten megabytes."""
    answer = await http.post(SUBMIT, json=a_request(img_url=image))
    assert answer.json().get("code") == code


async def test_picture_behind_an_address_fails_the_task(http: httpx.AsyncClient, clock: Clock) -> None:
    """It is looked at when the task is worked on."""
    task_id = await submit(http, img_url="https://unreachable.invalid/cat.jpg")
    clock.advance(LONGEST)
    told = await output(http, task_id)
    assert (told["code"], told["message"]) == ("InvalidParameter.DataInspection", UNSIGNED)


async def test_account_without_money_is_in_arrears(emulator: Emulator) -> None:
    """The vendor is paid afterwards: one cent left is enough, none is not."""
    emulator.add_account("sk-poor", region="beijing", balance="0.01")
    async with connect(emulator, key="sk-poor") as http:
        await submit(http)
        emulator.clock.advance(LONGEST)
        assert (await refusal(http))[:2] == (400, "Arrearage")


async def test_first_and_last_frame_have_a_path_of_their_own(emulator: Emulator, http: httpx.AsyncClient) -> None:
    """And each path refuses the other's models."""
    path = "/api/v1/services/aigc/image2video/video-synthesis"
    frames = {"first_frame_url": "https://example.com/a.jpg", "last_frame_url": "https://example.com/b.jpg"}
    assert (await http.post(path, json=a_request("wan2.2-kf2v-flash", **frames))).status_code == 200
    assert (await http.post(path, json=a_request(MODEL, **frames))).json()["code"] == "InvalidParameter"
    assert (await refusal(http, "wan2.2-kf2v-flash", **frames))[:2] == (400, "InvalidParameter")
    lonely = await http.post(path, json=a_request("wan2.2-kf2v-flash", first_frame_url="https://example.com/a.jpg"))
    assert lonely.json()["message"] == "Field required: input.last_frame_url"
    emulator.clock.advance(LONGEST)
    assert emulator.bill.cny == 1


async def test_canceled_task_is_canceled_and_free(http: httpx.AsyncClient, emulator: Emulator, clock: Clock) -> None:
    """While it is in the queue, and once only."""
    task_id = await submit(http)
    path = f"/api/v1/tasks/{task_id}/cancel"
    answer = await http.post(path)
    assert (answer.status_code, answer.json().keys()) == (200, {"request_id"})
    assert (await output(http, task_id))["task_status"] == "CANCELED"
    again = await http.post(path)
    assert (again.status_code, again.json()["code"]) == (400, "UnsupportedOperation")
    clock.advance(LONGEST)
    assert emulator.bill.lines == ()
    assert emulator.tasks[0].status is Status.CANCELED


async def test_task_that_runs_cannot_be_canceled(http: httpx.AsyncClient, emulator: Emulator, clock: Clock) -> None:
    """It goes on and is billed."""
    task_id = await submit(http)
    clock.advance(emulator.tasks[0].started_at - clock.now())
    assert (await http.post(f"/api/v1/tasks/{task_id}/cancel")).json()["code"] == "UnsupportedOperation"
    clock.advance(LONGEST)
    assert len(emulator.bill.lines) == 1


async def test_canceled_task_makes_room(clock: Clock) -> None:
    """For the next one of its account."""
    emulator = Emulator(clock=clock, max_concurrent_tasks=1)
    emulator.add_account("sk-beijing", region="beijing")
    async with connect(emulator) as http:
        task_id = await submit(http)
        assert (await refusal(http))[:2] == (429, "Throttling.RateQuota")
        await http.post(f"/api/v1/tasks/{task_id}/cancel")
        await submit(http)


async def test_list_has_the_shape_of_the_page(http: httpx.AsyncClient) -> None:
    """No prompt and no address stand in it. Each row has the request id of the task's submit."""
    answer = (await http.post(SUBMIT, json=a_request())).json()
    body = (await http.get("/api/v1/tasks/")).json()
    row = {"task_id": answer["output"]["task_id"], "request_id": answer["request_id"], "status": "PENDING"}
    row |= {"model_name": MODEL, "region": "cn-beijing"}
    assert body == {
        "request_id": body["request_id"],
        "total": 1,
        "total_page": 1,
        "page_no": 1,
        "page_size": 10,
        "data": [row | {"gmt_create": 1_762_254_911_819}],
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [2, 1, 0]),
        ("?page_size=2", [2, 1]),
        ("?page_size=2&page_no=2", [0]),
        ("?page_no=9", []),
        ("?model_name=wan2.5-i2v-preview", [1]),
        ("?status=SUCCEEDED", [1, 0]),
        ("?status=PENDING", [2]),
        # The first was created at 19:15:11 in Beijing, the others 301 and 602 seconds later.
        ("?start_time=20251104191512", [2, 1]),
        ("?end_time=20251104192100", [1, 0]),
        ("?start_time=20251104191600&end_time=20251104192100", [1]),
        ("?start_time=20251103000000&end_time=20251103235959", []),
    ],
)
async def test_list_is_filtered(
    http: httpx.AsyncClient, emulator: Emulator, clock: Clock, query: str, found: list[int]
) -> None:
    """By model, status and time of creation, newest first, a page at a time."""
    tasks = []
    for model in (MODEL, WITH_SOUND, MODEL):
        tasks.append(await submit(http, model))
        if len(tasks) < 3:
            clock.advance(301)
    async with connect(emulator, "/singapore") as other:
        await submit(other)
    rows = (await http.get("/api/v1/tasks/" + query)).json()["data"]
    assert [row["task_id"] for row in rows] == [tasks[number] for number in found]


@each_row(
    "query",
    [
        "?start_time=20251103000000&end_time=20251104000001",
        "?start_time=20251104000000&end_time=20251103000000",
        "?start_time=yesterday",
        "?page_size=101",
        "?page_no=0",
        "?page_no=x",
    ],
)
async def test_list_refuses_what_it_cannot_answer(http: httpx.AsyncClient, query: str) -> None:
    """A window of more than a day among others."""
    answer = await http.get("/api/v1/tasks" + query)
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidParameter")


@pytest.fixture
def limited(clock: Clock) -> Emulator:
    emulator = Emulator(clock=clock, documented_limits=True)
    emulator.add_account("sk-beijing", region="beijing")
    return emulator


@pytest.mark.parametrize(("model", "most"), [(WITH_SOUND, 5), (MODEL, 2)])
async def test_submits_are_limited_by_the_second(limited: Emulator, clock: Clock, model: str, most: int) -> None:
    """Each model by its own number; a second later there is room again."""
    async with connect(limited) as http:
        for _ in range(most):
            await submit(http, model)
        assert (await refusal(http, model))[:2] == (429, "Throttling.RateQuota")
        clock.advance(1)
        await submit(http, model)


async def test_tasks_beyond_the_limit_wait_for_their_turn(limited: Emulator, clock: Clock) -> None:
    """Two are worked on at once; the third begins when one has ended."""
    async with connect(limited) as http:
        for seed in range(3):
            await submit(http, MODEL, {"seed": seed})
            clock.advance(1)
    first, second, third = limited.tasks
    assert third.started_at > min(first.finished_at, second.finished_at)
    assert third.started_at < max(first.finished_at, second.finished_at) + LONGEST


async def test_queries_are_limited_by_the_second(limited: Emulator) -> None:
    """Twenty."""
    async with connect(limited) as http:
        task_id = await submit(http)
        codes = [(await http.get(f"/api/v1/tasks/{task_id}")).status_code for _ in range(21)]
    assert codes == [200] * 20 + [429]


async def test_limits_are_off_unless_asked_for(http: httpx.AsyncClient) -> None:
    """A test that is not about them need not know them."""
    for _ in range(7):
        await submit(http)


@pytest.fixture
async def through(emulator: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(emulator, "/alibailian") as client:
        yield client


async def test_passthrough_answers_as_the_vendor(through: httpx.AsyncClient, emulator: Emulator, clock: Clock) -> None:
    """With the gateway's number in a header, on the gateway's account, at Beijing's price."""
    answer = await through.post(SUBMIT, json=a_request())
    assert answer.json()["output"]["task_status"] == "PENDING"
    assert answer.headers["x-oneapi-request-id"]
    clock.advance(LONGEST)
    told = await output(through, answer.json()["output"]["task_id"])
    assert told["task_status"] == "SUCCEEDED"
    (line,) = emulator.bill.lines
    assert (line.dialect, line.account, line.amount) == (Dialect.PASSTHROUGH, emulator.accounts[0].name, Decimal("3.5"))
    assert line.currency is Currency.CNY
    # The account is in dollars: 7.2 yuan each, as Nebula's page reckons.
    assert emulator.balance == pytest.approx(100 - Decimal("3.5") / Decimal("7.2"))


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({"model": "wan9"}, 503, "model_not_found"),
        ({"img_url": picture("GIF")}, 400, "InvalidParameter.ImageFormat"),
        ({"prompt": "forbidden"}, 400, "DataInspectionFailed"),
        ({"parameters": {"resolution": "4K"}}, 400, "InvalidParameter"),
        ({"img_url": 5}, 400, "invalid_request"),
        ({"img_url": "oss://a/b.png"}, 400, "InvalidParameter"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_passthrough_refuses_in_the_words_of_whoever_finds_it(
    through: httpx.AsyncClient, given: dict[str, Any], status: int, code: str
) -> None:
    """The gateway's envelopes for what it sees itself, the vendor's for the rest."""
    answer = await through.post(SUBMIT, json=a_request(**given), headers={"X-DashScope-OssResourceResolve": "enable"})
    body = answer.json()
    assert answer.status_code == status
    assert body.get("error", body)["code"] == code
    envelopes = ({"error"}, {"code", "message", "data"}, {"code", "message", "request_id"})
    assert body.keys() in envelopes


async def test_passthrough_knows_no_task_but_its_own(
    through: httpx.AsyncClient, http: httpx.AsyncClient, emulator: Emulator
) -> None:
    """And offers neither list nor cancel nor upload."""
    task_id = await submit(http)
    answer = await through.get(f"/api/v1/tasks/{task_id}")
    assert (answer.status_code, answer.json()) == (
        400,
        {"code": "task_not_exist", "message": "task_not_exist", "data": None},
    )
    mine = await submit(through)
    for method, path in (
        ("GET", "/api/v1/tasks/"),
        ("POST", f"/api/v1/tasks/{mine}/cancel"),
        ("GET", "/api/v1/uploads?action=getPolicy&model=m"),
    ):
        assert (await through.request(method, path)).status_code == 404
    async with connect(emulator, key="sk-emulator") as nebula:
        assert (await nebula.get(f"/v1/video/generations/{mine}")).json()["code"] == "task_not_exist"


async def test_passthrough_account_must_hold_the_whole(emulator: Emulator) -> None:
    """A gateway is paid beforehand."""
    emulator.add_account("sk-poor", balance="0.48")
    async with connect(emulator, "/alibailian", "sk-poor") as http:
        answer = await http.post(SUBMIT, json=a_request())
    # 3.5 yuan are 0.486 dollars.
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_user_quota")


@each_row(
    "body",
    [
        b"{",
        b"[]",
        b'{"model": 1, "input": {}}',
        b'{"model": "wan2.2-i2v-plus"}',
        b'{"model": "wan2.2-i2v-plus", "input": []}',
        b'{"model": "wan2.2-i2v-plus", "input": {"img_url": "https://example.com/a.jpg"}, "parameters": "x"}',
        b'{"input": {}}',
    ],
)
async def test_body_that_is_no_request_is_refused(http: httpx.AsyncClient, body: bytes) -> None:
    """Whatever is wrong with it."""
    answer = await http.post(SUBMIT, content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidParameter")
