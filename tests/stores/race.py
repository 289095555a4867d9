"""Saves some videos under one name, at the same moment as other processes: `python -m tests.stores.race`.

Reads a JSON object from stdin, says "ready", and begins with the next line. Writes the paths that it was told.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from langchain_nebula_video.saving.targets import make_target
from langchain_nebula_video.schema import Video


def save(save_to: str | Path, video: Video, content: bytes) -> str:
    """Save one video as a client does once it has downloaded it."""
    target = make_target(save_to, video)
    part = target.begin()
    try:
        part.write_bytes(content)
        return target.publish(part)
    finally:
        part.unlink(missing_ok=True)


def main() -> None:
    """Take part in a race."""
    asked = json.loads(sys.stdin.readline())
    video = Video.model_validate(asked["video"])
    save(asked["warm_up"], video, b"warm")  # connections, folders
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    told = {content: save(asked["save_to"], video, content.encode() * 1000) for content in asked["contents"]}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
