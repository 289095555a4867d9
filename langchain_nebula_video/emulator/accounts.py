"""Who may submit: keys, balances, rates."""

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
    """One key and what stands behind it. The engine alone changes the balance."""

    name: str
    key: str
    balance: Decimal
    group_ratio: Decimal
    region: Region | None = None
    """None for a gateway's account; the vendor's own accounts have a home."""

    @property
    def currency(self) -> Currency:
        """What the balance is in."""
        return _CURRENCIES[self.region]

    def can_afford(self, amount: Decimal, currency: Currency) -> bool:
        """Whether a task may be accepted that will cost so much.

        A gateway's account is paid beforehand and must hold the whole. The vendor's own are paid
        afterwards: they need only not be used up.
        """
        if self.region is None:
            return self.balance >= convert(amount, currency, self.currency)
        return self.balance > 0

    def charge(self, amount: Decimal, currency: Currency) -> None:
        """Take an amount."""
        self.balance -= convert(amount, currency, self.currency)

    def record(self) -> AccountRecord:
        """A snapshot without the key."""
        return AccountRecord(self.name, self.region, self.balance, self.currency, self.group_ratio)


class Accounts:
    """The accounts of one emulator, found by key."""

    def __init__(self) -> None:
        """Begin with none."""
        self._by_key: dict[str, Account] = {}

    def add(self, account: Account) -> None:
        """Add an account.

        Raises:
            ValueError: The key or the name is taken.
        """
        if account.key in self._by_key or any(account.name == other.name for other in self):
            message = f"there is an account with the key or the name of {account.name!r} already"
            raise ValueError(message)
        self._by_key = {**self._by_key, account.key: account}

    def __iter__(self) -> Iterator[Account]:
        """In the order they were added."""
        return iter(self._by_key.values())

    def __len__(self) -> int:
        """How many there are."""
        return len(self._by_key)

    def authenticate(self, authorization: str | None, region: Region | None = None) -> Account:
        """The account of an ``Authorization: Bearer`` header.

        Args:
            authorization: The header.
            region: Where it was sent to; None for a gateway. A key is good at home only.

        Raises:
            Refusal: No such key there.
        """
        scheme, _, key = (authorization or "").partition(" ")
        account = self._by_key.get(key.strip()) if scheme.lower() == "bearer" else None
        if account is None or account.region is not region:
            raise Refusal(Reason.KEY, "Invalid API Key")
        return account

    def contains_key(self, text: str) -> bool:
        """Whether one of the keys occurs in `text`."""
        return any(key in text for key in self._by_key)
