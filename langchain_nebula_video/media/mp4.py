"""Check that an MP4 file is complete. Walks its boxes (ISO/IEC 14496-12, 4.2) and decodes nothing."""

from __future__ import annotations

from pathlib import Path

__all__ = ["find_mp4_defect", "is_video_start"]

_HEADER_SIZE = 16
_MAX_BOXES = 10_000
_FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"})
"""The boxes that an MP4 or QuickTime file may begin with."""
_MATROSKA = b"\x1a\x45\xdf\xa3"
"""WebM too (RFC 9559, section 5.1)."""


def is_video_start(head: bytes) -> bool:
    """Whether these bytes may be the beginning of a video file. Twelve are enough."""
    return head[4:8] in _FIRST_BOXES or head.startswith(_MATROSKA) or (head[:4], head[8:12]) == (b"RIFF", b"AVI ")


def find_mp4_defect(path: Path) -> str | None:
    """Return what is wrong with an MP4 file, or `None` if its boxes are complete."""
    size = path.stat().st_size
    kinds: set[bytes] = set()
    offset = 0
    with path.open("rb") as file:
        for _ in range(_MAX_BOXES):
            if offset + 8 > size:
                break
            file.seek(offset)
            header = file.read(_HEADER_SIZE)
            length, kind = int.from_bytes(header[:4]), header[4:8]
            if offset == 0 and kind != b"ftyp":
                return "what came is no MP4"
            if length == 1:  # a 64-bit length follows
                length = int.from_bytes(header[8:16])
            if length == 0:  # the box extends to the end of the file
                length = size - offset
            if length < 8:  # not a box; players stop here too
                break
            kinds.add(kind)
            offset += length
    if not kinds:
        return "what came is no MP4"
    complete = offset <= size and b"moov" in kinds and not kinds.isdisjoint({b"mdat", b"moof"})
    return None if complete else "the video is cut off"
