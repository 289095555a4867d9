"""The running sums of a `MemoryJournal`."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from langchain_nebula_video.journal.stretches import LEVELS, bounds

__all__ = ["RunningSums"]

_MINUTE, *_, _LONGEST = LEVELS


class RunningSums:
    """What entries count, in trillionths of a dollar, by the moments at which they were made, in microseconds."""

    def __init__(self) -> None:
        self._amounts: dict[int, dict[str, tuple[int, int]]] = {}
        """Of each minute, the moment and the amount of each entry."""
        self._left: dict[int, array[int]] = {}
        """Of each minute, moments and amounts, in turn, of entries that were evicted."""
        self._sums: dict[int, dict[int, int]] = {level: {} for level in LEVELS}

    def set(self, entry_id: str, moment: int, amount: int) -> None:
        """Count an amount for an entry, instead of what counted for it before."""
        of_minute = self._amounts.setdefault(moment >> _MINUTE, {})
        _, before = of_minute.get(entry_id, (moment, 0))
        of_minute[entry_id] = moment, amount
        if amount != before:
            self._add(moment, amount - before)

    def remove(self, entry_id: str, moment: int) -> None:
        """Count nothing for an entry."""
        _, amount = self._pop(entry_id, moment)
        self._add(moment, -amount)

    def evict(self, entry_id: str, moment: int) -> int:
        """Keep the amount of an entry that is gone, and return it."""
        _, amount = self._pop(entry_id, moment)
        self._left.setdefault(moment >> _MINUTE, array("q")).extend((moment, amount))
        return amount

    def evicted(self) -> list[tuple[int, int]]:
        """Return the moments and the amounts of the entries that are gone."""
        return [pair for left in self._left.values() for pair in _pairs(left)]

    def add_evicted(self, moment: int, amount: int) -> None:
        """Count an amount for an entry that is gone."""
        self._left.setdefault(moment >> _MINUTE, array("q")).extend((moment, amount))
        self._add(moment, amount)

    def total(self, since: int | None) -> int:
        """Return the sum of what was made after a moment."""
        if since is None:
            return sum(self._sums[_LONGEST].values())
        (low, high), *stretches = bounds(since)
        minute = low >> _MINUTE
        amounts = [*self._amounts.get(minute, {}).values(), *_pairs(self._left.get(minute, array("q")))]
        total = sum(amount for moment, amount in amounts if low <= moment < (high or low))
        for sums, (first, end) in zip(self._sums.values(), stretches, strict=True):
            buckets = (bucket for bucket in sums if bucket >= first) if end is None else range(first, end)
            total += sum(sums.get(bucket, 0) for bucket in buckets)
        return total

    def _pop(self, entry_id: str, moment: int) -> tuple[int, int]:
        of_minute = self._amounts[moment >> _MINUTE]
        found = of_minute.pop(entry_id)
        if not of_minute:
            del self._amounts[moment >> _MINUTE]
        return found

    def _add(self, moment: int, amount: int) -> None:
        for level, sums in self._sums.items():
            sums[moment >> level] = sums.get(moment >> level, 0) + amount


def _pairs(left: array[int]) -> Iterable[tuple[int, int]]:
    return zip(left[::2], left[1::2], strict=True)
