"""What each error of a generation means for its item: a verdict for every class of the error tree."""

from __future__ import annotations

import inspect

import pytest

from langchain_nebula_video import (
    DownloadError,
    InvalidRequestError,
    JournalError,
    NebulaVideoError,
    NotSentError,
    RateLimitError,
    RequestError,
    SetupError,
    SubmissionUnconfirmedError,
    TaskFailedError,
    TaskTimeoutError,
    errors,
)
from langchain_nebula_video.errors import Money
from langchain_nebula_video.fleet.states import ENDED_STATES, VERDICTS, BatchState, ItemState, Stops, judge
from tests.tables import each_row

CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, NebulaVideoError)
}
each_class = each_row("error", CLASSES.values(), ids=list(CLASSES))

# What a person who runs a fleet may count on, by the name of the error.
EXPECTED = {
    "SubmissionUnconfirmedError": ("unconfirmed", "nothing"),
    "RateLimitError": ("waiting", "account for a while"),
    "NotSentError": ("waiting", "account for a while"),
    "AuthenticationError": ("waiting", "account"),
    "QuotaError": ("waiting", "account"),
    "SetupError": ("waiting", "batch for a while"),
    "BudgetExceededError": ("waiting", "batch for a while"),
    "ModerationError": ("failed", "nothing"),
    "InvalidInputError": ("failed", "nothing"),
    "InvalidRequestError": ("failed", "nothing"),
    "TaskFailedError": ("failed", "nothing"),
    "TaskCanceledError": ("failed", "nothing"),
    "TaskNotFoundError": ("failed", "nothing"),
    "JournalError": ("delayed", "nothing"),
    "DownloadError": ("delayed", "nothing"),
    "TaskTimeoutError": ("delayed", "nothing"),
    "TaskError": ("delayed", "nothing"),
    "RefusedError": ("delayed", "nothing"),
    "RequestError": ("delayed", "nothing"),
    "NebulaVideoError": ("delayed", "nothing"),
}


@each_class
def test_every_class_of_the_tree_has_a_verdict_of_its_own(error: type[NebulaVideoError]) -> None:
    assert error in VERDICTS, "a new class inherits a verdict silently: say which it has"
    outcome = judge(error("It happened."), errors=0)
    assert (outcome.state, outcome.stops) == EXPECTED[error.__name__]


def test_the_table_has_no_class_that_is_not_in_the_tree() -> None:
    assert set(VERDICTS) == set(CLASSES.values())
    assert set(EXPECTED) == set(CLASSES)


def test_a_class_of_somebody_else_has_its_parents_verdict() -> None:
    class TooFastError(RateLimitError):
        pass

    assert judge(TooFastError("Slow down."), errors=0).stops is Stops.ACCOUNT_FOR_A_WHILE


@each_class
def test_only_what_counts_ends_an_item_after_many_errors(error: type[NebulaVideoError]) -> None:
    first, late = judge(error("It happened."), errors=0), judge(error("It happened."), errors=10_000)
    assert first.counts is late.counts
    if first.counts:
        assert (first.state, late.state) == (ItemState.DELAYED, ItemState.FAILED)
    else:
        assert first == late


@each_class
def test_no_error_that_may_have_cost_money_frees_it(error: type[NebulaVideoError]) -> None:
    for money in (Money.MAYBE, Money.RUNNING, Money.LOOKED, Money.SPENT):
        assert not judge(error("It happened.", money=money), errors=0).frees
        assert not judge(error("It happened.", money=money), errors=10_000).frees


def test_money_is_free_again_after_a_refusal_and_after_a_task_that_failed() -> None:
    assert judge(RateLimitError("Slow down."), errors=0).frees
    assert judge(TaskFailedError("It failed.", task_id="t"), errors=0).frees
    assert judge(InvalidRequestError("The image is gone."), errors=0).frees


def test_an_error_that_names_a_task_of_the_key_frees_nothing() -> None:
    """Such as that the key belongs to a task of another account: nothing was sent now, and something was before."""
    assert not judge(InvalidRequestError("The key belongs to another task.", task_id="t"), errors=0).frees


@pytest.mark.parametrize("kind", [JournalError, InvalidRequestError, SetupError])
def test_an_error_before_the_journal_was_asked_frees_nothing_of_an_item_that_a_dead_worker_had(
    kind: type[NebulaVideoError],
) -> None:
    assert judge(kind("It happened."), errors=0).frees
    assert not judge(kind("It happened."), errors=0, first=False).frees


def test_a_refused_submit_frees_the_money_whoever_had_the_item_before() -> None:
    """The journal was asked: its key had no task, or nothing would have been submitted."""
    assert judge(RateLimitError("Slow down."), errors=0, first=False).frees


def test_a_submit_that_another_call_makes_is_waited_for_and_stops_nothing_else() -> None:
    outcome = judge(NotSentError("Another call is submitting it.", money=Money.MAYBE), errors=0)
    assert (outcome.state, outcome.stops, outcome.counts) == (ItemState.DELAYED, Stops.NOTHING, False)


def test_a_machine_that_cannot_reach_the_gateway_stops_nothing_if_others_can() -> None:
    assert judge(NotSentError("No route."), errors=0).local
    assert not judge(NotSentError("After HTTP 429.", retry_after=60), errors=0).local, "all are told so"


def test_a_paid_video_is_tried_for_longer_than_what_may_cost_nothing() -> None:
    def last_error_that_passes(error: NebulaVideoError) -> int:
        return next(errors for errors in range(10_000) if judge(error, errors).state is ItemState.FAILED)

    assert last_error_that_passes(DownloadError("The disk is full.")) >= 5 * last_error_that_passes(
        RequestError("500.")
    )


@pytest.mark.parametrize("errors", [0, 5, 10_000])
def test_an_unconfirmed_submit_is_never_tried_again_by_itself(errors: int) -> None:
    assert judge(SubmissionUnconfirmedError("No answer."), errors).state is ItemState.UNCONFIRMED
    assert ItemState.UNCONFIRMED in ENDED_STATES


def test_a_task_that_never_ends_fails_at_last_and_keeps_its_money() -> None:
    outcome = judge(TaskTimeoutError("It still runs.", task_id="t"), errors=10_000)
    assert (outcome.state, outcome.frees) == (ItemState.FAILED, False)


def test_states_are_words_that_a_database_and_a_person_can_read() -> None:
    assert {str(state) for state in (*ItemState, *BatchState)} >= {"waiting", "unconfirmed", "paused", "canceled"}
