"""Entries of the journal as the commands show them: as JSON data, and by short ids."""

from __future__ import annotations

from typing import Any

from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.journal import Entry
from langchain_nebula_video.journal.table import prompt_of
from langchain_nebula_video.lifecycle.account import account_id, environment_key, resolve_base_url

__all__ = ["current_account", "entry_as_dict", "is_elsewhere", "short_id"]

_SHORT = 8


def entry_as_dict(entry: Entry) -> dict[str, Any]:
    """Return an entry as JSON data."""
    video = entry.video or {}
    return {
        "created_at": entry.created_at.isoformat(),
        "gateway": entry.gateway,
        "model": entry.model,
        "state": entry.state.value,
        "task_id": entry.task_id,
        "key": entry.key,
        "reserved_usd": str(entry.reserved_usd),
        "billed_usd": None if entry.billed_usd is None else str(entry.billed_usd),
        "url": video.get("url"),
        "expires_at": video.get("expires_at"),
        "path": video.get("path"),
        "reason": entry.reason,
        "id": entry.id,
        "prompt": prompt_of(entry),
        "host": entry.host,
        "play_money": entry.play_money,
        "elsewhere": is_elsewhere(entry),
    }


def short_id(entry: Entry) -> str:
    """Return the beginning of the journal's own id, which names an entry that has no task."""
    return entry.id[:_SHORT]


def current_account(gateway: str) -> str | None:
    """Return the account that the environment names for a gateway; `None`: it names none."""
    row = GATEWAYS.get(gateway)
    try:
        key = None if row is None else environment_key(row)
        return None if row is None or key is None else account_id(resolve_base_url(row, None, allow_http=True), key)
    except InvalidRequestError:
        return None


def is_elsewhere(entry: Entry) -> bool:
    """Return whether an entry is of another address or key than the environment names, such as a former emulator's."""
    account = current_account(entry.gateway)
    return account is not None and entry.account not in {None, account}
