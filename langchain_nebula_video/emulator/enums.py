"""The enums of records, tasks and accounts."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """The status of a task, in the upstream vendor's words."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class Dialect(StrEnum):
    """Which API a request used."""

    NEBULA = "nebula"
    DASHSCOPE = "dashscope"
    PASSTHROUGH = "passthrough"
    """DashScope's API at a gateway's address, with a gateway's key."""
    VIDU = "vidu"
    """UniAll's API, at a path shared with Nebula: models of Vidu and others."""
    NEWAPI = "newapi"
    """A stock new-api."""
    VIDEOS = "videos"
    """OpenAI's ``/v1/videos``, as other servers took it over."""


class Behaviour(StrEnum):
    """What Nebula's gateway is played from."""

    PAGE = "page"
    """The vendor's page."""
    SOURCE = "source"
    """The gateway's published code, 2025-12."""
    OLDER_SOURCE = "source-older"
    """The same code of 2025-11, around the page's date: the first look after success is charged."""


class Region(StrEnum):
    """DashScope's regions. Each has its own addresses, keys, model names and prices."""

    BEIJING = "beijing"
    SINGAPORE = "singapore"
    VIRGINIA = "virginia"
    FRANKFURT = "frankfurt"
    HONG_KONG = "hongkong"


class Currency(StrEnum):
    """The currency of an amount."""

    USD = "USD"
    CNY = "CNY"
