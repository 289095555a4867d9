"""The videos the emulator makes, taken apart again."""

from __future__ import annotations

import io
import wave

import av
import pytest
from PIL import Image, ImageChops, ImageStat

from langchain_nebula_video.emulator import pictures, sound
from langchain_nebula_video.emulator.motion import Camera
from langchain_nebula_video.emulator.refusals import Refusal
from langchain_nebula_video.emulator.render import Scene, frame_size, render

SMALL = 192 * 112


def scene(
    *,
    first_frame: bytes | None = None,
    prompt: str = "a cat",
    seed: int = 7,
    seconds: int = 1,
    pixels: int = SMALL,
    audio: bytes | None = None,
    ambient_sound: bool = False,
) -> Scene:
    return Scene(
        first_frame=first_frame or pictures.sample("test"),
        prompt=prompt,
        seed=seed,
        seconds=seconds,
        frame_rate=24,
        pixels=pixels,
        audio=audio,
        ambient_sound=ambient_sound,
    )


def frames(video: bytes) -> list[Image.Image]:
    with av.open(io.BytesIO(video), "r") as container:
        return [frame.to_image() for frame in container.decode(video=0)]  # type: ignore[no-untyped-call]


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of the channels, 0 to 255."""
    other = other.convert("RGB").resize(one.size, Image.Resampling.LANCZOS)
    return max(ImageStat.Stat(ImageChops.difference(one, other)).mean)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def test_video_is_what_the_vendor_says() -> None:
    """MP4, H.264, 24 frames a second, five seconds to the frame, silent unless asked."""
    video = render(scene(seconds=5))
    with av.open(io.BytesIO(video), "r") as container:
        (stream,) = container.streams
        picture = container.streams.video[0]
        assert container.duration == 5_000_000
        assert picture.codec_context.name == "h264"
        assert picture.codec_context.pix_fmt == "yuv420p"
        assert picture.average_rate == 24
        assert picture.frames == 120
        assert stream.start_time == 0
    assert len(frames(video)) == 120


def test_index_stands_in_front() -> None:
    """So that a player can begin before it has the whole file."""
    video = render(scene())
    assert video.index(b"moov") < video.index(b"mdat")


def test_first_frame_is_the_picture() -> None:
    """Nearly: it has been through an encoder."""
    image = pictures.sample("test")
    first = frames(render(scene(first_frame=image, pixels=640 * 360)))[0]
    assert difference(first, Image.open(io.BytesIO(image))) < 3


def test_picture_moves() -> None:
    """The middle differs from both ends, and nothing black comes in from the border."""
    shown = frames(render(scene(first_frame=saved(Image.effect_noise((320, 180), 90).convert("RGB")))))
    assert difference(shown[0], shown[12]) > 3
    assert difference(shown[12], shown[-1]) > 3
    white = frames(render(scene(first_frame=saved(Image.new("RGB", (320, 180), "white")))))
    assert min(min(frame.convert("L").tobytes()) for frame in white) > 245


def test_camera_never_leaves_the_picture() -> None:
    """At any time, for any move, in any proportions, the corners of the view lie inside."""
    for seed in range(50):
        camera = Camera.directed_by(bytes([seed]))
        for width, height in ((1280, 720), (400, 1600)):
            for step in range(11):
                a, b, c, d, e, f = camera.at(step / 10, width, height)
                for x, y in ((0, 0), (width, 0), (0, height), (width, height)):
                    assert -1e-6 <= a * x + b * y + c <= width + 1e-6
                    assert -1e-6 <= d * x + e * y + f <= height + 1e-6


def test_same_scene_gives_the_same_bytes() -> None:
    """Sound included; another seed or prompt gives another video."""
    video = render(scene(ambient_sound=True))
    assert video == render(scene(ambient_sound=True))
    assert video != render(scene(ambient_sound=True, seed=8))
    assert video != render(scene(ambient_sound=True, prompt="a dog"))


@pytest.mark.parametrize(
    ("picture", "pixels", "size"),
    [
        ((1600, 900), 832 * 480, (840, 472)),
        ((1600, 900), 1280 * 720, (1280, 720)),
        ((3840, 2160), 1920 * 1080, (1920, 1080)),
        ((832, 480), 832 * 480, (832, 480)),
        ((600, 600), 1280 * 720, (960, 960)),
        ((900, 1600), 1280 * 720, (720, 1280)),
        ((5000, 10), 1280 * 720, (1920, 480)),
    ],
)
def test_resolution_sets_pixels_and_the_picture_proportions(
    picture: tuple[int, int], pixels: int, size: tuple[int, int]
) -> None:
    """As the vendor has it; what no codec likes is cropped."""
    assert frame_size(*picture, pixels) == size


def test_orientation_of_a_photograph_is_obeyed() -> None:
    """A phone's portrait stays one."""
    photo = Image.new("RGB", (160, 90), "red")
    exif = photo.getexif()
    exif[0x0112] = 6
    first = frames(render(scene(first_frame=saved(photo, "JPEG", exif=exif))))[0]
    assert first.height > first.width


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "I;16", "CMYK"])
def test_every_kind_of_pixel_is_taken(mode: str) -> None:
    """What is transparent becomes white; what is not stays as it was."""
    clear = Image.new("RGBA", (64, 36), (0, 0, 0, 0)) if mode in {"RGBA", "LA", "P"} else None
    image = clear.convert(mode) if clear and mode != "P" else clear.quantize() if clear else Image.new(mode, (64, 36))
    first = frames(render(scene(first_frame=saved(image, "JPEG" if mode == "CMYK" else "PNG"))))[0]
    assert first.size == frame_size(64, 36, SMALL)
    if clear:
        assert difference(first, Image.new("RGB", first.size, "white")) < 3


def test_sound_is_made_when_asked_for() -> None:
    """AAC, as long as the picture, and not silent."""
    with av.open(io.BytesIO(render(scene(seconds=2, ambient_sound=True))), "r") as container:
        track = container.streams.audio[0]
        assert track.codec_context.name == "aac"
        assert container.duration == 2_000_000
        assert any(any(bytes(frame.planes[0])) for frame in container.decode(track))


def test_given_sound_is_cut_or_followed_by_silence() -> None:
    """Whatever its length, the track is as long as the video."""
    given = sound.sample()
    with wave.open(io.BytesIO(given)) as file:
        original = file.readframes(file.getnframes())
    assert sound.given(given, 1) == original[: sound.RATE * 2]
    assert sound.given(given, 3) == original + bytes(sound.RATE * 2)


@pytest.mark.parametrize("content", [b"", b"not a sound", pictures.sample("test")])
def test_what_is_no_sound_is_refused(content: bytes) -> None:
    """A picture neither."""
    with pytest.raises(Refusal, match="Audio format"):
        sound.inspect(content)
