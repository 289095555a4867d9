"""Image-to-video services, offline: real HTTP, exact bills, real MP4 files.

One port serves Nebula's gateway, Alibaba's DashScope in five regions, DashScope through a gateway,
and a gateway with Vidu models. The emulator is written from the vendors' pages and imports nothing
of the client, so the two can disagree.

Imports go one way: `emulator`, `app` and `control` import the rooms; then `faults`, `dialects`, `serving`,
`rendering`; then the modules below the rooms: `engine`, `accounts`, `clock`, `records` and others.

Example:
    ```python
    with Emulator(speed=50) as emulator:
        client = NebulaVideoClient(base_url=emulator.url, api_key=emulator.api_key)
        ...
        assert emulator.bill.usd == Decimal("0.3690")
    ```
"""

from __future__ import annotations

from .extras import require_extra

with require_extra():
    from .emulator import Emulator

from .bill import Bill, BillLine
from .clock import Clock, SupportsNow
from .enums import Behaviour, Currency, Dialect, Region, Status
from .faults.schedule import Faults
from .records import AccountRecord, FaultRecord, Peaks, Problem, RequestRecord, TaskRecord, Violation

__all__ = [
    "AccountRecord",
    "Behaviour",
    "Bill",
    "BillLine",
    "Clock",
    "Currency",
    "Dialect",
    "Emulator",
    "FaultRecord",
    "Faults",
    "Peaks",
    "Problem",
    "Region",
    "RequestRecord",
    "Status",
    "SupportsNow",
    "TaskRecord",
    "Violation",
]
