"""The camera move over a still image."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Camera:
    """One smooth move, from the whole image to a part of it."""

    zoom: float
    """The final zoom."""
    across: float
    """Which part it moves to: 0 is the left edge, 1 the right one."""
    down: float
    """0 is the upper edge, 1 the lower one."""

    @classmethod
    def from_seed(cls, random_seed: bytes) -> Camera:
        """Return the move for these bytes. It is always the same."""
        rng = random.Random(random_seed)  # noqa: S311 - a camera move, not a secret
        zoom, heading = rng.uniform(1.2, 1.4), rng.uniform(0, math.tau)
        return cls(zoom=zoom, across=(1 + math.cos(heading)) / 2, down=(1 + math.sin(heading)) / 2)

    def expressions(self, count: int, *, first: int = 0, backwards: bool = False) -> dict[str, str]:
        """Return the move over `count` frames, from the frame `first` on, as options of libavfilter's `zoompan`.

        It eases in and out. Backwards, it ends on the whole image.
        """
        sign = "+" if backwards else "-"
        eased = f"(1{sign}cos(PI*(on+{first})/{max(1, count - 1)}))/2"
        return {
            "z": f"1+{self.zoom - 1:.6f}*{eased}",
            "x": f"(iw-iw/zoom)*{self.across:.6f}",
            "y": f"(ih-ih/zoom)*{self.down:.6f}",
        }
