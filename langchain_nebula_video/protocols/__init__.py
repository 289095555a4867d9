"""Protocols: build each gateway's HTTP requests and parse its responses. No I/O, no clock.

Public: nothing. Other rooms import the names in `__all__` from here.
May import: media, errors, schema.
"""

from __future__ import annotations

from langchain_nebula_video.protocols import dashscope, litellm, nebula, newapi, uniall, videos
from langchain_nebula_video.protocols.parsing import MAX_TASK_ID
from langchain_nebula_video.protocols.refusal_rules import DOWNLOAD_HINT
from langchain_nebula_video.protocols.refusals import (
    TASK_STATUS_UNKNOWN,
    find_message,
    find_request_id,
    hint_for,
    is_about_a_file,
    is_unknown_task,
    parse_retry_after,
)
from langchain_nebula_video.protocols.responses import encode_segment
from langchain_nebula_video.protocols.web_pages import is_page_error
from langchain_nebula_video.protocols.wire import (
    AccountCalls,
    Charge,
    Extensions,
    FrameForm,
    KeyFacts,
    ListedTask,
    Protocol,
    Reply,
    Submission,
    TaskSnapshot,
    UploadPolicy,
    WireRequest,
)

__all__ = [
    "DOWNLOAD_HINT",
    "MAX_TASK_ID",
    "PROTOCOLS",
    "TASK_STATUS_UNKNOWN",
    "AccountCalls",
    "Charge",
    "Extensions",
    "FrameForm",
    "KeyFacts",
    "ListedTask",
    "Protocol",
    "Reply",
    "Submission",
    "TaskSnapshot",
    "UploadPolicy",
    "WireRequest",
    "encode_segment",
    "find_message",
    "find_request_id",
    "hint_for",
    "is_about_a_file",
    "is_page_error",
    "is_unknown_task",
    "parse_retry_after",
]

PROTOCOLS: dict[str, Protocol] = {
    "nebula": nebula.PROTOCOL,
    "dashscope": dashscope.PROTOCOL,
    "dashscope-passthrough": dashscope.PASSTHROUGH,
    "uniall": uniall.PROTOCOL,
    "newapi": newapi.PROTOCOL,
    "videos-litellm": litellm.PROTOCOL,
    "videos-newapi": videos.NEWAPI,
    "videos-sglang": videos.SGLANG,
    "videos-vllm-omni": videos.VLLM_OMNI,
}
