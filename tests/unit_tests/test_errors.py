"""The error tree, as it is drawn, and what each error says and carries."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from datetime import UTC, datetime
from typing import Any

import pytest

import langchain_nebula_video
from langchain_nebula_video import (
    DownloadError,
    InvalidRequestError,
    NebulaVideoError,
    RequestError,
    Task,
    TaskError,
    TaskStatus,
    TaskTimeoutError,
    errors,
    quote,
)
from langchain_nebula_video.errors import Money, shorten
from tests.tables import each_row

CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, NebulaVideoError) and value.__module__ == errors.__name__
}
each_class = each_row("error", CLASSES.values(), ids=list(CLASSES))
TASK = Task(
    task_id="task-1",
    gateway="nebula",
    model="wan2.5-i2v-preview",
    status=TaskStatus.RUNNING,
    cost=quote(),
    submitted_at=datetime(2026, 1, 1, tzinfo=UTC),
)


def drawn() -> dict[str, tuple[str | None, str | None]]:
    """The tree of the module's docstring: each class with its parent and the built-in beside it."""
    tree: dict[str, tuple[str | None, str | None]] = {}
    path: list[str] = []
    picture = (errors.__doc__ or "").split("```text\n")[1].split("```")[0]
    for line in picture.splitlines():
        found = re.match(r"([│├└─ ]*)(\w+)(?: \((\w+)\))?", line)
        assert found is not None
        depth = len(found[1]) // 3
        tree[found[2]] = (path[depth - 1] if depth else None, found[3])
        path[depth:] = [found[2]]
    return tree


def made(error: type[NebulaVideoError], **parts: Any) -> NebulaVideoError:
    """An error with everything in it that its class can hold."""
    values: dict[str, Any] = {
        "hint": "Do this.", "money": Money.MAYBE, "task_id": "task-1", "status_code": 418, "code": "Teapot",
        "request_id": "req-1", "body": "{}", "retry_after": 1.5, "task": TASK,
        "url": "https://example.com/v.mp4", **parts,
    }  # fmt: skip
    takes = inspect.signature(error).parameters
    return error("It happened.", **{name: value for name, value in values.items() if name in takes})


# --- the tree ---


def test_the_tree_is_as_it_is_drawn() -> None:
    found: dict[str, tuple[str | None, str | None]] = {}
    for name, error in CLASSES.items():
        parents = [base.__name__ for base in error.__bases__ if base.__module__ == errors.__name__]
        builtin = [base.__name__ for base in error.__bases__ if base.__module__ == "builtins" and base is not Exception]
        found[name] = (parents[0] if parents else None, builtin[0] if builtin else None)
        assert len(parents) <= 1
    assert found == drawn()


def test_every_error_is_public() -> None:
    assert set(errors.__all__) == {*CLASSES, "Money"}
    assert errors.__all__ == sorted(errors.__all__)
    assert set(CLASSES) <= set(langchain_nebula_video.__all__)


@each_class
def test_every_error_says_in_its_docstring_what_it_means(error: type[NebulaVideoError]) -> None:
    assert error.__doc__


def test_a_timeout_is_caught_as_one() -> None:
    assert issubclass(TaskTimeoutError, TimeoutError)
    with pytest.raises(TimeoutError, match="It happened"):
        raise made(TaskTimeoutError)


def test_an_invalid_request_is_caught_as_a_value_error() -> None:
    with pytest.raises(ValueError, match="It happened"):
        raise made(InvalidRequestError)


# --- what they carry ---


def parts_of(error: BaseException) -> dict[str, Any]:
    return {"type": type(error), "text": str(error), "args": error.args, **vars(error)}


@each_class
def test_an_error_survives_a_pickle_with_all_that_it_carries(error: type[NebulaVideoError]) -> None:
    original = made(error)
    original.add_note("seen on the way")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert parts_of(pickle.loads(pickle.dumps(original, protocol))) == parts_of(original)


@each_class
def test_an_error_can_be_copied_with_all_that_it_carries(error: type[NebulaVideoError]) -> None:
    original = made(error)
    assert parts_of(copy.deepcopy(original)) == parts_of(copy.copy(original)) == parts_of(original)


@each_class
def test_an_error_is_hashable_and_made_of_one_sentence(error: type[NebulaVideoError]) -> None:
    assert len({error("It happened."), error("It happened.")}) == 2


def test_a_request_error_carries_what_the_gateway_said() -> None:
    error = made(RequestError)
    assert isinstance(error, RequestError)
    assert (error.status_code, error.code, error.request_id, error.body) == (418, "Teapot", "req-1", "{}")
    assert error.retry_after == 1.5


def test_a_task_error_takes_its_id_from_the_task() -> None:
    assert TaskError("It happened.", task=TASK).task_id == "task-1"
    assert TaskError("It happened.", task=TASK, task_id="other").task_id == "other"
    assert TaskError("It happened.").task_id is None


def test_a_download_error_carries_where_the_video_still_is() -> None:
    assert DownloadError("It happened.", url="https://example.com/v.mp4").url == "https://example.com/v.mp4"


# --- what they say ---


@each_class
def test_the_message_says_what_happened_then_the_money_then_what_to_do(error: type[NebulaVideoError]) -> None:
    told = str(made(error))
    assert told.startswith("It happened. [task task-1] Money may have been spent")
    assert told.index("It happened.") < told.index(Money.MAYBE.value) < told.index("Do this.")


@each_class
def test_an_error_without_a_hint_of_its_own_gives_that_of_its_class(error: type[NebulaVideoError]) -> None:
    made_of = error("It happened.")
    assert str(made_of) == " ".join(filter(None, ["It happened.", error.default_money.value, error.default_hint]))
    assert not made(error, hint="").hint


@each_row("what", ["Task task-1 failed.", "wait('task-1') ended.", "task-1: gone."])
def test_the_task_is_named_once(what: str) -> None:
    assert str(NebulaVideoError(what, task_id="task-1")).count("task-1") == 1


@each_row("what", ["HTTP 429.", "Task 420 failed.", "x-42 failed."])
def test_a_task_is_named_even_if_its_id_is_part_of_another_word(what: str) -> None:
    assert f"{what} [task 42] " in str(NebulaVideoError(what, task_id="42"))


def test_no_task_is_named_where_there_is_none() -> None:
    assert "[task" not in str(NebulaVideoError("It happened."))
    assert "[task" not in str(NebulaVideoError("It happened.", task_id=""))


def test_the_request_id_stands_at_the_end_for_the_support() -> None:
    assert str(made(RequestError)).endswith("Do this. (request id req-1)")


# --- money ---

SPENT = {
    "NebulaVideoError": False, "InvalidRequestError": False, "SetupError": False, "BudgetExceededError": False,
    "JournalError": False,
    "RequestError": False,
    "NotSentError": False, "SubmissionUnconfirmedError": None, "RefusedError": False, "AuthenticationError": False,
    "QuotaError": False, "ModerationError": False, "InvalidInputError": False, "RateLimitError": False,
    "TaskError": None, "TaskFailedError": False, "TaskCanceledError": False, "TaskNotFoundError": None,
    "TaskTimeoutError": None, "DownloadError": True,
}  # fmt: skip


@each_class
def test_each_error_says_whether_money_was_spent(error: type[NebulaVideoError]) -> None:
    assert error("It happened.").spent is SPENT[error.__name__]


@each_row(
    ("money", "spent"),
    [(Money.NOT_SENT, False), (Money.REFUSED, False), (Money.FREE, False), (Money.MAYBE, None), (Money.RUNNING, None),
     (Money.SPENT, True)],
)  # fmt: skip
def test_every_kind_of_money_says_the_same_in_words_and_as_a_value(money: Money, spent: bool | None) -> None:
    told = {False: "Nothing was", None: "Money may", True: "Money was spent"}[spent]
    error = NebulaVideoError("It happened.", money=money)
    assert error.spent is spent
    assert told in str(error)


def test_every_kind_of_money_has_a_value() -> None:
    assert all(NebulaVideoError("It happened.", money=money).spent in {True, False, None} for money in Money)
    assert len({money.value for money in Money}) == len(Money)


# --- in few words ---


@pytest.mark.parametrize("most", [80, 300, 2000])
def test_a_message_that_is_cut_shows_it_and_keeps_what_was_spent_and_what_to_do(most: int) -> None:
    error = errors.SubmissionUnconfirmedError("The gateway answered: Nothing was spent. " + "no " * 2000)
    cut = shorten(str(error), most)
    assert cut.endswith(f" … {error.money} {error.hint}")
    assert cut.startswith("The gateway answ")
    assert len(cut) <= max(most, most // 4 + 3 + len(f"{error.money} {error.hint}"))


def test_any_text_is_cut_in_its_middle() -> None:
    assert shorten("a" * 50 + "b" * 50, 43) == "a" * 19 + " … " + "b" * 21
    assert shorten("short", 5) == "short"
