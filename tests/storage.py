"""A storage that answers as a test says: whole, in pieces, broken off, packed, elsewhere. Real HTTP on loopback."""

from __future__ import annotations

import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MOVIE = (
    b"\0\0\0\x10ftypisom\0\0\0\0"
    b"\0\0\0\x10moov\0\0\0\0\0\0\0\0" + (300_008).to_bytes(4, "big") + b"mdat" + bytes(range(250)) * 1200
)
"""The boxes of an MP4, and nothing that could be played."""


@dataclass
class Answer:
    """How the storage answers once."""

    status: int | None = None
    """`None`: as it should, 200 or 206."""
    body: bytes | None = None
    headers: dict[str, str | None] = field(default_factory=dict)
    """Over its own; `None` leaves one out."""
    cut: int | None = None
    """Break off after so many bytes of the body."""


class Storage:
    """Has one file at every path."""

    def __init__(self, content: bytes = MOVIE) -> None:
        self.content = content
        self.etag = '"one"'
        self.answers: list[Answer] = []
        """What comes first; afterwards it answers as it should."""
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.url = ""

    @property
    def ranges(self) -> list[str | None]:
        return [headers.get("range") for _, headers in self.requests]

    def answer(self, path: str, headers: dict[str, str]) -> tuple[Answer, bytes, dict[str, str]]:
        self.requests.append((path, headers))
        told = self.answers.pop(0) if self.answers else Answer()
        body = self.content if told.body is None else told.body
        own: dict[str, str | None] = {"ETag": self.etag, "Content-Type": "video/mp4"}
        status = 200
        asked = re.fullmatch(r"bytes=(\d+)-", headers.get("range", ""))
        if asked and headers.get("if-range") == self.etag and told.body is None:
            status, start = 206, int(asked[1])
            own["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            body = body[start:]
        merged = {**own, "Content-Length": str(len(body)), **told.headers}
        return (
            Answer(told.status or status, cut=told.cut),
            body,
            {name: value for name, value in merged.items() if value is not None},
        )


@contextmanager
def serving(storage: Storage, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[Storage]:
    """Serve until the block is left."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            told, body, headers = storage.answer(
                self.path, {name.lower(): value for name, value in self.headers.items()}
            )
            self.send_response(told.status or 200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body if told.cut is None else body[: told.cut])
            if told.cut is not None or "Content-Length" not in headers:
                self.wfile.flush()
                self.close_connection = True
                if told.cut is not None and told.cut % 2:  # an odd cut is a rough one
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the base's name
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def get_request(self) -> Any:
            plain, address = super().get_request()
            return (tls.wrap_socket(plain, server_side=True) if tls else plain), address

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    with Server((host, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        storage.url = f"{'https' if tls else 'http'}://{host}:{server.server_address[1]}"
        try:
            yield storage
        finally:
            server.shutdown()
            thread.join()
