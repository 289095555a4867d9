"""Image-to-video services, offline: real HTTP, real money sums, real MP4 files.

Nebula's gateway, Alibaba's DashScope in two regions, DashScope passed through a gateway, and a
gateway with Vidu models, all on one port.

Written from the vendor's pages alone. It imports nothing of the client, so that the two can disagree.

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
from .enums import Currency, Dialect, Region, Status
from .faults.schedule import Faults
from .records import AccountRecord, FaultRecord, Peaks, Problem, RequestRecord, TaskRecord, Violation

__all__ = [
    "AccountRecord",
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
