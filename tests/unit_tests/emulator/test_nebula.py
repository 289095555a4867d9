"""The emulated Nebula gateway against the vendor's page, without a socket."""

from __future__ import annotations

import base64
import io
import json
import re
import uuid
import zlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from PIL import Image

from langchain_nebula_video.emulator import Clock, Emulator, Status
from tests.tables import each_row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MODEL = "wan2.5-i2v-preview"
PATH = "/v1/video/generations"
# 2025-11-04 19:15:11.819 in Beijing, the moment in the page's example.
START = 1_762_254_911.819
LONGEST = 180.0


def picture(kind: str = "JPEG", size: tuple[int, int] = (64, 36)) -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(out, kind)
    return out.getvalue()


def data_uri(content: bytes, kind: str = "jpeg") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def a_request(**changes: Any) -> dict[str, Any]:
    request = {"model": MODEL, "prompt": "A kitten opens its eyes", "image": data_uri(picture()), "seed": 7}
    return {name: value for name, value in (request | changes).items() if value is not ...}


@pytest.fixture
def clock() -> Clock:
    return Clock(START, running=False)


@pytest.fixture
def emulator(clock: Clock) -> Emulator:
    return Emulator(clock=clock)


@pytest.fixture
async def http(emulator: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(emulator) as client:
        yield client


def connect(emulator: Emulator, api_key: str = "sk-emulator") -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=emulator.app),
        base_url="http://127.0.0.1",
        headers={"Authorization": f"Bearer {api_key}"},
    )


async def submit(http: httpx.AsyncClient, **changes: Any) -> str:
    answer = await http.post(PATH, json=a_request(**changes))
    assert answer.status_code == 200, answer.text
    task_id: str = answer.json()["task_id"]
    return task_id


async def refusal(http: httpx.AsyncClient, **changes: Any) -> tuple[int, str, str]:
    """Status, code and message, out of either envelope."""
    answer = await http.post(PATH, json=a_request(**changes))
    body = answer.json()
    assert body.keys() == {"code", "message", "data"}
    assert body["data"] is None
    if body["code"] == "fail_to_fetch_task":
        body = json.loads(body["message"])
        assert body.keys() == {"request_id", "code", "message"}
    return answer.status_code, body["code"], body["message"]


async def test_submitted_answer_has_the_shape_of_the_page(http: httpx.AsyncClient) -> None:
    """Every field of the page's example, no more and no fewer."""
    body = (await http.post(PATH, json=a_request(image="https://example.com/cat.jpg"))).json()
    task_id, request_id = body["task_id"], body["metadata"]["request_id"]
    assert [str(uuid.UUID(each)) for each in (task_id, request_id)] == [task_id, request_id]
    assert body == {
        "task_id": task_id,
        "status": "submitted",
        "format": "mp4",
        "metadata": {
            "model_price": 0.0738,
            "requested_seconds": 5,
            "billing_pending": True,
            "group_ratio": 1,
            "token_name": "nebula-video-generations-default",
            "output": {"task_id": task_id, "task_status": "PENDING"},
            "request_id": request_id,
        },
    }


async def test_queued_answer_has_the_shape_of_the_page(http: httpx.AsyncClient) -> None:
    """Price and pending billing are still shown while the task waits."""
    task_id = await submit(http)
    body = (await http.get(f"{PATH}/{task_id}")).json()
    metadata = {"model_price": 0.0738, "billing_pending": True, "output": {"task_status": "PENDING"}}
    assert body == {"task_id": task_id, "status": "in_progress", "format": "mp4", "metadata": metadata}


async def test_running_answer_has_the_shape_of_the_page(http: httpx.AsyncClient, clock: Clock) -> None:
    """Nothing but the status is shown while the task is worked on."""
    task_id = await submit(http)
    clock.advance(45)
    body = (await http.get(f"{PATH}/{task_id}")).json()
    metadata = {"output": {"task_status": "RUNNING"}}
    assert body == {"task_id": task_id, "status": "in_progress", "format": "mp4", "metadata": metadata}


async def test_succeeded_answer_has_the_shape_of_the_page(
    http: httpx.AsyncClient, emulator: Emulator, clock: Clock
) -> None:
    """A signed address, the billed usage, and times in Beijing."""
    task_id = await submit(http)
    clock.advance(LONGEST)
    body = (await http.get(f"{PATH}/{task_id}")).json()
    output = body["metadata"]["output"]
    assert body.keys() == {"task_id", "status", "format", "url", "metadata"}
    assert body["metadata"].keys() == {
        *("model_price", "billing_pending", "group_ratio", "usage", "output", "request_id")
    }
    assert body["status"] == "succeeded"
    assert body["url"].startswith(f"http://127.0.0.1/results/{task_id}.mp4?Expires=")
    assert output["video_url"] == body["url"].partition("?")[0]
    assert output["submit_time"] == "2025-11-04 19:15:11.819"
    assert re.fullmatch(r"2025-11-04 19:1[67]:\d\d\.\d{3}", output["end_time"])
    assert body["metadata"]["billing_pending"] is False
    assert body["metadata"]["usage"] == {"video_count": 1, "duration": 5, "resolution": "720p"}
    assert emulator.tasks[0].status is Status.SUCCEEDED


async def test_failed_answer_has_the_shape_of_the_page(http: httpx.AsyncClient, clock: Clock) -> None:
    """Code and message of a failure stand in metadata.output."""
    task_id = await submit(http, prompt="a cat [moderated]")
    clock.advance(LONGEST)
    body = (await http.get(f"{PATH}/{task_id}")).json()
    assert body == {
        "task_id": task_id,
        "status": "failed",
        "format": "mp4",
        "metadata": {
            "output": {
                "task_status": "FAILED",
                "code": "InvalidParameter.DataInspection",
                "message": "Input data may contain inappropriate content.",
            }
        },
    }


@pytest.mark.parametrize(("seconds", "shortest", "longest"), [(5, 60, 120), (10, 120, 180)])
async def test_work_takes_as_long_as_the_page_says(
    http: httpx.AsyncClient, emulator: Emulator, seconds: int, shortest: int, longest: int
) -> None:
    """One to two minutes for five seconds, two to three for ten, whatever the seed."""
    for seed in range(8):
        await submit(http, seed=seed, duration=seconds)
    taken = [task.finished_at - task.accepted_at for task in emulator.tasks]
    assert all(shortest <= each <= longest for each in taken)
    assert len(set(taken)) == len(taken)


async def test_the_same_seed_takes_the_same_time(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """A test that was green once stays green."""
    await submit(http)
    await submit(http)
    first, second = emulator.tasks
    assert (first.started_at, first.finished_at) == (second.started_at, second.finished_at)


async def test_speed_shortens_the_work_of_tasks_under_way(
    http: httpx.AsyncClient, emulator: Emulator, clock: Clock
) -> None:
    """What is left of a task shrinks; what is done stays done."""
    await submit(http)
    clock.advance(30)
    left = emulator.tasks[0].finished_at - clock.now()
    emulator.speed = 10
    assert emulator.tasks[0].finished_at - clock.now() == pytest.approx(left / 10)
    assert emulator.tasks[0].status is Status.RUNNING


@pytest.mark.parametrize(
    ("resolution", "seconds", "usd"),
    [
        ("480p", 5, "0.1845"),
        ("720p", 5, "0.369"),
        ("1080p", 5, "0.6165"),
        ("480p", 10, "0.369"),
        ("720p", 10, "0.738"),
        ("1080p", 10, "1.233"),
    ],
)
async def test_cost_is_that_of_the_page(
    http: httpx.AsyncClient, emulator: Emulator, resolution: str, seconds: int, usd: str
) -> None:
    """The page's table of examples, to the last digit."""
    await submit(http, resolution=resolution, duration=seconds)
    emulator.clock.advance(LONGEST)
    assert emulator.bill.usd == Decimal(usd)
    assert emulator.balance == 100 - Decimal(usd)


async def test_nothing_is_billed_before_success(http: httpx.AsyncClient, emulator: Emulator, clock: Clock) -> None:
    """The balance drops when the task succeeds, seen or not."""
    await submit(http)
    clock.advance(45)
    assert emulator.bill.lines == ()
    assert emulator.balance == 100


async def test_failed_task_is_free(http: httpx.AsyncClient, emulator: Emulator, clock: Clock) -> None:
    """No fee is deducted if the task fails."""
    await submit(http, prompt="a cat [fail]")
    clock.advance(LONGEST)
    assert emulator.tasks[0].status is Status.FAILED
    assert emulator.bill.usd == 0


async def test_group_ratio_multiplies_the_price(clock: Clock) -> None:
    """Cost = price x seconds x group ratio."""
    emulator = Emulator(clock=clock, group_ratio="0.85")
    async with connect(emulator) as http:
        await submit(http)
    clock.advance(LONGEST)
    assert emulator.bill.usd == Decimal("0.31365")


@each_row("duration", [0, 3, 7, 60, -5, ..., None])
async def test_other_durations_become_five_seconds(http: httpx.AsyncClient, duration: Any) -> None:
    """Silently corrected, and billed so."""
    body = (await http.post(PATH, json=a_request(duration=duration))).json()
    assert body["metadata"]["requested_seconds"] == 5


@each_row("missing", [..., None, "", "  "])
@each_row(
    ("name", "code"),
    [("model", "missing_model"), ("prompt", "invalid_request"), ("image", "invalid_request")],
)
async def test_required_field_is_required(http: httpx.AsyncClient, name: str, code: str, missing: Any) -> None:
    """Absent, null, empty and blank are all missing."""
    assert await refusal(http, **{name: missing}) == (400, code, f"{name} is required")


@each_row(
    ("name", "value"),
    [
        ("duration", "5"),
        ("duration", 5.0),
        ("duration", True),
        ("resolution", 720),
        ("smart_rewrite", 1),
        ("generate_audio", "true"),
        ("seed", "1"),
        ("audio_url", ["https://example.com/a.mp3"]),
        ("prompt", {"text": "a cat"}),
    ],
)
async def test_wrong_type_is_refused(http: httpx.AsyncClient, name: str, value: object) -> None:
    """The page's types are meant: a number is not text and a flag is not a number."""
    status, code, message = await refusal(http, **{name: value})
    assert (status, code) == (400, "invalid_request")
    assert message.startswith(f"{name} must be ")


@each_row(
    "change",
    [
        {"resolution": "720P"},
        {"resolution": "540p"},
        {"seed": -1},
        {"seed": 2**31},
        {"audio_url": "http://example.com/a.mp3"},
        {"audio_url": "ftp://127.0.0.1/a.mp3"},
        {"audio_url": "song.mp3"},
    ],
)
async def test_value_out_of_range_is_refused(http: httpx.AsyncClient, change: dict[str, Any]) -> None:
    """Only what the page lists is taken."""
    status, code, _ = await refusal(http, **change)
    assert (status, code) == (400, "InvalidParameter")


async def test_unknown_fields_are_ignored(http: httpx.AsyncClient) -> None:
    """Other clients send more, and the gateway lets them."""
    assert await submit(http, watermark=True, input={"function": "x"})


async def test_unknown_model_has_no_channel(http: httpx.AsyncClient) -> None:
    """The gateway's distributor answers, in its own envelope."""
    answer = await http.post(PATH, json=a_request(model="wan9"))
    error = answer.json()["error"]
    assert answer.status_code == 503
    assert (error["type"], error["code"]) == ("new_api_error", "model_not_found")
    assert answer.headers["X-Oneapi-Request-Id"] in error["message"]


@each_row("body", [b"", b"{", b"[]", b"\xff", b"[" * 200_000])
async def test_body_that_is_no_object_is_refused(http: httpx.AsyncClient, body: bytes) -> None:
    """Whatever arrives, the answer is an error and not a crash."""
    answer = await http.post(PATH, content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


async def test_body_beyond_any_use_is_refused(http: httpx.AsyncClient) -> None:
    """Reading stops at 32 MB."""
    answer = await http.post(PATH, content=b" " * (32 * 1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "read_request_body_failed")


async def test_lone_surrogate_in_a_prompt_is_survived(http: httpx.AsyncClient) -> None:
    """JSON can spell what UTF-8 cannot."""
    body = json.dumps(a_request()).replace("kitten", r"\ud83d")
    assert (await http.post(PATH, content=body)).status_code == 200


@each_row(
    "image",
    [
        data_uri(b"GIF89a not a picture we take"),
        data_uri(picture("BMP"), "png"),
        data_uri(picture()[:200]),
        data_uri(picture("PNG")[:60]),
        "data:image/png;base64,***",
        "data:image/png,raw",
        "/etc/passwd",
        base64.b64encode(picture()).decode(),
    ],
    ids=["gif", "bmp", "cut-jpeg", "cut-png", "no-base64", "raw", "path", "no-prefix"],
)
async def test_undecodable_image_is_refused_as_on_the_page(http: httpx.AsyncClient, image: str) -> None:
    """The page's error example, word for word."""
    wanted = "Image format not supported or incorrect format"
    assert await refusal(http, image=image) == (400, "InvalidParameter.ImageFormat", wanted)


async def test_image_kind_is_known_by_content(http: httpx.AsyncClient) -> None:
    """A wrong label does not matter."""
    assert await submit(http, image=data_uri(picture("PNG"), "jpeg"))


async def test_image_of_five_megabytes_is_refused(http: httpx.AsyncClient) -> None:
    """It must be under 5MB."""
    big = picture() + b"\0" * (5 * 1024 * 1024)
    status, code, _ = await refusal(http, image=data_uri(big))
    assert (status, code) == (400, "InvalidParameter.ImageSize")


async def test_decompression_bomb_is_refused_unopened(http: httpx.AsyncClient) -> None:
    """A small file may claim a billion pixels."""
    bomb = bytearray(picture("PNG"))
    bomb[16:24] = (40_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    status, code, _ = await refusal(http, image=data_uri(bytes(bomb)))
    assert (status, code) == (400, "InvalidParameter.ImageSize")


async def test_forbidden_prompt_is_refused(http: httpx.AsyncClient) -> None:
    """The documented word stands for moderation."""
    status, code, _ = await refusal(http, prompt="a Forbidden cat")
    assert (status, code) == (400, "InvalidParameter.DataInspection")


async def test_image_address_that_cannot_be_reached_fails_the_task(
    http: httpx.AsyncClient, emulator: Emulator, clock: Clock
) -> None:
    """The real service accepts it too, and finds out later."""
    await submit(http, image="https://images.invalid/cat.jpg")
    clock.advance(LONGEST)
    problem = emulator.tasks[0].problem
    assert problem is not None
    assert problem.code == "InvalidParameter.DataInspection"
    assert "download" in problem.message


async def test_known_and_hosted_addresses_are_had(clock: Clock) -> None:
    """By whole address, or because this emulator serves the file."""
    known = {"https://cdn.invalid/cat.png": picture("PNG")}
    emulator = Emulator(clock=clock, known_images=known)
    async with connect(emulator) as http:
        await submit(http, image="https://cdn.invalid/cat.png")
        await submit(http, image=emulator.host_image(picture()))
        await submit(http, image=emulator.host_image(b"text"))
    clock.advance(LONGEST)
    statuses = [task.status for task in emulator.tasks]
    assert statuses == [Status.SUCCEEDED, Status.SUCCEEDED, Status.FAILED]


async def test_records_keep_the_request_without_the_image(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """A digest is enough to compare by."""
    await submit(http)
    record = emulator.tasks[0]
    assert record.request["image"] == f"data:image/jpeg;base64,sha256:{record.image_digest}"
    assert record.request["seed"] == record.seed == 7


@each_row("header", ["", "Bearer", "Bearer sk-other", "Basic sk-emulator", "sk-emulator"])
async def test_wrong_key_is_refused(http: httpx.AsyncClient, header: str) -> None:
    """As the page's table has it."""
    for method, path in (("POST", PATH), ("GET", f"{PATH}/x")):
        answer = await http.request(method, path, json={}, headers={"Authorization": header})
        assert answer.status_code == 401
        assert answer.json() == {"code": "InvalidApiKey", "message": "Invalid API Key", "data": None}


async def test_unknown_task_does_not_exist(http: httpx.AsyncClient) -> None:
    """An HTTP 400, as gateways of this kind answer."""
    answer = await http.get(f"{PATH}/no-such-task")
    assert (answer.status_code, answer.json()["code"]) == (400, "task_not_exist")


async def test_task_of_another_account_does_not_exist(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """Nobody learns of other people's tasks."""
    task_id = await submit(http)
    emulator.add_account("sk-other")
    async with connect(emulator, "sk-other") as other:
        assert (await other.get(f"{PATH}/{task_id}")).json()["code"] == "task_not_exist"


async def test_balance_is_checked_on_submission(clock: Clock) -> None:
    """Less than the cost is too little; exactly the cost is enough."""
    emulator = Emulator(clock=clock, balance="0.369")
    async with connect(emulator) as http:
        await submit(http)
        clock.advance(LONGEST)
        status, code, _ = await refusal(http)
    assert (status, code) == (403, "InsufficientQuota")
    assert emulator.balance == 0


async def test_accounts_have_balances_of_their_own(emulator: Emulator, clock: Clock) -> None:
    """One pays, the other does not."""
    emulator.add_account("sk-other", balance=1, group_ratio=2, name="other")
    async with connect(emulator, "sk-other") as other:
        await submit(other)
    clock.advance(LONGEST)
    assert [(each.name, each.balance) for each in emulator.accounts][1] == ("other", Decimal("0.262"))
    assert emulator.balance == 100


async def test_too_many_tasks_under_way_are_throttled(clock: Clock) -> None:
    """The limit is an account's, and ends with its tasks."""
    emulator = Emulator(clock=clock, max_concurrent_tasks=1)
    async with connect(emulator) as http:
        await submit(http)
        status, code, _ = await refusal(http)
        assert (status, code) == (429, "Throttling.RateLimit")
        clock.advance(LONGEST)
        await submit(http)
    assert len(emulator.tasks) == 2


async def test_every_gateway_answer_has_a_request_id(http: httpx.AsyncClient) -> None:
    """Errors and unknown paths too."""
    answers = [
        await http.post(PATH, json=a_request()),
        await http.post(PATH, json={}),
        await http.get(f"{PATH}/x"),
        await http.get("/v2/nothing"),
    ]
    ids = {answer.headers["X-Oneapi-Request-Id"] for answer in answers}
    assert len(ids) == len(answers)
    assert answers[-1].status_code == 404


async def test_requests_are_logged_without_the_key(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """Enough to count, nothing to leak."""
    task_id = await submit(http)
    await http.post(PATH, json={})
    first, second = emulator.requests
    assert (first.point, first.method, first.status, first.task_id) == ("submit", "POST", 200, task_id)
    assert (second.status, second.task_id) == (400, None)
    assert "sk-emulator" not in repr(emulator.requests)


async def test_emulator_can_follow_any_clock(emulator: Emulator) -> None:
    """An object with now() will do, and can then be advanced as well."""

    class Fixed:
        def now(self) -> float:
            return START

    following = Emulator(clock=Fixed())
    following.clock.advance(5)
    assert following.clock.now() == START + 5
    assert emulator.clock.now() == START


@each_row("speed", [0, -1, float("nan"), float("inf"), 1e300, 1e-300])
def test_speed_must_be_one_that_can_be_played(speed: float) -> None:
    """A standing emulator would look like a hanging one, and dates beyond the calendar would end it."""
    with pytest.raises(ValueError, match="speed must be greater than 0"):
        Emulator(speed=speed)
