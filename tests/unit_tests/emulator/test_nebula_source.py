"""The emulated Nebula gateway against its published code (2025-12), without a socket."""

from __future__ import annotations

import base64
import gzip
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from langchain_nebula_video.emulator import Clock, Emulator, Status
from langchain_nebula_video.emulator.dialects.nebula_refusals import GATEWAY_ERRORS, HIDDEN
from langchain_nebula_video.emulator.rendering.images import sample
from tests.tables import each_row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MODEL = "wan2.5-i2v-preview"
PATH = "/v1/video/generations"
START = 1_762_254_911.0
BEAT = 15.0
LONGEST = 180.0 + BEAT
PICTURE = sample("cat")
BYTES = base64.b64encode(PICTURE).decode()


def a_request(**changes: Any) -> dict[str, Any]:
    request = {"model": MODEL, "prompt": "A kitten opens its eyes", "image": "https://example.com/cat.jpg", "seed": 7}
    return {name: value for name, value in (request | changes).items() if value is not ...}


@pytest.fixture
def clock() -> Clock:
    return Clock(START, running=False)


def made(clock: Clock, *, older: bool = False, **settings: Any) -> Emulator:
    known = {"https://example.com/cat.jpg": PICTURE}
    behaviour = "source-older" if older else "source"
    return Emulator(clock=clock, behaviour=behaviour, known_images=known, **settings)


@pytest.fixture
def emulator(clock: Clock) -> Emulator:
    return made(clock)


def connect(emulator: Emulator, api_key: str = "sk-emulator") -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=emulator.app),
        base_url="http://127.0.0.1",
        headers={"Authorization": f"Bearer {api_key}"},
    )


@pytest.fixture
async def http(emulator: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(emulator) as client:
        yield client


async def submit(http: httpx.AsyncClient, **changes: Any) -> str:
    answer = await http.post(PATH, json=a_request(**changes))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["task_id"])


async def look(http: httpx.AsyncClient, task_id: str) -> Any:
    answer = await http.get(f"{PATH}/{task_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def objects_of(text: str) -> list[Any]:
    """The JSON objects of a body that has several."""
    found, at = [], 0
    while at < len(text):
        value, at = json.JSONDecoder().raw_decode(text, at)
        found.append(value)
    return found


# --- The submit: what is read, and what Alibaba gets ---


async def test_an_accepted_submit_is_answered_flat(http: httpx.AsyncClient) -> None:
    body = (await http.post(PATH, json=a_request())).json()
    assert body == {
        "status_code": 0,
        "request_id": body["request_id"],
        "code": "",
        "message": "",
        "output": {"task_id": body["task_id"]},
        "task_id": body["task_id"],
        "status": "submitted",
    }


@each_row(
    ("sent", "parameters"),
    [
        ({}, {"resolution": "720P", "duration": 5, "seed": 7}),
        ({"duration": 0}, {"resolution": "720P", "duration": 5, "seed": 7}),
        ({"duration": None, "resolution": None, "seed": None}, {"resolution": "720P", "duration": 5}),
        ({"duration": 10, "resolution": "1080p", "seed": 0}, {"resolution": "1080P", "duration": 10}),
        ({"smart_rewrite": False, "generate_audio": False}, {"resolution": "720P", "duration": 5, "seed": 7}),
        (
            {"smart_rewrite": True, "generate_audio": True},
            {"resolution": "720P", "duration": 5, "seed": 7, "prompt_extend": True, "audio": True},
        ),
        (
            {"negative_prompt": "dogs", "watermark": True, "metadata": {"parameters": {"audio": False}}},
            {"resolution": "720P", "duration": 5, "seed": 7},
        ),
    ],
)
async def test_what_is_false_zero_or_unknown_does_not_reach_the_vendor(
    http: httpx.AsyncClient, emulator: Emulator, sent: dict[str, Any], parameters: dict[str, Any]
) -> None:
    await submit(http, **sent)
    forwarded = emulator.tasks[-1].forwarded
    assert forwarded == {
        "model": MODEL,
        "input": {"prompt": "A kitten opens its eyes", "img_url": "https://example.com/cat.jpg"},
        "parameters": parameters,
    }


@each_row("flags", [{}, {"smart_rewrite": False}, {"smart_rewrite": True}])
async def test_every_prompt_is_rewritten(http: httpx.AsyncClient, clock: Clock, flags: dict[str, bool]) -> None:
    task_id = await submit(http, **flags)
    clock.advance(LONGEST)
    output = (await look(http, task_id))["metadata"]["output"]
    assert output["orig_prompt"] == "A kitten opens its eyes"
    assert output["actual_prompt"].startswith("A kitten opens its eyes. ")


async def test_a_seed_of_zero_is_a_random_one(http: httpx.AsyncClient, emulator: Emulator) -> None:
    for _ in range(2):
        await submit(http, seed=0)
    first, second = emulator.tasks
    assert first.seed != second.seed


@each_row("images", [{"images": ["https://example.com/a.jpg", "https://example.com/b.jpg"]}, {"images": []}])
async def test_a_list_of_images_wins_and_its_first_is_used(
    http: httpx.AsyncClient, emulator: Emulator, images: dict[str, Any]
) -> None:
    await submit(http, **images)
    forwarded = emulator.tasks[-1].forwarded
    wanted = images["images"][0] if images["images"] else "https://example.com/cat.jpg"
    assert forwarded is not None
    assert forwarded["input"]["img_url"] == wanted


async def test_a_data_uri_loses_its_head_and_is_refused(http: httpx.AsyncClient, emulator: Emulator) -> None:
    answer = await http.post(PATH, json=a_request(image=f"data:image/jpeg;base64,{BYTES}"))
    body = answer.json()
    assert (answer.status_code, body["code"]) == (400, "fail_to_fetch_task")
    assert json.loads(body["message"])["code"] == "InvalidParameter.DataInspection"
    assert emulator.tasks == ()


@each_row("image", [f"data:image/jpeg;base64,{BYTES}", BYTES])
async def test_bare_base64_can_be_made_to_work(clock: Clock, image: str) -> None:
    emulator = made(clock, bytes_accepted=True)
    async with connect(emulator) as http:
        await submit(http, image=image)
    (task,) = emulator.tasks
    assert task.forwarded is not None
    assert task.forwarded["input"]["img_url"] == f"sha256:{task.image_digest}"
    assert BYTES not in repr(emulator.tasks)


@each_row(
    ("change", "status", "code", "words"),
    [
        ({"prompt": " \n"}, 400, "invalid_request", "prompt is required"),
        ({"duration": "5"}, 400, "invalid_request", "json: cannot unmarshal string into Go struct field"),
        ({"duration": 5.0}, 400, "invalid_request", "json: cannot unmarshal number 5.0 into Go struct field"),
        ({"duration": True}, 400, "invalid_request", "json: cannot unmarshal bool into Go struct field"),
        ({"images": [1]}, 400, "invalid_request", "json: cannot unmarshal array into Go struct field"),
        ({"image": "data:image/jpeg"}, 500, "build_request_failed", "无效的data URL格式"),
        ({"duration": 7}, 400, "fail_to_fetch_task", "parameters.duration"),
        ({"resolution": "540p"}, 400, "fail_to_fetch_task", "parameters.resolution"),
        ({"image": ...}, 400, "fail_to_fetch_task", "Field required: input.img_url"),
        ({"image": "oss://bucket/cat.jpg"}, 400, "fail_to_fetch_task", "url error"),
        ({"prompt": "forbidden"}, 400, "fail_to_fetch_task", "DataInspectionFailed"),
    ],
)
async def test_a_refusal_says_where_it_comes_from(
    http: httpx.AsyncClient, emulator: Emulator, change: dict[str, Any], status: int, code: str, words: str
) -> None:
    answer = await http.post(PATH, json=a_request(**change))
    body = answer.json()
    assert (answer.status_code, body["code"], body["data"]) == (status, code, None)
    assert words in body["message"]
    assert emulator.tasks == ()


@each_row(
    ("body", "headers", "status", "words"),
    [
        (b"{", {}, 400, "Invalid request, "),
        (b"[]", {}, 400, "Invalid request, "),
        (b'{"model": 5}', {}, 400, "Invalid request, "),
        (b"{}", {}, 400, "未指定模型名称，模型名称不能为空"),
        (json.dumps(a_request()).encode(), {"Content-Type": "text/plain"}, 400, "未指定模型名称，模型名称不能为空"),
        (json.dumps(a_request(model="wan9")).encode(), {}, 503, "分组 default 下模型 wan9 无可用渠道（distributor）"),
    ],
)
async def test_the_choice_of_a_channel_has_errors_of_its_own(
    http: httpx.AsyncClient, body: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    answer = await http.post(PATH, content=body, headers={"Content-Type": "application/json"} | headers)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (status, "nebula_api_error")
    assert error["message"].startswith(words)
    assert answer.headers["X-Oneapi-Request-Id"] in error["message"]
    assert error["code"] == ("model_not_found" if status == 503 else "")


async def test_a_packed_body_is_unpacked(http: httpx.AsyncClient, emulator: Emulator) -> None:
    packed = gzip.compress(json.dumps(a_request()).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert (await http.post(PATH, content=packed, headers=headers)).status_code == 200
    broken = await http.post(PATH, content=packed[5:], headers=headers)
    assert broken.status_code == 400
    assert len(emulator.tasks) == 1


async def test_a_form_loses_resolution_and_seed(http: httpx.AsyncClient, emulator: Emulator) -> None:
    form = {name: (None, str(value)) for name, value in a_request(resolution="1080p", duration=10).items()}
    assert (await http.post(PATH, files=form)).status_code == 200
    forwarded = emulator.tasks[0].forwarded
    assert forwarded is not None
    assert forwarded["parameters"] == {"resolution": "720P", "duration": 5}


# --- Keys ---


@each_row(
    ("headers", "words"), [({"Authorization": ""}, "未提供令牌"), ({"Authorization": "Bearer sk-other"}, "无效的令牌")]
)
async def test_a_wrong_key_is_401_without_a_code(http: httpx.AsyncClient, headers: dict[str, str], words: str) -> None:
    for answer in (await http.post(PATH, json={}, headers=headers), await http.get(f"{PATH}/x", headers=headers)):
        error = answer.json()["error"]
        assert (answer.status_code, error["type"], error["code"]) == (401, "nebula_api_error", "")
        assert error["message"].startswith(words)


async def test_a_key_that_is_used_up_says_so(http: httpx.AsyncClient, emulator: Emulator) -> None:
    emulator.add_key("sk-empty", quota=0)
    answer = await http.post(PATH, json=a_request(), headers={"Authorization": "Bearer sk-empty"})
    assert answer.status_code == 401
    assert "额度已用尽" in answer.json()["error"]["message"]


async def test_a_key_with_a_list_of_models_submits_and_cannot_look(
    http: httpx.AsyncClient, emulator: Emulator, clock: Clock
) -> None:
    emulator.add_key("sk-limited", models=[MODEL])
    async with connect(emulator, "sk-limited") as limited:
        task_id = await submit(limited)
        other = await limited.post(PATH, json=a_request(model="wan9"))
        looked = await limited.get(f"{PATH}/{task_id}")
    assert (other.status_code, looked.status_code) == (403, 403)
    assert other.json()["error"]["message"].startswith("该令牌无权访问模型 wan9 (")
    assert looked.json()["error"]["message"].startswith("该令牌无权访问模型  (")
    clock.advance(LONGEST)
    assert (await look(http, task_id))["status"] == "succeeded"  # with another key of the account
    assert emulator.bill.usd == Decimal("0.369")


async def test_a_task_of_another_account_does_not_exist(http: httpx.AsyncClient, emulator: Emulator) -> None:
    task_id = await submit(http)
    emulator.add_account("sk-stranger")
    async with connect(emulator, "sk-stranger") as stranger:
        answers = [await stranger.get(f"{PATH}/{each}") for each in (task_id, "no-such-task")]
    wanted = {"code": "task_not_exist", "message": "task_not_exist", "data": None}
    assert [(answer.status_code, answer.json()) for answer in answers] == [(400, wanted)] * 2


# --- Looks ---


async def test_a_row_is_unknown_until_the_first_visit(http: httpx.AsyncClient, clock: Clock) -> None:
    clock.advance(4)
    task_id = await submit(http, resolution="1080p", duration=10, generate_audio=True)
    clock.advance(BEAT - 4.001)
    body = await look(http, task_id)
    assert body == {
        "task_id": task_id,
        "status": "unknown",
        "url": "",
        "format": "mp4",
        "metadata": {
            "request_id": body["metadata"]["request_id"],
            "output": {"task_id": task_id, "task_status": "PENDING"},
            "token_name": "nebula-video-generations-default",
            "model_name": MODEL,
            "video_price_per_second": 0.0738,
            "requested_seconds": 4,
            "durationSeconds": 4,
            "generate_audio": True,
            "generateAudio": True,
        },
    }
    clock.advance(0.001)
    assert (await look(http, task_id))["status"] == "in_progress"


async def test_all_rows_move_at_one_beat(http: httpx.AsyncClient, clock: Clock) -> None:
    early = await submit(http)
    clock.advance(BEAT - 1)
    late = await submit(http, seed=8)
    clock.advance(1)
    assert {(await look(http, each))["status"] for each in (early, late)} == {"in_progress"}


async def test_a_success_shows_the_vendors_answer_and_no_bill(
    http: httpx.AsyncClient, emulator: Emulator, clock: Clock
) -> None:
    task_id = await submit(http, resolution="1080p", duration=10)
    clock.advance(LONGEST)
    body = await look(http, task_id)
    metadata = body["metadata"]
    assert body.keys() == {"task_id", "status", "url", "format", "metadata"}
    assert body["url"].startswith(f"http://127.0.0.1/results/{task_id}.mp4?Expires=")
    assert metadata.keys() == {"request_id", "output", "usage", "requested_seconds", "token_name", "generateAudio"}
    assert metadata["output"].keys() == {
        *("task_id", "task_status", "submit_time", "scheduled_time", "end_time", "orig_prompt", "actual_prompt"),
        "video_url",
    }
    assert metadata["output"]["video_url"] == body["url"]
    assert metadata["usage"] == {"duration": 10, "SR": 1080, "video_count": 1}
    assert metadata["requested_seconds"] == 4
    assert emulator.tasks[0].cost == Decimal("1.233")


async def test_a_failure_gives_its_reason_in_the_vendors_answer_alone(http: httpx.AsyncClient, clock: Clock) -> None:
    task_id = await submit(http, prompt="a cat [fail]")
    clock.advance(LONGEST)
    body = await look(http, task_id)
    assert (body["status"], body["url"]) == ("failed", "")
    assert body["error"] == {"code": 400, "message": "任务执行失败"}
    assert body["metadata"]["output"]["task_status"] == "FAILED"
    assert body["metadata"]["output"]["code"] == "InternalError"


async def test_the_other_path_answers_the_same(http: httpx.AsyncClient, clock: Clock) -> None:
    task_id = await submit(http)
    for _ in range(3):
        one, other = await look(http, task_id), (await http.get(f"/v1/videos/{task_id}")).json()
        for body in (one, other):
            del body["metadata"]["request_id"]
        assert one == other
        clock.advance(BEAT * 5)


async def test_an_old_row_keeps_its_dead_address(http: httpx.AsyncClient, clock: Clock) -> None:
    task_id = await submit(http)
    clock.advance(LONGEST)
    url = (await look(http, task_id))["url"]
    clock.advance(24 * 3600 * 2)
    assert (await look(http, task_id))["url"] == url
    assert (await http.get(url, headers={"Authorization": ""})).status_code == 403


async def test_the_video_itself_is_served_once_the_row_says_success(
    http: httpx.AsyncClient, emulator: Emulator, clock: Clock
) -> None:
    task_id = await submit(http, resolution="480p")
    clock.advance(emulator.tasks[0].finished_at - clock.now())
    assert (await http.get(f"/v1/videos/{task_id}/content")).status_code == 400
    clock.advance(BEAT)
    assert (await http.get(f"/v1/videos/{task_id}/content")).headers["content-type"] == "video/mp4"
    emulator.faults.add("submit", "unwritten")
    lost = objects_of((await http.post(PATH, json=a_request())).text)[0]["task_id"]
    clock.advance(LONGEST)
    assert (await http.get(f"/v1/videos/{lost}/content")).status_code == 404


# --- Money ---


@pytest.mark.parametrize(
    ("resolution", "seconds", "usd"),
    [
        ("480p", 5, "0.1845"),
        ("480p", 10, "0.369"),
        ("720p", 5, "0.369"),
        ("720p", 10, "0.738"),
        ("1080p", 5, "0.6165"),
        ("1080p", 10, "1.233"),
    ],
)
async def test_the_bill_is_price_times_seconds(
    http: httpx.AsyncClient, emulator: Emulator, resolution: str, seconds: int, usd: str
) -> None:
    await submit(http, resolution=resolution, duration=seconds)
    emulator.clock.advance(LONGEST)
    assert emulator.bill.usd == Decimal(usd)


async def test_the_bill_is_cut_to_whole_quota(clock: Clock) -> None:
    emulator = made(clock, group_ratio="0.777", site_discount="0.9")
    async with connect(emulator) as http:
        task_id = await submit(http, resolution="480p")
        assert (await look(http, task_id))["metadata"]["video_price_per_second"] == pytest.approx(0.06642)
    clock.advance(LONGEST)
    exact = Decimal("0.0369") * 5 * Decimal("0.777") * Decimal("0.9")
    assert emulator.bill.usd == Decimal(int(exact * 500_000)) / 500_000 != exact


async def test_the_charge_comes_with_the_visit_that_sees_success(
    http: httpx.AsyncClient, emulator: Emulator, clock: Clock
) -> None:
    await submit(http)
    finished = emulator.tasks[0].finished_at
    clock.advance(finished - clock.now())
    assert emulator.tasks[0].status is Status.SUCCEEDED
    assert emulator.bill.usd == emulator.tasks[0].cost == 0
    clock.advance(BEAT)
    assert emulator.bill.usd == emulator.tasks[0].cost == Decimal("0.369")
    assert 0 < emulator.bill.lines[0].at - finished <= BEAT


@each_row(
    ("balance", "status"),
    [("0.2951", 403), ("0.2952", 200)],
)
async def test_the_check_of_the_balance_is_flat(clock: Clock, balance: str, status: int) -> None:
    emulator = made(clock, balance=balance)
    async with connect(emulator) as http:
        for asked in ({"resolution": "480p"}, {"resolution": "1080p", "duration": 10}):
            answer = await http.post(PATH, json=a_request(**asked))
            assert answer.status_code == status
            if status == 403:
                words = "user quota is not enough"
                assert answer.json() == {"code": "quota_not_enough", "message": words, "data": None}


async def test_nothing_is_set_aside_and_the_balance_goes_below_zero(clock: Clock) -> None:
    emulator = made(clock, balance="0.30")
    async with connect(emulator) as http:
        for seed in range(1, 4):
            await submit(http, resolution="1080p", duration=10, seed=seed)
    clock.advance(LONGEST)
    assert emulator.balance == Decimal("0.30") - 3 * Decimal("1.233")


async def test_a_failed_task_is_free(http: httpx.AsyncClient, emulator: Emulator, clock: Clock) -> None:
    await submit(http, prompt="a cat [fail]")
    clock.advance(LONGEST)
    assert emulator.bill.lines == ()


async def test_speed_quickens_the_beat_and_no_row_goes_back(
    http: httpx.AsyncClient, emulator: Emulator, clock: Clock
) -> None:
    task_id = await submit(http)
    clock.advance(BEAT)
    for speed in (1000.0, 0.01):
        emulator.speed = speed
        assert (await look(http, task_id))["status"] == "in_progress"
    emulator.speed = 1000
    clock.advance(1)
    assert (await look(http, task_id))["status"] == "succeeded"
    assert emulator.bill.usd == Decimal("0.369")


# --- The vendor behind it ---


async def test_too_many_tasks_get_the_gateways_own_words(clock: Clock) -> None:
    emulator = made(clock, max_concurrent_tasks=1)
    async with connect(emulator) as http:
        await submit(http)
        answer = await http.post(PATH, json=a_request())
    wanted = {"code": "fail_to_fetch_task", "message": "当前分组上游负载已饱和，请稍后再试", "data": None}
    assert (answer.status_code, answer.json()) == (429, wanted)


# --- Faults ---


@each_row("name", GATEWAY_ERRORS)
async def test_every_error_of_the_code_can_be_played(http: httpx.AsyncClient, emulator: Emulator, name: str) -> None:
    row = GATEWAY_ERRORS[name]
    emulator.faults.add("submit", "gateway_error", name=name, detail="here")
    answer = await http.post(PATH, json=a_request())
    body = answer.json()
    assert answer.status_code == row.status
    assert (body["code"] if "code" in body else body["error"].get("code", "")) == row.code
    assert emulator.tasks == ()


async def test_a_text_with_an_address_in_it_is_replaced(http: httpx.AsyncClient, emulator: Emulator) -> None:
    emulator.faults.add("submit", "gateway_error", name="vendor_refused", detail="url http://x is dead", code=404)
    answer = await http.post(PATH, json=a_request())
    assert (answer.status_code, answer.json()["message"]) == (404, HIDDEN)


async def test_a_row_that_cannot_be_written_loses_the_video(
    http: httpx.AsyncClient, emulator: Emulator, clock: Clock
) -> None:
    emulator.faults.add("submit", "unwritten")
    answer = await http.post(PATH, json=a_request())
    good, error = objects_of(answer.text)
    assert (answer.status_code, good["status"], error["code"]) == (200, "submitted", "insert_task_failed")
    clock.advance(LONGEST)
    assert (await http.get(f"{PATH}/{good['task_id']}")).json()["code"] == "task_not_exist"
    assert emulator.tasks[0].status is Status.SUCCEEDED
    assert emulator.bill.lines == ()


async def test_of_two_tries_the_second_has_the_row(http: httpx.AsyncClient, emulator: Emulator, clock: Clock) -> None:
    emulator.faults.add("submit", "tried_twice")
    first, second = objects_of((await http.post(PATH, json=a_request())).text)
    clock.advance(LONGEST)
    assert (await http.get(f"{PATH}/{first['task_id']}")).json()["code"] == "task_not_exist"
    assert (await look(http, second["task_id"]))["status"] == "succeeded"
    assert [line.task_id for line in emulator.bill.lines] == [second["task_id"]]
    listed = await http.get("/api/task/self", headers={"Authorization": "console-emulator", "New-Api-User": "1"})
    assert [row["task_id"] for row in listed.json()["data"]["items"]] == [second["task_id"]]


async def test_a_refused_submit_has_no_row_to_lose(http: httpx.AsyncClient, emulator: Emulator) -> None:
    emulator.faults.add("submit", "stuck")
    assert (await http.post(PATH, json=a_request(prompt=""))).status_code == 400
    assert emulator.tasks == ()


async def test_a_lost_answer_of_the_vendor_leaves_a_task_without_a_row(
    http: httpx.AsyncClient, emulator: Emulator, clock: Clock
) -> None:
    emulator.faults.add("submit", "gateway_error", name="do_request_failed", accepted=True)
    assert (await http.post(PATH, json=a_request())).json()["code"] == "do_request_failed"
    clock.advance(LONGEST)
    assert len(emulator.tasks) == 1
    assert emulator.bill.lines == ()


async def test_a_stuck_row_stays_in_progress_and_is_not_charged(
    http: httpx.AsyncClient, emulator: Emulator, clock: Clock
) -> None:
    emulator.faults.add("submit", "stuck")
    task_id = await submit(http)
    for _ in range(3):
        clock.advance(LONGEST)
        assert (await look(http, task_id))["status"] == "in_progress"
    assert emulator.bill.lines == ()


@each_row(("word", "message"), [("CANCELED", "任务已取消"), ("UNKNOWN", "任务不存在或状态未知")])
async def test_other_ends_of_the_vendor_are_failures(
    http: httpx.AsyncClient, emulator: Emulator, clock: Clock, word: str, message: str
) -> None:
    emulator.faults.add("submit", "vendor_end", word=word)
    task_id = await submit(http)
    clock.advance(LONGEST)
    body = await look(http, task_id)
    assert (body["status"], body["error"]) == ("failed", {"code": 400, "message": message})
    assert body["metadata"]["output"]["task_status"] == word
    assert emulator.bill.lines == ()


async def test_a_channel_that_goes_away_fails_every_open_task(
    http: httpx.AsyncClient, emulator: Emulator, clock: Clock
) -> None:
    done = await submit(http)
    clock.advance(LONGEST)
    open_one = await submit(http, seed=8)
    clock.advance(BEAT)
    emulator.faults.add("query", "channel_gone")
    assert (await look(http, open_one))["status"] == "in_progress"
    clock.advance(BEAT)
    body = await look(http, open_one)
    assert body["error"] == {"code": 400, "message": "Failed to get channel info, channel ID: 17"}
    assert body["metadata"]["output"]["task_status"] in {"PENDING", "RUNNING"}
    clock.advance(LONGEST)
    assert (await look(http, done))["status"] == "succeeded"
    assert [line.task_id for line in emulator.bill.lines] == [done]


async def test_an_earlier_status_can_be_played(http: httpx.AsyncClient, emulator: Emulator, clock: Clock) -> None:
    task_id = await submit(http)
    clock.advance(LONGEST)
    emulator.faults.add("query", "regress", status="RUNNING")
    body = await look(http, task_id)
    assert (body["status"], body["url"]) == ("in_progress", "")
    assert (await look(http, task_id))["status"] == "succeeded"


async def test_a_body_beyond_any_use_meets_the_proxy(http: httpx.AsyncClient) -> None:
    answer = await http.post(PATH, content=b" " * (32 * 1024 * 1024 + 1))
    assert (answer.status_code, answer.headers["content-type"]) == (413, "text/html")


# --- The older code ---


async def test_the_older_code_charges_the_first_look_that_sees_success(clock: Clock) -> None:
    emulator = made(clock, older=True)
    async with connect(emulator) as http:
        task_id = await submit(http, resolution="1080p", duration=10)
        assert (await look(http, task_id)).keys() == {"task_id", "status", "url", "format"}
        clock.advance(LONGEST)
        assert emulator.bill.lines == ()
        bodies = [await look(http, task_id) for _ in range(2)]
    assert emulator.bill.usd == emulator.tasks[0].cost == Decimal("0.2952")
    assert len(emulator.bill.lines) == 1
    metadata = bodies[0]["metadata"]
    assert bodies[0]["url"] == ""
    assert metadata["output"]["video_url"].startswith("http://127.0.0.1/results/")
    assert (metadata["model_price"], metadata["group_ratio"], metadata["billing_pending"]) == (0.0738, 1, True)
    assert metadata["actual_quota"] == 147_600


async def test_the_older_code_hides_why_a_task_failed_and_does_not_charge_it(clock: Clock) -> None:
    emulator = made(clock, older=True)
    async with connect(emulator) as http:
        task_id = await submit(http, prompt="a cat [fail]")
        clock.advance(LONGEST)
        body = await look(http, task_id)
    assert body["error"] == {"code": 400, "message": "任务执行失败"}
    assert "metadata" not in body
    assert emulator.bill.lines == ()


def test_behaviour_is_one_of_three() -> None:
    with pytest.raises(ValueError, match="'guess' is not a valid Behaviour"):
        Emulator(behaviour="guess")
