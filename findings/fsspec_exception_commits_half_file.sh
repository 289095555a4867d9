#!/usr/bin/env bash
# fsspec 2026.9.0: leaving `with fs.open(name, "wb")` by an exception commits the half-written file.
#
# A remote store shows an object only when its upload is completed, so an exception looks like a way to abandon it.
# But the end of the `with` block closes the file, and closing completes the upload, whatever ended the block.
# A reader then finds an object that is too short and looks finished. Seen with `memory://`, and with a local folder
# (where plain `open` does the same). Inside `with fs.transaction:` the same code leaves nothing behind.
#
# Seen:
#   memory: b'first half' after the exception, with a transaction: nothing
#   file: b'first half' after the exception, with a transaction: nothing
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet fsspec==2026.9.0
mkdir "$work/data"

"$work/venv/bin/python" -I - "$work/data" <<'EOF'
import contextlib
import sys

import fsspec


def write_half(fs, name, around):
    """What is stored after a write that fails in the middle."""
    with contextlib.suppress(ValueError), around, fs.open(name, "wb") as file:
        file.write(b"first half")
        raise ValueError("the source broke off")
    return fs.cat_file(name) if fs.exists(name) else "nothing"


changed = False
for fs, folder in ((fsspec.filesystem("memory"), "/data"), (fsspec.filesystem("file"), sys.argv[1])):
    plain = write_half(fs, f"{folder}/plain.bin", contextlib.nullcontext())
    safe = write_half(fs, f"{folder}/safe.bin", fs.transaction)
    print(f"{fs.protocol if isinstance(fs.protocol, str) else fs.protocol[0]}:", end=" ")
    print(f"{plain!r} after the exception, with a transaction: {safe}")
    changed |= (plain, safe) != (b"first half", "nothing")
if changed:
    sys.exit("The behaviour changed: the half-written file should be there, but not after a transaction.")
EOF
