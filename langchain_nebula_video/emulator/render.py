"""From a picture to a video file: H.264 in MP4, from nothing but its parameters.

The same scene always gives the same bytes: the encoder has one thread, the container no date, and
everything that looks random is drawn from the scene's seed and prompt.
"""

from __future__ import annotations

import collections
import hashlib
import io
import math
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from . import sound
from ._extra import extra
from .catalog import PIXELS
from .motion import Camera
from .videos import RenderStopped

with extra():
    import av
    from PIL import Image, ImageOps

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from av.container import OutputContainer

    from .engine import Task
    from .motion import Affine

_SIDE_STEP = 8
_MAX_PROPORTION = 4.0
# Pillow lets go of the interpreter while it transforms: two workers use two cores.
_WORKERS = 2
_AUDIO_FRAME = 1024

# ITU-T H.273 has the same number for BT.709's primaries, transfer and matrix.
_BT709 = 1
_LIMITED = 1


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything a video is made from."""

    first_frame: bytes
    """JPEG or PNG."""
    prompt: str
    seed: int
    seconds: int
    frame_rate: int
    pixels: int
    """About how many a frame has; its proportions are the picture's."""
    audio: bytes | None = None
    """A file whose sound is used; it wins over `ambient_sound`."""
    ambient_sound: bool = False

    @property
    def direction(self) -> bytes:
        """What all that looks random is drawn from."""
        return hashlib.sha256(f"{self.seed}\n{self.prompt}".encode()).digest()


def scene_of(task: Task) -> Scene:
    """What a task's video is made from.

    Raises:
        ValueError: The task has no picture, so it can only fail.
    """
    job = task.job
    if job.image is None:
        message = f"task {task.id} has no picture"
        raise ValueError(message)
    return Scene(
        first_frame=job.image.content,
        prompt=job.prompt,
        seed=task.seed,
        seconds=job.seconds,
        frame_rate=job.model.frame_rate,
        pixels=PIXELS[job.resolution],
        audio=job.audio.content if job.audio else None,
        ambient_sound=job.generate_audio,
    )


def frame_size(width: int, height: int, pixels: int) -> tuple[int, int]:
    """Sides of about `pixels` in all, in the picture's proportions."""
    proportion = min(max(width / height, 1 / _MAX_PROPORTION), _MAX_PROPORTION)
    exact = math.sqrt(pixels * proportion), math.sqrt(pixels / proportion)
    across, down = (max(1, round(side / _SIDE_STEP)) * _SIDE_STEP for side in exact)
    return across, down


def render(scene: Scene, stop: threading.Event | None = None) -> bytes:
    """Make the video.

    Raises:
        RenderStopped: `stop` was set meanwhile.
    """
    # libavformat writes the index in front by reading its own file again, so it needs a real one.
    with tempfile.TemporaryDirectory(prefix="nebula-emulator-") as folder:
        path = Path(folder) / "video.mp4"
        options = {"movflags": "+faststart", "fflags": "+bitexact"}
        with av.open(str(path), "w", format="mp4", options=options) as container:
            _write(container, scene, stop)
        return path.read_bytes()


def _write(container: OutputContainer, scene: Scene, stop: threading.Event | None) -> None:
    stage = _Stage(scene)
    video = container.add_stream("libx264", rate=scene.frame_rate)
    video.width, video.height = stage.size
    video.pix_fmt = "yuv420p"
    video.gop_size = 2 * scene.frame_rate
    video.max_b_frames = 0
    video.thread_count = 1
    video.options = {"preset": "superfast", "crf": "21"}
    video.color_range, video.colorspace = _LIMITED, _BT709
    video.color_primaries = video.color_trc = _BT709
    pcm = _sound_of(scene)
    audio = container.add_stream("aac", rate=sound.RATE, layout="mono") if pcm is not None else None
    for number, frame in enumerate(stage.frames()):
        if stop is not None and stop.is_set():
            raise RenderStopped
        frame.pts, frame.time_base = number, Fraction(1, scene.frame_rate)
        container.mux(video.encode(frame))
    container.mux(video.encode(None))
    if audio is not None and pcm is not None:
        for piece in _audio_frames(pcm):
            container.mux(audio.encode(piece))
        container.mux(audio.encode(None))


def _sound_of(scene: Scene) -> bytes | None:
    if scene.audio is not None:
        return sound.given(scene.audio, scene.seconds)
    return sound.ambient(scene.direction, scene.seconds) if scene.ambient_sound else None


def _audio_frames(pcm: bytes) -> Iterator[av.AudioFrame]:
    for at in range(0, len(pcm), _AUDIO_FRAME * 2):
        piece = pcm[at : at + _AUDIO_FRAME * 2]
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(piece) // 2)
        frame.planes[0].update(piece)
        frame.sample_rate, frame.pts, frame.time_base = sound.RATE, at // 2, Fraction(1, sound.RATE)
        yield frame


class _Stage:
    """The picture, ready to be moved over.

    It is converted to the video's colours once. The motion is made on its three planes (brightness
    and, at half the size, two of colour), which saves a conversion for each frame.
    """

    def __init__(self, scene: Scene) -> None:
        picture = _upright(scene.first_frame)
        self.size = frame_size(*picture.size, scene.pixels)
        picture = ImageOps.fit(picture, self.size, Image.Resampling.LANCZOS)
        coloured = av.VideoFrame(*self.size, "rgb24")
        coloured.planes[0].update(picture.tobytes("raw", "RGB", coloured.planes[0].line_size, 1))
        converted = coloured.reformat(format="yuv420p", dst_colorspace="itu709")
        self._planes = [
            Image.frombytes("L", (plane.width, plane.height), bytes(plane), "raw", "L", plane.line_size)
            for plane in converted.planes
        ]
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
        view = self._camera.at(number / max(1, self._count - 1), *self.size)
        frame = av.VideoFrame(*self.size, "yuv420p")
        for source, target in zip(self._planes, frame.planes, strict=True):
            moved = source.transform(
                source.size,
                Image.Transform.AFFINE,
                _scaled(view, source.width / self.size[0]),
                Image.Resampling.BILINEAR,
            )
            target.update(moved.tobytes("raw", "L", target.line_size, 1))
        return frame


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
