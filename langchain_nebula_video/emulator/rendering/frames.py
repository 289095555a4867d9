"""The frames of a video: the images of a scene, and the camera that moves over them."""

from __future__ import annotations

import io
import math
from fractions import Fraction
from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.extras import require_extra

from .camera import Camera
from .watermark import Watermark

with require_extra():
    import av
    import av.filter
    from PIL import Image, ImageDraw, ImageOps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .scene import Scene

_SIDE_STEP = 8
_MAX_ASPECT_RATIO = 4.0
# How much larger than a frame the image under the camera is. The camera moves by whole pixels of the image.
_DETAIL = 2
_MERGED = "map1p=0:map1s=1:map2p=0:map2s=2:format=yuv420p"
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

    Images are converted to the color space of the video once. libavfilter then moves the camera over the three planes:
    one of brightness, and two of color at half the size.
    """

    def __init__(self, scene: Scene) -> None:
        """Prepare the images."""
        image = _open_upright(scene.first_frame)
        self.size = frame_size(*image.size, scene.pixels)
        image = ImageOps.fit(image, self.size, Image.Resampling.LANCZOS)
        _draw_references(image, [_open_upright(reference) for reference in scene.references])
        self._first = _to_video_colors(image)
        self._last: av.VideoFrame | None = None
        if scene.last_frame is not None:
            self._last = _to_video_colors(
                ImageOps.fit(_open_upright(scene.last_frame), self.size, Image.Resampling.LANCZOS)
            )
        self._watermark = Watermark(self.size) if scene.watermark else None
        self._camera = Camera.from_seed(scene.random_seed)
        self._rate = scene.frame_rate
        self._count = scene.seconds * scene.frame_rate

    def frames(self) -> Iterator[av.VideoFrame]:
        """Yield all frames in order."""
        frames = self._move(self._first) if self._last is None else self._crossfade(self._last)
        for frame in frames:
            if self._watermark is None:
                yield frame
                continue
            planes = _planes(frame)
            for index, plane in enumerate(planes):
                self._watermark.apply(plane, index)
            yield _to_frame(planes)

    def _crossfade(self, last: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """Yield the frames of two images. The camera starts on the whole first one and ends on the whole last one."""
        begin, end = _CROSSFADE
        progress = [number / max(1, self._count - 1) for number in range(self._count)]
        shares = [_ease((at - begin) / (end - begin)) for at in progress]
        fading_out = self._move(self._first)
        fading_in = self._move(last, first=sum(share <= 0 for share in shares), backwards=True)
        for share in shares:
            if share <= 0:
                yield next(fading_out)
            elif share >= 1:
                yield next(fading_in)
            else:
                both = zip(_planes(next(fading_out)), _planes(next(fading_in)), strict=True)
                yield _to_frame([Image.blend(one, other, share) for one, other in both])

    def _move(self, image: av.VideoFrame, *, first: int = 0, backwards: bool = False) -> Iterator[av.VideoFrame]:
        """Yield the frames of a camera that moves over an image, from the frame `first` on."""
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=image.width, height=image.height, format=image.format, time_base=Fraction(1, self._rate)
        )
        # Plane by plane: over all at once, `zoompan` moves by whole pixels of the color planes.
        split, merge = graph.add("extractplanes", "y+u+v"), graph.add("mergeplanes", _MERGED)
        source.link_to(split)
        move = self._camera.expressions(self._count, first=first, backwards=backwards)
        for number in range(3):
            width, height = (side if number == 0 else side // 2 for side in self.size)
            options = {**move, "d": f"{self._count - first}", "s": f"{width}x{height}", "fps": f"{self._rate}"}
            camera = graph.add("zoompan", ":".join(f"{name}='{value}'" for name, value in options.items()))
            split.link_to(camera, number, 0)
            camera.link_to(merge, 0, number)
        merge.link_to(graph.add("buffersink"))
        graph.configure()
        image.pts = 0
        graph.vpush(image)
        graph.vpush(None)
        for _ in range(self._count - first):
            yield graph.vpull()


def _ease(share: float) -> float:
    return (1 - math.cos(math.pi * min(max(share, 0.0), 1.0))) / 2


def _to_video_colors(image: Image.Image) -> av.VideoFrame:
    """Return an image, enlarged, in the color space of the video."""
    rgb = av.VideoFrame(*image.size, "rgb24")
    rgb.planes[0].update(image.tobytes("raw", "RGB", rgb.planes[0].line_size, 1))
    width, height = image.width * _DETAIL, image.height * _DETAIL
    return rgb.reformat(width, height, "yuv420p", dst_colorspace="itu709", interpolation="BICUBIC")


def _planes(frame: av.VideoFrame) -> list[Image.Image]:
    return [
        Image.frombytes("L", (plane.width, plane.height), bytes(plane), "raw", "L", plane.line_size)
        for plane in frame.planes
    ]


def _to_frame(planes: Sequence[Image.Image]) -> av.VideoFrame:
    frame = av.VideoFrame(*planes[0].size, "yuv420p")
    for plane, target in zip(planes, frame.planes, strict=True):
        target.update(plane.tobytes("raw", "L", target.line_size, 1))
    return frame


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


def _open_upright(content: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content)) as image:
        turned = ImageOps.exif_transpose(image)
        if not turned.has_transparency_data:
            return turned.convert("RGB")
        opaque = Image.new("RGBA", turned.size, "white")
        opaque.alpha_composite(turned.convert("RGBA"))
        return opaque.convert("RGB")
