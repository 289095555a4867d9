"""What can go wrong, as one tree.

```text
NebulaVideoError (RuntimeError)          which LangGraph's default retry leaves alone
├─ InvalidRequestError (ValueError)      refused here, nothing sent
├─ BudgetExceededError                   refused here, nothing sent
├─ JournalError                          the record of paid tasks cannot be read or written
├─ RequestError                          a request got no usable answer
│  ├─ NotSentError                       the connection never opened: safe to repeat
│  ├─ SubmissionUnconfirmedError         may have been accepted and billed: never repeated by itself
│  └─ RefusedError                       the gateway said no
│     ├─ AuthenticationError             the key
│     ├─ QuotaError                      the balance, or a right the account lacks
│     ├─ ModerationError                 the image or the prompt broke the content rules
│     ├─ InvalidInputError               the gateway cannot use what it was given
│     └─ RateLimitError                  too many requests or tasks: later
├─ TaskError                             a task that was accepted did not give its video
│  ├─ TaskFailedError
│  ├─ TaskCanceledError
│  ├─ TaskNotFoundError
│  └─ TaskTimeoutError (TimeoutError)    still running: says how to go on
└─ DownloadError                         the video exists; saving it did not work
```

Every message says, in this order: what happened, whether money was or may have been spent, what to do
next. All of them can be pickled.
"""

from __future__ import annotations

import re
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
    "SubmissionUnconfirmedError",
    "TaskCanceledError",
    "TaskError",
    "TaskFailedError",
    "TaskNotFoundError",
    "TaskTimeoutError",
]


class Money(StrEnum):
    """What an error means for the account: the middle sentence of its message."""

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
    """Whether the text has the id as a word of its own: `42` is not named by "HTTP 429"."""
    return re.search(rf"(?<![\w-]){re.escape(task_id)}(?![\w-])", text) is not None


class NebulaVideoError(RuntimeError):
    """The root of the tree.

    `str(error)` is the three sentences; the parts stand in the attributes:

    Attributes:
        what: What happened.
        money: What that means for the account.
        hint: What to do next.
        task_id: The task concerned, once there is one.
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
        super().__init__(what)
        self.what = what
        self.money = money or self.default_money
        self.hint = self.default_hint if hint is None else hint
        self.task_id = task_id

    @property
    def spent(self) -> bool | None:
        """False: nothing was spent; True: it was; None: it may have been, or still may be."""
        return _SPENT[self.money]

    def __str__(self) -> str:
        named = f" [task {self.task_id}]" if self.task_id and not _names(self.what, self.task_id) else ""
        return " ".join(part for part in (self.what + named, self.money.value, self.hint) if part)


class InvalidRequestError(NebulaVideoError, ValueError):
    """The request, or an option, cannot work; found out here, before anything was sent."""


class BudgetExceededError(NebulaVideoError):
    """The budget does not hold what this generation would cost; nothing was sent."""

    default_hint = "Raise the budget, wait until its window has moved on, or ask for a cheaper video."


class JournalError(NebulaVideoError):
    """The journal's database cannot be read or written. Before a submit, nothing is sent then."""

    default_hint = "See to the journal's database, then repeat: that is safe."


class RequestError(NebulaVideoError):
    """A request got no usable answer.

    Attributes:
        status_code: The HTTP status, if an answer came.
        code: The gateway's own error code, as a string.
        request_id: The gateway's name for the request: give it to the gateway's support.
        body: The answer as it came, bounded, with the key cut out.
        retry_after: Seconds to wait before the next attempt, if the gateway said so.
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
    ) -> None:
        super().__init__(what, hint=hint, money=money, task_id=task_id)
        self.status_code = status_code
        self.code = code
        self.request_id = request_id
        self.body = body
        self.retry_after = retry_after

    def __str__(self) -> str:
        named = f" (request id {self.request_id})" if self.request_id else ""
        return super().__str__() + named


class NotSentError(RequestError):
    """Nothing of the request has left: the connection never opened, or it was not the request's turn in time."""

    default_money = Money.NOT_SENT
    default_hint = "Check the network and base_url, then repeat: that is safe."


class SubmissionUnconfirmedError(RequestError):
    """The submit left, and no answer says what became of it. It is never repeated by itself."""

    default_money = Money.MAYBE
    default_hint = (
        "Do not simply repeat it. Look at the gateway's console for a task of this moment; "
        "if there is none, submit it again as a new video, under a key of its own."
    )


class RefusedError(RequestError):
    """The gateway answered, and said no."""


class AuthenticationError(RefusedError):
    """The gateway does not accept the key (HTTP 401)."""


class QuotaError(RefusedError):
    """The balance does not suffice, or the account lacks the right (HTTP 403)."""


class ModerationError(RefusedError):
    """The image or the prompt did not pass the content check."""

    default_hint = "Change the image or the prompt; the same request will be refused again."


class InvalidInputError(RefusedError):
    """The gateway cannot use what it was given: an image's format or size, an address, a parameter."""


class RateLimitError(RefusedError):
    """Too many requests, or too many tasks under way (HTTP 429); repeated until the deadline, then raised."""

    default_hint = "Wait, or submit fewer at once."


class TaskError(NebulaVideoError):
    """A task that the gateway accepted did not give its video.

    Attributes:
        task: The task as last seen.
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
    """The gateway does not know the task, or not any more: some keep tasks for a day."""

    default_money = Money.LOOKED
    default_hint = "Check the task id, the gateway and the account; a task that is old may be gone."


class TaskTimeoutError(TaskError, TimeoutError):
    """The time given is over and the task is still running."""


class DownloadError(NebulaVideoError):
    """The video exists and is paid for; saving it did not work.

    Attributes:
        url: Where the video still is.
        video: All that is known of it.
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
