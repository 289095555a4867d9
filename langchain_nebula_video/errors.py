"""All errors, as one tree.

```text
NebulaVideoError (RuntimeError)          which LangGraph's default retry policy does not repeat
├─ InvalidRequestError (ValueError)      refused here, nothing sent
│  └─ SetupError                         this machine lacks room, a right or a package; the request is right
├─ BudgetExceededError                   refused here, nothing sent
├─ JournalError                          the record of paid tasks cannot be read or written
├─ RequestError                          a request got no usable answer
│  ├─ NotSentError                       the connection never opened: safe to repeat
│  ├─ SubmissionUnconfirmedError         may have been accepted and billed: never repeated by itself
│  └─ RefusedError                       the gateway refused the request
│     ├─ AuthenticationError             the key is not accepted
│     ├─ QuotaError                      the balance is too low, or the account lacks a right
│     ├─ ModerationError                 the image or the prompt broke the content rules
│     ├─ InvalidInputError               the gateway cannot use an image, URL or parameter
│     └─ RateLimitError                  too many requests or tasks: retry later
├─ TaskError                             an accepted task produced no video
│  ├─ TaskFailedError
│  ├─ TaskCanceledError
│  ├─ TaskNotFoundError
│  └─ TaskTimeoutError (TimeoutError)    still running: says how to resume
└─ DownloadError                         the video exists, but could not be saved
```

Every message says, in this order: what happened, whether money was or may have been spent, what to do
next. All errors can be pickled.
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from langchain_nebula_video.schema import Task, Video

__all__ = [
    "AuthenticationError",
    "BudgetExceededError",
    "DownloadError",
    "InvalidInputError",
    "InvalidRequestError",
    "JournalError",
    "ModerationError",
    "Money",
    "NebulaVideoError",
    "NotSentError",
    "QuotaError",
    "RateLimitError",
    "RefusedError",
    "RequestError",
    "SetupError",
    "SubmissionUnconfirmedError",
    "TaskCanceledError",
    "TaskError",
    "TaskFailedError",
    "TaskNotFoundError",
    "TaskTimeoutError",
]

_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories: controls, invisible format characters such as bidi overrides, surrogates, line separators."""
_JOINERS = "\u200c\u200d"
"""Format characters that emoji and several scripts are written with."""


def printable(text: object) -> str:
    """Escape control characters: text from outside must not steer a terminal or begin a line of a log."""
    text = str(text)
    if text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode()
        if unicodedata.category(char) in _STEERING and char not in _JOINERS
        else char
        for char in text
    )


class Money(StrEnum):
    """Whether money was spent: the second sentence of an error message."""

    NOT_SENT = "Nothing was sent and nothing was spent."
    REFUSED = "Nothing was spent."
    FREE = "Nothing was spent: a task that fails is not billed."
    MAYBE = "Money may have been spent: the gateway may have accepted the task."
    LOOKED = "Looking costs nothing; what the task itself cost, if there is one, stands in the gateway's console."
    RUNNING = "Money may be spent: the task goes on at the gateway and is billed when it succeeds."
    SPENT = "Money was spent: the video is paid for."


_SPENT: dict[Money, bool | None] = {
    Money.NOT_SENT: False,
    Money.REFUSED: False,
    Money.FREE: False,
    Money.MAYBE: None,
    Money.LOOKED: None,
    Money.RUNNING: None,
    Money.SPENT: True,
}


def _names(text: str, task_id: str) -> bool:
    """Whether the text contains the id as a whole word: "HTTP 429" does not name task `42`."""
    return re.search(rf"(?<![\w-]){re.escape(task_id)}(?![\w-])", text) is not None


def shorten(text: str, most: int) -> str:
    """Cut the middle out of the message of an error, and show it by "…": what was spent and what to do stay whole.

    Args:
        text: The message, or any other text.
        most: About so many characters. It is longer if its end is.
    """
    if len(text) <= most:
        return text
    end = max(text.rfind(money) for money in Money)
    end = len(text) - most // 2 if end < 0 else end
    begin = max(most - 3 - (len(text) - end), most // 4)
    return f"{text[:begin]} … {text[end:]}" if begin + 3 < end else text


class NebulaVideoError(RuntimeError):
    """The base class of all errors.

    `str(error)` has three sentences. The attributes hold them one by one:

    Attributes:
        what: What happened.
        money: Whether money was spent.
        hint: What to do next.
        task_id: The task concerned, if there is one yet.
    """

    default_money: ClassVar[Money] = Money.NOT_SENT
    default_hint: ClassVar[str] = ""

    def __init__(
        self,
        what: str,
        *,
        hint: str | None = None,
        money: Money | None = None,
        task_id: str | None = None,
    ) -> None:
        self.what = printable(what)  # it may repeat a gateway's words
        super().__init__(self.what)
        self.money = money or self.default_money
        self.hint = self.default_hint if hint is None else printable(hint)
        self.task_id = task_id

    @property
    def spent(self) -> bool | None:
        """False: nothing was spent. True: money was spent. None: it may have been, or still may be."""
        return _SPENT[self.money]

    def __str__(self) -> str:
        task_id = printable(self.task_id or "")
        named = f" [task {task_id}]" if task_id and not _names(self.what, task_id) else ""
        return " ".join(part for part in (self.what + named, self.money.value, self.hint) if part)


class InvalidRequestError(NebulaVideoError, ValueError):
    """The request or an option is invalid. This was detected locally, before anything was sent.

    Attributes:
        agent_hint: What a language model can do next, which has no shell and no files. `None`: what `hint` says.
    """

    def __init__(
        self,
        what: str,
        *,
        hint: str | None = None,
        agent_hint: str | None = None,
        money: Money | None = None,
        task_id: str | None = None,
    ) -> None:
        super().__init__(what, hint=hint, money=money, task_id=task_id)
        self.agent_hint = None if agent_hint is None else printable(agent_hint)


class SetupError(InvalidRequestError):
    """This machine cannot do it as it is set up: no room, no right to write, a missing package.

    The request is right.
    """


class BudgetExceededError(NebulaVideoError):
    """The video would cost more than the budget has left. Nothing was sent."""

    default_hint = "Raise the budget, or ask for a cheaper video."


class JournalError(NebulaVideoError):
    """The journal's database cannot be read or written. If it happens before a submit, nothing is sent."""

    default_hint = "See to the journal's database, then repeat: that is safe."


class RequestError(NebulaVideoError):
    """A request got no usable response.

    Attributes:
        status_code: The HTTP status, if there was a response.
        code: The gateway's own error code, as a string.
        request_id: The gateway's id for the request. Its support asks for it.
        body: The response body, truncated, with the key removed.
        retry_after: Seconds to wait before the next attempt, if the gateway gave them.
        repeatable: Whether a refusal is a passing fault of the gateway, which has no task and bills nothing. Such a
            request was already repeated.
    """

    default_money = Money.REFUSED

    def __init__(
        self,
        what: str,
        *,
        hint: str | None = None,
        money: Money | None = None,
        task_id: str | None = None,
        status_code: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        body: str | None = None,
        retry_after: float | None = None,
        repeatable: bool = False,
    ) -> None:
        super().__init__(what, hint=hint, money=money, task_id=task_id)
        self.status_code = status_code
        self.code = code
        self.request_id = request_id
        self.body = body
        self.retry_after = retry_after
        self.repeatable = repeatable

    def __str__(self) -> str:
        named = f" (request id {printable(self.request_id)})" if self.request_id else ""
        return super().__str__() + named


class NotSentError(RequestError):
    """No part of the request was sent: the connection never opened, or the wait for a free slot timed out."""

    default_money = Money.NOT_SENT
    default_hint = "Check the network and base_url, then repeat: that is safe."


class SubmissionUnconfirmedError(RequestError):
    """The submit was sent, and no response says whether it was accepted. It is never repeated automatically."""

    default_money = Money.MAYBE
    default_hint = (
        "Do not simply repeat it. Look at the gateway's console for a task of this moment; "
        "if there is none, submit it again as a new video, under a key of its own."
    )


class RefusedError(RequestError):
    """The gateway refused the request."""


class AuthenticationError(RefusedError):
    """The gateway does not accept the key, or the key may not do this: another one may."""


class QuotaError(RefusedError):
    """The balance or the key's own quota is too low, or the account lacks the right."""


class ModerationError(RefusedError):
    """The image or the prompt failed the content check."""

    default_hint = "Change the image or the prompt; the same request will be refused again."


class InvalidInputError(RefusedError):
    """The gateway cannot use an input: the format or size of an image, a URL, or a parameter."""


class RateLimitError(RefusedError):
    """Too many requests or running tasks (HTTP 429). Raised after retries until the deadline."""

    default_hint = "Wait, or submit fewer at once."


class TaskError(NebulaVideoError):
    """A task that the gateway accepted produced no video.

    Attributes:
        task: The task as of the last fetch.
    """

    default_money = Money.RUNNING

    def __init__(
        self,
        what: str,
        *,
        task: Task | None = None,
        hint: str | None = None,
        money: Money | None = None,
        task_id: str | None = None,
    ) -> None:
        super().__init__(what, hint=hint, money=money, task_id=task_id or (task.task_id if task else None))
        self.task = task


class TaskFailedError(TaskError):
    """The gateway reports the task as failed."""

    default_money = Money.FREE


class TaskCanceledError(TaskError):
    """The task was canceled."""

    default_money = Money.FREE


class TaskNotFoundError(TaskError):
    """The gateway does not know the task, or no longer: some gateways keep tasks for one day."""

    default_money = Money.LOOKED
    default_hint = "Check the task id, the gateway and the account; a task that is old may be gone."


class TaskTimeoutError(TaskError, TimeoutError):
    """The timeout has passed and the task is still running."""


class DownloadError(NebulaVideoError):
    """The video exists and is paid for, but it could not be saved.

    Attributes:
        url: Where the video still is.
        video: The video, if its data is known.
    """

    default_money = Money.SPENT

    def __init__(
        self,
        what: str,
        *,
        url: str | None = None,
        video: Video | None = None,
        hint: str | None = None,
        money: Money | None = None,
        task_id: str | None = None,
    ) -> None:
        super().__init__(what, hint=hint, money=money, task_id=task_id)
        self.url = url
        self.video = video
