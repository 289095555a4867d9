"""What is sent back: plain data until the last moment, so that a fault can be played on it."""

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
        """The same with more headers; underscores in the names stand for hyphens."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers={**self.headers, **more})

    def all_headers(self) -> dict[str, str]:
        """All headers, the length included."""
        return {"content-length": str(len(self.body)), **self.headers}

    async def send(self, send: Send) -> None:
        """Send it through the server."""
        headers = [(name.encode(), value.encode("latin-1")) for name, value in self.all_headers().items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})

    def head_bytes(self) -> bytes:
        """The status line and headers as they stand on the wire, for those who write there themselves."""
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            *(f"{name}: {value}" for name, value in self.all_headers().items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def json_response(payload: Mapping[str, Any] | list[Any], status: int = 200) -> Response:
    """An answer in JSON."""
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status, body, {"content-type": "application/json; charset=utf-8"})


def html_response(title: str, status: int = 200) -> Response:
    """A page such as proxies answer with."""
    body = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return Response(status, body.encode(), {"content-type": "text/html"})
