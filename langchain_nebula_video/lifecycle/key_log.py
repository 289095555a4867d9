"""The log of a key at the gateway: what was really paid for each of its tasks. Reading it is free."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

from langchain_nebula_video.errors import InvalidRequestError, Money, RequestError
from langchain_nebula_video.lifecycle.context import Context
from langchain_nebula_video.protocols import AccountCalls, Charge, Reply, WireRequest
from langchain_nebula_video.transport.retry import retry

__all__ = ["KeyLog"]

_SECONDS = 60.0


class KeyLog:
    """Reads the log of a context's key.

    Args:
        context: What requests need.
        seconds: The most for one call, retries included.
    """

    def __init__(self, context: Context, *, seconds: float = _SECONDS) -> None:
        self._context = context
        self._seconds = seconds

    async def read(self, *, key_in_address: bool) -> tuple[list[Charge], Reply]:
        """Return what the account was charged for the tasks of this key, oldest first, and the answer that says so.

        The key is sent as a header first, as newer gateways take it. Older ones answer that with an empty log.

        Args:
            key_in_address: Whether to send it as a part of the address too, if that gave nothing.

        Raises:
            InvalidRequestError: the gateway documents no such log, or there was no row without the key in the address.
            RequestError: it cannot be read.
        """
        units = await self.units_per_usd()
        try:
            charges, reply = await self._read(units, key_in_address=False)
        except RequestError:
            if not key_in_address:
                raise
            charges = []
        if charges:
            return charges, reply
        if key_in_address:
            return await self._read(units, key_in_address=True)
        raise InvalidRequestError(
            "The key's log is empty, or the gateway has not read the key: some read it in the address only.",
            money=Money.REFUSED,
            hint="Allow that with key_in_address=True. Servers on the way may log addresses.",
        )

    async def units_per_usd(self) -> Decimal:
        """Return how many of the gateway's units a dollar has.

        Raises:
            RequestError: the gateway does not answer.
        """
        calls = self._calls()
        wire = calls.build_site()
        return calls.parse_units(None if wire is None else await self._ask(wire))

    def _calls(self) -> AccountCalls:
        calls = self._context.protocol.account_calls
        if calls is None or calls.build_log(key_in_address=False) is None:
            raise InvalidRequestError(
                f"The gateway {self._context.gateway.name!r} documents no log of a key.",
                hint="Look at the gateway's console; resume() settles what the gateway lists.",
            )
        return calls

    async def _read(self, units: Decimal, *, key_in_address: bool) -> tuple[list[Charge], Reply]:
        calls = self._calls()
        wire = calls.build_log(key_in_address=key_in_address)
        assert wire is not None  # noqa: S101 for the type checker; `_calls` refuses it
        reply = await self._ask(wire)
        charges = calls.parse_log(reply, units)
        if charges is None:
            raise RequestError("The gateway's log of the key cannot be read.", status_code=reply.status)
        return charges, reply

    async def _ask(self, wire: WireRequest) -> Reply:
        context = self._context
        deadline = context.runtime.now() + self._seconds
        return await retry(context.runtime, partial(context.send, wire, deadline), deadline=deadline)
