"""The closed sets of words that records, tasks and accounts use."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Where a task is, in the upstream's words."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class Dialect(StrEnum):
    """Whose words a request was spoken in."""

    NEBULA = "nebula"
    DASHSCOPE = "dashscope"
    PASSTHROUGH = "passthrough"
    """DashScope's words at a gateway's address, with a gateway's key."""
    VIDU = "vidu"
    """Vidu models at the path that Nebula uses too."""


class Region(StrEnum):
    """DashScope's two homes: each has addresses, keys, model names and prices of its own."""

    BEIJING = "beijing"
    SINGAPORE = "singapore"


class Currency(StrEnum):
    """What an amount is in."""

    USD = "USD"
    CNY = "CNY"
