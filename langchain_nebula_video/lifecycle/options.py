"""The keyword options that clients, tool and runnable share, and their validation."""
# Annotations are not postponed here: pydantic would compile each one again, which is half of the import time.

import importlib.util
import logging
import os
import re
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Self, TypedDict, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from langchain_nebula_video.catalog.gateways import GATEWAYS, Gateway, find_gateway
from langchain_nebula_video.catalog.offers import Offer, find_offer, parse_prices
from langchain_nebula_video.catalog.suggestions import did_you_mean
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.journal import Budget, MemoryJournal
from langchain_nebula_video.journal.sql.journal import open_journal
from langchain_nebula_video.lifecycle import account
from langchain_nebula_video.lifecycle.default_clock import default_clock
from langchain_nebula_video.lifecycle.experience import Experience
from langchain_nebula_video.media.urls import normalize_allowed_host
from langchain_nebula_video.saving.image_store import parse_image_store
from langchain_nebula_video.saving.names import is_universal_path, target_text
from langchain_nebula_video.saving.secrets import redact, restore

__all__ = ["ClientOptions", "Options"]


logger = logging.getLogger("langchain_nebula_video")

_ABSURD_RATIO = 100
_LOCATION = re.compile(r"://|[/\\]|\.\w+$")
"""What a URL or a path has, and a word such as "memory" has not."""
_REQUIRED_METHODS = {"rate_limiter": ("acquire", "aacquire"), "clock": ("monotonic", "utcnow", "sleep", "asleep")}


class ClientOptions(TypedDict, total=False):
    """The keyword options as a type. `Options` documents each."""

    api_key: str | SecretStr | None
    gateway: str
    allow_http: bool
    base_url: str | None
    model: str | None
    prices: Mapping[str, Any] | None
    poll_interval: float | None
    timeout: float | None
    refusal_timeout: float | None
    budget: Budget | Decimal | float | str | None
    journal: Any
    save_to: str | Path | None
    image_folder: str | Path | None
    fit: bool
    image_store: str | Callable[[bytes], str] | None
    download_hosts: Sequence[str]
    group_ratio: Decimal | int | str | None
    sole_account: bool
    repeat_window: float | timedelta | None
    rate_limiter: Any
    verify: Any
    http2: bool
    http_client: Any
    http_async_client: Any
    clock: Any


class Options(BaseModel):
    """Where to send requests, with which key, how long to wait, and how much to spend."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True, defer_build=True)

    api_key: SecretStr | None = None
    """The gateway's key. `None`: from the gateway's environment variable, `NEBULA_API_KEY` for Nebula."""
    gateway: str = "nebula"
    """The row of `GATEWAYS` to use."""
    allow_http: bool = False
    """Allow plain http to a gateway on another host, such as `http://litellm:4000` between containers. Everybody on
    that network can then read the key and the videos. Without it, http is for loopback."""
    base_url: str | None = None
    """The gateway's URL: https, or http on loopback, or elsewhere with `allow_http`. `None`: from its environment
    variable, `NEBULA_BASE_URL` for Nebula, else from its row."""
    model: str = ""
    """The model for requests that name none. `None`: the gateway's default, mostly `wan2.5-i2v-preview`."""
    prices: dict[str, dict[str, Decimal]] | None = None
    """Your own prices, where none is published or yours differ. By model: one amount for all resolutions, or amounts
    by resolution. Per second of video, in the gateway's currency."""
    poll_interval: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds between polls, from the start. `None`: as learned from the tasks before. The first poll comes when the
    task may be done; the others 3 to 30 s apart, closest near the likely end."""
    timeout: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds for a whole generation, from its turn to submit. While the line before it moves, the wait does not count.
    `None`: the model's, mostly 15 minutes."""
    refusal_timeout: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds from its turn for which a submit is repeated that the gateway refuses for a while, such as with 429.
    `None`: until the timeout."""
    budget: Budget | None = None
    """The most that the journal's tasks may cost together."""
    journal: Any = Field(default=None, exclude=True, repr=False)
    """Where paid tasks are recorded: a journal, or the URL or the path of a `SqlJournal`. `None`: a new
    `MemoryJournal`."""
    save_to: str | Path | None = None
    """Save each video here: a folder or a file name."""
    image_folder: Path | None = None
    """A string may name an image file in this folder. `None`: a string is never a path."""
    fit: bool = False
    """Make local images fit what the gateway takes: upright, scaled, without transparency, in a format and a size that
    it reads. Otherwise they are refused, with what to change. Needs the extra `images`."""
    image_store: Any = None
    """Publish local images here while their task needs them, and send their signed https addresses instead of bytes:
    a folder in S3, OSS, GCS or Azure (`"s3://bucket/prefix"`), or a function from the image's bytes to its https
    address. `None`: images are sent as bytes, or through the gateway's own storage."""
    download_hosts: tuple[str, ...] = ()
    """Hosts outside the public internet that files may be fetched from and sent to: names (`"files.corp"`), domains
    (`".corp"`), addresses or networks (`"10.1.0.0/16"`)."""
    group_ratio: Decimal = Field(default=Decimal(1), gt=0, lt=1_000_000, allow_inf_nan=False)
    """What your account's prices are multiplied by: its group's ratio, times a discount. `None`: 1 is assumed. A
    gateway may hide it, so it counts as known only if you pass it: then a bill that is price x seconds x ratio is
    computed as a bill. Before a bill, an answer may raise it, to less than a hundred times as much, and never lower
    it."""
    sole_account: bool = False
    """Whether only this journal submits on this account. Then a lost submit takes the one listed task that has its
    prompt. Otherwise it may be another program's."""
    repeat_window: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds for which an identical request without a key joins the first one's task instead of paying again. `None`:
    only once the first one's caller got an error, or its process died."""
    rate_limiter: Any = Field(default=None, exclude=True, repr=False)
    """A langchain-core `BaseRateLimiter`. Each submit waits for it, but not longer than its timeout."""
    verify: Any = None
    """Which certificates to trust, if not those of `SSL_CERT_FILE`: the path of a file in PEM form or of a folder, or
    an `ssl.SSLContext`, such as truststore's. For requests to the gateway and for downloads."""
    http2: bool = False
    """Offer HTTP/2 to the gateway. Some fronts speak nothing else. Needs the extra `http2`."""
    http_client: Any = Field(default=None, exclude=True, repr=False)
    """Your own `httpx.Client` (or httpx2's) for blocking calls. You close it. Give it
    `Limits(max_keepalive_connections=0)`, so that no submit uses a stale connection."""
    http_async_client: Any = Field(default=None, exclude=True, repr=False)
    """Your own `httpx.AsyncClient` for async calls."""
    clock: Any = Field(default=None, exclude=True, repr=False)
    """The clock, for tests: an object with `monotonic`, `utcnow`, `sleep` and `asleep`."""
    _group_ratios: dict[str, Decimal] = PrivateAttr(default_factory=dict)
    """The group ratios from gateways' answers, by account id. Copies share it."""
    _experiences: dict[str, Experience] = PrivateAttr(default_factory=dict)
    """What was learned about completion times, by account id. Copies share it."""

    def __init__(self, **options: Any) -> None:
        try:
            super().__init__(**options)
        except ValidationError as error:
            raise _to_invalid_request(error, type(self).model_fields) from None

    @field_validator("model", mode="before")
    @classmethod
    def _parse_model(cls, value: object) -> object:
        return "" if value is None else value

    @model_validator(mode="before")
    @classmethod
    def _drop_unset_ratio(cls, given: Any) -> Any:
        """Take no ratio for one that was not passed."""
        if isinstance(given, dict) and given.get("group_ratio", "") is None:
            return {name: value for name, value in given.items() if name != "group_ratio"}
        return given

    @field_validator("prices", mode="before")
    @classmethod
    def _parse_prices(cls, value: Any) -> Any:
        return None if value is None else parse_prices(value)

    @field_validator("budget", mode="before")
    @classmethod
    def _parse_budget(cls, value: object) -> object:
        """Accept an amount, or the dict that `Budget.as_dict` returns."""
        if isinstance(value, dict):
            per = value.get("per")
            try:
                window = None if per is None else timedelta(seconds=per)
            except (TypeError, OverflowError):
                raise ValueError("A budget's window is a number of seconds.") from None
            return Budget(value.get("usd", ""), window)
        return Budget(value) if isinstance(value, str | int | float | Decimal) else value

    @field_validator("repeat_window", mode="before")
    @classmethod
    def _parse_window(cls, value: object) -> object:
        return value.total_seconds() if isinstance(value, timedelta) else value

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        row, allow_http = GATEWAYS.get(info.data.get("gateway", "")), info.data.get("allow_http", False)
        return None if value is None else account.parse_url(value, "base_url", row, allow_http=allow_http)

    @field_validator("api_key")
    @classmethod
    def _check_api_key(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else account.parse_key(value.get_secret_value(), "api_key")

    @field_validator("save_to", mode="before")
    @classmethod
    def _restore_secrets(cls, value: object) -> object:
        """Accept a UPath; and a URL that was dumped without its secrets, if the environment has the whole one."""
        if is_universal_path(value):
            value = target_text(cast("Path", value))
        return restore(value) if isinstance(value, str) else value

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
        return target_text(value) if isinstance(value, str) else value

    @field_validator("image_store", mode="before")
    @classmethod
    def _parse_image_store(cls, value: object) -> object:
        return parse_image_store(value)

    @field_serializer("image_store", when_used="json-unless-none")
    def _hide_store_secrets(self, value: Any) -> str | None:
        return redact(value, value) if isinstance(value, str) else None

    @field_serializer("save_to", when_used="json-unless-none")
    def _hide_secrets(self, value: str | Path) -> str:
        return redact(str(value), value)

    @field_validator("download_hosts", mode="before")
    @classmethod
    def _wrap_single_host(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("download_hosts")
    @classmethod
    def _check_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(normalize_allowed_host, value))

    @field_validator("verify", mode="before")
    @classmethod
    def _check_verify(cls, value: object) -> object:
        if value is None or value is True:
            return None
        if value is False:
            raise ValueError("cannot be switched off: whoever answers would get the key. Give the issuer's certificate")
        if isinstance(value, ssl.SSLContext):
            return value
        try:
            path = Path(value).expanduser() if value and isinstance(value, str | os.PathLike) else None
        except RuntimeError:  # there is no such user
            path = None
        if path is None or not path.exists():
            raise ValueError("is no file or folder with certificates, and no ssl.SSLContext")
        return str(path)

    @field_serializer("verify", when_used="json-unless-none")
    def _leave_out_context(self, value: Any) -> str | None:
        return value if isinstance(value, str) else None

    @field_validator("http2")
    @classmethod
    def _check_http2(cls, value: bool) -> bool:
        if value and importlib.util.find_spec("h2") is None:
            raise ValueError('needs a package: pip install "langchain-nebula-video[http2]"')
        return value

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
        """Open the journal of a URL or of a path. A text is a path if it has a separator or a suffix."""
        if isinstance(value, Path) or (isinstance(value, str) and _LOCATION.search(value)):
            return open_journal(value)
        if value is not None and not all(hasattr(value, name) for name in ("reserve", "update", "forget")):
            raise ValueError('is no journal; give "sqlite:///videos.db", a path, MemoryJournal(), or leave it out')
        return value

    @model_validator(mode="after")
    def _fill_defaults(self) -> Self:
        row = find_gateway(self.gateway)
        if not self.model:
            object.__setattr__(self, "model", row.default_model)
            self.model_fields_set.discard("model")
        own = next((name for name in ("http_client", "http_async_client") if getattr(self, name) is not None), None)
        if own is not None and (self.verify is not None or self.http2):
            raise InvalidRequestError(
                f"verify and http2 say how connections are made here, and {own} makes its own.",
                hint=f"Make {own} with them, or leave it out.",
            )
        self.offer()
        if self.journal is None:
            object.__setattr__(self, "journal", MemoryJournal())
        if self.clock is None:
            object.__setattr__(self, "clock", default_clock())
        if self.api_key is None:
            found = account.environment_key(row)
            if found is None:
                raise InvalidRequestError(
                    f"There is no key for the gateway {row.name!r}.",
                    hint=f"Set {row.key_variable} or pass api_key=….",
                )
            object.__setattr__(self, "api_key", found)
        account.warn_of_plain_http(self.resolve_base_url())
        return self

    @property
    def gateway_row(self) -> Gateway:
        """The row of the gateway."""
        return find_gateway(self.gateway)

    def offer(self, model: str | None = None) -> Offer:
        """Return a model as the gateway serves it, at the caller's own prices; `None`: the default model.

        Raises:
            InvalidRequestError: the gateway does not serve it.
        """
        return find_offer(model or self.model, self.gateway_row, self.prices)

    def resolve_base_url(self) -> str:
        """Return the URL that the protocol's paths are appended to, without a slash at its end."""
        return account.resolve_base_url(self.gateway_row, self.base_url, allow_http=self.allow_http)

    def resolve_api_key(self) -> SecretStr:
        """Return the key. A pickle leaves the key behind; then it is read from the environment.

        Raises:
            InvalidRequestError: there is none.
        """
        found = self.api_key
        if found is None:
            found = account.environment_key(self.gateway_row)
        if found is None:
            variable = self.gateway_row.key_variable
            raise InvalidRequestError("The key is not pickled, and there is none here.", hint=f"Set {variable}.")
        return found

    def account_id(self) -> str:
        """See `account.account_id`."""
        return account.account_id(self.resolve_base_url(), self.resolve_api_key())

    def experience(self) -> Experience:
        """Return what was learned on this account."""
        return self._experiences.setdefault(self.account_id(), Experience(self.gateway_row))

    def current_group_ratio(self) -> Decimal:
        """Return what prices are multiplied by: the last answer's ratio, if that is believed, else `group_ratio`."""
        try:
            return self.believed_group_ratio(self._group_ratios.get(self.account_id()))
        except InvalidRequestError:  # a pickle left the key behind, and a price needs none
            return self.group_ratio

    def believed_group_ratio(self, told: Decimal | None) -> Decimal:
        """Return the ratio to count with before there is a bill.

        An answer may raise what is reserved, never lower it. A hundred times the caller's ratio or more is no ratio.
        """
        believed = told is not None and self.group_ratio < told < _ABSURD_RATIO * self.group_ratio
        return told if told is not None and believed else self.group_ratio

    def known_group_ratio(self) -> Decimal | None:
        """Return the ratio that a bill is certain to have; `None`: gateways may hide it, and nobody has told it.

        It is certain only if the caller passed it and no answer contradicts that. What an answer tells is the group's
        ratio, and a discount of the site may come on top.
        """
        try:
            told = self._group_ratios.get(self.account_id())
        except InvalidRequestError:
            told = None
        passed = "group_ratio" in self.model_fields_set
        return self.group_ratio if passed and told in {None, self.group_ratio} else None

    def record_group_ratio(self, ratio: Decimal) -> None:
        """Count with the group ratio of the gateway's answer from now on, if it is believed."""
        if ratio >= _ABSURD_RATIO * self.group_ratio:
            logger.warning(
                "%s reports a group ratio of %s, which is not believed: estimates count with %s. If it is right, pass "
                "group_ratio.", self.gateway, ratio, self.group_ratio,
            )  # fmt: skip
        self._group_ratios[self.account_id()] = ratio

    def raise_group_ratio(self, told: Decimal | None) -> None:
        """Count with the group ratio of an answer about a task from now on, if it is higher and believed."""
        if told is None or told <= self.group_ratio:
            return
        if self.believed_group_ratio(told) > self.current_group_ratio():
            self._group_ratios[self.account_id()] = self.believed_group_ratio(told)

    def share_group_ratios(self, other: "Options") -> None:
        """Share recorded group ratios with another client, both ways."""
        self._group_ratios = other._group_ratios  # noqa: SLF001 same class


def _to_invalid_request(error: ValidationError, known: Iterable[str]) -> InvalidRequestError:
    """Merge pydantic's errors into one. Values are left out: they may be secret.

    Args:
        error: From pydantic.
        known: The names of all options.
    """
    found, hints = [], []
    for item in error.errors(include_url=False, include_input=False):
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, InvalidRequestError):  # it names the option and the remedy
            found.append(cause.what.rstrip("."))
            hints.append(cause.hint)
            continue
        name = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "is no option here"
            hints.append(did_you_mean(name, known).strip())
        found.append(f"{name}: {message}" if name else message)
    hint = " ".join(hint for hint in hints if hint) or "Correct the option and try again."
    return InvalidRequestError(f"{'; '.join(found).rstrip('.')}.".replace("?.", "?"), hint=hint)
