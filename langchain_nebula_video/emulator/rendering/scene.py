"""What a video is made from, and what makes that of a task."""

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
    """Everything a video is made from."""

    first_frame: bytes
    """A picture file."""
    prompt: str
    seed: int
    seconds: int
    frame_rate: int
    pixels: int
    """About how many a frame has; its proportions are the picture's."""
    audio: bytes | None = None
    """A file whose sound is used; it wins over `ambient_sound`."""
    ambient_sound: bool = False
    last_frame: bytes | None = None
    """What the first frame turns into; cut to its proportions."""
    references: tuple[bytes, ...] = ()
    """Pictures to be seen in the first frame, side by side."""
    watermark: bool = False

    @property
    def random_seed(self) -> bytes:
        """What all that looks random is drawn from."""
        return hashlib.sha256(f"{self.seed}\n{self.prompt}".encode()).digest()


def scene_of(task: Task) -> Scene:
    """What a task's video is made from.

    Raises:
        ValueError: The task has no picture and needs one, so it can only fail.
    """
    spec = task.spec
    if spec.image is not None:
        first_frame = spec.image.content
    elif spec.aspect_ratio is not None:
        # Nothing but the prompt says what is to be seen.
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
    """A picture's sides in a proportion, with the area of one of 16 to 9."""
    area = _LONG_SIDE * _LONG_SIDE * 9 / 16
    return round(math.sqrt(area * proportion)), round(math.sqrt(area / proportion))
