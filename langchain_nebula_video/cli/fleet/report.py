"""How a fleet is, as lines for people and as JSON data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any

from rich.text import Text

from langchain_nebula_video.cli.progress_bar import format_clock
from langchain_nebula_video.display.player import text_without_secrets
from langchain_nebula_video.errors import printable, shorten
from langchain_nebula_video.fleet.states import BatchState, ItemState
from langchain_nebula_video.fleet.troubles import Trouble, TroubleKind, seconds_left, why_it_waits
from langchain_nebula_video.fleet.words import amount, count_all

if TYPE_CHECKING:
    from langchain_nebula_video.fleet import AccountStatus, BatchStatus, FleetStatus, WorkerStatus

__all__ = ["as_data", "describe_throughput", "report"]

_BAR = 20
_MOST_ENDED, _MOST_WORKERS, _MOST_ERRORS = 5, 20, 5
_LONGEST = 300
_STYLES = {
    TroubleKind.UNCONFIRMED: "bold red",
    TroubleKind.STANDSTILL: "red",
    TroubleKind.FAILED: "yellow",
    TroubleKind.NOTICE: "",
}
_ORDER = (ItemState.RUNNING, ItemState.QUEUED, ItemState.DELAYED, ItemState.WAITING, ItemState.DONE)
"""The rest of the states comes behind, if it occurs."""


def report(status: FleetStatus, troubles: list[Trouble], *, history: str = "") -> list[Text]:
    """Return the lines that tell how a fleet is.

    Args:
        status: The fleet.
        troubles: What needs a person.
        history: A picture of its throughput over time.
    """
    lines = [_bold(f"Fleet {status.fleet}, {status.at:%Y-%m-%d %H:%M:%S %Z}"), Text(describe_throughput(status))]
    if history:
        lines.append(Text(history, style="cyan"))
    notices = [each for each in troubles if each.kind is TroubleKind.NOTICE]
    lines += _troubles("Needs a person", [each for each in troubles if each.kind is not TroubleKind.NOTICE])
    lines += _batches(status)
    lines += _troubles("Notices", notices)
    if status.errors or status.passing:
        lines += [Text(), _bold("Newest errors")]
        for error in _newest(status):
            told = shorten(printable(text_without_secrets(error.error)), _LONGEST)
            lines.append(Text(f"  {error.batch}  {error.key[:12]}  {error.state}  {told}"))
    lines += [Text(), _bold(_workers_head(status))]
    lines += [_worker(each) for each in status.workers[:_MOST_WORKERS]]
    if len(status.workers) > _MOST_WORKERS:
        lines.append(Text(f"  and {len(status.workers) - _MOST_WORKERS} more"))
    if status.accounts:
        lines += [Text(), _bold("Accounts")]
        lines += [_account(each) for each in status.accounts]
    return lines


def describe_throughput(status: FleetStatus) -> str:
    """Return videos and dollars a minute, and how long the rest takes."""
    parts = [f"{count_all(round(status.per_minute), 'video')}/min", f"{amount(status.usd_per_minute)}/min"]
    left = seconds_left(status)
    if left is not None:
        parts.append(f"about {format_clock(left)} left")
    return ", ".join(parts)


def _batches(status: FleetStatus) -> Iterator[Text]:
    """Yield the lines of the batches that go on, the newest first, then one for each of those that ended last."""
    going = [batch for batch in reversed(status.batches) if batch.left]
    ended = [batch for batch in reversed(status.batches) if not batch.left]
    if not status.batches:
        yield Text("Nothing has been enqueued: nebula-video fleet enqueue SOURCE --batch NAME")
    for batch in going:
        yield Text()
        yield from _batch(batch, status)
    if ended:
        yield Text()
    for batch in ended[:_MOST_ENDED]:
        lines = list(_batch(batch, status))
        yield from lines if len(status.batches) == 1 else lines[:1]
    if len(ended) > _MOST_ENDED:
        yield Text(f"and {len(ended) - _MOST_ENDED} batches more that have ended: nebula-video fleet status NAME")


def _batch(batch: BatchStatus, status: FleetStatus) -> Iterator[Text]:
    state = "ended" if batch.state is BatchState.RUNNING and batch.size and not batch.left else batch.state.value
    full = _BAR if not batch.size else round(_BAR * batch.ended / batch.size)
    bar = "━" * full + "╌" * (_BAR - full)
    yield Text.assemble(
        (batch.name, "bold"), f"  {state}  ", (bar, "green"), f"  {batch.ended:,} of {batch.size:,} ended"
    )
    shown = [each for each in ItemState if each in _ORDER or batch.counts.get(each)]
    shown.sort(key=lambda each: _ORDER.index(each) if each in _ORDER else len(_ORDER))
    yield Text("  " + "  ".join(f"{batch.counts.get(each, 0):,} {each}" for each in shown))
    money = [f"{amount(batch.spent)} spent", f"{amount(batch.reserved)} reserved", f"{amount(batch.estimate)} to come"]
    if batch.maybe_spent:
        money.insert(1, f"{amount(batch.maybe_spent)} may have been spent")
    if batch.budget is not None:
        money.append(f"budget {amount(batch.budget)}")
    yield Text("  " + "  ".join(money))
    why = why_it_waits(batch, status)
    if batch.state is BatchState.PAUSED:
        yield Text(f"  paused: {shorten(printable(batch.reason or 'as it was made'), _LONGEST)}", style="yellow")
    elif why is not None:
        yield Text(f"  waits: {shorten(printable(why), _LONGEST)}", style="yellow")


def _troubles(head: str, troubles: list[Trouble]) -> Iterator[Text]:
    if troubles:
        yield Text()
        yield _bold(head)
    for each in troubles:
        what = shorten(printable(text_without_secrets(each.what)), _LONGEST)
        yield Text(f"  {each.about}: {what}", style=_STYLES[each.kind])
        yield Text(f"    {each.remedy}", style="dim")


def _newest(status: FleetStatus) -> Iterator[Any]:
    for state in (ItemState.UNCONFIRMED, ItemState.FAILED):
        yield from [error for error in status.errors if error.state is state][:_MOST_ERRORS]
    yield from status.passing[:_MOST_ERRORS]


def _workers_head(status: FleetStatus) -> str:
    alive = [each for each in status.workers if each.lives]
    draining, dead = sum(each.draining for each in alive), len(status.workers) - len(alive)
    places = sum(each.concurrency for each in alive if not each.draining)
    parts = [f"{count_all(len(alive), 'worker')}, {sum(each.running for each in alive):,} of {places:,} places taken"]
    parts += [f"{draining} draining"] if draining else []
    parts += [f"{dead} dead"] if dead else []
    return ", ".join(parts)


def _worker(worker: WorkerStatus) -> Text:
    made = f"{worker.finished:,} made"
    if not worker.lives:
        return Text(f"  {worker.id}  dead, last heard of {worker.silent:,.0f} s ago  {made}", style="red")
    told = (
        f"  {worker.id}  {'draining' if worker.draining else 'working'}  "
        f"{worker.running:,}/{worker.concurrency:,} running  "
        f"{worker.per_minute:,.0f}/min  {amount(worker.usd_per_minute)}/min  {made}"
    )
    return Text(told)


def _account(account: AccountStatus) -> Text:
    parts = [f"  {account.id}  {account.gateway}  {printable(account.base_url)}"]
    parts += [f"at most {account.cap:,} at once"] if account.cap else []
    parts += [f"{account.rate:,}/min"] if account.rate else []
    if account.paused_until is not None:
        until = "" if account.needs_a_person else f" until {account.paused_until:%H:%M:%S %Z}"
        parts.append(f"paused{until}")
    elif account.refusals:
        parts.append(f"begins carefully after {count_all(account.refusals, 'refusal')}")
    return Text("  ".join(parts), style="yellow" if account.paused_until is not None else "")


def _bold(text: str) -> Text:
    return Text(text, style="bold")


def as_data(status: FleetStatus, troubles: list[Trouble]) -> dict[str, Any]:
    """Return all of it as JSON data. Dollars are texts."""
    data: dict[str, Any] = _plain(status)
    for told, batch in zip(data["batches"], status.batches, strict=True):
        told |= {"size": batch.size, "ended": batch.ended, "left": batch.left, "waits": why_it_waits(batch, status)}
    for told, worker in zip(data["workers"], status.workers, strict=True):
        told["lives"] = worker.lives
    return {
        **data,
        "per_minute": status.per_minute,
        "usd_per_minute": str(status.usd_per_minute),
        "seconds_left": seconds_left(status),
        "troubles": _plain(troubles),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(_plain(name)): _plain(each) for name, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
