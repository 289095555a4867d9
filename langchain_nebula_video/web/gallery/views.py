"""What the gallery's templates show: the newest entries of a journal, and what they cost by day, week and model.

No address of a video and no key of an account is in it: the addresses are signed.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.display.player import text_without_secrets
from langchain_nebula_video.errors import printable
from langchain_nebula_video.journal import Entry, EntryState, Journal
from langchain_nebula_video.journal.table import prompt_of
from langchain_nebula_video.saving.secrets import redact
from langchain_nebula_video.schema import dollars
from langchain_nebula_video.web.charts import Chart, bar_chart
from langchain_nebula_video.web.gallery.fleet import batches_of

if TYPE_CHECKING:
    from langchain_nebula_video.fleet import Fleet

__all__ = ["MOST_ENTRIES", "Item", "file_of", "is_plain_name", "url_of", "view_of"]

MOST_ENTRIES = 1000
"""How many entries a page shows. A browser filters as many without a pause."""
_MOST_DAYS, _MOST_WEEKS = 31, 26
_FEWEST_BARS = 8
"""A chart has at least so many, so that one day is not as wide as a month."""
_WORDS = {
    EntryState.SUBMITTING: "submitting",
    EntryState.SUBMITTED: "queued",
    EntryState.RUNNING: "running",
    EntryState.SUCCEEDED: "succeeded",
    EntryState.FAILED: "failed",
    EntryState.CANCELED: "canceled",
    EntryState.UNCONFIRMED: "unconfirmed",
    EntryState.UNKNOWN: "unknown",
}
_OPEN = {
    EntryState.SUBMITTED: "nebula-video resume",
    EntryState.RUNNING: "nebula-video resume",
    EntryState.UNCONFIRMED: "nebula-video reconcile",
}
"""The command that goes on with what is open."""


@dataclass(frozen=True, slots=True)
class Item:
    """One entry, as its card shows it."""

    id: str
    word: str
    prompt: str
    model: str
    gateway: str
    made: datetime
    usd: Decimal
    is_billed: bool
    play_money: bool
    facts: tuple[tuple[str, str], ...]
    """Names and values of what else is known."""
    has_file: bool
    """Whether its video is a file on this machine."""
    lives_until: datetime | None
    """When its address at the gateway expires, if that is to come and a browser can open it."""
    note: str
    """Where the video is, or why there is none."""
    command: str | None
    """What goes on with it."""
    batch: str
    """The fleet's batch that it is of; `""`: of none."""

    @property
    def text(self) -> str:
        """What a search looks in, in lower case."""
        return " ".join((self.prompt, self.model, self.gateway, self.id, *(value for _, value in self.facts))).lower()


def is_plain_name(text: str) -> bool:
    """Whether a text can be the name of a file. The journal may be of somebody else, and its ids may lead elsewhere."""
    return re.fullmatch(r"[\w-]{1,100}", text) is not None


def file_of(entry: Entry) -> Path | None:
    """Return the file of an entry's video, if it is on this machine."""
    path = (entry.video or {}).get("path")
    if not isinstance(path, str) or "://" in path or not is_plain_name(entry.id):
        return None
    file = Path(path)
    try:
        return file if file.suffix == ".mp4" and file.is_file() else None
    except (OSError, ValueError):  # a name that is too long for this machine, or a folder that may not be entered
        return None


def url_of(entry: Entry, now: datetime) -> str | None:
    """Return the address of an entry's video, if it still lives and needs no key."""
    video = entry.video or {}
    url, expires = video.get("url"), _moment(video.get("expires_at"))
    if not isinstance(url, str) or not url.startswith(("https://", "http://")) or video.get("url_needs_key"):
        return None
    return url if expires is not None and expires > now else None


def view_of(journal: Journal, now: datetime, *, most: int = MOST_ENTRIES, fleet: Fleet | None = None) -> dict[str, Any]:
    """Return what the templates show of a journal.

    Args:
        journal: Read only.
        now: The current time.
        most: How many entries are shown and summed up, the newest ones.
        fleet: Of the same database, if there is one.

    Raises:
        JournalError: it cannot be read.
    """
    summary = journal.summarize()
    entries = journal.entries(limit=most, newest_first=True)
    batches = {} if fleet is None else batches_of(fleet, [entry.key for entry in entries if entry.key])
    items = [_item(entry, now, _text(batches.get(entry.key or ""))) for entry in entries]
    kinds = [kind for kind in (False, True) if any(entry.play_money is kind for entry in entries)]
    return {
        "now": now,
        "items": items,
        "open": [item for item in items if item.command],
        "count": summary.count,
        "money": [_money(entries, play_money=kind) for kind in kinds],
        "is_mixed": len(kinds) > 1,
        "only_play": kinds == [True],
        "words": sorted({item.word for item in items}),
        "models": sorted({item.model for item in items}),
        "gateways": sorted({item.gateway for item in items}),
        "batches": sorted({item.batch for item in items if item.batch}),
        "has_fleet": fleet is not None,
    }


@dataclass(frozen=True, slots=True)
class ModelSpend:
    """What one model made."""

    model: str
    videos: int
    usd: Decimal
    share: float
    """Of the most expensive model's, from 0 to 1."""


def _money(entries: Iterable[Entry], *, play_money: bool) -> dict[str, Any]:
    """Return the sums and charts of real money, or of play money."""
    counted = [entry for entry in entries if entry.play_money is play_money]
    spent = [entry for entry in counted if entry.spent_usd]
    billed = sum((entry.billed_usd for entry in counted if entry.billed_usd is not None), Decimal(0))
    videos = Counter(entry.model for entry in counted if entry.state is EntryState.SUCCEEDED)
    by_model: defaultdict[str, Decimal] = defaultdict(Decimal)
    for entry in counted:
        by_model[entry.model] += entry.spent_usd
    most = max(by_model.values(), default=Decimal(0)) or Decimal(1)
    name = "play" if play_money else "real"
    return {
        "name": name,
        "title": "Play money" if play_money else "Real money",
        "videos": sum(videos.values()),
        "billed": billed,
        "reserved": sum((entry.spent_usd for entry in counted), Decimal(0)) - billed,
        "charts": [
            chart
            for chart in (
                _spend_chart(f"{name}-days", "Spend by day", spent, lambda day: day, timedelta(days=1), _MOST_DAYS),
                _spend_chart(f"{name}-weeks", "Spend by week", spent, _monday, timedelta(days=7), _MOST_WEEKS),
            )
            if chart is not None
        ],
        "models": sorted(
            (ModelSpend(model, videos[model], usd, float(usd / most)) for model, usd in by_model.items()),
            key=lambda row: (-row.usd, row.model),
        ),
    }


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _spend_chart(
    name: str, title: str, entries: Sequence[Entry], start_of: Callable[[date], date], step: timedelta, most: int
) -> Chart | None:
    """Draw the spend of each day or week to the last one with any, in UTC."""
    sums: defaultdict[date, Decimal] = defaultdict(Decimal)
    for entry in entries:
        sums[start_of(entry.created_at.astimezone(UTC).date())] += entry.spent_usd
    if not sums:
        return None
    last = max(sums)
    count = min(max((last - min(sums)) // step + 1, _FEWEST_BARS), most)
    days = [last - step * back for back in range(count - 1, -1, -1)]
    return bar_chart(
        name,
        title,
        [(f"{day:%Y-%m-%d}", float(sums.get(day, 0))) for day in days],
        value_text=lambda value: dollars(Decimal(f"{value:.4f}")),
        column="Day" if step.days == 1 else "Week of",
    )


def _item(entry: Entry, now: datetime, batch: str) -> Item:
    video, request = entry.video or {}, entry.request
    url, file = url_of(entry, now), file_of(entry)
    facts = {
        "Video": _described(video, request),
        "Image": _text(video.get("image_name")),
        "Key": _text(entry.key),
        "Task": _text(entry.task_id),
        "Host": _text(entry.host),
        "Batch": batch,
    }
    return Item(
        id=entry.id,
        word=_WORDS[entry.state],
        prompt=_text(prompt_of(entry)),
        model=_text(entry.model),
        gateway=_text(entry.gateway),
        made=entry.created_at,
        usd=entry.spent_usd,
        is_billed=entry.billed_usd is not None or not entry.spent_usd,
        play_money=entry.play_money,
        facts=tuple((name, value) for name, value in facts.items() if value),
        has_file=file is not None,
        lives_until=_moment(video.get("expires_at")) if url else None,
        note=_note(entry, alive=url is not None, saved=file is not None),
        command=_OPEN.get(entry.state),
        batch=batch,
    )


def _note(entry: Entry, *, alive: bool, saved: bool) -> str:
    if entry.state is not EntryState.SUCCEEDED:
        return _text(text_without_secrets(entry.reason or ""))
    path = (entry.video or {}).get("path")
    if isinstance(path, str) and not saved:
        where = redact(printable(path), path)
        return f"Saved as {where}" if "://" in path else f"It was saved as {where}, and is not there any more."
    if saved or alive:
        return ""
    return "It was not saved, and its address has expired or needs your key."


def _described(video: Any, request: Any) -> str:
    duration = video.get("duration") or request.get("duration")
    resolution = video.get("resolution") or request.get("resolution")
    return ", ".join(_text(part) for part in (resolution, duration and f"{duration} s") if part)


def _text(value: object) -> str:
    return "" if value is None else printable(str(value))


def _moment(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
