"""What a video of the emulator costs: the CPU time of five seconds, in each resolution.

`python benchmarks/emulator_video.py [seconds]` prints it beside that of the way before, in which Pillow moved each
plane of each frame by itself. Both encode in the same way. The picture is the emulator's own sample, and then noise,
which costs an encoder the most.
"""

from __future__ import annotations

import contextlib
import io
import math
import sys
import time
from collections.abc import Iterator
from unittest.mock import patch

import av
from PIL import Image

from langchain_nebula_video.emulator.rendering import encoder
from langchain_nebula_video.emulator.rendering.frames import FrameRenderer
from langchain_nebula_video.emulator.rendering.images import sample
from langchain_nebula_video.emulator.rendering.scene import Scene

SIZES = {"480p": (848, 480), "720p": (1280, 720), "1080p": (1920, 1080)}


def move_with_pillow(renderer: FrameRenderer) -> Iterator[av.VideoFrame]:
    """Yield frames of a zoom with a rotation, each plane by an affine transformation."""
    image = renderer._first.reformat(*renderer.size)  # noqa: SLF001 the same picture
    planes = [
        Image.frombytes("L", (plane.width, plane.height), bytes(plane), "raw", "L", plane.line_size)
        for plane in image.planes
    ]
    count = renderer._count  # noqa: SLF001
    for number in range(count):
        eased = (1 - math.cos(math.pi * number / max(1, count - 1))) / 2
        scale, angle = 1 / (1 + 0.3 * eased), math.radians(2) * eased
        cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
        frame = av.VideoFrame(*renderer.size, "yuv420p")
        for plane, target in zip(planes, frame.planes, strict=True):
            view = (cos, -sin, plane.width * 0.05 * eased, sin, cos, plane.height * 0.05 * eased)
            moved = plane.transform(plane.size, Image.Transform.AFFINE, view, Image.Resampling.BILINEAR)
            target.update(moved.tobytes("raw", "L", target.line_size, 1))
        yield frame


def cpu_seconds(scene: Scene, *, before: bool) -> float:
    """Return the CPU time of one video."""
    way = patch.object(FrameRenderer, "frames", move_with_pillow) if before else contextlib.nullcontext()
    with way:
        began = time.process_time()
        encoder.render(scene)
        return time.process_time() - began


def noise(size: tuple[int, int]) -> bytes:
    """Return an image file of noise."""
    file = io.BytesIO()
    Image.effect_noise(size, 60).convert("RGB").save(file, "PNG")
    return file.getvalue()


def main(seconds: int) -> None:
    """Measure and print."""
    print(f"{f'CPU seconds of {seconds} s':24}{'before':>8}{'now':>8}{'ratio':>8}")
    for name, size in SIZES.items():
        for kind, image in (("sample", sample("cat", size)), ("noise", noise(size))):
            scene = Scene(
                first_frame=image, prompt="x", seed=1, seconds=seconds, frame_rate=24, pixels=size[0] * size[1]
            )
            before, now = cpu_seconds(scene, before=True), cpu_seconds(scene, before=False)
            print(f"{f'{name}, {kind}':24}{before:8.2f}{now:8.2f}{now / before:8.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
