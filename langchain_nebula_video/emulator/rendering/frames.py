"""The pictures of a video, ready to be moved over: its frames, one by one."""

from __future__ import annotations

import collections
import io
import math
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.extras import extra

from .camera import Camera
from .watermark import Mark

with extra():
    import av
    from PIL import Image, ImageDraw, ImageOps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .camera import Affine
    from .scene import Scene

_SIDE_STEP = 8
_MAX_PROPORTION = 4.0
# Pillow lets go of the interpreter while it transforms: two workers use two cores.
_WORKERS = 2
# Between these shares of the time one picture turns into the other; before and after only the camera moves.
_TURN = (0.2, 0.8)
# Of the frame's sides: what is left free around and between the cards with the references.
_GAP = 0.06


def frame_size(width: int, height: int, pixels: int) -> tuple[int, int]:
    """Sides of about `pixels` in all, in the picture's proportions."""
    proportion = min(max(width / height, 1 / _MAX_PROPORTION), _MAX_PROPORTION)
    exact = math.sqrt(pixels * proportion), math.sqrt(pixels / proportion)
    across, down = (max(1, round(side / _SIDE_STEP)) * _SIDE_STEP for side in exact)
    return across, down


class Stage:
    """A scene's pictures and the camera.

    They are converted to the video's colours once. The motion is made on their three planes
    (brightness and, at half the size, two of colour), which saves a conversion for each frame.
    """

    def __init__(self, scene: Scene) -> None:
        """Make the pictures ready."""
        picture = _upright(scene.first_frame)
        self.size = frame_size(*picture.size, scene.pixels)
        picture = ImageOps.fit(picture, self.size, Image.Resampling.LANCZOS)
        _hang(picture, [_upright(reference) for reference in scene.references])
        self._planes = _planes(picture)
        self._last_planes: list[Image.Image] | None = None
        if scene.last_frame is not None:
            last = ImageOps.fit(_upright(scene.last_frame), self.size, Image.Resampling.LANCZOS)
            self._last_planes = _planes(last)
        self._mark = Mark(self.size) if scene.watermark else None
        self._camera = Camera.directed_by(scene.direction)
        self._count = scene.seconds * scene.frame_rate

    def frames(self) -> Iterator[av.VideoFrame]:
        """All frames in order, a few of them being made ahead."""
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="nebula-emulator-frame") as pool:
            ahead = collections.deque(pool.submit(self._frame, n) for n in range(min(2 * _WORKERS, self._count)))
            for number in range(len(ahead), self._count + len(ahead)):
                frame = ahead.popleft().result()
                if number < self._count:
                    ahead.append(pool.submit(self._frame, number))
                yield frame

    def _frame(self, number: int) -> av.VideoFrame:
        frame = av.VideoFrame(*self.size, "yuv420p")
        for index, (plane, target) in enumerate(zip(self._shown(number), frame.planes, strict=True)):
            if self._mark is not None:
                self._mark.stamp(plane, index)
            target.update(plane.tobytes("raw", "L", target.line_size, 1))
        return frame

    def _shown(self, number: int) -> list[Image.Image]:
        """The planes of a frame: of one picture, or of two of which one turns into the other."""
        progress = number / max(1, self._count - 1)
        last = self._last_planes
        if last is None:
            return self._moved(self._planes, progress)
        share = _eased((progress - _TURN[0]) / (_TURN[1] - _TURN[0]))
        if share <= 0:
            return self._moved(self._planes, progress)
        # The camera ends on the whole of the last picture as it began with the whole of the first.
        coming = self._moved(last, 1 - progress)
        if share >= 1:
            return coming
        going = self._moved(self._planes, progress)
        return [Image.blend(one, other, share) for one, other in zip(going, coming, strict=True)]

    def _moved(self, planes: Sequence[Image.Image], progress: float) -> list[Image.Image]:
        view = self._camera.at(progress, *self.size)
        return [
            plane.transform(
                plane.size,
                Image.Transform.AFFINE,
                _scaled(view, plane.width / self.size[0]),
                Image.Resampling.BILINEAR,
            )
            for plane in planes
        ]


def _eased(share: float) -> float:
    return (1 - math.cos(math.pi * min(max(share, 0.0), 1.0))) / 2


def _planes(picture: Image.Image) -> list[Image.Image]:
    coloured = av.VideoFrame(*picture.size, "rgb24")
    coloured.planes[0].update(picture.tobytes("raw", "RGB", coloured.planes[0].line_size, 1))
    converted = coloured.reformat(format="yuv420p", dst_colorspace="itu709")
    return [
        Image.frombytes("L", (plane.width, plane.height), bytes(plane), "raw", "L", plane.line_size)
        for plane in converted.planes
    ]


def _hang(picture: Image.Image, references: Sequence[Image.Image]) -> None:
    """Put the references into a picture, each on a white card, side by side or one above the other."""
    if not references:
        return
    wide = picture.width >= picture.height
    gap = round(_GAP * min(picture.size))
    along, across = picture.size if wide else picture.size[::-1]
    room = (along - gap * (len(references) + 1)) // len(references), across - 2 * gap
    border = max(2, gap // 6)
    pencil = ImageDraw.Draw(picture)
    for number, reference in enumerate(references):
        shown = ImageOps.contain(reference, room if wide else room[::-1], Image.Resampling.LANCZOS)
        begin = gap + number * (room[0] + gap) + room[0] // 2, across // 2
        centre = begin if wide else begin[::-1]
        left, top = centre[0] - shown.width // 2, centre[1] - shown.height // 2
        card = (left - border, top - border, left + shown.width + border - 1, top + shown.height + border - 1)
        pencil.rectangle(card, fill="white")
        picture.paste(shown, (left, top))


def _scaled(view: Affine, share: float) -> Affine:
    a, b, c, d, e, f = view
    return a, b, c * share, d, e, f * share


def _upright(content: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content)) as image:
        turned = ImageOps.exif_transpose(image)
        if not turned.has_transparency_data:
            return turned.convert("RGB")
        opaque = Image.new("RGBA", turned.size, "white")
        opaque.alpha_composite(turned.convert("RGBA"))
        return opaque.convert("RGB")
