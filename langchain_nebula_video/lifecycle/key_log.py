"""The log of a key at the gateway: what was really paid for each of its tasks. Reading it is free."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

from langchain_nebula_video.errors import InvalidRequestError, RequestError
from langchain_nebula_video.lifecycle.context import Context
from langchain_nebula_video.protocols import AccountCalls, Charge, Reply, WireRequest
from langchain_nebula_video.transport.retry import retry

__all__ = ["KeyLog"]

_SECONDS = 60.0
"""The most for one call, retries included."""


class KeyLog:
    """Reads the log of a context's key."""

    def __init__(self, context: Context, calls: AccountCalls) -> None:
        self._context = context
        self._calls = calls

    async def read(self, *, key_in_address: bool) -> tuple[list[Charge], Reply]:
        """Return what the account was charged for the tasks of this key, oldest first, and the answer that says so.

        The key is sent as a header first, as newer gateways take it. Older ones answer that with an empty log.

        Args:
            key_in_address: Whether to send it as a part of the address too, if that gave nothing.

        Raises:
            InvalidRequestError: the gateway documents no such log.
            RequestError: it cannot be read.
        """
        units = await self.units_per_usd()
        try:
            charges, reply = await self._read(units, key_in_address=False)
        except RequestError:
            if not key_in_address:
                raise
            charges = []
        if not charges and key_in_address:
            return await self._read(units, key_in_address=True)
        return charges, reply

    async def units_per_usd(self) -> Decimal:
        """Return how many of the gateway's units a dollar has.

        Raises:
            RequestError: the gateway does not answer.
        """
        wire = self._calls.build_site()
        return self._calls.parse_units(None if wire is None else await self._ask(wire))

    async def _read(self, units: Decimal, *, key_in_address: bool) -> tuple[list[Charge], Reply]:
        wire = self._calls.build_log(key_in_address=key_in_address)
        if wire is None:
            raise InvalidRequestError(
                f"The gateway {self._context.gateway.name!r} documents no log of a key.",
                hint="Look at the gateway's console.",
            )
        reply = await self._ask(wire)
        charges = self._calls.parse_log(reply, units)
        if charges is None:
            raise RequestError("The gateway's log of the key cannot be read.", status_code=reply.status)
        return charges, reply

    async def _ask(self, wire: WireRequest) -> Reply:
        context = self._context
        deadline = context.runtime.now() + _SECONDS
        return await retry(context.runtime, partial(context.send, wire, deadline), deadline=deadline)
