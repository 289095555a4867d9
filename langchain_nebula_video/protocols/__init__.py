"""How each kind of gateway speaks: pure translation between our records and the wire. No I/O, no clock."""

from __future__ import annotations

from langchain_nebula_video.protocols import dashscope, nebula, uniall
from langchain_nebula_video.protocols.parsing import MAX_TASK_ID
from langchain_nebula_video.protocols.refusals import hint_for, is_unknown_task, parse_retry_after
from langchain_nebula_video.protocols.wire import (
    Extensions,
    ListedTask,
    Protocol,
    Reply,
    Submission,
    TaskSnapshot,
    UploadPolicy,
    WireRequest,
)

__all__ = [
    "MAX_TASK_ID",
    "PROTOCOLS",
    "Extensions",
    "ListedTask",
    "Protocol",
    "Reply",
    "Submission",
    "TaskSnapshot",
    "UploadPolicy",
    "WireRequest",
    "hint_for",
    "is_unknown_task",
    "parse_retry_after",
]

PROTOCOLS: dict[str, Protocol] = {
    "nebula": nebula.PROTOCOL,
    "dashscope": dashscope.PROTOCOL,
    "dashscope-passthrough": dashscope.PASSTHROUGH,
    "uniall": uniall.PROTOCOL,
}
