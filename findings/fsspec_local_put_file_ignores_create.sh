#!/usr/bin/env bash
# fsspec 2026.9.0: the local file system takes `put_file(mode="create")` and overwrites all the same.
#
# `mode="create"` means: fail if the name is taken. The memory store refuses in `put_file` and in `pipe_file`.
# The local file system refuses in `pipe_file` only: its `put_file` takes the keyword, ignores it and overwrites.
# So code that was tested on one store, or with one of the two calls, loses a file on the other.
#
# Seen:
#   memory put_file: FileExistsError, then b'old'
#   memory pipe_file: FileExistsError, then b'old'
#   local put_file: no error, then b'new'
#   local pipe_file: FileExistsError, then b'old'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet fsspec==2026.9.0
mkdir "$work/data"

"$work/venv/bin/python" -I - "$work/data" <<'EOF'
import pathlib
import sys

import fsspec

folder = pathlib.Path(sys.argv[1])
source = folder / "source.bin"
source.write_bytes(b"new")


def attempt(fs, name, call):
    fs.pipe_file(name, b"old")
    try:
        call(name)
    except FileExistsError as error:
        return type(error).__name__, fs.cat_file(name)
    return "no error", fs.cat_file(name)


results = {}
for label, fs, root in (("memory", fsspec.filesystem("memory"), "/data"), ("local", fsspec.filesystem("file"), folder)):
    name = f"{root}/taken.bin"
    results[f"{label} put_file"] = attempt(fs, name, lambda to: fs.put_file(str(source), to, mode="create"))
    results[f"{label} pipe_file"] = attempt(fs, name, lambda to: fs.pipe_file(to, b"new", mode="create"))
for call, (error, content) in results.items():
    print(f"{call}: {error}, then {content}")
refused = ("FileExistsError", b"old")
if results != {call: refused for call in results} | {"local put_file": ("no error", b"new")}:
    sys.exit("The behaviour changed: only the local put_file should overwrite.")
EOF
