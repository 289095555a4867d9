"""A cache for LangGraph's `CachePolicy` in which no video outlives its URL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from langgraph.cache.base import BaseCache, FullKey, Namespace
from pydantic import BaseModel

__all__ = ["VideoCache"]

_URL_LIFETIME = timedelta(hours=24)
"""How long the URL of a video works at least, counted from the submit: the vendors count from its end."""
_MAX_DEPTH = 8


class VideoCache(BaseCache[Any]):
    """Keeps what another cache keeps, but a video only as long as its URL works.

    `CachePolicy(ttl=None)` keeps a result for ever, and a video's URL works for about a day. This looks at what is
    stored: each entry goes when its first video does, or earlier, if the policy says so. Other results are not touched.

    Give it to `compile(cache=…)` in place of the other one.

    Args:
        cache: Where the entries are kept: LangGraph's `InMemoryCache`, `SqliteCache` or `RedisCache`, or your own.
        usable_for: How long the URL of a video from the cache works at least. A number is seconds.
        now: The time.
    """

    def __init__(
        self,
        cache: BaseCache[Any],
        *,
        usable_for: timedelta | float = timedelta(hours=1),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(serde=cache.serde)
        self._cache = cache
        self._spare = usable_for if isinstance(usable_for, timedelta) else timedelta(seconds=usable_for)
        self._now = now

    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
        """Return the entries that are there."""
        return self._cache.get(keys)

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
        """See `get`."""
        return await self._cache.aget(keys)

    def set(self, pairs: Mapping[FullKey, tuple[Any, int | None]]) -> None:
        """Keep these entries, each for its time."""
        if bounded := dict(self._bounded(pairs)):
            self._cache.set(bounded)

    async def aset(self, pairs: Mapping[FullKey, tuple[Any, int | None]]) -> None:
        """See `set`."""
        if bounded := dict(self._bounded(pairs)):
            await self._cache.aset(bounded)

    def clear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Delete the entries of these namespaces, or all."""
        self._cache.clear(namespaces)

    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """See `clear`."""
        await self._cache.aclear(namespaces)

    def _bounded(
        self, pairs: Mapping[FullKey, tuple[Any, int | None]]
    ) -> Iterator[tuple[FullKey, tuple[Any, int | None]]]:
        """The entries with their times. One whose video is nearly gone is left out."""
        now = self._now()
        for key, (value, ttl) in pairs.items():
            ends = min(_ends(value, now), default=None)
            if ends is None:
                yield key, (value, ttl)
                continue
            left = int((ends - self._spare - now).total_seconds())
            if left > 0:
                yield key, (value, left if ttl is None else min(ttl, left))


def _ends(value: object, now: datetime, depth: int = _MAX_DEPTH) -> Iterator[datetime]:
    """When each task or video in a value is gone. They are dicts, models, or artifacts of messages."""
    if isinstance(value, BaseModel):
        value = dict(value)
    if depth == 0:
        return
    if isinstance(value, Mapping):
        if isinstance(value.get("task_id"), str):
            yield _time(value.get("expires_at")) or (_time(value.get("submitted_at")) or now) + _URL_LIFETIME
        value = list(value.values())
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):  # a node's writes are a deque
        for item in value:
            yield from _ends(item, now, depth - 1)


def _time(value: object) -> datetime | None:
    """A time with its zone: ours always have one."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    return value if isinstance(value, datetime) and value.tzinfo is not None else None
