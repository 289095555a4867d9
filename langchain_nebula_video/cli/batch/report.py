"""What became of a batch: for people, for scripts, and as an exit code."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.cli.batch.plan import Item, Plan, Standing
from langchain_nebula_video.cli.exit_codes import Exit, exit_for
from langchain_nebula_video.cli.output import count_of, total_cost
from langchain_nebula_video.cli.reconcile import find_lost_hint
from langchain_nebula_video.display.player import text_without_secrets
from langchain_nebula_video.errors import Money, NebulaVideoError, SubmissionUnconfirmedError, printable
from langchain_nebula_video.journal import Entry, EntryState
from langchain_nebula_video.saving.secrets import redact
from langchain_nebula_video.schema import dollars

if TYPE_CHECKING:
    from langchain_nebula_video.cli.batch.run import BatchRun, Outcome
    from langchain_nebula_video.cli.client import ClientFactory
    from langchain_nebula_video.cli.output import Output

__all__ = ["Report", "describe_plan", "interruption", "plan_as_dict"]

_MADE, _FAILED, _UNDER_WAY, _NOT_BEGUN = "made", "failed", "under way", "not begun"


def describe_plan(plan: Plan, place: str, spent: Decimal) -> dict[str, object]:
    """Return what a batch would do, as fields."""
    counts = plan.counts
    return {
        "Rows": len(plan.items) + len(plan.broken),
        "To pay for": f"{counts[Standing.NEW]}, about {total_cost(plan.new_costs)} at {place}",
        "Paid before": f"{counts[Standing.PAID]} to go on with" if counts[Standing.PAID] else None,
        "Made before": counts[Standing.MADE] or None,
        "Failed before": counts[Standing.FAILED] or None,
        "Repeated": counts[Standing.SAME] or None,
        "Broken": len(plan.broken) or None,
        "Cost so far": dollars(spent) if spent else None,
    }


def plan_as_dict(plan: Plan) -> dict[str, Any]:
    """Return the plan as JSON data."""
    costs = [cost.usd for cost in plan.new_costs]
    return {
        "to_pay": len(costs),
        "estimated_usd": None if None in costs else str(sum((usd for usd in costs if usd is not None), Decimal(0))),
        "rows": [
            {"where": item.row.where, "key": item.key, "standing": item.standing.value,
             "cost": item.cost.model_dump(mode="json")}
            for item in plan.items
        ],
        "broken": _broken(plan),
    }  # fmt: skip


def interruption(output: Output, report: Report | None) -> NebulaVideoError:
    """Print what is known of a batch that Ctrl-C has ended, and return the error that it amounts to."""
    if report is None:
        return NebulaVideoError("Interrupted before anything was sent.")
    report.print_to(output, as_result=False)
    under_way = report.under_way
    money = Money.RUNNING if under_way else Money.SPENT if report.cost > report.spent_before else Money.REFUSED
    return NebulaVideoError(
        f"Interrupted. {report.made} of {len(report.plan.items)} videos are saved, {under_way} go on at the gateway.",
        money=money,
        hint=f"Go on with the same command, which pays for none of them again: {_this_command()}",
    )


def _this_command() -> str:
    return shlex.join(["nebula-video", *(redact(word, word) for word in sys.argv[1:])])


class Report:
    """The state of a batch, before, after and between its runs.

    Args:
        plan: Its rows.
        factory: The command's gateway and journal.
    """

    def __init__(self, plan: Plan, factory: ClientFactory) -> None:
        self.plan = plan
        self.run: BatchRun | None = None
        self._factory = factory
        self._entries: dict[str, Entry] = {}
        self.reload()
        self.spent_before = self.cost
        """US dollars that its rows had cost, or reserved, before this run."""

    def reload(self) -> None:
        """Read what the journal knows of the rows now."""
        keys = dict.fromkeys(item.key for item in self.plan.items)
        found = ((key, self._factory.journal.find(key=key)) for key in keys)
        self._entries = {key: entry for key, entry in found if entry is not None}

    @property
    def _outcomes(self) -> dict[str, Outcome]:
        return {} if self.run is None else {outcome.item.key: outcome for outcome in self.run.outcomes}

    @property
    def cost(self) -> Decimal:
        """US dollars that its rows have cost, or reserved, in all runs."""
        return sum((entry.spent_usd for entry in self._entries.values()), Decimal(0))

    @property
    def under_way(self) -> int:
        """How many tasks go on at the gateway."""
        return sum(entry.unfinished for entry in self._entries.values())

    @property
    def made(self) -> int:
        """How many rows have a saved video."""
        return sum(state == _MADE for _, state, _ in self._states())

    def _states(self) -> Iterator[tuple[Item, str, str | None]]:
        """Yield each row, its state in a word, and why it has no video."""
        outcomes, entries = self._outcomes, self._entries
        standings: dict[str, Standing] = {}
        for item in self.plan.items:
            standing = standings.setdefault(item.key, item.standing)
            outcome, entry = outcomes.get(item.key), entries.get(item.key)
            if standing is Standing.MADE or (outcome is not None and outcome.video is not None):
                yield item, _MADE, None
            elif standing is Standing.FAILED:
                yield item, _FAILED, _failed_before(item)
            elif outcome is not None:
                yield item, _FAILED, str(outcome.error)
            else:
                yield item, _UNDER_WAY if entry is not None and entry.unfinished else _NOT_BEGUN, None

    def exit_code(self) -> Exit:
        """Return 0 if every row has its video, 7 if a submit is in doubt, else what all failures have in common."""
        errors = [outcome.error for outcome in self._outcomes.values() if outcome.error is not None]
        codes = {exit_for(error) for error in errors}
        codes |= {Exit.TASK} if self.plan.counts[Standing.FAILED] else set()
        codes |= {Exit.FAILURE} if self.plan.broken else set()
        if Exit.UNCONFIRMED in codes:
            return Exit.UNCONFIRMED
        return codes.pop() if len(codes) == 1 else Exit.FAILURE if codes else Exit.OK

    def print_to(self, output: Output, *, as_result: bool = True) -> None:
        """Print the summary; `as_result`: and on stdout the files, or the JSON object."""
        self.reload()
        states = list(self._states())
        for item, state, reason in states:
            if state == _FAILED and (output.live or item.standing is Standing.FAILED):
                output.print_message(f"No video: {printable(item.row.where)}: {reason}", style="yellow")
        if any(isinstance(outcome.error, SubmissionUnconfirmedError) for outcome in self._outcomes.values()):
            row = GATEWAYS.get(self._factory.target.gateway)
            output.print_message(f"A submit is in doubt and is never repeated by itself. {find_lost_hint(row)}")
        stopped_by = None if self.run is None else self.run.stopped_by
        if stopped_by is not None:
            output.print_message("No further row was begun: each would end in the same way.", style="yellow")
        output.print_message(self._summary(states))
        if as_result:
            paths = [str(data["path"]) for data in (self._row_as_dict(*state) for state in states) if data["path"]]
            text = "" if sys.stdout.isatty() else "\n".join(map(printable, dict.fromkeys(paths)))
            output.print_result(self._as_dict(states), text)

    def _summary(self, states: list[tuple[Item, str, str | None]]) -> str:
        counts = Counter(state for _, state, _ in states)
        now = self.cost - self.spent_before
        entries = self._entries.values()
        open_usd = sum((entry.spent_usd for entry in entries if entry.billed_usd is None), Decimal(0))
        open_part = f", {dollars(open_usd)} of it not billed yet" if open_usd else ""
        broken = f", {count_of(len(self.plan.broken), 'broken row')}" if self.plan.broken else ""
        parts = ", ".join(f"{counts[name]} {name}" for name in (_MADE, _FAILED, _UNDER_WAY, _NOT_BEGUN) if counts[name])
        return (
            f"{count_of(len(states), 'video')}: {parts or 'none'}{broken}. "
            f"Cost: {dollars(self.cost)}{open_part}; {dollars(now)} of it in this run."
        )

    def _as_dict(self, states: list[tuple[Item, str, str | None]]) -> dict[str, Any]:
        return {
            "rows": [self._row_as_dict(*state) for state in states],
            "broken": _broken(self.plan),
            "cost_usd": str(self.cost),
            "cost_of_this_run_usd": str(self.cost - self.spent_before),
        }

    def _row_as_dict(self, item: Item, state: str, reason: str | None) -> dict[str, Any]:
        outcome = self._outcomes.get(item.key)
        video = None if outcome is None else outcome.video
        error = None if outcome is None else outcome.error
        known = (item.entry.video or {}) if item.entry is not None else {}
        task_id = video.task_id if video is not None else error.task_id if error is not None else None
        return {
            "where": item.row.where,
            "key": item.key,
            "state": state,
            "task_id": task_id or (None if item.entry is None else item.entry.task_id),
            "path": _from_here(known.get("path")) if video is None else video.path,
            "cost": (item.cost if video is None else video.cost).model_dump(mode="json"),
            "error": None if error is None else type(error).__name__,
            "message": reason,
        }


def _from_here(path: str | None) -> str | None:
    """Return the path of a file as a first run tells it: the journal has it from the root."""
    if path is None or not Path(path).is_relative_to(Path.cwd()):
        return path
    return str(Path(path).relative_to(Path.cwd()))


def _failed_before(item: Item) -> str:
    """Say why a row of an earlier run has no video. What was canceled or written off by hand may have been billed."""
    again = "--retry-failed submits it again" if item.row.key is None else "with another key it is submitted again"
    if item.entry is not None and item.entry.state is EntryState.CANCELED:
        why = printable(text_without_secrets(item.entry.reason or "canceled"))
        return f"canceled in an earlier run ({why}); {again}"
    return f"failed in an earlier run, and was not billed; {again}"


def _broken(plan: Plan) -> list[dict[str, str]]:
    return [{"where": row.where, "reason": row.reason} for row in plan.broken]
