"""Each model's documented limits at each of its gateways, on both sides of the edge, before anything is sent.

The figures are written down here from the vendors' pages; the rows have to agree with them. What is taken must also
stand where the pages have it: a field that is accepted and then dropped would be paid for all the same.
"""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from PIL import Image

from langchain_nebula_video import InvalidRequestError, NebulaVideoClient
from langchain_nebula_video._offers import offers
from langchain_nebula_video.gateways import GATEWAYS
from tests.conftest import KEY, FakeClock, Gateway, MakeClient, settle

CAT = "https://example.com/cat.jpg"
EFFECTS = [
    *("squish", "rotation", "poke", "inflate", "dissolve", "carousel", "singleheart"),
    *("flying", "rose", "crystalrose", "hug", "frenchkiss", "coupleheart"),
]
PLUS = [
    *("melt", "icecream", "dance1", "dance2", "dance3", "dance4", "dance5"),
    *("mermaid", "graduation", "dragon", "money", "jellyfish", "pupil"),
]
TIERS = ("480p", "540p", "720p", "1080p")
PROPORTIONS = ("16:9", "9:16", "1:1", "4:3", "3:4")


@dataclass(frozen=True)
class Page:
    """What the pages say of one model."""

    seconds: tuple[int, ...]
    tiers: tuple[str, ...]
    prompt: int | None
    effects: tuple[str, ...] = ()
    sound: bool = False
    """Made by the model."""
    own_sound: bool = False
    """Given as an address."""
    singapore: tuple[str, ...] | None = None
    """The tiers that have a price there, if they are others."""


WAN: dict[str, Page] = {
    "wan2.5-i2v-preview": Page((5, 10), ("480p", "720p", "1080p"), 1500, sound=True, own_sound=True),
    "wan2.2-i2v-flash": Page((5,), ("480p", "720p", "1080p"), 800, singapore=("480p", "720p")),
    "wan2.2-i2v-plus": Page((5,), ("480p", "1080p"), 800),
    "wanx2.1-i2v-plus": Page((5,), ("720p",), 800, effects=(*EFFECTS, *PLUS)),
    "wanx2.1-i2v-turbo": Page((3, 4, 5), ("480p", "720p"), 800, effects=tuple(EFFECTS)),
    "wan2.2-kf2v-flash": Page((5,), ("480p", "720p", "1080p"), 800),
}
VIDU = {
    f"{family}{mix}-{tier}{pace}": Page(tuple(range(1, 17)), (tier,), None, sound=True)
    for family in ("viduq3p", "viduq3t")
    for mix in ("", "-mix")
    for tier in ("540p", "720p", "1080p")
    for pace in ("", "-offpeak")
}
SERVED = {
    "nebula": ["wan2.5-i2v-preview"],
    "dashscope": list(WAN),
    "dashscope-intl": [name for name in WAN if name != "wan2.2-kf2v-flash"],
    "dashscope-passthrough": [name for name in WAN if name != "wan2.2-kf2v-flash"],
    "uniall": list(VIDU),
}
PAGES = {**WAN, **VIDU}
OFFERS = [(gateway, model) for gateway, models in SERVED.items() for model in models]
each_offer = pytest.mark.parametrize(
    ("gateway", "model"), OFFERS, ids=[f"{gateway}-{model}" for gateway, model in OFFERS]
)


# What the pages call our fields, and where it stands; the rest is called the same and stands at the top.
_FRAMES = {"image": "first_frame_url", "last_image": "last_frame_url"}
_DASHSCOPE = {
    **{name: f"input.{name}" for name in ("prompt", "negative_prompt", "template", "audio_url")},
    "image": "input.img_url",
    **{name: f"parameters.{name}" for name in ("resolution", "duration", "watermark", "seed")},
    "smart_rewrite": "parameters.prompt_extend",
    "generate_audio": "parameters.audio",
}
WIRE: dict[str, dict[str, str]] = {
    "nebula": {},
    "uniall": {
        "reference_images": "reference_image_urls", "generate_audio": "extra_body.audio", "seed": "extra_body.seed",
    },
    **dict.fromkeys(("dashscope", "dashscope-intl", "dashscope-passthrough"), _DASHSCOPE),
}  # fmt: skip
WIRE_NAMES = {
    ("dashscope-intl", "wanx2.1-i2v-plus"): "wan2.1-i2v-plus",
    ("dashscope-intl", "wanx2.1-i2v-turbo"): "wan2.1-i2v-turbo",
}
PENDING = {"task_id": "t", "output": {"task_id": "t", "task_status": "PENDING"}}


class Desk:
    """One client, and what it sends."""

    def __init__(self, gateway: str, model: str) -> None:
        self.sent = Gateway()
        self.sent.submits = [PENDING]
        self.gateway, self.model = gateway, model
        self._options: dict[str, Any] = {
            "gateway": gateway, "model": model, "api_key": KEY, "clock": FakeClock(),
            "base_url": "https://gateway.example.com",
            "http_client": httpx.Client(transport=httpx.MockTransport(self.sent)),
        }  # fmt: skip

    def ask(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The smallest request of the model, and these fields."""
        asked: dict[str, Any] = {"prompt": "A boat"}
        if "-mix" in self.model:
            asked["reference_images"] = [CAT]
        elif not self.model.startswith("vidu"):
            asked["image"] = CAT
        if "kf2v" in self.model:
            asked["last_image"] = CAT
        return {**asked, **fields}

    def takes(self, **fields: Any) -> None:
        """It is sent, and each of the fields is there."""
        posts = self.sent.posts
        NebulaVideoClient(**self._options).submit(**self.ask(fields))
        assert self.sent.posts == posts + 1, fields
        sent = self.sent.bodies[-1]
        assert sent["model"] == WIRE_NAMES.get((self.gateway, self.model), self.model)
        for name, value in fields.items():
            self._is_there(sent, name, value)

    def _is_there(self, sent: dict[str, Any], name: str, value: Any) -> None:
        if name == "resolution" and self.gateway == "uniall":  # it is part of the model's name
            assert value in self.model.split("-")
            return
        where = WIRE[self.gateway].get(name, name)
        if "kf2v" in self.model and name in _FRAMES:
            where = f"input.{_FRAMES[name]}"
        found: Any = sent
        for step in where.split("."):
            found = found.get(step)
        if name == "resolution" and self.gateway != "nebula":
            value = value.upper()
        if isinstance(value, bytes):
            assert found.startswith("data:image/")
        else:
            assert found == (value or found), where  # what is empty or None may be left out
            assert bool(found) is bool(value) or name == "seed", where

    def refuses(self, *parts: str, **fields: Any) -> None:
        """It is not sent; the message has these parts and says what to do."""
        requests = len(self.sent.requests)
        with pytest.raises(InvalidRequestError, match="Nothing was sent and nothing was spent") as caught:
            NebulaVideoClient(**self._options).submit(**self.ask(fields))
        assert caught.value.hint
        assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)
        assert len(self.sent.requests) == requests, fields


def test_every_gateway_serves_what_its_pages_name_and_nothing_else() -> None:
    assert {name: {offer.model.name for offer in offers(row)} for name, row in GATEWAYS.items()} == {
        name: set(models) for name, models in SERVED.items()
    }


@each_offer
def test_seconds(gateway: str, model: str) -> None:
    desk, seconds = Desk(gateway, model), PAGES[model].seconds
    for duration in seconds:
        desk.takes(duration=duration)
    for duration in {-5, 0, *range(1, 19), 20, 60} - {*seconds}:
        desk.refuses(f"duration is {duration}; {model} makes ", duration=duration)


@each_offer
def test_resolutions(gateway: str, model: str) -> None:
    desk, page = Desk(gateway, model), PAGES[model]
    tiers = page.singapore if gateway == "dashscope-intl" and page.singapore else page.tiers
    for tier in tiers:
        desk.takes(resolution=tier)
    for tier in {*TIERS, "4k"} - {*tiers}:
        desk.refuses(f"resolution is {tier}; {model} makes {', '.join(tiers)}", resolution=tier)


@each_offer
def test_the_prompt(gateway: str, model: str) -> None:
    desk, limit = Desk(gateway, model), PAGES[model].prompt
    if limit is None:
        desk.takes(prompt="x" * 5000)
    else:
        desk.takes(prompt="猫" * limit)
        desk.refuses(f"has {limit + 1} characters; {model} reads {limit}", prompt="x" * (limit + 1))
    (desk.refuses if gateway in {"nebula", "uniall"} else desk.takes)(prompt="")


@each_offer
def test_the_negative_prompt_and_the_watermark(gateway: str, model: str) -> None:
    desk = Desk(gateway, model)
    if gateway.startswith("dashscope"):
        desk.takes(negative_prompt="x" * 500, watermark=True)
        desk.refuses(f"negative prompt has 501 characters; {model} reads 500", negative_prompt="x" * 501)
    else:
        desk.refuses(negative_prompt="x")
        desk.refuses(watermark=True)


@each_offer
def test_effects(gateway: str, model: str) -> None:
    desk, effects = Desk(gateway, model), PAGES[model].effects
    for effect in effects:
        desk.takes(template=effect, prompt="")
    for effect in {*EFFECTS, *PLUS, "somersault", ""} - {*effects}:
        desk.refuses(template=effect, prompt="")


def test_an_effect_beside_a_prompt_warns_which_one_wins() -> None:
    with pytest.warns(UserWarning, match="template is given, so the model ignores the prompt"):
        Desk("dashscope", "wanx2.1-i2v-turbo").takes(template="flying")


@each_offer
def test_sound(gateway: str, model: str) -> None:
    desk, page = Desk(gateway, model), PAGES[model]
    (desk.takes if page.sound else desk.refuses)(generate_audio=True)
    (desk.takes if page.own_sound else desk.refuses)(audio_url="https://example.com/a.mp3")


@each_offer
def test_the_seed(gateway: str, model: str) -> None:
    desk = Desk(gateway, model)
    for seed in (0, 2147483647):
        desk.takes(seed=seed)
    for seed in (-1, 2147483648):
        desk.refuses(seed=seed)


@each_offer
def test_frames(gateway: str, model: str) -> None:
    desk = Desk(gateway, model)
    if model.startswith("vidu") and "-mix" not in model:
        desk.takes(image=CAT)
        desk.takes(image=CAT, last_image=CAT)
        desk.takes(image=None)
        desk.refuses(last_image=CAT)
    elif "-mix" in model:
        desk.refuses(image=CAT)
        desk.refuses(image=CAT, last_image=CAT)
    else:
        desk.refuses(image=None)
        desk.refuses(image=None, last_image=CAT)
        (desk.takes if "kf2v" in model else desk.refuses)(last_image=CAT)
        if "kf2v" in model:
            desk.refuses(last_image=None)


@each_offer
def test_references(gateway: str, model: str) -> None:
    desk = Desk(gateway, model)
    if "-mix" not in model:
        desk.refuses(reference_images=[CAT])
        return
    for count in range(1, 5):
        desk.takes(reference_images=[CAT] * count, prompt=f"@Image{count} waves")
        desk.refuses(reference_images=[CAT] * count, prompt=f"@Image{count + 1} waves")
    desk.refuses(reference_images=[CAT] * 5)
    desk.refuses(reference_images=[])
    desk.refuses(prompt="@Image0 waves")


@each_offer
def test_proportions(gateway: str, model: str) -> None:
    desk = Desk(gateway, model)
    for ratio in ("16:9", "9:16", "1:1", "4:3", "3:4"):
        (desk.takes if gateway == "uniall" else desk.refuses)(aspect_ratio=ratio)
    desk.refuses(aspect_ratio="2:1")


# --- images ---


def picture(width: int = 640, height: int = 480, form: str = "JPEG", mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (width, height)).save(buffer, form)
    return buffer.getvalue()


def padded(size: int) -> bytes:
    """A sound JPEG of that many bytes: what follows its end mark is nobody's business."""
    whole = picture()
    return whole + b"\0" * (size - len(whole))


# Gateway, formats, largest size in bytes, sides.
IMAGES = [
    ("nebula", {"JPEG", "PNG"}, 5 * 1024 * 1024 - 1, None),
    ("dashscope", {"JPEG", "PNG", "BMP", "WEBP"}, 10 * 1024 * 1024, (360, 2000)),
    ("dashscope-intl", {"JPEG", "PNG", "BMP", "WEBP"}, 10 * 1024 * 1024, (360, 2000)),
    ("dashscope-passthrough", {"JPEG", "PNG", "BMP", "WEBP"}, 10 * 1024 * 1024, (360, 2000)),
    ("uniall", {"JPEG", "PNG", "WEBP"}, 10 * 1024 * 1024, None),
]


class ImageDesk(Desk):
    """Local images of DashScope are uploaded first: there the edge is what is refused."""

    def takes(self, **fields: Any) -> None:
        if self.gateway == "dashscope":
            assert find_offer(self.model, GATEWAYS[self.gateway]).gateway.stores_images
            self.sent.fetches = [{"data": {"upload_host": "https://storage.example.com", "upload_dir": "x"}}]
            self.sent.submits = [httpx.Response(200), {"output": {"task_id": "t", "task_status": "PENDING"}}]
            NebulaVideoClient(**self._options).submit(**self.ask(fields))
            return
        super().takes(**fields)


@pytest.mark.parametrize(("gateway", "formats", "largest", "sides"), IMAGES, ids=[row[0] for row in IMAGES])
def test_images(gateway: str, formats: set[str], largest: int, sides: tuple[int, int] | None) -> None:
    desk = ImageDesk(gateway, GATEWAYS[gateway].default_model)
    for form in ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF"):
        (desk.takes if form in formats else desk.refuses)(image=picture(form=form))
    desk.takes(image=padded(largest))
    desk.refuses(image=padded(largest + 1))
    transparent = picture(form="PNG", mode="RGBA")
    (desk.refuses if gateway.startswith("dashscope") else desk.takes)(image=transparent)
    low, high = sides or (1, 3000)
    for width, height in ((low, low), (low, high), (high, low)):
        desk.takes(image=picture(width, height))
    if sides:
        for width, height in ((low - 1, low), (low, low - 1), (high + 1, low), (low, high + 1)):
            desk.refuses(image=picture(width, height))
