"""The free routes of Nebula's gateway, as its published code has them (2025-12), without a socket."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from langchain_nebula_video.emulator import Clock, Emulator
from tests.tables import each_row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

MODEL = "wan2.5-i2v-preview"
START = 1_762_254_911.0
LONGEST = 180.0
CONSOLE = {"Authorization": "console-emulator", "New-Api-User": "1"}


@pytest.fixture
def emulator() -> Emulator:
    return Emulator(clock=Clock(START, running=False), group_ratio="0.8", balance=10, documented_limits=True)


@pytest.fixture
async def http(emulator: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=emulator.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


def bearer(key: str = "sk-emulator") -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def submit(http: httpx.AsyncClient, key: str = "sk-emulator", **fields: Any) -> str:
    body = {"model": MODEL, "prompt": "a cat", "image": "https://example.com/cat.jpg", "seed": 1} | fields
    answer = await http.post("/v1/video/generations", json=body, headers=bearer(key))
    return str(answer.json()["task_id"])


async def data_of(http: httpx.AsyncClient, path: str, headers: Mapping[str, str] | None = None) -> Any:
    answer = await http.get(path, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


# --- Models ---


async def test_a_key_sees_the_models_that_it_may_use(http: httpx.AsyncClient, emulator: Emulator) -> None:
    emulator.add_key("sk-limited", models=[MODEL])
    everything = await data_of(http, "/v1/models", bearer())
    assert {MODEL, "viduq3t-720p"} < {model["id"] for model in everything}
    limited = await data_of(http, "/v1/models", bearer("sk-limited"))
    assert [model["id"] for model in limited] == [MODEL]


async def test_a_video_model_does_not_exist_by_its_own_path(http: httpx.AsyncClient) -> None:
    answer = await http.get(f"/v1/models/{MODEL}", headers=bearer())
    assert answer.status_code == 200
    assert answer.json()["error"]["code"] == "model_not_found"


@each_row("path", ["/v1/models", "/v1/dashboard/billing/usage", "/api/usage/token/"])
@each_row(("key", "words"), [({}, "未提供令牌"), (bearer("sk-other"), "无效的令牌")])
async def test_a_key_is_needed(http: httpx.AsyncClient, path: str, key: dict[str, str], words: str) -> None:
    answer = await http.get(path, headers=key)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"]) == (401, "nebula_api_error", "")
    assert error["message"] == f"{words} (request id: {answer.headers['X-Oneapi-Request-Id']})"


# --- The key ---


async def test_the_figures_of_a_key_say_whether_it_has_a_list_of_models(
    http: httpx.AsyncClient, emulator: Emulator
) -> None:
    emulator.add_key("sk-limited", name="limited", models=[MODEL], quota=2)
    free = await data_of(http, "/api/usage/token/", bearer())
    assert (free["unlimited_quota"], free["model_limits_enabled"], free["model_limits"]) == (True, False, {})
    limited = await data_of(http, "/api/usage/token/", bearer("sk-limited"))
    assert limited == {
        "object": "token_usage",
        "name": "limited",
        "total_granted": 1_000_000,
        "total_used": 0,
        "total_available": 1_000_000,
        "unlimited_quota": False,
        "model_limits": {MODEL: True},
        "model_limits_enabled": True,
        "expires_at": 0,
    }


async def test_billing_shows_the_limit_of_the_key_and_no_videos(http: httpx.AsyncClient, emulator: Emulator) -> None:
    emulator.add_key("sk-limited", quota=2)
    await submit(http)
    emulator.clock.advance(LONGEST)
    limits = [
        (await http.get("/v1/dashboard/billing/subscription", headers=bearer(key))).json()["hard_limit_usd"]
        for key in ("sk-emulator", "sk-limited")
    ]
    assert limits == [100_000_000, 2]
    assert (await http.get("/v1/dashboard/billing/usage", headers=bearer())).json()["total_usage"] == 0


async def test_the_log_of_a_key_has_the_true_bill_of_its_own_tasks(http: httpx.AsyncClient, emulator: Emulator) -> None:
    emulator.add_key("sk-second", name="second")
    task_id = await submit(http, "sk-second", resolution="1080p", duration=10)
    await submit(http)
    assert await data_of(http, "/api/log/token?key=sk-second") == []
    emulator.clock.advance(LONGEST)
    (row,) = await data_of(http, "/api/log/token?key=sk-second")
    other = json.loads(row["other"])
    assert (row["model_name"], row["token_name"], row["type"]) == (MODEL, "second", 2)
    assert row["quota"] == other["actual_quota"] == 493_200  # 1080p, 10 s, at 0.8
    assert other["task_id"] == task_id
    assert (other["video_seconds"], other["video_resolution"], other["group_ratio"]) == (10, "1080p", 0.8)
    assert START < row["created_at"] <= START + LONGEST


async def test_the_log_of_an_unknown_key_is_empty(http: httpx.AsyncClient) -> None:
    assert await data_of(http, "/api/log/token?key=sk-other") == []


# --- The console ---


@each_row(
    ("headers", "status", "words"),
    [
        ({}, 401, "未登录且未提供 access token"),
        (bearer(), 200, "access token 无效"),
        ({"Authorization": "console-emulator"}, 401, "未提供 New-Api-User"),
        (CONSOLE | {"New-Api-User": "one"}, 401, "格式错误"),
        (CONSOLE | {"New-Api-User": "2"}, 401, "不匹配"),
    ],
)
@each_row("path", ["/api/task/self", "/api/log/self", "/api/user/self"])
async def test_the_console_asks_for_its_token_and_the_user_id(
    http: httpx.AsyncClient, path: str, headers: dict[str, str], status: int, words: str
) -> None:
    answer = await http.get(path, headers=headers)
    assert (answer.status_code, answer.json()["success"]) == (status, False)
    assert words in answer.json()["message"]


async def test_the_console_lists_tasks_that_are_not_finished(http: httpx.AsyncClient, emulator: Emulator) -> None:
    emulator.add_account("sk-stranger")
    await submit(http, "sk-stranger")
    first = await submit(http)
    emulator.clock.advance(LONGEST)
    second = await submit(http, seed=2)
    page = await data_of(http, "/api/task/self", CONSOLE)
    assert (page["total"], page["page"], page["page_size"]) == (2, 1, 10)
    assert [(row["task_id"], row["status"]) for row in page["items"]] == [(second, "IN_PROGRESS"), (first, "SUCCESS")]
    assert page["items"][1]["fail_reason"].startswith(f"http://127.0.0.1/results/{first}.mp4?")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=SUCCESS", 1),
        ("status=IN_PROGRESS", 1),
        ("platform=17", 2),
        ("platform=1", 0),
        (f"start_timestamp={START + 1:.0f}", 1),
        (f"end_timestamp={START + 1:.0f}", 1),
        ("p=2&page_size=1", 1),
        ("p=3&page_size=1", 0),
        ("task_id=nothing", 0),
    ],
)
async def test_the_list_of_tasks_can_be_narrowed(
    http: httpx.AsyncClient, emulator: Emulator, query: str, found: int
) -> None:
    await submit(http)
    emulator.clock.advance(LONGEST)
    await submit(http, seed=2)
    assert len((await data_of(http, f"/api/task/self?{query}", CONSOLE))["items"]) == found


async def test_a_failed_task_gives_no_reason_in_the_list(http: httpx.AsyncClient, emulator: Emulator) -> None:
    await submit(http, prompt="a cat [fail]")
    emulator.clock.advance(LONGEST)
    (row,) = (await data_of(http, "/api/task/self", CONSOLE))["items"]
    assert (row["status"], row["fail_reason"], row["progress"]) == ("FAILURE", "任务执行失败", "100%")


async def test_the_account_shows_its_balance_its_group_and_the_ratio_of_the_group(
    http: httpx.AsyncClient, emulator: Emulator
) -> None:
    await submit(http)
    emulator.clock.advance(LONGEST)
    account = await data_of(http, "/api/user/self", CONSOLE)
    assert (account["quota"], account["used_quota"]) == (5_000_000 - 147_600, 147_600)
    ratios = (await http.get("/api/pricing")).json()["group_ratio"]
    assert ratios[account["group"]] == 0.8
    assert (await data_of(http, "/api/status"))["quota_per_unit"] == 500_000


async def test_the_log_of_the_account_has_the_tasks_of_all_its_keys(
    http: httpx.AsyncClient, emulator: Emulator
) -> None:
    emulator.add_key("sk-second", name="second")
    await submit(http)
    await submit(http, "sk-second")
    emulator.clock.advance(LONGEST)
    everything = await data_of(http, "/api/log/self", CONSOLE)
    assert everything["total"] == 2
    second = await data_of(http, "/api/log/self?token_name=second&type=2", CONSOLE)
    assert [row["token_name"] for row in second["items"]] == ["second"]


# --- Limits, faults and records ---


@pytest.mark.parametrize(
    ("path", "headers", "requests", "seconds"),
    [("/api/usage/token/", bearer(), 20, 1200), ("/api/log/token?key=x", {}, 180, 180)],
)
async def test_too_many_requests_get_an_empty_429(
    http: httpx.AsyncClient,
    emulator: Emulator,
    path: str,
    headers: dict[str, str],
    requests: int,
    seconds: int,
) -> None:
    statuses = {(await http.get(path, headers=headers)).status_code for _ in range(requests)}
    refused = await http.get(path, headers=headers)
    assert statuses == {200}
    assert (refused.status_code, refused.content) == (429, b"")
    emulator.clock.advance(seconds)
    assert (await http.get(path, headers=headers)).status_code == 200


async def test_the_routes_under_v1_have_no_limit(http: httpx.AsyncClient) -> None:
    assert {(await http.get("/v1/models", headers=bearer())).status_code for _ in range(200)} == {200}


async def test_a_fault_reaches_the_free_routes(http: httpx.AsyncClient, emulator: Emulator) -> None:
    emulator.faults.add("account", "status", code=502, body="html")
    assert (await http.get("/api/status")).status_code == 502
    assert (await http.get("/api/status")).status_code == 200


async def test_neither_keys_nor_access_tokens_are_in_the_records(http: httpx.AsyncClient, emulator: Emulator) -> None:
    emulator.add_key("sk-second")
    await http.get("/api/log/token?key=sk-second", headers=bearer("sk-second"))
    await http.get("/api/user/self", headers=CONSOLE)
    assert "sk-second" not in repr(emulator.requests)
    assert "console-emulator" not in repr(emulator.requests)


def test_a_key_belongs_to_one_account(emulator: Emulator) -> None:
    emulator.add_key("sk-second")
    with pytest.raises(ValueError, match="already in use"):
        emulator.add_key("sk-second")
    with pytest.raises(ValueError, match="no account 'nobody'"):
        emulator.add_key("sk-third", account="nobody")
    with pytest.raises(ValueError, match="already"):
        emulator.add_account("sk-fourth", access_token="console-emulator")
