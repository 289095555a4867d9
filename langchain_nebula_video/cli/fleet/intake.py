"""The intake of a list: a batch is held until its price is accepted, or fed at once with `--yes`."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.cli.exit_codes import Exit
from langchain_nebula_video.cli.fleet.consent import ask_to_pay, describe_price
from langchain_nebula_video.cli.fleet.place import do, find_batch
from langchain_nebula_video.cli.fleet.progress import Progress
from langchain_nebula_video.errors import InvalidRequestError, Money, NebulaVideoError
from langchain_nebula_video.fleet.states import BatchState, ItemState
from langchain_nebula_video.fleet.words import amount, count_all

if TYPE_CHECKING:
    from langchain_nebula_video.cli.fleet.feed import Feed
    from langchain_nebula_video.cli.output import Output
    from langchain_nebula_video.fleet import Added, BatchStatus, Fleet, Preview

__all__ = ["Intake"]

_NOT_ACCEPTED = "its price was not accepted yet"
_BY_OPTION = "enqueued with --paused"
_NAMES = 5
"""Of other batches, that are told."""


class Intake:
    """Adds the rows of a list to a batch.

    Args:
        output: Where it is told.
        fleet: The fleet.
        feed: The rows.
        batch: The batch's name.
        place: Where it is paid, for people.
        yes: Whether its price is accepted before it is known: then workers begin at once.
        paused: Whether the batch is left paused, and nobody is asked.
        request: What `Fleet.submit_many` needs for the videos.
        limits: Budget, priority, beginning and hours of a new batch; `None`: not given.
    """

    def __init__(
        self,
        output: Output,
        fleet: Fleet,
        feed: Feed,
        batch: str,
        *,
        place: str,
        yes: bool,
        paused: bool,
        request: Mapping[str, Any],
        limits: Mapping[str, Any],
    ) -> None:
        self._output, self._fleet, self._feed, self._batch = output, fleet, feed, batch
        self._place, self._yes, self._paused = place, yes, paused
        self._request = request
        self._limits = {name: value for name, value in limits.items() if value is not None}
        found = do(fleet.status(errors=0))
        self._before = next((each for each in found.batches if each.name == batch), None)
        self._progress = Progress(output, feed)
        self.interruption: NebulaVideoError | None = None
        """What Ctrl-C amounted to."""
        self._check_limits()

    @property
    def is_new(self) -> bool:
        """Whether there was no batch of this name."""
        return self._before is None

    def preview(self) -> Exit:
        """Count and price what is new, and write nothing."""
        work = self._fleet.preview(
            self._feed,
            batch=self._batch,
            budget=self._limits.get("budget"),
            on_progress=self._progress.note,
            **self._request,
        )
        told: Preview = self._read(work)
        self._tell_broken(told)
        price = f": {describe_price(told.usd, told.unpriced)} at {self._place}" if told.new else ""
        self._output.print_result(
            {
                "batch": self._batch,
                "new": told.new,
                "present": told.present,
                "elsewhere": told.elsewhere,
                "broken": told.broken,
                "usd": str(told.usd),
                "unpriced": told.unpriced,
            },
            {
                "Rows": f"{self._feed.read:,}",
                "New": f"{told.new:,}{price}",
                "Present": f"{told.present:,}{_in_others(told.elsewhere)}" if told.present else None,
                "Broken": f"{told.broken:,}" if told.broken else None,
            },
        )
        return Exit.FAILURE if told.broken else Exit.OK

    def run(self) -> Exit:
        """Add the rows, tell what became of them, and ask for consent if there is something to pay."""
        held = self._paused or not self._yes
        reason = _BY_OPTION if self._paused else _NOT_ACCEPTED
        do(self._submit((), paused=reason if held else False))  # nothing of the batch is touched if it is another
        if held and self._was_running:
            do(self._fleet.pause(self._batch, reason))
        try:
            added: Added = self._read(
                self._submit(self._feed, paused=reason if held else False, told=self._progress.note)
            )
        except NebulaVideoError as error:
            what, money, hint = self._leave(held=held)
            raise type(error)(f"{error.what} {what}", money=money, hint=f"{error.hint} {hint}".strip()) from None
        except KeyboardInterrupt:
            what, money, hint = self._leave(held=held)
            self.interruption = NebulaVideoError(f"Interrupted. {what}", money=money, hint=hint)
            raise
        self._tell_broken(added)
        new = f"{added.added:,} new" if added.added else "no new video"
        present = (
            f", {added.present:,} there before{_in_others(added.elsewhere, added.others)}" if added.present else ""
        )
        broken = f", {count_all(added.broken, 'broken row')}" if added.broken else ""
        self._output.print_message(f"{self._batch}: {new}{present}{broken}.")
        self._tell_canceled(added)
        all_told = added.broken == len(added.first_broken)  # otherwise status lists the rest
        if self.is_new and not added.added and all_told and do(self._fleet.forget_empty(self._batch)):
            self._output.print_message(f"There is no video for a batch {self._batch!r}, so none was made.")
            self._print_result(added, None)
            return Exit.FAILURE if added.broken else Exit.OK
        agreed = self._settle(added, find_batch(self._fleet, self._batch))
        self._print_result(added, find_batch(self._fleet, self._batch))
        return Exit.OK if agreed and not added.broken else Exit.FAILURE

    @property
    def _was_running(self) -> bool:
        return self._before is not None and self._before.state is BatchState.RUNNING

    def _settle(self, added: Added, now: BatchStatus) -> bool:
        """Let the batch begin, if its price is accepted; `False`: it was declined."""
        waiting = sum(now.counts.get(state, 0) for state in (ItemState.WAITING, ItemState.DELAYED))
        if now.state is BatchState.PAUSED and now.reason != _NOT_ACCEPTED:
            why = now.reason or "as it was made"
            self._output.print_message(f"It is paused ({why}). Begin: nebula-video fleet resume {self._batch}")
            return True
        if now.state is BatchState.PAUSED:
            asked_before = self._was_running and not added.added
            if waiting and not asked_before and not self._consent(added, now, waiting):
                return False
            do(self._fleet.resume(self._batch))
        if waiting:
            self._tell_workers(now)
        return True

    def _consent(self, added: Added, now: BatchStatus, waiting: int) -> bool:
        unpriced = min(added.unpriced, waiting)
        self._output.print_message(
            f"{count_all(waiting, 'video')} to pay for, at {self._place}: {describe_price(now.estimate, unpriced)}."
        )
        left = None
        if now.budget is not None:
            left = max(now.budget - now.committed, Decimal(0))
            self._output.print_message(f"The budget has {amount(left)} left: what does not fit is not begun.")
        if self._yes:
            return True
        try:
            agreed = ask_to_pay(self._output, waiting, now.estimate, unpriced, left=left, place=self._place)
        except InvalidRequestError as error:  # nobody can be asked
            what = f"{error.what} The list waits in the batch {self._batch!r}."
            raise InvalidRequestError(what, money=Money.REFUSED, hint=self._how_to_go_on(" --yes")) from None
        except BaseException:
            self._output.print_message(f"Nothing was begun. {self._how_to_go_on()}")
            raise
        if not agreed:
            self._output.print_message(f"Nothing was begun. {self._how_to_go_on()}")
        return agreed

    def _tell_canceled(self, added: Added) -> None:
        """Say it if some of the list may never be made: it is in a batch that was canceled."""
        found = do(self._fleet.status(errors=0)).batches if added.elsewhere else ()
        for each in found:
            if each.state is BatchState.CANCELED and each.name in added.others:
                name = shlex.quote(each.name)
                self._output.print_message(
                    f"The batch {each.name} is canceled: what it has of this list is not made. Go on with it: "
                    f"nebula-video fleet resume {name}. Or: nebula-video fleet forget {name}, and enqueue again.",
                    style="yellow",
                )

    def _tell_workers(self, now: BatchStatus) -> None:
        workers = do(self._fleet.status(errors=0)).workers
        able = sum(each.lives and now.account in each.accounts for each in workers)
        self._output.print_message(
            f"{count_all(able, 'worker')} can make them."
            if able
            else "No worker runs for it: nebula-video fleet worker"
        )
        self._output.print_message(f"How far it is: nebula-video fleet status {self._batch}")

    def _submit(self, rows: Any, *, paused: bool | str, told: Callable[[Added], object] = lambda _: None) -> Any:
        limits = {**self._limits, "priority": self._limits.get("priority", 0)}
        return self._fleet.submit_many(
            rows, batch=self._batch, paused=paused, on_progress=told, **limits, **self._request
        )

    # --- reading ---

    def _read(self, work: Any) -> Any:
        async def read() -> Any:
            try:
                return await work
            except asyncio.CancelledError:
                self._feed.stop()
                raise

        with self._progress.show():
            told = do(read())
        if left_out := self._feed.tally.left_out:
            self._output.print_message(f"Left out: {count_all(left_out, 'file')} of no image suffix.")
        return told

    # --- what went wrong ---

    def _check_limits(self) -> None:
        """Refuse other limits for a batch that is there.

        Raises:
            InvalidRequestError: they differ.
        """
        if self._before is None:
            return
        for name, value in self._limits.items():
            if getattr(self._before, name) != value and name != "hours":  # those may be written in several ways
                option = f"--{name.replace('_', '-')}"
                raise InvalidRequestError(
                    f"The batch {self._batch!r} is there already, with another {option}.",
                    hint=f"Change it with: nebula-video fleet resume {self._batch} {option} …",
                )

    def _leave(self, *, held: bool) -> tuple[str, Money, str]:
        """Leave the batch as it should be after a list that was not read to its end, and say how that is."""
        added = getattr(self._progress.told, "added", 0)
        if held and self._was_running and not added:
            do(self._fleet.resume(self._batch))
        elif self._before is None and self._progress.told is None:
            do(self._fleet.forget(self._batch))
        what = f"{added:,} new of the list {'is' if added == 1 else 'are'} in the batch {self._batch!r}."
        rest = self._how_to_go_on() if held else "Workers make them."
        hint = f"The same command adds the rest. {rest}" if added else ""
        return what, Money.RUNNING if added and not held else Money.NOT_SENT, hint

    def _how_to_go_on(self, option: str = "") -> str:
        name = f"{shlex.quote(self._batch)}{option}"
        return (
            f"The batch is paused. Begin: nebula-video fleet resume {name}. Delete: nebula-video fleet forget {name}."
        )

    # --- what is told ---

    def _tell_broken(self, told: Added | Preview) -> None:
        for row in told.first_broken:
            self._output.print_message(f"Broken: {row.place}: {row.reason}", style="yellow")
        rest = told.broken - len(told.first_broken)
        if rest > 0:
            self._output.print_message(
                f"{count_all(rest, 'more broken row')}: nebula-video fleet status {self._batch} --broken",
                style="yellow",
            )

    def _print_result(self, added: Added, now: BatchStatus | None) -> None:
        self._output.print_result(
            {
                "batch": self._batch,
                "state": None if now is None else now.state.value,
                "rows": self._feed.read,
                "new": added.added,
                "present": added.present,
                "elsewhere": added.elsewhere,
                "broken": added.broken,
                "estimate_usd": str(Decimal(0) if now is None else now.estimate),
                "unpriced": added.unpriced,
            }
        )


def _in_others(number: int, names: Collection[str] = ()) -> str:
    listed = ", ".join(sorted(names)[:_NAMES]) + (", …" if len(names) > _NAMES else "")
    return f" ({number:,} of them in other batches{f': {listed}' if names else ''})" if number else ""
