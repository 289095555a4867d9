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
class Answer:
    """One HTTP response with its whole body."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def with_headers(self, **headers: str) -> Answer:
        """The same with more headers; underscores in the names stand for hyphens."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers={**self.headers, **more})

    def fields(self) -> dict[str, str]:
        """All headers, the length included."""
        return {"content-length": str(len(self.body)), **self.headers}

    async def send(self, send: Send) -> None:
        """Send it through the server."""
        headers = [(name.encode(), value.encode("latin-1")) for name, value in self.fields().items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})

    def head_on_the_wire(self) -> bytes:
        """The status line and headers as they stand on the wire, for those who write there themselves."""
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            *(f"{name}: {value}" for name, value in self.fields().items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def json_answer(payload: Mapping[str, Any] | list[Any], status: int = 200) -> Answer:
    """An answer in JSON."""
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status, body, {"content-type": "application/json; charset=utf-8"})


def html_answer(title: str, status: int = 200) -> Answer:
    """A page such as proxies answer with."""
    body = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return Answer(status, body.encode(), {"content-type": "text/html"})
