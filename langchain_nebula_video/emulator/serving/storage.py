"""The object storage: downloads of videos and hosted files, and uploads. It needs no API key."""

from __future__ import annotations

import hashlib
import re
import uuid
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from langchain_nebula_video.emulator.enums import Status

from .multipart import read_form
from .responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_nebula_video.emulator.records import TaskRecord
    from langchain_nebula_video.emulator.refusals import Refusal

    from .exchange import Exchange

RESULT_PATH = "/results/{task_id}.mp4"
HOSTED_PATH = "/hosted/{digest}"
UPLOAD_PATH = "/oss"

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_SIGNATURES = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8", "image/jpeg"),
    (b"RIFF", "audio/wav"),
    (b"ID3", "audio/mpeg"),
)
_UPLOAD_STATUSES = {"FileAlreadyExists": 409, "InvalidArgument": 400}


def signed_url(exchange: Exchange, record: TaskRecord) -> str:
    """Return the signed URL of a finished video. It expires after `State.url_lifetime`."""
    path = RESULT_PATH.format(task_id=record.id)
    state = exchange.state
    since = state.clock.now() if state.signs_anew else record.finished_at
    expires = int(since + state.url_lifetime)
    return f"{exchange.origin}{path}?{state.url_signer.sign(path, expires)}"


async def download(exchange: Exchange) -> Response:
    """``GET`` or ``HEAD`` of a signed URL."""
    state = exchange.state
    flag_key(exchange)
    expiry = state.url_signer.expiry(exchange.path, exchange.query)
    if expiry is None:
        return _denied("AccessDenied", "You have no right to access this object because of bucket acl.")
    now = state.clock.now()
    if now >= expiry:
        return _denied("AccessDenied", "Request has expired.", Expires=_iso_utc(expiry), ServerTime=_iso_utc(now))
    # A valid signature proves that the task exists and had succeeded.
    task, record = state.engine.find(exchange.path_params["task_id"])
    if record.status is not Status.SUCCEEDED:
        return _denied("AccessDenied", "The object is not there yet.")
    video = await state.video_cache.for_task(task)
    ended = datetime.fromtimestamp(record.finished_at, UTC)
    return content_response(exchange.headers, video, "video/mp4").with_headers(
        last_modified=format_datetime(ended, usegmt=True)
    )


async def hosted(exchange: Exchange) -> Response:
    """``GET`` of a file from `Emulator.host_image` or `Emulator.host_audio`."""
    flag_key(exchange)
    content = exchange.state.files.hosted(exchange.path_params["digest"])
    if content is None:
        return storage_error(404, "NoSuchKey", "The specified key does not exist.")
    content_type = next(
        (content_type for trigger_words, content_type in _SIGNATURES if content.startswith(trigger_words)),
        "application/octet-stream",
    )
    return content_response(exchange.headers, content, content_type)


async def upload(exchange: Exchange) -> Response:
    """``POST`` of a multipart form with a file."""
    flag_key(exchange)
    form = read_form(exchange.headers.get("content-type", ""), await exchange.body())
    problem = exchange.state.uploads.store_form(form)
    if problem is not None:
        code, message = problem
        return storage_error(_UPLOAD_STATUSES.get(code, 403), code, message)
    status = form.get("success_action_status", b"204")
    return Response(int(status) if status in {b"200", b"201"} else 204)


def refuse(_: Exchange, refusal: Refusal) -> Response:
    """Turn a refusal into an error response of the storage."""
    return storage_error(400, "InvalidArgument", refusal.message)


def flag_key(exchange: Exchange) -> None:
    """Record a violation if the request contains an API key."""
    contains_key = exchange.state.accounts.contains_key
    sent = [*exchange.headers.values(), *exchange.query.values()]
    if any(map(contains_key, sent)):
        exchange.state.request_log.add_violation("key_outside_gateway", exchange.entry)


def content_response(asked: Mapping[str, str], content: bytes, content_type: str) -> Response:
    """Return the whole content, or the one range that the headers `asked` name."""
    etag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest().upper()}"'
    headers = {"content-type": content_type, "etag": etag, "accept-ranges": "bytes"}
    match = _RANGE.fullmatch(asked.get("range", ""))
    unchanged = asked.get("if-range", etag) == etag
    # Several ranges, or an invalid one, return everything. The real storage does so, and the HTTP standard allows it.
    if match is None or not any(match.groups()) or not unchanged:
        return Response(200, content, headers)
    size = len(content)
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    stop = min(int(last) + 1, size) if first and last else size
    if start >= stop:
        headers["content-range"] = f"bytes */{size}"
        return storage_error(416, "InvalidRange", "The requested range cannot be satisfied.").with_headers(**headers)
    headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    return Response(206, content[start:stop], headers)


def _denied(code: str, message: str, **fields: str) -> Response:
    return storage_error(403, code, message, **fields)


def storage_error(status: int, code: str, message: str, **fields: str) -> Response:
    """Return an error response of the storage, in XML."""
    fields = {"Code": code, "Message": message, "RequestId": uuid.uuid4().hex[:24].upper(), **fields}
    lines = [f"  <{name}>{escape(value)}</{name}>" for name, value in fields.items()]
    text = "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', "<Error>", *lines, "</Error>", ""])
    return Response(status, text.encode(), {"content-type": "application/xml"})


def _iso_utc(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S.000Z}"
