"""The encoder: it turns a scene into an H.264 video in an MP4 file.

The same scene always gives the same bytes. The encoder has one thread, the container has no date,
and every random choice depends on the scene's seed and prompt.
"""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.extras import require_extra

from . import audio
from .errors import RenderStopped
from .frames import FrameRenderer

with require_extra():
    import av

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from av.container import OutputContainer

    from .scene import Scene

_AUDIO_FRAME = 1024

# ITU-T H.273 has the same number for BT.709's primaries, transfer and matrix.
_BT709 = 1
_LIMITED = 1


def render(scene: Scene, stop: threading.Event | None = None) -> bytes:
    """Return the video of a scene.

    Raises:
        RenderStopped: `stop` was set meanwhile.
    """
    # libavformat reads its output again to move the index to the front, so it needs a real file.
    with tempfile.TemporaryDirectory(prefix="nebula-emulator-") as folder:
        path = Path(folder) / "video.mp4"
        options = {"movflags": "+faststart", "fflags": "+bitexact"}
        with av.open(str(path), "w", format="mp4", options=options) as container:
            _write(container, scene, stop)
        return path.read_bytes()


def _write(container: OutputContainer, scene: Scene, stop: threading.Event | None) -> None:
    renderer = FrameRenderer(scene)
    video = container.add_stream("libx264", rate=scene.frame_rate)
    video.width, video.height = renderer.size
    video.pix_fmt = "yuv420p"
    video.gop_size = 2 * scene.frame_rate
    video.max_b_frames = 0
    video.thread_count = 1
    video.options = {"preset": "superfast", "crf": "21"}
    video.color_range, video.colorspace = _LIMITED, _BT709
    video.color_primaries = video.color_trc = _BT709
    pcm = _audio_track(scene)
    audio_stream = container.add_stream("aac", rate=audio.RATE, layout="mono") if pcm is not None else None
    for number, frame in enumerate(renderer.frames()):
        if stop is not None and stop.is_set():
            raise RenderStopped
        frame.pts, frame.time_base = number, Fraction(1, scene.frame_rate)
        container.mux(video.encode(frame))
    container.mux(video.encode(None))
    if audio_stream is not None and pcm is not None:
        for piece in _audio_frames(pcm):
            container.mux(audio_stream.encode(piece))
        container.mux(audio_stream.encode(None))


def _audio_track(scene: Scene) -> bytes | None:
    if scene.audio is not None:
        return audio.fit_to_length(scene.audio, scene.seconds)
    return audio.ambient(scene.random_seed, scene.seconds) if scene.ambient_sound else None


def _audio_frames(pcm: bytes) -> Iterator[av.AudioFrame]:
    for at in range(0, len(pcm), _AUDIO_FRAME * 2):
        piece = pcm[at : at + _AUDIO_FRAME * 2]
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(piece) // 2)
        frame.planes[0].update(piece)
        frame.sample_rate, frame.pts, frame.time_base = audio.RATE, at // 2, Fraction(1, audio.RATE)
        yield frame
