"""How each kind of gateway speaks: pure translation between our records and the wire. No I/O, no clock."""

from __future__ import annotations

from langchain_nebula_video.protocols import nebula
from langchain_nebula_video.protocols._refusals import hint_for, is_unknown_task
from langchain_nebula_video.protocols._wire import Answer, Protocol, Reply, Submission, WireRequest

__all__ = [
    "PROTOCOLS",
    "Answer",
    "Protocol",
    "Reply",
    "Submission",
    "WireRequest",
    "hint_for",
    "is_unknown_task",
]

PROTOCOLS: dict[str, Protocol] = {"nebula": nebula.PROTOCOL}
