"""How each kind of gateway speaks: pure translation between our records and the wire. No I/O, no clock."""

from __future__ import annotations

from langchain_nebula_video.protocols import dashscope, nebula, uniall
from langchain_nebula_video.protocols.reading import MAX_TASK_ID
from langchain_nebula_video.protocols.refusals import hint_for, is_unknown_task, retry_after_of
from langchain_nebula_video.protocols.wire import (
    Answer,
    Extras,
    Listed,
    Policy,
    Protocol,
    Reply,
    Submission,
    WireRequest,
)

__all__ = [
    "MAX_TASK_ID",
    "PROTOCOLS",
    "Answer",
    "Extras",
    "Listed",
    "Policy",
    "Protocol",
    "Reply",
    "Submission",
    "WireRequest",
    "hint_for",
    "is_unknown_task",
    "retry_after_of",
]

PROTOCOLS: dict[str, Protocol] = {
    "nebula": nebula.PROTOCOL,
    "dashscope": dashscope.PROTOCOL,
    "dashscope-passthrough": dashscope.PASSTHROUGH,
    "uniall": uniall.PROTOCOL,
}
