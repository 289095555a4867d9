"""Every error of Nebula's gateway, as its published code answers it (middleware/, relay/relay_task.go, 2025-12)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator.refusals import Reason, Refusal

from .error_envelopes import gateway_response, nebula_error, plain_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_nebula_video.emulator.serving.exchange import Exchange
    from langchain_nebula_video.emulator.serving.responses import Response

HIDDEN = "请求上游地址失败"
"""Stands for the whole text of an error that holds an address (service/error.go, 2025-11)."""
_ADDRESS_MARKS = ("post", "dial", "http")


def panic_error(_: str, message: str, __: str) -> dict[str, Any]:
    """The answer to a crash of the program (middleware/recover.go, 2025-08)."""
    return {"error": {"message": message, "type": "new_api_panic"}}


@dataclass(frozen=True, slots=True)
class GatewayError:
    """One error: status code, code and words. Words may have one `{}`."""

    status: int
    code: str
    words: str
    envelope: Callable[[str, str, str], dict[str, Any]] = plain_error


def _of_key(status: int, words: str, code: str = "") -> GatewayError:
    return GatewayError(status, code, words, nebula_error)


GATEWAY_ERRORS: Mapping[str, GatewayError] = {
    # middleware/auth.go, 2025-12, and model/token.go, 2025-08: the key, the user and their group
    "no_key": _of_key(401, "未提供令牌"),
    "wrong_key": _of_key(401, "无效的令牌"),
    "key_expired": _of_key(401, "该令牌已过期"),
    "key_disabled": _of_key(401, "该令牌状态不可用"),
    "key_used_up": _of_key(401, "[sk-abc***xyz] 该令牌额度已用尽 !token.UnlimitedQuota && token.RemainQuota = 0"),
    "key_of_other_addresses": _of_key(403, "您的 IP 不在令牌允许访问的列表中"),
    "user_unreadable": _of_key(500, "record not found"),
    "user_banned": _of_key(403, "用户已被封禁"),
    "group_disabled": _of_key(403, "令牌分组 vip 已被禁用"),
    "group_dropped": _of_key(403, "分组 vip 已被弃用"),
    "key_with_channel": _of_key(403, "普通用户不支持指定渠道"),
    # middleware/distributor.go, 2025-12: the model and its channel
    "not_json": _of_key(400, "Invalid request, 无效的请求, video无效的请求, {}"),
    "model_not_allowed": _of_key(403, "该令牌无权访问模型 {}"),
    "no_model": _of_key(400, "未指定模型名称，模型名称不能为空"),
    "no_channel": _of_key(503, "分组 default 下模型 {} 无可用渠道（distributor）", "model_not_found"),
    # relay/relay_task.go, 2025-12: the request, the balance and the vendor
    "invalid_request": GatewayError(400, "invalid_request", "{}"),
    "invalid_api_platform": GatewayError(400, "invalid_api_platform", "invalid api platform: 17"),
    "invalid_multipart_form": GatewayError(400, "invalid_multipart_form", "multipart: NextPart: EOF"),
    "get_model_price_failed": GatewayError(500, "get_model_price_failed", "模型倍率或价格未配置"),
    "get_user_quota_failed": GatewayError(500, "get_user_quota_failed", "driver: bad connection"),
    "quota_not_enough": GatewayError(403, "quota_not_enough", "user quota is not enough"),
    "build_request_failed": GatewayError(500, "build_request_failed", "无效的data URL格式"),
    "do_request_failed": GatewayError(500, "do_request_failed", "do request failed: upstream error: do request failed"),
    "vendor_refused": GatewayError(400, "fail_to_fetch_task", "{}"),
    "address_hidden": GatewayError(400, "fail_to_fetch_task", HIDDEN),
    # controller/relay.go, 2025-12: always these words, whatever the vendor said
    "saturated": GatewayError(429, "fail_to_fetch_task", "当前分组上游负载已饱和，请稍后再试"),
    "task_submit_failed": GatewayError(
        400, "task_submit_failed", "task submit failed: code=InternalError, message=try again"
    ),
    "unknown_response": GatewayError(500, "unknown_response", "unknown response format"),
    "unmarshal_response_failed": GatewayError(
        500, "unmarshal_response_failed", "<html></html>: invalid character '<' looking for beginning of value"
    ),
    "read_response_body_failed": GatewayError(500, "read_response_body_failed", "unexpected EOF"),
    "insert_task_failed": GatewayError(500, "insert_task_failed", "driver: bad connection"),
    # the looks
    "get_task_failed": GatewayError(500, "get_task_failed", "driver: bad connection"),
    "task_not_exist": GatewayError(400, "task_not_exist", "task_not_exist"),
    # the program itself
    "panic": GatewayError(
        500,
        "",
        "Panic detected, error: runtime error: invalid memory address or nil pointer dereference.",
        panic_error,
    ),
}


class NebulaRefusal(Refusal):
    """Raised to refuse a request with one of the gateway's own errors."""

    def __init__(self, name: str, detail: str = "", status: int | None = None) -> None:
        """Store the error's name in the table, and what stands for the `{}` in its words.

        Args:
            name: The name.
            detail: What stands for the `{}`.
            status: The status code, if it is the vendor's.
        """
        self.error = GATEWAY_ERRORS[name]
        super().__init__(Reason.INTERNAL, self.error.words.replace("{}", detail))
        self.status = self.error.status if status is None else status


def error_response(exchange: Exchange, refusal: NebulaRefusal) -> Response:
    """Return the gateway's response to a request that it refuses."""
    error, message = refusal.error, refusal.message
    if error.envelope is plain_error:
        message = without_addresses(message)
    return gateway_response(exchange, error.envelope(error.code, message, exchange.request_id), refusal.status)


def without_addresses(text: str) -> str:
    """Return the text, or the words that stand for every text with an address in it."""
    return HIDDEN if any(mark in text.lower() for mark in _ADDRESS_MARKS) else text
