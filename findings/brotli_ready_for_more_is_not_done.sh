#!/usr/bin/env bash
# brotli 1.2.1: `can_accept_more_data()` is true while output is still to come, after all input was given.
#
# With `output_buffer_limit`, `process(b"")` is called until `can_accept_more_data()` is true, and only then may more input
# follow: so says the documentation. After the last input, a loop that does just that ends early. Nothing tells so: there
# is no error, and no input is left over. Only `is_finished()` does. What is right is to go on until nothing comes.
#
# Seen:
#   until can_accept_more_data(): 8451392 of 10000000 bytes, is_finished() is False
#   until nothing comes: 10000000 of 10000000 bytes, is_finished() is True
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet brotli==1.2.1

"$work/venv/bin/python" -I - <<'PY'
import sys

import brotli

SIZE, LIMIT = 10_000_000, 65_536
packed = brotli.compress(bytes(SIZE))


def unpack(*, documented):
    decoder = brotli.Decompressor()
    piece = decoder.process(packed, output_buffer_limit=LIMIT)
    found = len(piece)
    while not decoder.can_accept_more_data() if documented else piece:
        piece = decoder.process(b"", output_buffer_limit=LIMIT)
        found += len(piece)
    return found, decoder.is_finished()


short, whole = unpack(documented=True), unpack(documented=False)
print(f"until can_accept_more_data(): {short[0]} of {SIZE} bytes, is_finished() is {short[1]}")
print(f"until nothing comes: {whole[0]} of {SIZE} bytes, is_finished() is {whole[1]}")
if whole != (SIZE, True) or short[1] or short[0] >= SIZE:
    sys.exit("The behaviour changed: a loop until can_accept_more_data() was expected to end early.")
PY
