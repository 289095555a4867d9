"""Whether a file is a whole MP4: its boxes are walked (ISO/IEC 14496-12, 4.2), nothing is decoded."""

from __future__ import annotations

from pathlib import Path

__all__ = ["find_mp4_defect"]

_HEAD = 16
_MAX_BOXES = 10_000


def find_mp4_defect(path: Path) -> str | None:
    """What is wrong with a file that should be an MP4; `None`: nothing that its boxes show."""
    size = path.stat().st_size
    found: set[bytes] = set()
    at = 0
    with path.open("rb") as file:
        for _ in range(_MAX_BOXES):
            if at + 8 > size:
                break
            file.seek(at)
            head = file.read(_HEAD)
            length, kind = int.from_bytes(head[:4]), head[4:8]
            if at == 0 and kind != b"ftyp":
                return "what came is no MP4"
            if length == 1:  # the length is a long one
                length = int.from_bytes(head[8:16])
            if length == 0:  # to the end of the file
                length = size - at
            if length < 8:  # what follows is no box; players stop here too
                break
            found.add(kind)
            at += length
    if not found:
        return "what came is no MP4"
    whole = at <= size and b"moov" in found and not found.isdisjoint({b"mdat", b"moof"})
    return None if whole else "the video is cut off"
