"""The camera move over a still image."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

Affine = tuple[float, float, float, float, float, float]
"""``x' = a x + b y + c``, ``y' = d x + e y + f``: maps a pixel of the frame to the image."""


@dataclass(frozen=True, slots=True)
class Camera:
    """One smooth move, from the whole image to a part of it."""

    zoom: float
    """The final zoom beyond what hides the borders."""
    rotation: float
    """Final rotation in radians."""
    heading: float
    """Direction of travel in radians."""

    @classmethod
    def from_seed(cls, random_seed: bytes) -> Camera:
        """Return the move for these bytes. It is always the same."""
        rng = random.Random(random_seed)  # noqa: S311 - a camera move, not a secret
        return cls(
            zoom=rng.uniform(1.16, 1.30),
            rotation=math.radians(rng.uniform(1.0, 2.5)) * rng.choice((-1, 1)),
            heading=rng.uniform(0, math.tau),
        )

    def at(self, progress: float, width: int, height: int) -> Affine:
        """Return the view at `progress` (0 to 1) of an image with this width and height.

        At 0 it is the whole image. No view ever shows anything outside the image.
        """
        eased = (1 - math.cos(math.pi * progress)) / 2
        angle = self.rotation * eased
        cos, sin = math.cos(angle), math.sin(angle)
        # A rotated frame exceeds the image unless it zooms in by this factor.
        cover = cos + abs(sin) * max(width / height, height / width)
        scale = 1 / (cover * (1 + (self.zoom - 1) * eased))
        # Half of the visible size along each axis. The rest is room for travel.
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
