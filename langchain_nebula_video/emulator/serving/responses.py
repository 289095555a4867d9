"""HTTP responses as plain data, so that a fault can still change them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Send


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response with its whole body."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def with_headers(self, **headers: str) -> Response:
        """Return a copy with more headers. Underscores in the names become hyphens."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers={**self.headers, **more})

    def all_headers(self) -> dict[str, str]:
        """Return all headers, including the length."""
        return {"content-length": str(len(self.body)), **self.headers}

    async def send(self, send: Send) -> None:
        """Send the response through the HTTP server."""
        headers = [(name.encode(), value.encode("latin-1")) for name, value in self.all_headers().items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})

    def head_bytes(self) -> bytes:
        """Return the status line and headers as raw bytes, for faults that write to the connection."""
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            *(f"{name}: {value}" for name, value in self.all_headers().items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def json_response(payload: Mapping[str, Any] | list[Any], status: int = 200) -> Response:
    """Return a JSON response."""
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status, body, {"content-type": "application/json; charset=utf-8"})


def html_response(title: str, status: int = 200) -> Response:
    """Return an HTML page like those of proxies."""
    body = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return Response(status, body.encode(), {"content-type": "text/html"})
