"""The keywords that clients, tool and runnable have in common, checked in one place."""
# Annotations are not postponed here: pydantic would compile each of them anew, half of what importing costs.

import hashlib
import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Self, TypedDict

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from langchain_nebula_video.catalog.gateways import GATEWAYS, Gateway, find_gateway
from langchain_nebula_video.catalog.offers import Offer, find_offer, parse_prices
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.journal import Budget, MemoryJournal
from langchain_nebula_video.media.urls import is_loopback, normalize_allowed_host, split_url

__all__ = ["ClientOptions", "Options"]


_REQUIRED_METHODS = {"rate_limiter": ("acquire", "aacquire"), "clock": ("monotonic", "utcnow", "sleep", "asleep")}


class ClientOptions(TypedDict, total=False):
    """The keywords of clients, tool and runnable; `Options` documents each."""

    api_key: str | SecretStr | None
    gateway: str
    base_url: str | None
    model: str | None
    prices: Mapping[str, Any] | None
    poll_interval: float | None
    timeout: float | None
    budget: Budget | Decimal | float | str | None
    journal: Any
    save_to: str | Path | None
    image_folder: str | Path | None
    download_hosts: Sequence[str]
    group_ratio: Decimal | int | str
    rate_limiter: Any
    http_client: Any
    http_async_client: Any
    clock: Any


class Options(BaseModel):
    """Where to send, with which key, how long to wait, and what may be spent."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True, defer_build=True)

    api_key: SecretStr | None = None
    """The gateway's key; `None`: from the gateway's variable, for Nebula `NEBULA_API_KEY`."""
    gateway: str = "nebula"
    """The row of `GATEWAYS` to use."""
    base_url: str | None = None
    """The gateway's address; `None`: from its variable (`NEBULA_BASE_URL`), else its row. https, or http on
    loopback."""
    model: str = ""
    """The model for requests that name none; `None`: the gateway's, `wan2.5-i2v-preview` on most."""
    prices: dict[str, dict[str, Decimal]] | None = None
    """Your own prices, where no page tells them or yours differ: by model, an amount for every resolution or
    amounts by resolution; per second of video, in the gateway's currency."""
    poll_interval: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds between two polls, from the start. `None`: the first poll when the task can be done, by the
    model's typical times, then every 3 to 8 s, closer together near the likely end."""
    timeout: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds for a whole generation, waiting for a place included; `None`: the model's (15 minutes)."""
    budget: Budget | None = None
    """What the journal's tasks may cost together."""
    journal: Any = Field(default=None, exclude=True, repr=False)
    """Where paid tasks are recorded; `None`: a `MemoryJournal` of its own."""
    save_to: str | Path | None = None
    """Save each video here: a folder, or a file's name."""
    image_folder: Path | None = None
    """Let an image that is a string name a file in this folder. `None`: a string is never a path."""
    download_hosts: tuple[str, ...] = ()
    """Hosts that files may be fetched from and sent to though they are not on the public internet: names
    (`"files.corp"`), domains (`".corp"`), addresses or networks (`"10.1.0.0/16"`)."""
    group_ratio: Decimal = Field(default=Decimal(1), gt=0, lt=1_000_000, allow_inf_nan=False)
    """What your account's group multiplies prices by, for estimates; the gateway's answers correct it."""
    rate_limiter: Any = Field(default=None, exclude=True, repr=False)
    """A langchain-core `BaseRateLimiter`, asked before each submit."""
    http_client: Any = Field(default=None, exclude=True, repr=False)
    """An `httpx.Client` (or httpx2's) of your own, for blocking calls. It stays open, and yours to close. Give
    it `Limits(max_keepalive_connections=0)`: a submit should never meet a connection that has gone stale."""
    http_async_client: Any = Field(default=None, exclude=True, repr=False)
    """Its async twin."""
    clock: Any = Field(default=None, exclude=True, repr=False)
    """Where time comes from, for tests: an object with `monotonic`, `utcnow`, `sleep` and `asleep`."""
    _group_ratios: dict[str, Decimal] = PrivateAttr(default_factory=dict)
    """The group ratios that gateways have told, by account; one for all copies."""

    def __init__(self, **options: Any) -> None:
        try:
            super().__init__(**options)
        except ValidationError as error:
            raise _to_invalid_request(error) from None

    @field_validator("model", mode="before")
    @classmethod
    def _parse_model(cls, value: object) -> object:
        return "" if value is None else value

    @field_validator("prices", mode="before")
    @classmethod
    def _parse_prices(cls, value: Any) -> Any:
        return None if value is None else parse_prices(value)

    @field_validator("budget", mode="before")
    @classmethod
    def _parse_budget(cls, value: object) -> object:
        """Also an amount alone, or the dict that `Budget.as_dict` gives."""
        if isinstance(value, dict):
            per = value.get("per")
            try:
                window = None if per is None else timedelta(seconds=per)
            except (TypeError, OverflowError):
                raise ValueError("A budget's window is a number of seconds.") from None
            return Budget(value.get("usd", ""), window)
        return Budget(value) if isinstance(value, str | int | float | Decimal) else value

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        row = GATEWAYS.get(info.data.get("gateway", ""))
        return None if value is None else _parse_url(value, "base_url", row)

    @field_validator("api_key")
    @classmethod
    def _check_api_key(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else _parse_key(value.get_secret_value(), "api_key")

    @field_validator("save_to", "image_folder")
    @classmethod
    def _check_path(cls, value: str | Path | None) -> str | Path | None:
        text = "" if value is None else str(value)
        if value is not None and (not text or "\0" in text):
            raise ValueError("is no path")
        try:
            Path(text).expanduser()
        except RuntimeError:
            raise ValueError("names a home that is not there") from None
        return value

    @field_validator("download_hosts", mode="before")
    @classmethod
    def _wrap_single_host(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("download_hosts")
    @classmethod
    def _check_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(normalize_allowed_host, value))

    @field_validator("http_client", "http_async_client")
    @classmethod
    def _check_http_client(cls, value: Any, info: ValidationInfo) -> Any:
        closes = "aclose" if info.field_name == "http_async_client" else "close"
        if value is not None and not (hasattr(value, "build_request") and hasattr(value, closes)):
            raise ValueError("must be an httpx.AsyncClient" if closes == "aclose" else "must be an httpx.Client")
        return value

    @field_validator("rate_limiter", "clock")
    @classmethod
    def _check_methods(cls, value: Any, info: ValidationInfo) -> Any:
        missing = [name for name in _REQUIRED_METHODS[str(info.field_name)] if not callable(getattr(value, name, None))]
        if value is not None and missing:
            raise ValueError(f"has no {', '.join(missing)}")
        return value

    @field_validator("journal")
    @classmethod
    def _check_journal(cls, value: Any) -> Any:
        if value is not None and not all(hasattr(value, name) for name in ("reserve", "update", "forget")):
            raise ValueError("is no journal; give MemoryJournal() or leave it out")
        return value

    @model_validator(mode="after")
    def _fill_defaults(self) -> Self:
        row = find_gateway(self.gateway)
        if not self.model:
            object.__setattr__(self, "model", row.default_model)
            self.model_fields_set.discard("model")
        self.offer()
        if self.journal is None:
            object.__setattr__(self, "journal", MemoryJournal())
        if self.api_key is None:
            found = os.environ.get(row.key_variable)
            if not found:
                raise InvalidRequestError(
                    f"There is no key for the gateway {row.name!r}.",
                    hint=f"Set {row.key_variable} or pass api_key=….",
                )
            object.__setattr__(self, "api_key", _parse_key(found, row.key_variable))
        self.resolve_base_url()
        return self

    @property
    def gateway_row(self) -> Gateway:
        """The gateway's facts."""
        return find_gateway(self.gateway)

    def offer(self, model: str | None = None) -> Offer:
        """A model, or the one for requests that name none, as the gateway serves it, at the caller's own prices.

        Raises:
            InvalidRequestError: the gateway does not serve it.
        """
        return find_offer(model or self.model, self.gateway_row, self.prices)

    def current_group_ratio(self) -> Decimal:
        """What this account's prices are multiplied by: as the gateway's last answer said, else `group_ratio`."""
        try:
            return self._group_ratios.get(self.account_id(), self.group_ratio)
        except InvalidRequestError:  # the key was left behind by a pickle: a price needs none
            return self.group_ratio

    def record_group_ratio(self, ratio: Decimal) -> None:
        """Reckon with what the gateway has told."""
        self._group_ratios[self.account_id()] = ratio

    def share_group_ratios(self, other: "Options") -> None:
        """Know from now on what the other learns, and the other way round."""
        self._group_ratios = other._group_ratios  # noqa: SLF001 of the same class

    def resolve_base_url(self) -> str:
        """What all paths of the gateway's protocol follow on, without a slash at its end."""
        row = self.gateway_row
        found = self.base_url or os.environ.get(row.url_variable)
        if found:
            found = _parse_url(found, "base_url" if self.base_url else row.url_variable, row)
        elif row.base_url is not None:
            found = row.base_url
        else:
            raise InvalidRequestError(
                f"The gateway {row.name!r} has no address of its own.",
                hint=f"Set {row.url_variable} or pass base_url=….",
            )
        # Vendors' own clients want an address that ends so; here the protocols' paths begin with it.
        scheme, slashes, rest = found.partition("://")
        return scheme + slashes + rest.removesuffix(row.api_root).removesuffix(row.prefix) + row.prefix

    def resolve_api_key(self) -> SecretStr:
        """The key; from the environment again where it was left behind by a pickle.

        Raises:
            InvalidRequestError: there is none.
        """
        if self.api_key is not None:
            return self.api_key
        variable = self.gateway_row.key_variable
        found = os.environ.get(variable)
        if not found:
            raise InvalidRequestError("The key is not pickled, and there is none here.", hint=f"Set {variable}.")
        return _parse_key(found, variable)

    def account_id(self) -> str:
        """Tells this account apart from others in a journal; neither key nor address can be read from it."""
        identity = f"{self.resolve_base_url()}\n{self.resolve_api_key().get_secret_value()}"
        return hashlib.blake2b(identity.encode(), digest_size=8, person=b"nebula-video").hexdigest()


def _to_invalid_request(error: ValidationError) -> InvalidRequestError:
    """What pydantic found, as one refusal; values are left out: they may be secret."""
    found, hints = [], []
    for item in error.errors(include_url=False, include_input=False):
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, InvalidRequestError):  # names the option and the remedy itself
            found.append(cause.what.rstrip("."))
            hints.append(cause.hint)
            continue
        name = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "is no option here"
        found.append(f"{name}: {message}" if name else message)
    hint = " ".join(hints) or "Correct the option and try again."
    return InvalidRequestError("; ".join(found).rstrip(".") + ".", hint=hint)


def _parse_key(key: str, name: str) -> SecretStr:
    key = key.strip()
    if not key or not all("!" <= char <= "~" for char in key):
        raise InvalidRequestError(f"{name} holds no usable key.", hint="A key is one word of plain ASCII, like sk-….")
    return SecretStr(key)


def _parse_url(url: str, name: str, row: Gateway | None) -> str:
    parts = split_url(url, ("https", "http"))
    if parts is None or "@" in parts.netloc or "?" in url or "#" in url:
        like = (row and row.base_url) or "https://gateway.example.com"
        raise InvalidRequestError(f"{name} is no web address.", hint=f"Give one like {like}.")
    if parts.scheme.lower() == "http" and not is_loopback(parts.hostname):
        raise InvalidRequestError(
            f"{name} is plain http, over which anybody on the way can read the key.",
            hint="Use https; http is for this machine alone.",
        )
    return url.rstrip("/")
