"""Parsing of ``multipart/form-data`` bodies."""

from __future__ import annotations

from email.message import Message


def read_form(content_type: str, body: bytes) -> dict[str, bytes]:
    """Return the fields of a ``multipart/form-data`` body. Unreadable parts are skipped."""
    head = Message()
    head["content-type"] = content_type
    boundary = head.get_param("boundary")
    if not isinstance(boundary, str):
        return {}
    fields = {}
    # Each part starts with a line break and the boundary; the first may lack the line break.
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary.encode())[1:]:
        headers, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = _field_name(headers.decode("utf-8", "replace"))
        if name is not None:
            fields[name] = content
    return fields


def _field_name(headers: str) -> str | None:
    for line in headers.split("\r\n"):
        header, _, value = line.partition(":")
        if header.strip().lower() == "content-disposition":
            head = Message()
            head["content-disposition"] = value.strip()
            name = head.get_param("name", header="content-disposition")
            return name if isinstance(name, str) else None
    return None
