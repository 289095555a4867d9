"""Who may submit: keys, balances, rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .records import AccountRecord
from .refusals import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal


@dataclass(slots=True)
class Account:
    """One key and what stands behind it. The engine alone changes the balance."""

    name: str
    key: str
    balance: Decimal
    group_ratio: Decimal

    def record(self) -> AccountRecord:
        """A snapshot without the key."""
        return AccountRecord(self.name, self.balance, self.group_ratio)


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

    def authenticate(self, authorization: str | None) -> Account:
        """The account of an ``Authorization: Bearer`` header.

        Raises:
            Refusal: No such key.
        """
        scheme, _, key = (authorization or "").partition(" ")
        account = self._by_key.get(key.strip()) if scheme.lower() == "bearer" else None
        if account is None:
            raise Refusal(Reason.KEY, "Invalid API Key")
        return account

    def holds_key(self, text: str) -> bool:
        """Whether one of the keys occurs in `text`."""
        return any(key in text for key in self._by_key)
