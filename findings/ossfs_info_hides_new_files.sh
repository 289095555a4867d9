#!/usr/bin/env bash
# ossfs 2025.5.0: asking for a file that is not there yet hides it for good, once somebody else has written it.
#
# `info`, and `exists` by it, list the folder of a missing file and remember the list, without an end. A file that another
# process writes there afterwards does not exist for this one, though `cat_file` reads it. s3fs asks the store for each
# file. `invalidate_cache(folder)` before each question helps.
#
# Seen:
#   before: found False
#   another client writes it: found False, cat_file b'video'
#   after invalidate_cache: found True
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet ossfs==2025.5.0 fsspec==2026.9.0 oss2==2.18.4

"$work/venv/bin/python" -I - <<'EOF'
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import ossfs

objects = {"videos/old.mp4": b"old"}


class Bucket(BaseHTTPRequestHandler):
    """As much of OSS as this needs: read, write and list."""

    def do_PUT(self):
        objects[self.key()] = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200)

    def do_GET(self):
        key = self.key()
        if key in objects:
            self.answer(200, objects[key])
        elif key:
            self.answer(404, b"<Error><Code>NoSuchKey</Code><Message>x</Message><RequestId>1</RequestId></Error>")
        else:
            found = "".join(
                f"<Contents><Key>{name}</Key><LastModified>2026-03-01T14:25:30.000Z</LastModified><ETag>x</ETag>"
                f"<Type>Normal</Type><Size>{len(body)}</Size><StorageClass>Standard</StorageClass></Contents>"
                for name, body in objects.items()
            )
            self.answer(200, f"<R><IsTruncated>false</IsTruncated>{found}</R>".encode())

    do_HEAD = do_GET

    def key(self):
        return unquote(urlsplit(self.path).path).lstrip("/").partition("/")[2]

    def answer(self, status, body=b""):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), "ETag": '"x"', "x-oss-request-id": "1"}.items():
            self.send_header(name, str(value))
        self.send_header("Last-Modified", "Sun, 01 Mar 2026 14:25:30 GMT")
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
threading.Thread(target=server.serve_forever, daemon=True).start()
settings = {"endpoint": f"http://127.0.0.1:{server.server_port}", "key": "k", "secret": "s"}
mine = ossfs.OSSFileSystem(**settings, skip_instance_cache=True)
other = ossfs.OSSFileSystem(**settings, skip_instance_cache=True)
name = "/bucket/videos/new.mp4"


def found():
    """Whether `info` finds the file."""
    try:
        return mine.info(name)["type"] == "file"
    except FileNotFoundError:
        return False


before = found()
print(f"before: found {before}")
other.pipe_file(name, b"video")
after, content = found(), mine.cat_file(name)
print(f"another client writes it: found {after}, cat_file {content}")
mine.invalidate_cache("/bucket/videos")
fresh = found()
print(f"after invalidate_cache: found {fresh}")
if (before, after, content, fresh) != (False, False, b"video", True):
    sys.exit("The behaviour has changed.")
EOF
