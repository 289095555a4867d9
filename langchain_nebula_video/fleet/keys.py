"""Which accounts' keys are in this environment, by their marks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.fleet.options import account_mark
from langchain_nebula_video.lifecycle import account as accounts

__all__ = ["has_key", "marks_here", "no_key_note"]

_MOST_MARKS = 5


def has_key(mark: str, gateway: str, url: str, *, allow_http: bool) -> bool:
    """Whether the environment has the key of this account."""
    return _own_mark(gateway, url, allow_http=allow_http) == mark


def _own_mark(gateway: str, url: str | None, *, allow_http: bool) -> str | None:
    """Return the mark of the account at an address whose key is here; `None`: no key of the gateway is."""
    row = GATEWAYS.get(gateway)
    try:
        key = None if row is None else accounts.environment_key(row)
        if row is None or key is None:
            return None
        return account_mark(gateway, accounts.resolve_base_url(row, url, allow_http=allow_http), key)
    except InvalidRequestError:  # a key or an address that this version cannot use
        return None


def marks_here() -> set[str]:
    """Return the accounts at this environment's addresses whose keys are here. The fleet may not have them yet."""
    return {mark for name in GATEWAYS if (mark := _own_mark(name, None, allow_http=False))}


def no_key_note(found: Sequence[tuple[str, str, str, bool]]) -> str:
    """Say which keys are wanted, and which are here instead."""
    wanted, here = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for mark, gateway, url, allow in found:
        row = GATEWAYS.get(gateway)
        variable = "the variable of the gateway" if row is None else row.key_variable
        wanted[variable].add(mark)
        if own := _own_mark(gateway, url, allow_http=allow):
            here[variable].add(own)
    parts = []
    for variable, marks in sorted(wanted.items()):
        told = f" (it has that of {_some(here[variable])})" if here[variable] else ""
        parts.append(f"set {variable} to that of {_some(marks)}{told}")
    return f"no key of the fleet's accounts is here: {'; '.join(parts)}"


def _some(marks: Iterable[str]) -> str:
    first, rest = sorted(marks)[:_MOST_MARKS], sorted(marks)[_MOST_MARKS:]
    return " or ".join([*first, "…"] if rest else first)
