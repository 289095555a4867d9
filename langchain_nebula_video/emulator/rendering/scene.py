"""The input of a video, and how it follows from a task."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.models import PIXELS

from .images import sample

if TYPE_CHECKING:
    from langchain_nebula_video.emulator.tasks import Task

_LONG_SIDE = 1280


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that determines a video."""

    first_frame: bytes
    """An image file."""
    prompt: str
    seed: int
    seconds: int
    frame_rate: int
    pixels: int
    """About how many pixels a frame has. The aspect ratio comes from the image."""
    audio: bytes | None = None
    """An audio file; it overrides `ambient_sound`."""
    ambient_sound: bool = False
    last_frame: bytes | None = None
    """The image that the first frame fades into, cropped to the aspect ratio of the first."""
    references: tuple[bytes, ...] = ()
    """Images that appear in the first frame, side by side."""
    watermark: bool = False

    @property
    def random_seed(self) -> bytes:
        """The seed of every random choice."""
        return hashlib.sha256(f"{self.seed}\n{self.prompt}".encode()).digest()


def scene_of(task: Task) -> Scene:
    """Return the scene of a task.

    Raises:
        ValueError: The task has no image but needs one. Such a task always fails.
    """
    spec = task.spec
    if spec.image is not None:
        first_frame = spec.image.content
    elif spec.aspect_ratio is not None:
        # Without an image the prompt alone determines the picture.
        first_frame = sample(spec.prompt, image_size(spec.aspect_ratio))
    else:
        message = f"task {task.id} has no picture"
        raise ValueError(message)
    return Scene(
        first_frame=first_frame,
        prompt=spec.prompt,
        seed=task.seed,
        seconds=spec.seconds,
        frame_rate=spec.model.frame_rate,
        pixels=PIXELS[spec.resolution.lower()],
        audio=spec.audio.content if spec.audio else None,
        ambient_sound=spec.generate_audio,
        last_frame=spec.last_image.content if spec.last_image else None,
        references=tuple(reference.content for reference in spec.references),
        watermark=spec.watermark,
    )


def image_size(proportion: float) -> tuple[int, int]:
    """Return the sides of an image with this aspect ratio, and the area of a 16:9 image."""
    area = _LONG_SIDE * _LONG_SIDE * 9 / 16
    return round(math.sqrt(area * proportion)), round(math.sqrt(area / proportion))
