"""The videos the emulator makes, taken apart again."""

from __future__ import annotations

import functools
import io
import itertools
import math
import wave
from typing import Any

import av
import httpx
import pytest
from PIL import Image, ImageChops, ImageColor, ImageOps, ImageStat

from langchain_nebula_video.emulator import Clock, Emulator
from langchain_nebula_video.emulator.refusals import Refusal
from langchain_nebula_video.emulator.rendering import audio, images
from langchain_nebula_video.emulator.rendering.encoder import render
from langchain_nebula_video.emulator.rendering.frames import FrameRenderer, frame_size
from langchain_nebula_video.emulator.rendering.scene import Scene, scene_of
from tests.tables import each_row

SMALL = 192 * 112
sample = functools.cache(images.sample)


def scene(
    *,
    first_frame: bytes | None = None,
    prompt: str = "a cat",
    seed: int = 7,
    seconds: int = 1,
    pixels: int = SMALL,
    audio: bytes | None = None,
    ambient_sound: bool = False,
    frame_rate: int = 24,
    last_frame: bytes | None = None,
    references: tuple[bytes, ...] = (),
    watermark: bool = False,
) -> Scene:
    return Scene(
        first_frame=first_frame or sample("test"),
        prompt=prompt,
        seed=seed,
        seconds=seconds,
        frame_rate=frame_rate,
        pixels=pixels,
        audio=audio,
        ambient_sound=ambient_sound,
        last_frame=last_frame,
        references=references,
        watermark=watermark,
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
    image = sample("test")
    first = frames(render(scene(first_frame=image, pixels=640 * 360, frame_rate=4)))[0]
    assert difference(first, Image.open(io.BytesIO(image))) < 3


def test_picture_moves() -> None:
    """The middle differs from both ends, and nothing black comes in from the border."""
    shown = frames(render(scene(first_frame=saved(Image.effect_noise((320, 180), 90).convert("RGB")))))
    assert difference(shown[0], shown[12]) > 3
    assert difference(shown[12], shown[-1]) > 3
    white = frames(render(scene(first_frame=saved(Image.new("RGB", (320, 180), "white")))))
    assert min(min(frame.convert("L").tobytes()) for frame in white) > 245


def test_a_last_picture_moves_too() -> None:
    """The camera ends on all of it, and comes there from a part."""
    noise = saved(Image.effect_noise((320, 180), 90).convert("RGB"))
    shown = frames(render(scene(first_frame=plain("gray"), last_frame=noise)))
    assert difference(shown[20], shown[22]) > 3


@each_row("size", [(320, 180), (180, 320)])
def test_a_move_is_smooth(size: tuple[int, int]) -> None:
    """A point that the camera goes away from goes on outwards, and never jumps."""
    dotted = Image.new("L", size, "black")
    dotted.paste("white", (size[0] // 2 - 4, size[1] // 2 - 4, size[0] // 2 + 4, size[1] // 2 + 4))
    where = []
    for frame in frames(render(scene(first_frame=saved(dotted), pixels=320 * 180))):
        box = frame.convert("L").point(lambda level: 255 * (level > 120)).getbbox()
        assert box is not None
        where.append(((box[0] + box[2]) / 2 - frame.width / 2, (box[1] + box[3]) / 2 - frame.height / 2))
    steps = [math.dist(one, other) for one, other in itertools.pairwise(where)]
    assert max(steps) <= 5
    assert math.dist(where[0], where[-1]) > 10


def test_same_scene_gives_the_same_bytes() -> None:
    """Sound included; another seed or prompt gives another video."""
    video = render(scene(ambient_sound=True))
    assert video == render(scene(ambient_sound=True))
    silent = render(scene(frame_rate=4))
    assert silent != render(scene(frame_rate=4, seed=8))
    assert silent != render(scene(frame_rate=4, prompt="a dog"))


@each_row(
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
    first = frames(render(scene(first_frame=saved(photo, "JPEG", exif=exif), frame_rate=4)))[0]
    assert first.height > first.width


@each_row("mode", ["RGBA", "LA", "P", "L", "I;16", "CMYK"])
def test_every_kind_of_pixel_is_taken(mode: str) -> None:
    """What is transparent becomes white; what is not stays as it was."""
    clear = Image.new("RGBA", (64, 36), (0, 0, 0, 0)) if mode in {"RGBA", "LA", "P"} else None
    image = clear.convert(mode) if clear and mode != "P" else clear.quantize() if clear else Image.new(mode, (64, 36))
    given = saved(image, "JPEG" if mode == "CMYK" else "PNG")
    first = frames(render(scene(first_frame=given, frame_rate=4)))[0]
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
    given = audio.sample()
    with wave.open(io.BytesIO(given)) as file:
        original = file.readframes(file.getnframes())
    assert audio.fit_to_length(given, 1) == original[: audio.RATE * 2]
    assert audio.fit_to_length(given, 3) == original + bytes(audio.RATE * 2)


@each_row("content", [b"", b"not a sound", sample("test")])
def test_what_is_no_sound_is_refused(content: bytes) -> None:
    """A picture neither."""
    with pytest.raises(Refusal, match="Audio format"):
        audio.check(content)


def plain(color: str, size: tuple[int, int] = (320, 180)) -> bytes:
    return saved(Image.new("RGB", size, color))


def test_last_frame_is_the_last_picture() -> None:
    """Cut to the first one's proportions; in between one turns into the other."""
    first, last = sample("first"), sample("last", (720, 1280))
    shown = frames(render(scene(first_frame=first, last_frame=last, pixels=640 * 360, frame_rate=8)))
    fitted = ImageOps.fit(Image.open(io.BytesIO(last)), shown[0].size, Image.Resampling.LANCZOS)
    assert difference(shown[0], Image.open(io.BytesIO(first))) < 3
    assert difference(shown[-1], fitted) < 4
    assert difference(shown[4], shown[0]) > 10 < difference(shown[4], shown[-1])


def test_one_picture_turns_into_the_other_little_by_little() -> None:
    """From black to white without a jump."""
    shown = frames(render(scene(first_frame=plain("black"), last_frame=plain("white"), seconds=2)))
    levels = [ImageStat.Stat(frame.convert("L")).mean[0] for frame in shown]
    assert levels[0] < 3
    assert levels[-1] > 252
    assert levels == sorted(levels)
    assert max(later - earlier for earlier, later in itertools.pairwise(levels)) < 25


@each_row("size", [(320, 180), (180, 320)])
@each_row("colors", [["red"], ["red", "lime"], ["red", "lime", "blue", "yellow"]])
def test_references_are_seen_in_the_first_frame(size: tuple[int, int], colors: list[str]) -> None:
    """All of them, side by side or one above the other, in their order."""
    shown = frames(
        render(
            scene(first_frame=plain("gray", size), references=tuple(map(plain, colors)), pixels=320 * 180, frame_rate=4)
        )
    )[0]
    for number, color in enumerate(colors):
        share = (number + 0.5) / len(colors)
        spot = (share, 0.5) if size[0] > size[1] else (0.5, share)
        seen = shown.getpixel((int(spot[0] * shown.width), int(spot[1] * shown.height)))
        assert isinstance(seen, tuple)
        wanted = ImageColor.getrgb(color)
        assert max(abs(a - b) for a, b in zip(seen, wanted, strict=False)) < 40, color


@each_row("size", [(1280, 720), (720, 1280)])
def test_watermark_stays_in_the_lower_right_corner(size: tuple[int, int]) -> None:
    """Bright on any picture, from the first frame to the last, and nowhere else."""
    dark = plain("#203040", size)
    marked = frames(render(scene(first_frame=dark, watermark=True, pixels=640 * 360, frame_rate=4)))
    bare = frames(render(scene(first_frame=dark, pixels=640 * 360, frame_rate=4)))
    for one, other in ((marked[0], bare[0]), (marked[-1], bare[-1])):
        changed = ImageChops.difference(one, other).convert("L").point(lambda value: 255 * (value > 60))
        box = changed.getbbox()
        assert box is not None
        assert box[0] > one.width * 0.6
        assert box[1] > one.height * 0.85
        brightest = one.crop(box).convert("L").histogram()[200:]
        assert sum(brightest) > 0


@each_row("rate", [24, 30])
def test_frame_rate_is_the_models(rate: int) -> None:
    """To the frame."""
    video = render(scene(frame_rate=rate, seconds=3))
    with av.open(io.BytesIO(video), "r") as container:
        assert container.streams.video[0].average_rate == rate
        assert container.streams.video[0].frames == 3 * rate


@each_row(
    ("model", "aspect_ratio", "size"),
    [
        ("viduq3p-540p", None, (960, 544)),
        ("viduq3p-540p", "9:16", (544, 960)),
        ("viduq3t-720p", "1:1", (960, 960)),
        ("viduq3t-1080p", "4:3", (1664, 1248)),
    ],
)
async def test_text_alone_becomes_a_picture_in_the_proportions_asked_for(
    model: str, aspect_ratio: str | None, size: tuple[int, int]
) -> None:
    """Sixteen to nine unless asked otherwise."""
    (made,) = await scenes_of({"model": model, "prompt": "a coast", "aspect_ratio": aspect_ratio})
    assert FrameRenderer(made).size == size


async def test_text_alone_becomes_a_picture_of_the_prompt() -> None:
    """The same for the same prompt, and another for another."""
    prompts = ("a coast", "a coast", "a mountain")
    one, same, other = await scenes_of(*({"model": "viduq3p-540p", "prompt": prompt} for prompt in prompts))
    assert one == same
    assert one.first_frame != other.first_frame


async def scenes_of(*requests: dict[str, Any]) -> list[Scene]:
    """The scenes that these requests become."""
    emulator = Emulator(clock=Clock(0, running=False))
    transport = httpx.ASGITransport(app=emulator.app)
    headers = {"Authorization": f"Bearer {emulator.api_key}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as http:
        for request in requests:
            body = request | {"duration": 1, "extra_body": {"seed": 1}}
            assert (await http.post("/v1/video/generations", json=body)).status_code == 200
    return [scene_of(emulator._state.engine.find(task.id)[0]) for task in emulator.tasks]
