"""The items of a batch that ended badly, with what tells a person which rows of a list they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langchain_nebula_video.errors import printable
from langchain_nebula_video.fleet.database import Connection
from langchain_nebula_video.fleet.states import ItemState
from langchain_nebula_video.saving.secrets import redact

__all__ = ["Failure", "read_failures"]

_LONGEST = 200
"""Characters of an image's address: some hold the image itself."""
# A local image is told by its name or path, as `Item.request` has them; any other one by its address.
_FAILURES = (
    "SELECT n, key, state, left(CASE json_typeof(request->'image') WHEN 'object' "
    "THEN coalesce(request->'image'->>'name', request->'image'->>'file') ELSE request->>'image' END, 2000), "
    "coalesce(request->>'prompt', ''), tag, coalesce(error, '') FROM nebula_fleet_items "
    "WHERE batch_id = %s AND state IN ('failed', 'unconfirmed') ORDER BY n"
)


@dataclass(frozen=True, slots=True)
class Failure:
    """An item that failed, or whose submit is unconfirmed."""

    number: int
    """Its place in the batch, from 1."""
    key: str
    state: ItemState
    image: str | None
    """The file's name, its path, or the address without its query."""
    prompt: str
    tag: Any
    """What the row had as `tag`."""
    error: str
    """The kind of error, whether money was spent, and what to do."""


def read_failures(connection: Connection, batch_id: int) -> list[Failure]:
    """Return the items of a batch that have failed or are unconfirmed, in the order of its lists."""
    return [
        Failure(number, key, ItemState(state), image and _told(image), prompt, tag, error)
        for number, key, state, image, prompt, tag, error in connection.execute(_FAILURES, [batch_id]).fetchall()
    ]


def _told(image: str) -> str:
    plain = printable(redact(image, image).partition("?")[0])  # a query may be a signature
    return plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]}…"
