"""The parts of one emulator, as every route gets them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .accounts import Accounts
    from .clock import Clock
    from .engine import Engine
    from .faults import Faults
    from .files import Files
    from .signing import Signer
    from .traffic import Traffic
    from .videos import Videos


@dataclass(frozen=True, slots=True)
class Core:
    """Everything there is one of in an emulator."""

    clock: Clock
    engine: Engine
    accounts: Accounts
    files: Files
    videos: Videos
    signer: Signer
    faults: Faults
    traffic: Traffic
    url_lifetime: float
    """Seconds by the emulator's clock, from the end of the task."""

    def new_request_id(self) -> str:
        """In the gateway's form: the time to the nanosecond, then letters."""
        now = datetime.fromtimestamp(self.clock.now(), UTC)
        return f"{now:%Y%m%d%H%M%S%f}000{uuid.uuid4().hex[:8]}"
