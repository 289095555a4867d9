"""The storage that finished videos and hosted files are fetched from; it wants no key."""

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
from .responses import Answer

if TYPE_CHECKING:
    from langchain_nebula_video.emulator.records import TaskRecord
    from langchain_nebula_video.emulator.refusals import Refusal

    from .exchange import Exchange

RESULT_PATH = "/results/{task_id}.mp4"
HOSTED_PATH = "/hosted/{digest}"
UPLOAD_PATH = "/oss"

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_MAGIC = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8", "image/jpeg"),
    (b"RIFF", "audio/wav"),
    (b"ID3", "audio/mpeg"),
)
_UPLOAD_STATUSES = {"FileAlreadyExists": 409, "InvalidArgument": 400}


def address(exchange: Exchange, record: TaskRecord) -> str:
    """Where a finished task's video is: signed, and good for `Core.url_lifetime`."""
    path = RESULT_PATH.format(task_id=record.id)
    core = exchange.core
    since = core.clock.now() if core.signs_anew else record.finished_at
    expires = int(since + core.url_lifetime)
    return f"{exchange.origin}{path}?{core.signer.query(path, expires)}"


async def download(exchange: Exchange) -> Answer:
    """``GET`` or ``HEAD`` of a signed address."""
    core = exchange.core
    check_key(exchange)
    expiry = core.signer.expiry(exchange.path, exchange.query)
    if expiry is None:
        return _denied("AccessDenied", "You have no right to access this object because of bucket acl.")
    now = core.clock.now()
    if now >= expiry:
        return _denied("AccessDenied", "Request has expired.", Expires=_zulu(expiry), ServerTime=_zulu(now))
    # The signature proves that the task was there and had succeeded.
    task, record = core.engine.find(exchange.path_params["task_id"])
    if record.status is not Status.SUCCEEDED:
        return _denied("AccessDenied", "The object is not there yet.")
    video = await core.videos.of(task)
    ended = datetime.fromtimestamp(record.finished_at, UTC)
    return _partial(exchange, video, "video/mp4").with_headers(last_modified=format_datetime(ended, usegmt=True))


async def hosted(exchange: Exchange) -> Answer:
    """``GET`` of a file given to `Emulator.host_image` or `Emulator.host_audio`."""
    check_key(exchange)
    content = exchange.core.files.hosted(exchange.path_params["digest"])
    if content is None:
        return storage_error(404, "NoSuchKey", "The specified key does not exist.")
    kind = next((kind for magic, kind in _MAGIC if content.startswith(magic)), "application/octet-stream")
    return _partial(exchange, content, kind)


async def upload(exchange: Exchange) -> Answer:
    """The form's own address: a multipart POST."""
    check_key(exchange)
    form = read_form(exchange.headers.get("content-type", ""), await exchange.body())
    wrong = exchange.core.uploads.put(form)
    if wrong is not None:
        code, message = wrong
        return storage_error(_UPLOAD_STATUSES.get(code, 403), code, message)
    wanted = form.get("success_action_status", b"204")
    return Answer(int(wanted) if wanted in {b"200", b"201"} else 204)


def refuse(_: Exchange, refusal: Refusal) -> Answer:
    """A refusal as the storage answers it."""
    return storage_error(400, "InvalidArgument", refusal.message)


def check_key(exchange: Exchange) -> None:
    """Note it if an API key was sent here."""
    holds_key = exchange.core.accounts.holds_key
    sent = [*exchange.headers.values(), *exchange.query.values()]
    if any(map(holds_key, sent)):
        exchange.core.traffic.violation("key_outside_gateway", exchange.entry)


def _partial(exchange: Exchange, content: bytes, kind: str) -> Answer:
    """The whole content, or the one range of it that was asked for."""
    etag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest().upper()}"'
    headers = {"content-type": kind, "etag": etag, "accept-ranges": "bytes"}
    asked = _RANGE.fullmatch(exchange.headers.get("range", ""))
    same = exchange.headers.get("if-range", etag) == etag
    # Several ranges, or a wrong one, get the whole: so the storage does, and the standard allows it.
    if asked is None or not any(asked.groups()) or not same:
        return Answer(200, content, headers)
    size = len(content)
    first, last = asked.groups()
    start = int(first) if first else max(0, size - int(last))
    stop = min(int(last) + 1, size) if first and last else size
    if start >= stop:
        headers["content-range"] = f"bytes */{size}"
        return storage_error(416, "InvalidRange", "The requested range cannot be satisfied.").with_headers(**headers)
    headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    return Answer(206, content[start:stop], headers)


def _denied(code: str, message: str, **more: str) -> Answer:
    return storage_error(403, code, message, **more)


def storage_error(status: int, code: str, message: str, **more: str) -> Answer:
    """An error as the storage answers it: in XML."""
    fields = {"Code": code, "Message": message, "RequestId": uuid.uuid4().hex[:24].upper(), **more}
    lines = [f"  <{name}>{escape(value)}</{name}>" for name, value in fields.items()]
    text = "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', "<Error>", *lines, "</Error>", ""])
    return Answer(status, text.encode(), {"content-type": "application/xml"})


def _zulu(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S.000Z}"
