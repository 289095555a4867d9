"""Another key for an account, when the one that it had is taken back."""

from __future__ import annotations

from pydantic import SecretStr

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.fleet import control
from langchain_nebula_video.fleet.database import Connection
from langchain_nebula_video.fleet.enqueue import open_account
from langchain_nebula_video.fleet.options import account_mark
from langchain_nebula_video.fleet.schema import check_schema
from langchain_nebula_video.lifecycle.factory import LifecycleOptions

__all__ = ["replace_key"]


def replace_key(connection: Connection, mark: str, api_key: str | None) -> tuple[str, list[str]]:
    """Pay an account's batches with another key of its gateway; the mark of that key's account, and the batches' names.

    Raises:
        InvalidRequestError: there is no such account, or no new key.
    """
    check_schema(connection)
    gateway, url, allow_http = control.find_account(connection, mark)
    key = None if api_key is None else SecretStr(api_key)
    client = LifecycleOptions(gateway=gateway, base_url=url, allow_http=allow_http, api_key=key)
    new = account_mark(gateway, client.resolve_base_url(), client.resolve_api_key())
    if new == mark:
        raise InvalidRequestError(
            f"The key of account {mark} is the one that is here.",
            hint=f"Set {client.gateway_row.key_variable} to the new one.",
        )
    open_account(connection, client)
    return new, control.move_to_account(connection, mark, new)
