"""The state of one emulator, shared by all routes."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.accounts import Account
from langchain_nebula_video.emulator.enums import Region

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_nebula_video.emulator.accounts import Accounts
    from langchain_nebula_video.emulator.clock import Clock
    from langchain_nebula_video.emulator.engine import Engine
    from langchain_nebula_video.emulator.enums import Behaviour
    from langchain_nebula_video.emulator.files import FileStore
    from langchain_nebula_video.emulator.rate_limits import RateLimiter
    from langchain_nebula_video.emulator.rendering.cache import VideoCache
    from langchain_nebula_video.emulator.table import Table

    from .request_log import RequestLog
    from .signed_urls import UrlSigner
    from .uploads import Uploads


@dataclass(slots=True)
class State:
    """All objects that exist once in an emulator. Only `behaviour` ever changes; `behaviour.play_from` does it."""

    clock: Clock
    engine: Engine
    accounts: Accounts
    files: FileStore
    video_cache: VideoCache
    url_signer: UrlSigner
    request_log: RequestLog
    uploads: Uploads
    rate_limiter: RateLimiter
    table: Table
    """Nebula's table of tasks."""
    behaviour: Behaviour
    bytes_accepted: bool
    """Whether the vendor behind Nebula takes an image as bare base64."""
    site_discount: Decimal
    """The factor of Nebula's site on every price."""
    vidu_query_refusal: int | None
    dashscope_list_field: str
    """The status code for a Vidu query at the path of the submit; None if that path answers."""
    url_lifetime: float
    """Seconds by the emulator's clock, from the end of the task."""
    signs_anew: bool
    """Whether `url_lifetime` counts from each query instead."""

    def add_account(
        self,
        api_key: str,
        *,
        balance: Decimal | str | int = Decimal(100),
        group_ratio: Decimal | str | int = Decimal(1),
        name: str | None = None,
        region: Region | str | None = None,
        access_token: str = "",
    ) -> None:
        """Add an account; see `Emulator.add_account`.

        Raises:
            ValueError: The key, the name or the access token is already in use, or the region is unknown.
        """
        accounts = self.accounts
        accounts.add(
            Account(
                name=name or f"account-{len(accounts) + 1}",
                key=api_key,
                balance=Decimal(str(balance)),  # of a float, the digits that it is printed with
                group_ratio=Decimal(group_ratio),
                region=None if region is None else Region(region),
                access_token=access_token,
            )
        )

    def add_key(
        self,
        api_key: str,
        *,
        account: str | None = None,
        name: str | None = None,
        models: Iterable[str] | None = None,
        quota: Decimal | str | int | None = None,
    ) -> None:
        """Add a further key to an account; see `Emulator.add_key`.

        Raises:
            ValueError: The key is already in use, or there is no such account.
        """
        self.accounts.add_key(
            api_key,
            account or next(iter(self.accounts)).name,
            name or api_key[-6:],
            models,
            None if quota is None else Decimal(quota),
        )

    def new_request_id(self) -> str:
        """Return a request id in the gateway's format: the time to the nanosecond, then hexadecimal digits."""
        now = datetime.fromtimestamp(self.clock.now(), UTC)
        return f"{now:%Y%m%d%H%M%S%f}000{uuid.uuid4().hex[:8]}"
