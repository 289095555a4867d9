"""Saves some videos under one name, at the same moment as other processes: `python -m tests.stores.race`.

Reads a JSON object from stdin, says "ready", and begins with the next line. Writes the paths that it was told.
"""

from __future__ import annotations

import json
import sys

from tests.stores.videos import save


def main() -> None:
    """Take part in a race."""
    asked = json.loads(sys.stdin.readline())
    save(asked["warm_up"], b"warm")  # connections, folders
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    told = {content: save(asked["save_to"], content.encode() * 1000) for content in asked["contents"]}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
