"""GATEWAYS: where a model is reached. A row holds the address, the protocol and the key's variable."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from langchain_nebula_video.errors import InvalidRequestError

__all__ = ["GATEWAYS", "Gateway", "find_gateway"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """One row: where, and how it speaks."""

    name: str
    base_url: str | None
    """`None`: every deployment has its own, so the caller must give it."""
    protocol: str
    """The module in `protocols/` that speaks to it."""
    key_variable: str
    """The environment variable that holds the key."""
    url_variable: str
    """The environment variable that replaces `base_url`."""
    cny_per_usd: Decimal
    """The rate that the gateway's page counts with."""


GATEWAYS: dict[str, Gateway] = {
    row.name: row
    for row in [
        # Base URL, Bearer key and "1 USD = 7.2 CNY": the gateway's page for wan2.5-i2v-preview, 2025-11-04.
        Gateway(
            name="nebula",
            base_url="https://llm.ai-nebula.com",
            protocol="nebula",
            key_variable="NEBULA_API_KEY",
            url_variable="NEBULA_BASE_URL",
            cny_per_usd=Decimal("7.2"),
        ),
    ]
}


def find_gateway(name: str) -> Gateway:
    """The row of that name.

    Raises:
        InvalidRequestError: there is none.
    """
    try:
        return GATEWAYS[name]
    except KeyError:
        raise InvalidRequestError(
            f"There is no gateway {name!r}.", hint=f"Choose one of: {', '.join(sorted(GATEWAYS))}."
        ) from None
