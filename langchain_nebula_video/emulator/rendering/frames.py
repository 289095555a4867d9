"""The frames of a video: the images of a scene, and the camera that moves over them."""

from __future__ import annotations

import collections
import io
import math
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.extras import require_extra

from .camera import Camera
from .watermark import Watermark

with require_extra():
    import av
    from PIL import Image, ImageDraw, ImageOps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .camera import Affine
    from .scene import Scene

_SIDE_STEP = 8
_MAX_ASPECT_RATIO = 4.0
# Pillow releases the GIL while it transforms, so two workers use two cores.
_WORKERS = 2
# The crossfade takes place between these shares of the video.
_CROSSFADE = (0.2, 0.8)
# The gap around and between reference cards, as a share of the shorter side.
_GAP = 0.06


def frame_size(width: int, height: int, pixels: int) -> tuple[int, int]:
    """Return sides with about `pixels` in all, in the aspect ratio of the image."""
    aspect_ratio = min(max(width / height, 1 / _MAX_ASPECT_RATIO), _MAX_ASPECT_RATIO)
    exact = math.sqrt(pixels * aspect_ratio), math.sqrt(pixels / aspect_ratio)
    across, down = (max(1, round(side / _SIDE_STEP)) * _SIDE_STEP for side in exact)
    return across, down


class FrameRenderer:
    """Renders the frames of one scene.

    Images are converted to the color space of the video once. The camera then moves over the three
    planes: one of brightness, and two of color at half the size. This saves one conversion per frame.
    """

    def __init__(self, scene: Scene) -> None:
        """Prepare the images."""
        image = _open_upright(scene.first_frame)
        self.size = frame_size(*image.size, scene.pixels)
        image = ImageOps.fit(image, self.size, Image.Resampling.LANCZOS)
        _draw_references(image, [_open_upright(reference) for reference in scene.references])
        self._planes = _planes(image)
        self._last_planes: list[Image.Image] | None = None
        if scene.last_frame is not None:
            last = ImageOps.fit(_open_upright(scene.last_frame), self.size, Image.Resampling.LANCZOS)
            self._last_planes = _planes(last)
        self._watermark = Watermark(self.size) if scene.watermark else None
        self._camera = Camera.from_seed(scene.random_seed)
        self._count = scene.seconds * scene.frame_rate

    def frames(self) -> Iterator[av.VideoFrame]:
        """Yield all frames in order. A few are rendered ahead."""
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="nebula-emulator-frame") as pool:
            ahead = collections.deque(pool.submit(self._frame, n) for n in range(min(2 * _WORKERS, self._count)))
            for number in range(len(ahead), self._count + len(ahead)):
                frame = ahead.popleft().result()
                if number < self._count:
                    ahead.append(pool.submit(self._frame, number))
                yield frame

    def _frame(self, number: int) -> av.VideoFrame:
        frame = av.VideoFrame(*self.size, "yuv420p")
        for index, (plane, target) in enumerate(zip(self._planes_at(number), frame.planes, strict=True)):
            if self._watermark is not None:
                self._watermark.apply(plane, index)
            target.update(plane.tobytes("raw", "L", target.line_size, 1))
        return frame

    def _planes_at(self, number: int) -> list[Image.Image]:
        """Return the planes of a frame: of one image, or of a crossfade between two."""
        progress = number / max(1, self._count - 1)
        last = self._last_planes
        if last is None:
            return self._apply_camera(self._planes, progress)
        share = _ease((progress - _CROSSFADE[0]) / (_CROSSFADE[1] - _CROSSFADE[0]))
        if share <= 0:
            return self._apply_camera(self._planes, progress)
        # The camera starts on the whole first image and ends on the whole last image.
        fading_in = self._apply_camera(last, 1 - progress)
        if share >= 1:
            return fading_in
        fading_out = self._apply_camera(self._planes, progress)
        return [Image.blend(one, other, share) for one, other in zip(fading_out, fading_in, strict=True)]

    def _apply_camera(self, planes: Sequence[Image.Image], progress: float) -> list[Image.Image]:
        view = self._camera.at(progress, *self.size)
        return [
            plane.transform(
                plane.size,
                Image.Transform.AFFINE,
                _scale_view(view, plane.width / self.size[0]),
                Image.Resampling.BILINEAR,
            )
            for plane in planes
        ]


def _ease(share: float) -> float:
    return (1 - math.cos(math.pi * min(max(share, 0.0), 1.0))) / 2


def _planes(image: Image.Image) -> list[Image.Image]:
    rgb = av.VideoFrame(*image.size, "rgb24")
    rgb.planes[0].update(image.tobytes("raw", "RGB", rgb.planes[0].line_size, 1))
    converted = rgb.reformat(format="yuv420p", dst_colorspace="itu709")
    return [
        Image.frombytes("L", (plane.width, plane.height), bytes(plane), "raw", "L", plane.line_size)
        for plane in converted.planes
    ]


def _draw_references(image: Image.Image, references: Sequence[Image.Image]) -> None:
    """Draw the references into an image, each on a white card, in a row or a column."""
    if not references:
        return
    wide = image.width >= image.height
    gap = round(_GAP * min(image.size))
    along, across = image.size if wide else image.size[::-1]
    room = (along - gap * (len(references) + 1)) // len(references), across - 2 * gap
    border = max(2, gap // 6)
    canvas = ImageDraw.Draw(image)
    for number, reference in enumerate(references):
        resized = ImageOps.contain(reference, room if wide else room[::-1], Image.Resampling.LANCZOS)
        begin = gap + number * (room[0] + gap) + room[0] // 2, across // 2
        centre = begin if wide else begin[::-1]
        left, top = centre[0] - resized.width // 2, centre[1] - resized.height // 2
        card = (left - border, top - border, left + resized.width + border - 1, top + resized.height + border - 1)
        canvas.rectangle(card, fill="white")
        image.paste(resized, (left, top))


def _scale_view(view: Affine, share: float) -> Affine:
    a, b, c, d, e, f = view
    return a, b, c * share, d, e, f * share


def _open_upright(content: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content)) as image:
        turned = ImageOps.exif_transpose(image)
        if not turned.has_transparency_data:
            return turned.convert("RGB")
        opaque = Image.new("RGBA", turned.size, "white")
        opaque.alpha_composite(turned.convert("RGBA"))
        return opaque.convert("RGB")
