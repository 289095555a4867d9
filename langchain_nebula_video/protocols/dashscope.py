"""Alibaba DashScope's protocol, on its own hosts and passed through by a reseller.

Sources: Alibaba's image-to-video page, 2025-12; its pages on asynchronous tasks (list, cancel) and on temporary
storage, read 2025-12. A reseller's page (doc.aimanyi.top) has the same body, but only submit and query.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

from langchain_nebula_video.media.urls import is_loopback, split_url
from langchain_nebula_video.protocols import parsing
from langchain_nebula_video.protocols.account import DashScopeAccount
from langchain_nebula_video.protocols.responses import ResponseParser, encode_segment
from langchain_nebula_video.protocols.wire import (
    AccountCalls,
    Extensions,
    FrameForm,
    ListedTask,
    Protocol,
    Reply,
    UploadPolicy,
    WireRequest,
)
from langchain_nebula_video.schema import is_encodable

__all__ = ["PASSTHROUGH", "PROTOCOL"]

_SERVICES_PATH = "/api/v1/services/aigc"
_FIRST_FRAME_PATH = f"{_SERVICES_PATH}/video-generation/video-synthesis"
_BOTH_FRAMES_PATH = f"{_SERVICES_PATH}/image2video/video-synthesis"
_TASKS_PATH = "/api/v1/tasks"
_BEIJING = timezone(timedelta(hours=8))
_PAGE_SIZE = 100

# Our field -> the vendor's field, in `input` and in `parameters`.
_INPUT_FIELDS = {name: name for name in ("prompt", "negative_prompt", "audio_url", "template")}
_PARAMETER_FIELDS = {
    "resolution": "resolution",
    "duration": "duration",
    "smart_rewrite": "prompt_extend",
    "generate_audio": "audio",
    "watermark": "watermark",
    "seed": "seed",
    "aspect_ratio": "ratio",
}
_FRAME_FIELDS = frozenset({"image", "last_image"})
_BOTH_FRAMES_FIELDS = {"image": "first_frame_url", "last_image": "last_frame_url"}
# Our field -> the type in `input.media`, in the order of Alibaba's page on Wan 2.7 image-to-video, 2026-06-16. These
# models have no `audio_url`.
_MEDIA_TYPES = {"image": "first_frame", "last_image": "last_frame", "audio_url": "driving_audio"}


class _DashScope(ResponseParser):
    frame_forms = frozenset({"fields", "media"})
    supported_fields = frozenset({*_INPUT_FIELDS, *_PARAMETER_FIELDS}) | _FRAME_FIELDS
    lone_request_id_is_task = False
    unknown_is_own = True
    task_id_paths = ("output.task_id",)  # a reseller that counts its tasks itself puts its own id there

    def build_submit(
        self, model: str, fields: Mapping[str, Any], images: Mapping[str, Any], *, frames: FrameForm = "fields"
    ) -> WireRequest:
        given = {name: value for name, value in fields.items() if value is not None}
        if "resolution" in given:
            given["resolution"] = given["resolution"].upper()
        parameters = {theirs: given[ours] for ours, theirs in _PARAMETER_FIELDS.items() if ours in given}
        urls = {name: _normalize_oss_scheme(url) for name, url in images.items() if name in _FRAME_FIELDS and url}
        path = _FIRST_FRAME_PATH
        if frames == "media":
            urls |= {name: given.pop(name) for name in _MEDIA_TYPES if given.get(name)}
            media = [{"type": kind, "url": urls[ours]} for ours, kind in _MEDIA_TYPES.items() if ours in urls]
            inputs: dict[str, Any] = {"media": media} if media else {}
        elif "last_image" in urls:
            path = _BOTH_FRAMES_PATH
            inputs = {theirs: urls[ours] for ours, theirs in _BOTH_FRAMES_FIELDS.items() if ours in urls}
        else:
            inputs = {"img_url": urls["image"]} if urls else {}
        headers = {"X-DashScope-Async": "enable"}
        if any(url.startswith("oss://") for url in urls.values()):
            headers["X-DashScope-OssResourceResolve"] = "enable"
        texts = {theirs: given[ours] for ours, theirs in _INPUT_FIELDS.items() if given.get(ours)}
        body = {"model": model, "input": {**texts, **inputs}, "parameters": parameters}
        return WireRequest("POST", path, json=body, headers=headers, paid=True)

    def build_fetch(self, task_id: str) -> tuple[WireRequest, ...]:
        return (WireRequest("GET", f"{_TASKS_PATH}/{encode_segment(task_id)}"),)


class _DashScopeDirect(_DashScope):
    """DashScope's own hosts, with the extensions that no reseller documents."""

    @property
    def extensions(self) -> Extensions:  # type: ignore[override]
        return self

    @property
    def account_calls(self) -> AccountCalls:  # type: ignore[override]
        return DashScopeAccount(self)

    def build_cancel(self, task_id: str) -> WireRequest:
        return WireRequest("POST", f"{_TASKS_PATH}/{encode_segment(task_id)}/cancel")

    def build_list(self, model: str, since: datetime, until: datetime, page: int) -> WireRequest:
        window = {name: f"{moment.astimezone(_BEIJING):%Y%m%d%H%M%S}"
                  for name, moment in (("start_time", since), ("end_time", until))}  # fmt: skip
        fields = {**window, "model_name": model, "page_no": page, "page_size": _PAGE_SIZE}
        return WireRequest("GET", f"{_TASKS_PATH}/?{urlencode(fields)}")

    def parse_list(self, reply: Reply) -> tuple[list[ListedTask], int] | None:
        body = reply.json
        # The page on asynchronous tasks has `data` and `gmt_create`. Version 2 of Alibaba's SDK (2.0.2) reads `tasks`,
        # with rows like a fetched task.
        found = [rows for name in ("data", "tasks") if isinstance(rows := parsing.get_value(body, name), list)]
        rows, total = next(filter(None, found), found[0] if found else None), parsing.get_decimal(body, "total")
        if rows is None or total is None or total < len(rows):
            return None
        listed = [
            # "The request id at the task's submit", says Alibaba's page on asynchronous tasks, read 2026-11-27.
            ListedTask(task_id, created_at, parsing.get_text(row, "model_name"), parsing.get_text(row, "request_id"))
            for row in rows
            if (task_id := parsing.get_text(row, "task_id"))
            and (created_at := parsing.find_time(row, "gmt_create", "submit_time"))
        ]
        if len(listed) < len(rows):  # the unreadable row may be the task that the caller searches for
            return None
        return listed, int(total)

    def build_upload_policy(self, model: str) -> WireRequest:
        return WireRequest("GET", f"/api/v1/uploads?{urlencode({'action': 'getPolicy', 'model': model})}")

    def parse_upload_policy(self, reply: Reply) -> UploadPolicy | None:
        data = parsing.get_value(reply.json, "data")
        host, folder = _get_exact_string(data, "upload_host"), _get_exact_string(data, "upload_dir")
        form = {
            theirs: value
            for theirs, ours in _FORM_FIELDS.items()
            if (value := _get_exact_string(data, ours)) is not None
        }
        if host is None or folder is None or not _is_safe_host(host) or not form.keys() >= _REQUIRED_FORM_FIELDS:
            return None
        return UploadPolicy(host, folder, form)

    def build_upload(self, policy: UploadPolicy, name: str, data: bytes, mime: str) -> WireRequest:
        form = {**policy.form, "key": f"{policy.folder}/{name}", "success_action_status": "200"}
        return WireRequest("POST", policy.host, form=form, file=(name, data, mime))

    def uploaded_url(self, policy: UploadPolicy, name: str) -> str:
        return f"oss://{policy.folder}/{name}"


def _normalize_oss_scheme(url: str) -> str:
    """Write the scheme `oss` in lower case, as the storage itself does."""
    return f"oss{url[3:]}" if url[:6].lower() == "oss://" else url


# The form's field -> the policy's field.
_FORM_FIELDS = {
    "OSSAccessKeyId": "oss_access_key_id",
    "Signature": "signature",
    "policy": "policy",
    "x-oss-object-acl": "x_oss_object_acl",
    "x-oss-forbid-overwrite": "x_oss_forbid_overwrite",
}
_REQUIRED_FORM_FIELDS = frozenset({"OSSAccessKeyId", "Signature", "policy"})
"""A signed form needs these."""


def _get_exact_string(data: object, name: str) -> str | None:
    """Return a text without truncating it: the signature covers all of it."""
    value = parsing.get_value(data, name)
    return value if isinstance(value, str) and value and is_encodable(value) else None


def _is_safe_host(host: str) -> bool:
    """Whether an image may be uploaded there: an unambiguous https host, or http on this machine."""
    parts = split_url(host, ("https", "http"))
    if parts is None or "@" in parts.netloc or "\\" in host:
        return False
    return parts.scheme.lower() == "https" or is_loopback(parts.hostname)


PROTOCOL: Protocol = _DashScopeDirect()
PASSTHROUGH: Protocol = _DashScope()
