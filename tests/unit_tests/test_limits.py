"""Each model's documented limits at each of its gateways, on both sides of the edge, before anything is sent.

The figures are written down here from the vendors' pages; the rows have to agree with them.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx
import pytest
from PIL import Image

from langchain_nebula_video import InvalidRequestError, NebulaVideoClient
from langchain_nebula_video._offers import find_offer, offers
from langchain_nebula_video._tool_schema import args_schema, description
from langchain_nebula_video.gateways import GATEWAYS
from tests.conftest import KEY, FakeClock, Gateway

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


class Desk:
    """One client, and what it sends."""

    def __init__(self, gateway: str, model: str) -> None:
        self.sent = Gateway()
        self.sent.submits = [{"task_id": "t", "output": {"task_id": "t", "task_status": "PENDING"}}]
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
        posts = self.sent.posts
        NebulaVideoClient(**self._options).submit(**self.ask(fields))
        assert self.sent.posts == posts + 1, fields

    def refuses(self, **fields: Any) -> None:
        requests = len(self.sent.requests)
        with pytest.raises(InvalidRequestError, match="Nothing was sent and nothing was spent") as caught:
            NebulaVideoClient(**self._options).submit(**self.ask(fields))
        assert caught.value.hint
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
        desk.refuses(duration=duration)


@each_offer
def test_resolutions(gateway: str, model: str) -> None:
    desk, page = Desk(gateway, model), PAGES[model]
    tiers = page.singapore if gateway == "dashscope-intl" and page.singapore else page.tiers
    for tier in tiers:
        desk.takes(resolution=tier)
    for tier in {*TIERS, "4k"} - {*tiers}:
        desk.refuses(resolution=tier)


@each_offer
def test_the_prompt(gateway: str, model: str) -> None:
    desk, limit = Desk(gateway, model), PAGES[model].prompt
    if limit is None:
        desk.takes(prompt="x" * 5000)
    else:
        desk.takes(prompt="猫" * limit)
        desk.refuses(prompt="x" * (limit + 1))
    (desk.refuses if gateway in {"nebula", "uniall"} else desk.takes)(prompt="")


@each_offer
def test_the_negative_prompt_and_the_watermark(gateway: str, model: str) -> None:
    desk = Desk(gateway, model)
    if gateway.startswith("dashscope"):
        desk.takes(negative_prompt="x" * 500, watermark=True)
        desk.refuses(negative_prompt="x" * 501)
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


# --- what a language model is shown ---


@each_offer
def test_a_language_model_sees_the_fields_that_are_taken_and_their_choices(gateway: str, model: str) -> None:
    offer, page = find_offer(model, GATEWAYS[gateway]), PAGES[model]
    shown = args_schema(offer).model_json_schema()["properties"]
    desk = Desk(gateway, model)
    assert [*_choices(shown["duration"])] == [*page.seconds]
    assert _choices(shown["resolution"]) == list(offer.resolutions)
    assert _choices(shown.get("template", {})) == [*page.effects]
    assert ("reference_images" in shown) is ("-mix" in model)
    assert ("image" in shown) is ("-mix" not in model)
    samples: dict[str, Any] = {
        "image": CAT, "last_image": CAT, "reference_images": [CAT], "negative_prompt": "x", "aspect_ratio": "16:9",
        "smart_rewrite": True, "generate_audio": True, "audio_url": "https://example.com/a.mp3", "watermark": True,
        "seed": 1, "duration": page.seconds[-1], "resolution": offer.resolutions[-1], "prompt": "x",
        "template": page.effects[-1] if page.effects else None,
    }  # fmt: skip
    for name in set(shown) - {"runtime"}:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            desk.takes(**{**({"image": CAT} if name == "last_image" else {}), name: samples[name]})
    told = description(offer, Decimal(1))
    assert "  " not in told
    assert "None" not in told


def _choices(field: dict[str, Any]) -> list[Any]:
    found = [field, *field.get("anyOf", [])]
    for one in found:
        if "enum" in one or "const" in one:
            return list(one.get("enum", [one.get("const")]))
    return []


def test_an_agent_with_the_fast_wan_2_1_sees_its_seconds_and_effects() -> None:
    shown = args_schema(find_offer("wanx2.1-i2v-turbo", GATEWAYS["dashscope"])).model_json_schema()
    assert _choices(shown["properties"]["duration"]) == [3, 4, 5]
    assert _choices(shown["properties"]["template"]) == EFFECTS
    assert "generate_audio" not in shown["properties"]
    assert "prompt" not in shown.get("required", [])


def test_an_agent_with_a_vidu_mix_sees_references_and_no_first_frame() -> None:
    shown = args_schema(find_offer("viduq3p-mix-720p", GATEWAYS["uniall"])).model_json_schema()["properties"]
    assert {"reference_images", "aspect_ratio", "generate_audio"} <= set(shown)
    assert not {"image", "last_image", "template", "negative_prompt", "smart_rewrite"} & set(shown)
