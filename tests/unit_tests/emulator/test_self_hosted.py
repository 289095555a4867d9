"""Stock new-api and OpenAI's ``/v1/videos`` on the emulator, against new-api's code and what LiteLLM answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from langchain_nebula_video.emulator import Clock, Emulator
from tests.conftest import jpeg
from tests.tables import each_row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

START, LONGEST = 1_780_000_000.0, 600.0
CAT = "https://example.com/cat.jpg"
ROWS, VIDEOS = "/newapi/v1/video/generations", "/videos/v1/videos"
OPEN_MODEL = "Wan-AI/Wan2.2-I2V-A14B-Diffusers"


@pytest.fixture
def emulator() -> Emulator:
    emulator = Emulator(clock=Clock(START, running=False))
    emulator.add_account("sk-other")
    return emulator


@pytest.fixture
async def http(emulator: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": "Bearer sk-emulator"}
    transport = httpx.ASGITransport(app=emulator.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
        yield client


async def ask_new_api(http: httpx.AsyncClient, **more: Any) -> httpx.Response:
    return await http.post(ROWS, json={"model": "wan2.5-i2v-preview", "prompt": "a cat", "image": CAT, **more})


async def ask_videos(http: httpx.AsyncClient, **more: Any) -> httpx.Response:
    return await http.post(VIDEOS, json={"model": "wan2.7-i2v", "prompt": "a cat", "input_reference": CAT, **more})


def spec_of(emulator: Emulator, answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return emulator._state.engine.find(answer.json()["id"])[0].spec


def rewritten(spec: Any) -> bool:
    return spec.actual_prompt is not None


# --- stock new-api: what it keeps of a submit ---


async def test_a_submit_tells_the_task_in_both_fields_and_the_ratios_of_the_price_in_a_header(
    http: httpx.AsyncClient,
) -> None:
    answer = await ask_new_api(http, size="480P")
    body = answer.json()
    assert body["id"] == body["task_id"]
    assert body["task_id"].startswith("task_")
    assert len(body["task_id"]) == len("task_") + 32
    assert (body["object"], body["status"], body["progress"]) == ("video", "queued", 0)
    assert json.loads(answer.headers["x-new-api-other-ratios"]) == {"resolution-480P": 1.0, "seconds": 5}


@each_row(
    ("asked", "resolution"),
    [
        ({}, "1080P"),
        ({"size": "480P"}, "480P"),
        ({"size": "720p"}, "720P"),
        ({"size": "720"}, "720P"),
        ({"resolution": "480P"}, "1080P"),
        ({"size": "720P", "metadata": {"parameters": {"resolution": "480P"}}}, "480P"),
    ],
)
async def test_the_resolution_is_size_or_in_metadata(
    http: httpx.AsyncClient, emulator: Emulator, asked: dict[str, Any], resolution: str
) -> None:
    assert spec_of(emulator, await ask_new_api(http, **asked)).resolution == resolution


@each_row(
    ("parameters", "field", "arrived"),
    [
        ({"watermark": False}, "watermark", False),
        ({"watermark": True}, "watermark", True),
        ({"seed": 7}, "seed", 7),
        ({"seed": 0}, "seed", None),
        ({"audio": False}, "generate_audio", False),
        ({"duration": 10}, "seconds", 10),
    ],
)
async def test_a_field_of_metadata_arrives_unless_it_is_0(
    http: httpx.AsyncClient, emulator: Emulator, parameters: dict[str, Any], field: str, arrived: object
) -> None:
    assert getattr(spec_of(emulator, await ask_new_api(http, metadata={"parameters": parameters})), field) == arrived


@each_row("parameters", [{}, {"prompt_extend": True}, {"prompt_extend": False}])
async def test_every_prompt_is_rewritten_because_false_is_lost(
    http: httpx.AsyncClient, emulator: Emulator, parameters: dict[str, Any]
) -> None:
    assert rewritten(spec_of(emulator, await ask_new_api(http, metadata={"parameters": parameters})))


@each_row("asked", [{"prompt_extend": True}, {"audio": False}, {"seed": 7}, {"shot_type": "multi"}])
async def test_a_field_beside_metadata_is_lost(
    http: httpx.AsyncClient, emulator: Emulator, asked: dict[str, Any]
) -> None:
    await ask_new_api(http)
    await ask_new_api(http, **asked)
    plain, more = emulator.tasks[-2:]
    assert plain.request == more.request


# --- stock new-api: its rows ---


async def test_a_row_is_in_an_envelope_with_the_charge_the_reason_and_the_address(
    http: httpx.AsyncClient, emulator: Emulator
) -> None:
    task = (await ask_new_api(http, size="480P")).json()["id"]
    early = (await http.get(f"{ROWS}/{task}")).json()
    assert (early["code"], early["data"]["status"], early["data"]["quota"]) == ("success", "NOT_START", 125_000)
    emulator.clock.advance(LONGEST)
    row = (await http.get(f"{ROWS}/{task}")).json()["data"]
    assert (row["status"], row["progress"], row["fail_reason"], row["quota"]) == ("SUCCESS", "100%", "", 125_000)
    assert ".mp4?" in row["result_url"]
    assert row["data"]["output"]["video_url"] == row["result_url"]


async def test_a_gateway_that_has_not_looked_yet_knows_nothing_of_a_task(
    http: httpx.AsyncClient, emulator: Emulator
) -> None:
    """Then it knows what the vendor says."""
    emulator.faults.add("query", "regress", times=None, status="PENDING")
    task = (await ask_new_api(http)).json()["id"]
    seen = []
    for _ in range(3):
        row = (await http.get(f"{ROWS}/{task}")).json()["data"]
        seen.append((row["status"], row["progress"]))
        emulator.clock.advance(10)
    assert seen == [("NOT_START", "0%"), ("NOT_START", "0%"), ("QUEUED", "20%")]


async def test_a_failed_row_says_why_and_gives_the_charge_back(http: httpx.AsyncClient, emulator: Emulator) -> None:
    task = (await ask_new_api(http, prompt="[fail]")).json()["id"]
    emulator.clock.advance(LONGEST)
    row = (await http.get(f"{ROWS}/{task}")).json()["data"]
    assert (row["status"], row["result_url"]) == ("FAILURE", "")
    assert row["fail_reason"].startswith("task failed, code: ")
    assert emulator.bill.lines == ()
    assert f"{emulator.balance:.2f}" == "100.00"
    video = (await http.get(f"/newapi/v1/videos/{task}")).json()
    assert (video["status"], video["error"]["code"]) == ("failed", "InternalError")


async def test_openai_s_path_names_the_address_in_metadata(http: httpx.AsyncClient, emulator: Emulator) -> None:
    task = (await ask_new_api(http)).json()["id"]
    assert (await http.get(f"/newapi/v1/videos/{task}")).json()["metadata"] == {"url": ""}
    emulator.clock.advance(LONGEST)
    video = (await http.get(f"/newapi/v1/videos/{task}")).json()
    assert video["status"] == "completed"
    assert ".mp4?" in video["metadata"]["url"]


async def test_a_plugin_s_task_is_known_at_openai_s_path_alone_and_has_no_address(
    http: httpx.AsyncClient, emulator: Emulator
) -> None:
    body = {"model": "wan2.6-i2v", "prompt": "a cat", "image": CAT, "prompt_extend": False, "resolution": "720P"}
    answer = await http.post("/newapi/v1/videos", json=body)
    assert not rewritten(spec_of(emulator, answer))
    task = answer.json()["id"]
    emulator.clock.advance(LONGEST)
    video = (await http.get(f"/newapi/v1/videos/{task}")).json()
    assert (video["status"], "mp4?" in json.dumps(video)) == ("completed", False)
    assert (await http.get(f"{ROWS}/{task}")).status_code == 400


@each_row(
    ("body", "status", "code"),
    [
        ({"model": None}, 400, '"error"'),
        ({"model": "no-such"}, 503, "model_not_found"),
        ({"prompt": None}, 400, "invalid_request"),
        ({"image": "data:image/jpeg;base64,AAAA"}, 400, "InvalidParameter"),
        ({"prompt": "forbidden"}, 400, "DataInspectionFailed"),
    ],
)
async def test_a_refusal_is_the_gateway_s_own_or_has_the_vendor_s_within(
    http: httpx.AsyncClient, emulator: Emulator, body: dict[str, Any], status: int, code: str
) -> None:
    answer = await ask_new_api(http, **body)
    assert (answer.status_code, code in answer.text) == (status, True)
    assert (answer.json().get("code") == "fail_to_fetch_task") is (
        code not in {'"error"', "model_not_found", "invalid_request"}
    )
    assert emulator.tasks == ()


# --- OpenAI's /v1/videos ---


@each_row(
    ("asked", "field", "arrived"),
    [
        ({"seconds": "10"}, "seconds", 10),
        ({"seconds": 10}, "seconds", 10),
        ({"duration": 3}, "seconds", 3),
        ({"resolution": "720p"}, "resolution", "720P"),
        ({"size": "1280x720"}, "resolution", "720P"),
        ({"size": "720x1280"}, "resolution", "720P"),
        ({"size": "1920*1080"}, "resolution", "1080P"),
        ({"seed": 0}, "seed", 0),
        ({"watermark": True}, "watermark", True),
    ],
)
async def test_length_size_and_switches_have_several_spellings(
    http: httpx.AsyncClient, emulator: Emulator, asked: dict[str, Any], field: str, arrived: object
) -> None:
    assert getattr(spec_of(emulator, await ask_videos(http, **asked)), field) == arrived


@each_row("asked", [True, False])
async def test_rewriting_is_as_asked(http: httpx.AsyncClient, emulator: Emulator, asked: bool) -> None:
    assert rewritten(spec_of(emulator, await ask_videos(http, prompt_extend=asked))) is asked


@each_row(
    "image",
    [
        {"input_reference": CAT},
        {"reference_url": CAT},
        {"image": CAT},
        {"images": [CAT]},
        {"image_reference": json.dumps({"image_url": CAT})},
        {"media": [{"type": "first_frame", "url": CAT}]},
    ],
)
async def test_the_first_frame_has_several_names(
    http: httpx.AsyncClient, emulator: Emulator, image: dict[str, Any]
) -> None:
    answer = await http.post(VIDEOS, json={"model": "wan2.7-i2v", "prompt": "a cat", **image})
    assert spec_of(emulator, answer).image is not None


async def test_a_form_with_a_file_is_read_as_json_is(http: httpx.AsyncClient, emulator: Emulator) -> None:
    fields = {"model": OPEN_MODEL, "prompt": "a cat", "seconds": "4", "size": "832x480", "seed": "7"}
    cat = jpeg(832, 480)
    files = {"input_reference": ("cat.jpg", cat, "image/jpeg")}
    spec = spec_of(emulator, await http.post(VIDEOS, data=fields, files=files))
    assert (spec.seconds, spec.resolution, spec.seed) == (4, "480P", 7)
    assert spec.image.content == cat


async def test_a_finished_task_names_no_address_and_its_video_is_for_the_key(
    http: httpx.AsyncClient, emulator: Emulator
) -> None:
    body = (await ask_videos(http, model=OPEN_MODEL, size="832x480", seconds="1")).json()
    path = f"{VIDEOS}/{body['id']}"
    assert (body["id"][:6], body["object"], body["status"]) == ("video_", "video", "queued")
    assert (await http.get(path + "/content")).status_code == 400
    emulator.clock.advance(LONGEST)
    seen = (await http.get(path)).json()
    assert (seen["status"], seen["progress"], seen["error"]) == ("completed", 100, None)
    assert "http" not in json.dumps(seen)
    for key, status in (("sk-emulator", 200), ("sk-other", 404), ("sk-wrong", 401)):
        answer = await http.get(path + "/content", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == status
        assert (answer.headers["content-type"] == "video/mp4") is (status == 200)


async def test_a_model_with_open_weights_is_free(http: httpx.AsyncClient, emulator: Emulator) -> None:
    await ask_videos(http, model=OPEN_MODEL, size="832x480", seconds="4")
    emulator.clock.advance(LONGEST)
    assert len(emulator.tasks) == 1
    assert f"{emulator.bill.usd:.2f} {emulator.balance:.2f}" == "0.00 100.00"


@each_row(
    ("asked", "status", "code"),
    [
        ({"model": "no-such"}, 404, "model_not_found"),
        ({"prompt": None}, 400, "invalid_request"),
        ({"size": "large"}, 400, "InvalidParameter"),
        ({"seconds": "five"}, 400, "invalid_request"),
        ({"seconds": "99"}, 400, "InvalidParameter"),
        ({"image_reference": "{", "input_reference": None}, 400, "invalid_request"),
        ({"prompt": "forbidden"}, 400, "content_policy_violation"),
    ],
)
async def test_a_refusal_has_openai_s_form(
    http: httpx.AsyncClient, emulator: Emulator, asked: dict[str, Any], status: int, code: str
) -> None:
    answer = await ask_videos(http, **asked)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert emulator.tasks == ()


async def test_neither_knows_a_task_of_the_other(http: httpx.AsyncClient) -> None:
    row, video = (await ask_new_api(http)).json()["id"], (await ask_videos(http)).json()["id"]
    assert (await http.get(f"{VIDEOS}/{row}")).status_code == 404
    assert (await http.get(f"{ROWS}/{video}")).json()["code"] == "task_not_exist"


# --- faults ---


async def test_faults_stand_where_a_row_has_its_fields(http: httpx.AsyncClient, emulator: Emulator) -> None:
    task = (await ask_new_api(http)).json()["id"]
    emulator.clock.advance(LONGEST)
    emulator.faults.add("query", "status_word", word="resting")
    assert (await http.get(f"{ROWS}/{task}")).json()["data"]["status"] == "resting"
    emulator.faults.add("query", "no_url")
    bare = await http.get(f"{ROWS}/{task}")
    assert (bare.json()["data"]["status"], "mp4?" in bare.text) == ("SUCCESS", False)


async def test_an_unknown_word_stands_at_openai_s_path_too(http: httpx.AsyncClient, emulator: Emulator) -> None:
    task = (await ask_videos(http)).json()["id"]
    emulator.faults.add("query", "status_word", word="resting")
    assert (await http.get(f"{VIDEOS}/{task}")).json()["status"] == "resting"
