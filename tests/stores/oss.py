"""A storage that speaks as much of Alibaba's OSS as saving needs: `python -m tests.stores.oss PORT BUCKET`.

There is no emulator of OSS in a package registry. Written from its API reference (PutObject, GetObject, HeadObject,
DeleteObject, GetBucket; read 2026-11): errors, `x-oss-forbid-overwrite`, and that a request has a signature. The
signature itself is not checked.
"""

from __future__ import annotations

import hashlib
import sys
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_OBJECT = (
    "<Contents><Key>{key}</Key><LastModified>2026-03-01T14:25:30.000Z</LastModified><ETag>{tag}</ETag>"
    "<Type>Normal</Type><Size>{size}</Size><StorageClass>Standard</StorageClass></Contents>"
)
_LIST = (
    '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>{bucket}</Name><Prefix>{prefix}</Prefix>'
    "<MaxKeys>100</MaxKeys><Delimiter>{delimiter}</Delimiter><IsTruncated>false</IsTruncated>{found}"
    "</ListBucketResult>"
)
_ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{code}</Message>'
    "<RequestId>1</RequestId></Error>"
)
_BUCKETS = (
    '<?xml version="1.0" encoding="UTF-8"?><ListAllMyBucketsResult><Owner><ID>1</ID></Owner><Buckets><Bucket>'
    "<Name>{bucket}</Name><CreationDate>2026-03-01T14:25:30.000Z</CreationDate><Location>oss-local</Location>"
    "<ExtranetEndpoint>x</ExtranetEndpoint><IntranetEndpoint>x</IntranetEndpoint>"
    "<StorageClass>Standard</StorageClass></Bucket></Buckets>"
    "</ListAllMyBucketsResult>"
)


class Handler(BaseHTTPRequestHandler):
    """One bucket."""

    protocol_version = "HTTP/1.1"
    bucket = "videos"
    objects: dict[str, bytes] = {}  # noqa: RUF012 of the server
    lock = threading.Lock()

    def do_PUT(self) -> None:
        """Store an object. It is there when its last byte has come."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        key = self._key()
        if key is None:
            return
        with self.lock:
            if self.headers.get("x-oss-forbid-overwrite") == "true" and key in self.objects:
                self._fail(409, "FileAlreadyExists")
                return
            self.objects[key] = body
        self._answer(200, b"", ETag=_tag(body))

    def do_HEAD(self) -> None:
        """Tell of an object."""
        self.do_GET()

    def do_GET(self) -> None:
        """Send an object, the list of the bucket or that of the buckets."""
        parts = urlsplit(self.path)
        if parts.path == "/":
            self._answer(200, _BUCKETS.format(bucket=self.bucket).encode())
            return
        key = self._key()
        if key is None:
            return
        if not key:
            self._list(parse_qs(parts.query))
        elif key not in self.objects:
            self._fail(404, "NoSuchKey")
        else:
            body, status = self.objects[key], 200
            if wanted := self.headers.get("Range"):
                first, _, last = wanted.removeprefix("bytes=").partition("-")
                body, status = body[int(first) : int(last or len(body)) + 1], 206
            self._answer(status, body, ETag=_tag(body), **{"Last-Modified": formatdate(usegmt=True)})

    def do_DELETE(self) -> None:
        """Remove an object, if it is there."""
        key = self._key()
        if key is not None:
            self.objects.pop(key, None)
            self._answer(204, b"")

    def _list(self, query: dict[str, list[str]]) -> None:
        prefix, delimiter = (query.get(name, [""])[0] for name in ("prefix", "delimiter"))
        found, folders = "", set()
        for key in sorted(name for name in self.objects if name.startswith(prefix)):
            head, cut, _ = key[len(prefix) :].partition(delimiter or "\0")
            if cut:
                folders.add(f"{prefix}{head}{cut}")
            else:
                found += _OBJECT.format(key=escape(key), tag=_tag(self.objects[key]), size=len(self.objects[key]))
        found += "".join(
            f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in sorted(folders)
        )
        text = _LIST.format(bucket=self.bucket, prefix=escape(prefix), delimiter=delimiter, found=found)
        self._answer(200, text.encode())

    def _key(self) -> str | None:
        """Return the object that is asked for; `None`: the request was refused."""
        bucket, _, key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        if "Authorization" not in self.headers:
            self._fail(403, "AccessDenied")
        elif bucket != self.bucket:
            self._fail(404, "NoSuchBucket")
        else:
            return key
        return None

    def _fail(self, status: int, code: str) -> None:
        self._answer(status, _ERROR.format(code=code).encode())

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"x-oss-request-id": "1", **headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the base's name
        """Say nothing."""


def _tag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest().upper()}"'


if __name__ == "__main__":
    Handler.bucket = sys.argv[2]
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
