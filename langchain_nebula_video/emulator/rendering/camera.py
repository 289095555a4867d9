"""How the camera moves over a still picture."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

Affine = tuple[float, float, float, float, float, float]
"""``x' = a x + b y + c``, ``y' = d x + e y + f``: where in the picture a pixel of the frame comes from."""


@dataclass(frozen=True, slots=True)
class Camera:
    """One smooth move, from the whole picture to some part of it."""

    zoom: float
    """How much closer it ends than it must for no border to show."""
    rotation: float
    """Radians by the end."""
    heading: float
    """Radians: which way it travels."""

    @classmethod
    def from_seed(cls, random_seed: bytes) -> Camera:
        """The move for these bytes: always the same."""
        rng = random.Random(random_seed)  # noqa: S311 - a camera move, not a secret
        return cls(
            zoom=rng.uniform(1.16, 1.30),
            rotation=math.radians(rng.uniform(1.0, 2.5)) * rng.choice((-1, 1)),
            heading=rng.uniform(0, math.tau),
        )

    def at(self, progress: float, width: int, height: int) -> Affine:
        """The view at `progress` (0 to 1) of a picture this wide and high.

        At 0 it is the picture itself; at no time does anything outside the picture show.
        """
        eased = (1 - math.cos(math.pi * progress)) / 2
        angle = self.rotation * eased
        cos, sin = math.cos(angle), math.sin(angle)
        # A turned frame sticks out of the picture unless it comes closer by this much.
        cover = cos + abs(sin) * max(width / height, height / width)
        scale = 1 / (cover * (1 + (self.zoom - 1) * eased))
        # Half of what is seen, along both axes; the rest is room to travel in.
        half_width = (width * cos + height * abs(sin)) * scale / 2
        half_height = (height * cos + width * abs(sin)) * scale / 2
        centre_x = width / 2 + math.cos(self.heading) * (width / 2 - half_width)
        centre_y = height / 2 + math.sin(self.heading) * (height / 2 - half_height)
        a, b = cos * scale, -sin * scale
        d, e = sin * scale, cos * scale
        return (
            a,
            b,
            centre_x - a * width / 2 - b * height / 2,
            d,
            e,
            centre_y - d * width / 2 - e * height / 2,
        )
