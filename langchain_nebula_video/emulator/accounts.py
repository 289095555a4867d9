"""Accounts: API keys, balances and group ratios."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .bill import convert
from .enums import Currency, Region
from .records import AccountRecord
from .refusals import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from decimal import Decimal

_CURRENCIES: Mapping[Region | None, Currency] = {
    None: Currency.USD,
    Region.BEIJING: Currency.CNY,
    Region.SINGAPORE: Currency.USD,
}


@dataclass(slots=True)
class Account:
    """One API key and its balance. Only the engine changes the balance."""

    name: str
    key: str
    balance: Decimal
    group_ratio: Decimal
    region: Region | None = None
    """The region of a DashScope account; None for a gateway's account."""

    @property
    def currency(self) -> Currency:
        """The currency of the balance."""
        return _CURRENCIES[self.region]

    def can_afford(self, amount: Decimal, currency: Currency) -> bool:
        """Return whether a task with this cost may be accepted.

        A gateway's account is prepaid, so its balance must cover the whole cost. A DashScope account is
        billed afterwards, so its balance only has to be above zero.
        """
        if self.region is None:
            return self.balance >= convert(amount, currency, self.currency)
        return self.balance > 0

    def charge(self, amount: Decimal, currency: Currency) -> None:
        """Subtract an amount from the balance."""
        self.balance -= convert(amount, currency, self.currency)

    def record(self) -> AccountRecord:
        """Return a snapshot without the key."""
        return AccountRecord(self.name, self.region, self.balance, self.currency, self.group_ratio)


class Accounts:
    """The accounts of one emulator, by API key."""

    def __init__(self) -> None:
        """Start without accounts."""
        self._by_key: dict[str, Account] = {}

    def add(self, account: Account) -> None:
        """Add an account.

        Raises:
            ValueError: The key or the name is already in use.
        """
        if account.key in self._by_key or any(account.name == other.name for other in self):
            message = f"there is an account with the key or the name of {account.name!r} already"
            raise ValueError(message)
        self._by_key = {**self._by_key, account.key: account}

    def __iter__(self) -> Iterator[Account]:
        """Iterate in the order of addition."""
        return iter(self._by_key.values())

    def __len__(self) -> int:
        """Return the number of accounts."""
        return len(self._by_key)

    def authenticate(self, authorization: str | None, region: Region | None = None) -> Account:
        """Return the account of an ``Authorization: Bearer`` header.

        Args:
            authorization: The header's value.
            region: The region that received the request; None for a gateway. A key is valid there only.

        Raises:
            Refusal: The key is not valid there.
        """
        scheme, _, key = (authorization or "").partition(" ")
        account = self._by_key.get(key.strip()) if scheme.lower() == "bearer" else None
        if account is None or account.region is not region:
            raise Refusal(Reason.KEY, "Invalid API Key")
        return account

    def contains_key(self, text: str) -> bool:
        """Return whether `text` contains one of the API keys."""
        return any(key in text for key in self._by_key)
