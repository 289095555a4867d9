"""Accounts: API keys, balances and group ratios."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .bill import convert
from .enums import Currency, Region
from .records import AccountRecord
from .refusals import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from decimal import Decimal

_CURRENCIES: Mapping[Region | None, Currency] = {
    None: Currency.USD,
    **dict.fromkeys(Region, Currency.USD),
    Region.BEIJING: Currency.CNY,
}


@dataclass(slots=True)
class Account:
    """One user and their balance. Only the engine changes the balance."""

    name: str
    key: str
    """The first of its API keys."""
    balance: Decimal
    group_ratio: Decimal
    region: Region | None = None
    """The region of a DashScope account; None for a gateway's account."""
    number: int = 0
    """The user id of a gateway's account."""
    access_token: str = ""
    """Opens the console's routes, together with the user id; empty for none."""

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
        return AccountRecord(self.name, self.region, self.balance, self.currency, self.group_ratio, self.number)


@dataclass(frozen=True, slots=True)
class Key:
    """One of an account's API keys."""

    secret: str
    account: Account
    name: str
    number: int
    models: tuple[str, ...] | None = None
    """The models that it may use; None for all."""
    quota: Decimal | None = None
    """The key's own limit in USD; None for none."""


class Accounts:
    """The accounts of one emulator, and their API keys."""

    def __init__(self) -> None:
        """Start without accounts."""
        self._accounts: tuple[Account, ...] = ()
        self._keys: dict[str, Key] = {}

    def add(self, account: Account) -> None:
        """Add an account with its first key, which has the account's name.

        Raises:
            ValueError: The key, the name or the access token is already in use.
        """
        taken = {other.name for other in self} | {other.access_token for other in self if other.access_token}
        if account.key in self._keys or {account.name, account.access_token} & taken:
            message = f"there is an account with the key, the name or the access token of {account.name!r} already"
            raise ValueError(message)
        account.number = len(self) + 1
        self._accounts = (*self._accounts, account)
        self.add_key(account.key, account.name, account.name)

    def add_key(
        self, secret: str, account: str, name: str, models: Iterable[str] | None = None, quota: Decimal | None = None
    ) -> None:
        """Add a key to the account with this name.

        Raises:
            ValueError: The key is already in use, or there is no such account.
        """
        owner = next((each for each in self if each.name == account), None)
        if owner is None or secret in self._keys:
            message = f"there is no account {account!r}" if owner is None else "the key is already in use"
            raise ValueError(message)
        key = Key(secret, owner, name, len(self._keys) + 1, None if models is None else tuple(models), quota)
        self._keys = {**self._keys, secret: key}

    def __iter__(self) -> Iterator[Account]:
        """Iterate in the order of addition."""
        return iter(self._accounts)

    def __len__(self) -> int:
        """Return the number of accounts."""
        return len(self._accounts)

    def find_key(self, secret: str) -> Key | None:
        """Return a key."""
        return self._keys.get(secret)

    def find_key_of(self, authorization: str | None) -> Key | None:
        """Return the key of an ``Authorization: Bearer`` header."""
        scheme, _, secret = (authorization or "").partition(" ")
        return self._keys.get(secret.strip()) if scheme.lower() == "bearer" else None

    def authenticate(self, authorization: str | None, region: Region | None = None) -> Account:
        """Return the account of an ``Authorization: Bearer`` header.

        Args:
            authorization: The header's value.
            region: The region that received the request; None for a gateway. A key is valid there only.

        Raises:
            Refusal: The key is not valid there.
        """
        key = self.find_key_of(authorization)
        if key is None or key.account.region is not region:
            raise Refusal(Reason.KEY, "Invalid API Key")
        return key.account

    def contains_key(self, text: str) -> bool:
        """Return whether `text` contains one of the API keys or access tokens."""
        return any(secret in text for secret in self._secrets())

    def without_keys(self, text: str) -> str:
        """Return `text` with ``***`` for each API key and access token."""
        # The longest first: a key may begin with another one.
        for secret in sorted(self._secrets(), key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    def _secrets(self) -> list[str]:
        return [*self._keys, *(account.access_token for account in self if account.access_token)]
