"""What the errors of gateways and vendors mean: one table of rules, by code, words and HTTP status.

Sources: the Nebula page, "Common Error Codes", 2025-11-04. The published code of Nebula's gateway, 2025-12
(middleware/auth.go, middleware/distributor.go, relay/relay_task.go, service/error.go). The gateway that it is a fork
of, github.com/QuantumNous/new-api, 2026 (middleware/auth.go, i18n/locales/en.yaml), and its task plugins, 2026-08.
Alibaba's page on error codes, 2026-11. LiteLLM 1.110.2, run on 2026-11-27.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

from langchain_nebula_video.errors import (
    AuthenticationError,
    InvalidInputError,
    ModerationError,
    QuotaError,
    RateLimitError,
    RefusedError,
)

__all__ = [
    "ACCEPTED_PERHAPS",
    "DOWNLOAD_HINT",
    "FILE_HINTS",
    "INPUT_HINT",
    "OWN_FAULTS",
    "PASSING_HINT",
    "REFUSALS_BY_STATUS",
    "VENDOR_ACCOUNT_HINT",
    "WITHOUT_WORDS_HINT",
    "Rule",
    "Said",
    "find_rule",
    "is_unknown_task_code",
    "is_unknown_task_text",
]

# --- what to do next ---

_KEY_HINT = "Check the key, and that it belongs to this gateway; a key whose own quota is used up is answered alike."
_KEY_QUOTA_HINT = (
    "The quota of this key is used up, whatever the account's balance: raise it in the gateway's console, or use "
    "another key."
)
_KEY_EXPIRED_HINT = "This key has expired: make a new one in the gateway's console."
_KEY_OFF_HINT = "This key is switched off in the gateway's console: switch it on, or use another one."
_KEY_ADDRESS_HINT = (
    "This key may only be used from certain IP addresses: add this machine's in the gateway's console, or use another "
    "key."
)
_ACCOUNT_BANNED_HINT = "The account is banned: ask the gateway's support."
_GROUP_HINT = "The group of this key is closed to it: give the key another group in the gateway's console."
_KEY_CHANNEL_HINT = "Give the key without anything after it: a further part that begins with - chooses a channel."
_KEY_MODEL_HINT = (
    "This key may only use certain models: choose one of them, or use a key of the account that may use this one."
)
_KEY_MODEL_LOOK_HINT = (
    "This key has a list of allowed models, so the gateway refuses every look with it. The task goes on. Read it with "
    "another key of the same account without such a list."
)
_KEY_RIGHT_HINT = "This key may not do this: see to its rights in the gateway's console, or use another key."
_KEY_LOOK_HINT = "This key may not read the task, which goes on. Another key of the same account may."
_MASTER_KEY_HINT = "The proxy has no database, so it knows one key only, its master key: check the key."
_QUOTA_HINT = "Top up the account or ask for the right at the gateway, then repeat."
_COOLDOWN_HINT = (
    "The proxy pauses for some seconds after its vendor has refused it. If that does not end, see to the vendor's key "
    "and model in the proxy's configuration."
)
VENDOR_ACCOUNT_HINT = "The gateway's own account at the vendor was refused, not yours: tell its support."
_FORMAT_HINT = "Give a JPEG or PNG image: every gateway reads these."
_FILE_FORMAT_HINT = "Give a JPEG or PNG image; a sound file has to be WAV or MP3."
_SIZE_HINT = "Scale the image: under 5 MB, with sides of 360 to 2000 pixels, it passes everywhere."
DOWNLOAD_HINT = "The gateway could not fetch or read a file: give a public https address, or the image's bytes."
_INSPECTION_HINT = (
    "The content check failed, and does not say why. If a file could not be fetched or read, give a public https "
    "address, or the image's bytes; else change the image or the prompt."
)
_HIDDEN_WORDS_HINT = (
    "The gateway does not say why: it hides the vendor's words if they hold an address. Most often it is the image or "
    "the audio file, which has to be at a public https address; it may be the prompt or a parameter."
)
WITHOUT_WORDS_HINT = "The gateway does not say why: it may be the image, the prompt or a parameter."
INPUT_HINT = "Correct what the message names."
_MODEL_HINT = "Choose a model that this gateway serves."
_CHANNEL_HINT = (
    "The gateway has no way to this model for your key's group: choose another model, or give the key another group; "
    "it may also be out of order for a while."
)
_VENDOR_FAULT_HINT = "The vendor has a fault: repeat it later, that is safe."
_TASK_HINT = "Check the task id and the account."
PASSING_HINT = "The gateway has a passing fault, and no task: repeat it later, that is safe."
FILE_HINTS = frozenset({_FORMAT_HINT, _FILE_FORMAT_HINT, _SIZE_HINT, DOWNLOAD_HINT, _INSPECTION_HINT,
                        _HIDDEN_WORDS_HINT})  # fmt: skip
"""The hints of errors that may be about a file."""


# --- the rules ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What an error response says."""

    status: int = 0
    """0: there is none. The error is that of a failed task."""
    code: str = ""
    kind: str = ""
    """The `type` of the envelope."""
    words: str = ""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A kind of error, and what it means. Every condition that is given has to hold."""

    error: type[RefusedError]
    hint: str | None = None
    look_hint: str | None = None
    """The hint in the answer to a look, if it is another one."""
    code: str = ""
    """Matched against the end of the code, because gateways mask its start (`***.DataInspection`)."""
    words: str = ""
    """Searched in the words, and in the type of the envelope."""
    statuses: frozenset[int] = field(default=frozenset())
    stands_for: str | None = None
    """The code to report if the error has none."""

    @property
    def proves_refusal(self) -> bool:
        """Whether there is no task, whatever the HTTP status. Words alone do not prove it."""
        return bool(self.code)

    @cached_property
    def _code(self) -> re.Pattern[str]:
        return re.compile(rf"(?:^|[.*\s])(?:{self.code})$", re.IGNORECASE)

    @cached_property
    def _words(self) -> re.Pattern[str]:
        return re.compile(self.words, re.IGNORECASE)

    def matches(self, said: Said) -> bool:
        """Whether the rule is about this error."""
        return (
            (not self.statuses or said.status in self.statuses)
            and (not self.code or self._code.search(said.code.strip()) is not None)
            and (not self.words or self._words.search(f"{said.words}\n{said.kind}") is not None)
        )


_KEY = frozenset({401, 403})
_REFUSED = frozenset(range(400, 500)) - {401, 402, 403, 408, 429, 499}

_NOT_FETCHED = (
    r"(unable|fail(ed|s|ure)?|could not|cannot|can ?not) (to )?(be )?(download|fetch|load|access|open)(ed|ing)?\b"
    r"(?! (the )?(task|channel|user|model))|"
    r"(download|fetch)\w* (of )?\S* ?(failed|time(d )?-?out|fail)|timeout while fetching|url error|下载失败|无法下载"
)
_UNFIT = r"inappropriate|sensitive|infring|unsafe|violat|prohibited|content polic|不合规|不适当|不合适|违规|敏感|涉黄"
_FREE_QUOTA = r"free[\s_-]*(allocated[\s_-]*)?(quota|tier|allocation)|免费额度"
_UNKNOWN_TASK = re.compile(
    r"(^|[.*])(task_not_exist|task_not_found|TaskNotFound|NotFound|task_id_not_exist)$", re.IGNORECASE
)
_NO_SUCH_TASK = r"\btask (was )?(not found|does not exist|not exist)|\bno such task|任务不存在"
_UNKNOWN_TASK_TEXT = re.compile(_NO_SUCH_TASK, re.IGNORECASE)

_RULES = (
    # The content check. Alibaba's list: `InvalidParameter.DataInspection` is a file that cannot be fetched or read,
    # `DataInspectionFailed` is content. The Nebula page calls the first one moderation too. So the words decide.
    Rule(code=r"DataInspection(Failed)?", words=_NOT_FETCHED, error=InvalidInputError, hint=DOWNLOAD_HINT),
    Rule(code=r"DataInspectionFailed|IPInfringementSuspect|content_policy_violation|moderation_blocked",
         error=ModerationError),
    Rule(code=r"DataInspection", words=_UNFIT, error=ModerationError),
    Rule(code=r"DataInspection", error=InvalidInputError, hint=_INSPECTION_HINT),
    Rule(words=r"inappropriate content|content policy", statuses=_REFUSED, error=ModerationError),
    # Files.
    Rule(code=r"(Invalid)?ImageFormat|InvalidImage\.(File)?Format", error=InvalidInputError, hint=_FORMAT_HINT),
    Rule(code=r"InvalidFile\.(File)?Format", error=InvalidInputError, hint=_FILE_FORMAT_HINT),
    Rule(code=r"(Invalid)?ImageSize|InvalidImageResolution|InvalidImage\.(Image)?(Size|Resolution)|"
              r"read_request_body_failed", error=InvalidInputError, hint=_SIZE_HINT),
    Rule(code=r"InvalidFile\.(Audio)?(Duration|Length|Size)\w*", error=InvalidInputError, hint=INPUT_HINT),
    Rule(code=r"Invalid(Image|File|URL)\w*(\.\w+)*|\*\*\*\.ConnectionRefused|(\w+_)?Download_?Failed|"
              r"InvalidParameter\.(Image|Audio)\w*", error=InvalidInputError, hint=DOWNLOAD_HINT),
    # Fields.
    Rule(code=r"Invalid_?Parameter(\.\w+)?|BadRequest(\.\w+)*|invalid_request(_error)?", words=_NOT_FETCHED,
         error=InvalidInputError, hint=DOWNLOAD_HINT),
    Rule(code=r"Invalid_?Parameter(\.\w+)?|invalid_request(_error)?|BadRequest(\.\w+)*|missing_model|bad_request_body|"
              r"invalid_multipart_form|invalid_seconds|plugin_(request|usage)_invalid",
         error=InvalidInputError, hint=INPUT_HINT),
    # The key. Newer versions of new-api answer each of the first four with "Invalid token".
    Rule(words=r"No connected db|no_db_connection", statuses=frozenset({400, 401}), error=AuthenticationError,
         hint=_MASTER_KEY_HINT),
    Rule(words=r"额度已用尽|quota is exhausted|TokenStatusExhausted", statuses=_KEY, error=QuotaError,
         hint=_KEY_QUOTA_HINT),
    Rule(words=r"令牌.*已过期|token has expired", statuses=_KEY, error=AuthenticationError, hint=_KEY_EXPIRED_HINT),
    Rule(words=r"令牌.*状态不可用|token status is unavailable", statuses=_KEY, error=AuthenticationError,
         hint=_KEY_OFF_HINT),
    Rule(words=r"\bIP\b.{0,4}不在|客户端 IP|\bIP (address )?(is )?not .{0,20}allow", statuses=_KEY,
         error=AuthenticationError, hint=_KEY_ADDRESS_HINT),
    Rule(words=r"用户已被封禁|user has been (banned|disabled)", statuses=_KEY, error=AuthenticationError,
         hint=_ACCOUNT_BANNED_HINT),
    Rule(words=r"无权访问.{0,4}模型|no access to (any )?model", statuses=_KEY, error=AuthenticationError,
         hint=_KEY_MODEL_HINT, look_hint=_KEY_MODEL_LOOK_HINT),
    Rule(words=r"分组.*(禁用|弃用)|无权访问.*分组|no permission to access this group", statuses=_KEY,
         error=AuthenticationError, hint=_GROUP_HINT),
    Rule(words=r"不支持指定渠道", statuses=_KEY, error=AuthenticationError, hint=_KEY_CHANNEL_HINT),
    Rule(code=r"access_denied", statuses=_KEY, error=AuthenticationError, hint=_KEY_RIGHT_HINT,
         look_hint=_KEY_LOOK_HINT),
    Rule(code=r"InvalidApiKey|invalid_api_key|access_token_invalid", error=AuthenticationError, hint=_KEY_HINT),
    # The balance, and rights of the account.
    Rule(code=r"pre_consume_token_quota_failed", error=QuotaError, hint=_KEY_QUOTA_HINT),
    Rule(code=r"InsufficientQuota|quota_not_enough|insufficient_user_quota|insufficient_quota|Arrearage|"
              r"(Postpaid|Prepaid)BillOverdue|CommodityNotPurchased|(Model\.)?AccessDenied(\.\w+)*|FreeTierOnly",
         error=QuotaError, hint=_QUOTA_HINT),
    # Limits. Waiting does not restore a free quota.
    Rule(code=r"Throttling(\.\w+)*|RateQuota|BurstRate|AllocationQuota|rate_limit_exceeded", words=_FREE_QUOTA,
         error=QuotaError, hint=_QUOTA_HINT),
    Rule(words=_FREE_QUOTA, statuses=frozenset({429}), error=QuotaError, hint=_QUOTA_HINT),
    Rule(code=r"Throttling(\.\w+)*|RateQuota|BurstRate|AllocationQuota|rate_limit_exceeded|upstream_load_saturated",
         error=RateLimitError),
    Rule(words=r"all_deployments_in_cooldown|No deployments available", statuses=frozenset({429}),
         error=RateLimitError, hint=_COOLDOWN_HINT),
    Rule(words=r"负载已饱和|load is saturated", statuses=_REFUSED | _KEY, error=RateLimitError),
    # The rest.
    Rule(code=r"UnsupportedOperation", error=RefusedError,
         hint="Only a task that still waits in the queue can be canceled."),
    Rule(code=r"task_not_exist|task_not_found", error=RefusedError, hint=_TASK_HINT),
    Rule(words=_NO_SUCH_TASK, statuses=_REFUSED, error=RefusedError, hint=_TASK_HINT,
         stands_for="task_not_found"),
    Rule(code=r"model_not_found", error=RefusedError, hint=_CHANNEL_HINT),
    Rule(code=r"ModelNotFound|model_price_error", error=RefusedError, hint=_MODEL_HINT),
    Rule(code=r"InternalError(\.\w+)*", statuses=_REFUSED, error=RefusedError, hint=_VENDOR_FAULT_HINT),
    Rule(words=r"请求上游地址失败", statuses=_REFUSED, error=RefusedError, hint=_HIDDEN_WORDS_HINT),
    Rule(words=_NOT_FETCHED, statuses=_REFUSED, error=RefusedError, hint=DOWNLOAD_HINT),
)  # fmt: skip

REFUSALS_BY_STATUS: dict[int, Rule] = {
    401: Rule(error=AuthenticationError, hint=_KEY_HINT),
    402: Rule(error=QuotaError, hint=_QUOTA_HINT),
    403: Rule(error=QuotaError, hint=_QUOTA_HINT, look_hint=_KEY_LOOK_HINT),
    404: Rule(error=RefusedError, hint="Check base_url: nothing answers at this path."),
    405: Rule(error=RefusedError, hint="Check base_url: this is not the gateway's address."),
    413: Rule(error=InvalidInputError, hint=_SIZE_HINT),
    429: Rule(error=RateLimitError),
}
"""By HTTP status, if no rule matches."""


def find_rule(said: Said) -> Rule | None:
    """Return the first rule that an error matches."""
    return next((rule for rule in _RULES if rule.matches(said)), None)


def is_unknown_task_code(code: str) -> bool:
    """Whether a code says that there is no such task."""
    return _UNKNOWN_TASK.search(code) is not None


def is_unknown_task_text(text: str) -> bool:
    """Whether words say that there is no such task: LiteLLM has no code for it."""
    return _UNKNOWN_TASK_TEXT.search(text) is not None


# --- a gateway's own codes ---

ACCEPTED_PERHAPS = frozenset({"plugin_submit_response_failed"})
"""The vendor took the task, and the gateway could not read its answer: new-api's task plugins, 2026-08."""


@dataclass(frozen=True, slots=True)
class OwnFault:
    """A fault of the gateway's own that it has before a task, or instead of one."""

    repeatable: bool
    """Whether it may pass while the client waits."""
    hint: str = PASSING_HINT


OWN_FAULTS: dict[str, OwnFault] = {
    "get_model_price_failed": OwnFault(False, "The gateway has no price for this model: choose another one, or tell "
                                              "its support."),
    "build_request_failed": OwnFault(False, "The gateway cannot use the request: see to the image and the parameters."),
    "task_submit_failed": OwnFault(False, WITHOUT_WORDS_HINT),
    "invalid_api_platform": OwnFault(False, _MODEL_HINT),
    "get_user_quota_failed": OwnFault(True),
    "do_request_failed": OwnFault(True),
    "fail_to_fetch_task": OwnFault(True),
    "unknown_response": OwnFault(True),
    "unmarshal_response_failed": OwnFault(True),
    "read_response_body_failed": OwnFault(True),
    "insert_task_failed": OwnFault(True, "The gateway has lost the task before it could note it, and bills nothing: "
                                         "repeat it later, that is safe."),
}  # fmt: skip
"""What is known of codes in `Gateway.free_refusals`. Any other one of them, and the type of an envelope, is a passing
fault."""
