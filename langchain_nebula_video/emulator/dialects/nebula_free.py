"""The free routes of Nebula's gateway: models, the key's figures and log, the console's lists.

No page describes them. They are played as the gateway's published code has them, 2025-12: controller/{model,token,
log,billing,task,user,pricing}.go, middleware/{auth,rate-limit}.go and router/api-router.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.billing import QUOTA_PER_USD, to_quota
from langchain_nebula_video.emulator.serving.responses import Response

from .error_envelopes import gateway_response
from .nebula_keys import authenticate
from .nebula_models import NEBULA_MODELS
from .nebula_records import CONSUMED, charges_of, group_of, log_rows, task_rows
from .nebula_refusals import NebulaRefusal, error_response
from .uniall_models import UNIALL_MODELS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_nebula_video.emulator.accounts import Account
    from langchain_nebula_video.emulator.refusals import Refusal
    from langchain_nebula_video.emulator.serving.exchange import Exchange, Handler

UNLIMITED = 100_000_000
"""What a key without a limit of its own shows."""
# (requests, seconds) of one address: on all routes under /api, and on those that the code calls critical.
LIMITS: Mapping[str, tuple[int, float]] = {"api": (180, 180.0), "critical": (20, 1200.0)}
PAGE_SIZE, MAX_PAGE_SIZE = 10, 100
_MODELS = (*NEBULA_MODELS, *UNIALL_MODELS)


class ConsoleRefusal(Exception):  # noqa: N818 - as `Refusal`
    """Raised when the console does not answer with a list."""

    def __init__(self, status: int, message: str) -> None:
        """Store status code and message."""
        super().__init__(message)
        self.status = status
        self.message = message


def routes() -> list[tuple[str, str, Handler]]:
    """Return method, path and handler of each route."""
    billing = [
        ("GET", f"{prefix}/dashboard/billing/{name}", handler)
        for prefix in ("", "/v1")
        for name, handler in (("subscription", subscription), ("usage", usage))
    ]
    return [
        ("GET", "/v1/models", list_models),
        ("GET", "/v1/models/{model}", retrieve_model),
        *billing,
        ("GET", "/api/usage/token/", key_usage),
        ("GET", "/api/log/token", log_of_key),
        ("GET", "/api/log/self", _of_console(log_of_account)),
        ("GET", "/api/task/self", _of_console(tasks_of_account)),
        ("GET", "/api/user/self", _of_console(account_itself)),
        ("GET", "/api/status", status),
        ("GET", "/api/pricing", pricing),
    ]


def refuse(exchange: Exchange, refusal: Refusal) -> Response:
    """Turn a refusal into an error response: a wrong key, or too many requests, which has no body."""
    if isinstance(refusal, NebulaRefusal):
        return error_response(exchange, refusal)
    return Response(429).with_headers(x_oneapi_request_id=exchange.request_id)


async def list_models(exchange: Exchange) -> Response:
    """``GET /v1/models``: those that the key may use."""
    key = authenticate(exchange)
    common = {"object": "model", "created": 1_626_777_600, "owned_by": "custom", "supported_endpoint_types": ["openai"]}
    rows = [{"id": name} | common for name in (_MODELS if key.models is None else key.models)]
    return gateway_response(exchange, {"success": True, "data": rows, "object": "list"})


async def retrieve_model(exchange: Exchange) -> Response:
    """``GET /v1/models/{model}``. It knows the chat models alone, so it denies, with 200, every video model."""
    authenticate(exchange)
    message = f"The model '{exchange.path_params['model']}' does not exist"
    error = {"message": message, "type": "invalid_request_error", "param": "model", "code": "model_not_found"}
    return gateway_response(exchange, {"error": error})


async def subscription(exchange: Exchange) -> Response:
    """``GET /v1/dashboard/billing/subscription``: the key's own limit, not the account's balance."""
    key = authenticate(exchange)
    limit = UNLIMITED if key.quota is None else float(key.quota)
    figures = dict.fromkeys(("soft_limit_usd", "hard_limit_usd", "system_hard_limit_usd"), limit)
    head = {"object": "billing_subscription", "has_payment_method": True}
    return gateway_response(exchange, head | figures | {"access_until": 0})


async def usage(exchange: Exchange) -> Response:
    """``GET /v1/dashboard/billing/usage``: nothing, because videos are charged to the account and not to the key."""
    authenticate(exchange)
    return gateway_response(exchange, {"object": "list", "total_usage": 0})


async def key_usage(exchange: Exchange) -> Response:
    """``GET /api/usage/token/``: the key's own limit, and whether it has a list of models."""
    _count(exchange, "api", "critical")
    key = authenticate(exchange)
    left = 0 if key.quota is None else to_quota(key.quota)
    data = {
        "object": "token_usage",
        "name": key.name,
        "total_granted": left,
        "total_used": 0,
        "total_available": left,
        "unlimited_quota": key.quota is None,
        "model_limits": dict.fromkeys(key.models or (), True),
        "model_limits_enabled": key.models is not None,
        "expires_at": 0,
    }
    return gateway_response(exchange, {"code": True, "message": "ok", "data": data})


async def log_of_key(exchange: Exchange) -> Response:
    """``GET /api/log/token?key=``: every charge of tasks that this key submitted. An unknown key has none."""
    _count(exchange, "api")
    key = exchange.state.accounts.find_key(exchange.query.get("key", ""))
    rows = [] if key is None else [row for row in log_rows(exchange, key.account) if row["token_id"] == key.number]
    return _console_response(exchange, rows)


async def log_of_account(exchange: Exchange) -> Response:
    """``GET /api/log/self``: the account's charges, newest first."""
    account, query = _console_account(exchange), exchange.query
    rows = [
        row
        for row in log_rows(exchange, account)
        if query.get("type") in {None, "", "0", str(CONSUMED)}
        and all(query.get(name) in {None, "", row[name]} for name in ("token_name", "model_name", "group"))
        and _is_within(row["created_at"], query)
    ]
    return _console_response(exchange, _page(query, rows))


async def tasks_of_account(exchange: Exchange) -> Response:
    """``GET /api/task/self``: the account's tasks, finished or not, newest first."""
    account, query = _console_account(exchange), exchange.query
    rows = [
        row
        for row in task_rows(exchange, account)
        if all(query.get(name) in {None, "", row[name]} for name in ("task_id", "status", "platform", "action"))
        and _is_within(row["submit_time"], query)
    ]
    return _console_response(exchange, _page(query, rows))


async def account_itself(exchange: Exchange) -> Response:
    """``GET /api/user/self``: the account and its balance."""
    account = _console_account(exchange)
    charges = charges_of(exchange, account)
    data = {
        "id": account.number,
        "username": account.name,
        "display_name": account.name,
        "role": 1,
        "status": 1,
        "email": "",
        "group": group_of(account),
        "quota": to_quota(account.balance),
        "used_quota": sum(to_quota(line.amount) for line in charges),
        "request_count": len(charges),
    }
    return _console_response(exchange, data)


async def status(exchange: Exchange) -> Response:
    """``GET /api/status``: needs no key."""
    _count(exchange, "api")
    data = {
        "system_name": "Nebula",
        "quota_per_unit": QUOTA_PER_USD,
        "display_in_currency": True,
        "quota_display_type": "USD",
        "enable_task": True,
        "server_address": exchange.origin,
    }
    return _console_response(exchange, data)


async def pricing(exchange: Exchange) -> Response:
    """``GET /api/pricing``: models and group ratios; needs no key. Prices per second are not in it."""
    _count(exchange, "api")
    accounts = [account for account in exchange.state.accounts if account.region is None]
    ratios = {"default": 1.0} | {group_of(account): float(account.group_ratio) for account in accounts}
    common = {"quota_type": 0, "model_ratio": 37.5, "model_price": 0, "completion_ratio": 1}
    groups = {"enable_groups": list(ratios), "supported_endpoint_types": ["openai"]}
    body = {
        "success": True,
        "data": [{"model_name": name} | common | groups for name in _MODELS],
        "group_ratio": ratios,
        "usable_group": {group: group for group in ratios},
    }
    return gateway_response(exchange, body)


def _console_account(exchange: Exchange) -> Account:
    """Return the account of an access token of the console. A key opens nothing here.

    Raises:
        ConsoleRefusal: The token, or the header with the user id, is missing or wrong.
        Refusal: There were too many requests.
    """
    _count(exchange, "api")
    token = exchange.headers.get("authorization", "").removeprefix("Bearer ").strip()
    if not token:
        raise ConsoleRefusal(401, "无权进行此操作，未登录且未提供 access token")
    account = next((each for each in exchange.state.accounts if each.access_token == token), None)
    if account is None:
        raise ConsoleRefusal(200, "无权进行此操作，access token 无效")
    user = exchange.headers.get("new-api-user", "")
    if not user:
        raise ConsoleRefusal(401, "无权进行此操作，未提供 New-Api-User")
    if not user.isdecimal():
        raise ConsoleRefusal(401, "无权进行此操作，New-Api-User 格式错误")
    if int(user) != account.number:
        raise ConsoleRefusal(401, "无权进行此操作，New-Api-User 与登录用户不匹配")
    return account


def _of_console(handler: Handler) -> Handler:
    """Return a handler that answers a `ConsoleRefusal` in the console's form."""

    async def answer(exchange: Exchange) -> Response:
        try:
            return await handler(exchange)
        except ConsoleRefusal as refusal:
            body = {"success": False, "message": refusal.message}
            return gateway_response(exchange, body, refusal.status)

    return answer


def _count(exchange: Exchange, *limits: str) -> None:
    """Count a request of this address.

    Raises:
        Refusal: There were too many.
    """
    address = (exchange.scope.get("client") or ("",))[0]
    for name in limits:
        requests, seconds = LIMITS[name]
        exchange.state.rate_limiter.check((name, address), requests, seconds)


def _console_response(exchange: Exchange, data: Any) -> Response:
    return gateway_response(exchange, {"success": True, "message": "", "data": data})


def _page(query: Mapping[str, str], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return one page of rows, newest first."""
    number = max(1, _integer(query.get("p")))
    size = min(_integer(query.get("page_size")) or PAGE_SIZE, MAX_PAGE_SIZE)
    items = list(reversed(rows))[(number - 1) * size : number * size]
    return {"page": number, "page_size": size, "total": len(rows), "items": items}


def _is_within(at: int, query: Mapping[str, str]) -> bool:
    begin, end = _integer(query.get("start_timestamp")), _integer(query.get("end_timestamp"))
    return begin <= at and (not end or at <= end)


def _integer(text: str | None) -> int:
    """Return a number of a query; 0 if it is missing or is none."""
    return int(text) if text and text.isdecimal() else 0
