"""The emulated gateway with Vidu models against its page, without a socket."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from langchain_nebula_video.emulator import Clock, Currency, Dialect, Emulator, Status
from langchain_nebula_video.emulator.rendering import images
from tests.tables import each_row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATH = "/v1/video/generations"
START = 1_774_507_626.0
LONGEST = 180.0
MODEL = "viduq3p-720p"
MIX = "viduq3p-mix-720p"
FIRST, LAST = "https://example.com/head.png", "https://example.com/tail.png"
REFERENCES = [f"https://example.com/ref-{number}.png" for number in range(5)]


@pytest.fixture
def emulator() -> Emulator:
    return Emulator(clock=Clock(START, running=False))


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


async def post(http: httpx.AsyncClient, model: str = MODEL, prompt: Any = "a coast at sunrise", **more: Any) -> Any:
    return await http.post(PATH, json={"model": model, "prompt": prompt, **more})


async def submit(http: httpx.AsyncClient, **request: Any) -> str:
    answer = await post(http, **request)
    assert answer.status_code == 200, answer.text
    task_id: str = answer.json()["task_id"]
    return task_id


async def test_submitted_answer_has_the_shape_of_the_page(http: httpx.AsyncClient) -> None:
    """The same id twice, and seconds since the epoch."""
    body = (await post(http)).json()
    assert body == {
        "id": body["task_id"],
        "task_id": body["task_id"],
        "object": "video.generation.job",
        "model": MODEL,
        "status": "queued",
        "progress": 0,
        "created_at": 1_774_507_626,
    }


async def test_query_goes_from_queued_to_completed(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """With progress on the way and the address thrice at the end."""
    task_id = await submit(http)
    (task,) = emulator.tasks
    told = []
    for moment in (START, task.started_at, (task.started_at + task.finished_at) / 2, task.finished_at):
        emulator.clock.advance(moment - emulator.clock.now())
        told.append((await http.get(f"{PATH}/{task_id}")).json())
    assert [body["status"] for body in told] == ["queued", "in_progress", "in_progress", "completed"]
    assert [body["progress"] for body in told] == pytest.approx([0, 1, 50, 100], abs=1)
    assert {body["error"] for body in told} == {None}
    assert "video_url" not in told[2]
    url = told[3]["video_url"]
    assert told[3]["result"] == {"outputs": [url], "video_url": url}
    assert url.startswith(f"http://127.0.0.1/results/{task_id}.mp4?Expires=")


async def test_failed_task_says_why(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """In an error with a code of letters."""
    task_id = await submit(http, prompt="a coast [moderated]")
    emulator.clock.advance(LONGEST)
    body = (await http.get(f"{PATH}/{task_id}")).json()
    assert body["status"] == "failed"
    assert body["error"]["code"] == "content_policy_violation"


@each_row("refusal", [404, 405])
async def test_query_can_be_elsewhere(refusal: int) -> None:
    """The submit's path refuses then, for these models alone."""
    emulator = Emulator(clock=Clock(START, running=False), vidu_query_refusal=refusal)
    async with connect(emulator) as http:
        task_id = await submit(http)
        assert (await http.get(f"{PATH}/{task_id}")).status_code == refusal
        assert (await http.get(f"/v1/videos/{task_id}")).json()["status"] == "queued"
        image = {"image": "https://example.com/cat.jpg"}
        nebula = (await http.post(PATH, json={"model": "wan2.5-i2v-preview", "prompt": "x"} | image)).json()["task_id"]
        assert (await http.get(f"{PATH}/{nebula}")).status_code == 200
        assert (await http.get(f"/v1/videos/{nebula}")).status_code == 400


def test_query_refusal_is_one_of_two() -> None:
    """Anything else is a mistake."""
    with pytest.raises(ValueError, match="404, 405 or None"):
        Emulator(vidu_query_refusal=500)


async def test_model_decides_who_is_spoken_to(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """On one path, with one key."""
    image = {"image": "https://example.com/cat.jpg"}
    nebula = (await http.post(PATH, json={"model": "wan2.5-i2v-preview", "prompt": "vidu"} | image)).json()
    vidu = (await post(http)).json()
    assert (nebula["status"], vidu["status"]) == ("submitted", "queued")
    assert [task.dialect for task in emulator.tasks] == [Dialect.NEBULA, Dialect.VIDU]
    assert [request.dialect for request in emulator.requests] == [Dialect.NEBULA, Dialect.VIDU]
    answers = [(await http.get(f"{PATH}/{each['task_id']}")).json() for each in (nebula, vidu)]
    assert [answer["status"] for answer in answers] == ["in_progress", "queued"]


@each_row("family", ["viduq3p", "viduq3t"])
@each_row("kind", ["", "-mix"])
@each_row("tier", ["540p", "720p", "1080p"])
@each_row("pace", ["", "-offpeak"])
async def test_every_name_of_the_page_is_a_model(
    http: httpx.AsyncClient, emulator: Emulator, family: str, kind: str, tier: str, pace: str
) -> None:
    """Off the peak it may take up to 48 hours."""
    name = f"{family}{kind}-{tier}{pace}"
    await submit(http, model=name, reference_image_urls=REFERENCES[:2])
    task = emulator.tasks[-1]
    assert (task.model, task.resolution) == (name, tier)
    longest = 48 * 3600 if pace else LONGEST
    assert 0 < task.finished_at - task.accepted_at <= longest


@each_row("model", ["viduq3p", "viduq3p-480p", "viduq3x-720p", "viduq3p-720p-mix"])
async def test_other_names_have_no_channel(http: httpx.AsyncClient, model: str) -> None:
    """As any gateway of this make answers."""
    answer = await post(http, model)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_not_found")


@each_row(
    ("request_", "images"),
    [
        ({}, (False, False, 0)),
        ({"image": FIRST}, (True, False, 0)),
        ({"image": FIRST, "last_image": LAST}, (True, True, 0)),
        ({"model": MIX, "reference_image_urls": REFERENCES[:4]}, (False, False, 4)),
        ({"reference_image_urls": REFERENCES[:4]}, (False, False, 4)),
        # The names of the old page look at them in a mix model only.
        ({"model": f"{MODEL}-offpeak", "reference_image_urls": REFERENCES}, (False, False, 0)),
    ],
)
async def test_fields_decide_the_mode(
    http: httpx.AsyncClient, emulator: Emulator, request_: dict[str, Any], images: tuple[bool, bool, int]
) -> None:
    """Text alone, an image, two images, references."""
    spec = emulator._state.engine.find(await submit(http, **request_))[0].spec
    assert (spec.image is not None, spec.last_image is not None, len(spec.references)) == images
    assert (spec.aspect_ratio is None) is images[0]


@each_row(
    "request_",
    [
        {"last_image": LAST},
        {"model": MIX},
        {"model": MIX, "reference_image_urls": []},
        {"model": MIX, "reference_image_urls": REFERENCES},
        {"model": MIX, "reference_image_urls": [1]},
        {"model": MIX, "reference_image_urls": FIRST},
        {"model": MIX, "reference_image_urls": REFERENCES[:2], "prompt": "@Image3 walks"},
        {"model": MIX, "reference_image_urls": REFERENCES[:2], "prompt": "@Image0 walks"},
        {"prompt": ""},
        {"aspect_ratio": "17:9"},
        {"aspect_ratio": 1},
        {"duration": 0},
        {"duration": 17},
        {"duration": 2.5},
        {"duration": True},
        {"duration": "five"},
        {"extra_body": []},
        {"extra_body": {"seed": -1}},
        {"extra_body": {"audio": "yes"}},
    ],
)
async def test_what_the_page_rules_out_is_refused(
    http: httpx.AsyncClient, emulator: Emulator, request_: dict[str, Any]
) -> None:
    """Among others a last image without a first."""
    answer = await post(http, **request_)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert answer.json()["data"] is None
    assert emulator.tasks == ()


@each_row(("asked", "made"), [(1, 1), (16, 16), ("7", 7), (None, 5)])
async def test_duration_is_made_as_asked(http: httpx.AsyncClient, emulator: Emulator, asked: Any, made: int) -> None:
    """One to sixteen; the page's table says text and its examples numbers."""
    await submit(http, duration=asked)
    assert emulator.tasks[-1].seconds == made


@each_row("extra", [{"audio": True}, {"bgm": True}])
async def test_sound_is_made_when_asked_for(http: httpx.AsyncClient, emulator: Emulator, extra: dict[str, Any]) -> None:
    """Of either kind; otherwise there is none."""
    find = emulator._state.engine.find
    assert find(await submit(http, extra_body=extra))[0].spec.generate_audio
    assert not find(await submit(http))[0].spec.generate_audio


async def test_nothing_is_billed_because_no_price_is_known(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """There is a line on the bill all the same."""
    emulator.add_account("sk-empty", balance=0)
    async with connect(emulator, "sk-empty") as empty:
        await submit(empty, duration=16)
    emulator.clock.advance(LONGEST)
    (line,) = emulator.bill.lines
    assert (line.dialect, line.amount, line.currency) == (Dialect.VIDU, Decimal(0), Currency.USD)
    assert emulator.tasks[0].status is Status.SUCCEEDED


@each_row("name", ["image", "last_image"])
async def test_picture_that_cannot_be_had_fails_the_task(
    http: httpx.AsyncClient, emulator: Emulator, name: str
) -> None:
    """As with every other dialect."""
    await submit(http, **({"image": FIRST, "last_image": LAST} | {name: "https://unreachable.invalid/a.png"}))
    emulator.clock.advance(LONGEST)
    problem = emulator.tasks[-1].problem
    assert problem is not None
    assert problem.code == "image_download_failed"


async def test_picture_may_stand_in_the_request(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """The records keep its digest."""
    uri = "data:image/jpeg;base64," + base64.b64encode(images.sample("here")).decode()
    await submit(http, image=uri)
    (task,) = emulator.tasks
    assert task.request["image"] == f"data:image/jpeg;base64,sha256:{task.image_digest}"
    answer = await post(http, image="data:image/jpeg;base64,AAAA")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_image")


async def test_wrong_key_is_the_distributors_affair(emulator: Emulator) -> None:
    """With an empty code and the request's number in the text."""
    async with connect(emulator, "sk-nobody") as http:
        answer = await post(http)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (401, "")
    assert error["message"] == f"Invalid token (request id: {answer.headers['x-oneapi-request-id']})"
