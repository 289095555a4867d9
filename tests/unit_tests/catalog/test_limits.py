"""Each model's documented limits at each of its gateways, on both sides of the edge, before anything is sent.

The figures are written down here from the vendors' pages; the rows have to agree with them. What is taken must also
stand where the pages have it: a field that is accepted and then dropped would be paid for all the same.
"""

from __future__ import annotations

import functools
import io
import json
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from PIL import Image

from langchain_nebula_video import InvalidRequestError, NebulaVideoClient
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.catalog.offers import find_offer, offers
from tests.conftest import KEY, MOCKED, FakeClock, Gateway, MakeClient, settle
from tests.tables import each_row

CAT, DOG = "https://example.com/cat.jpg", "https://example.com/dog.jpg"
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
    needs: frozenset[str] = frozenset({"image"})
    frames: frozenset[str] = frozenset({"image"})
    """The frames that it takes."""
    references: int = 0
    ratios: bool = False
    besides: frozenset[str] = frozenset({"smart_rewrite", "negative_prompt", "watermark"})
    """What else it takes where the gateway has a place for it."""
    cjk: int = 1
    """What a Chinese character of the prompt counts as."""
    media: bool = False
    """Frames and sound go into a list."""


BOTH, NONE = frozenset({"image", "last_image"}), frozenset[str]()
WAN: dict[str, Page] = {
    "wan2.5-i2v-preview": Page((5, 10), ("480p", "720p", "1080p"), 1500, sound=True, own_sound=True),
    "wan2.2-i2v-flash": Page((5,), ("480p", "720p", "1080p"), 800, singapore=("480p", "720p")),
    "wan2.2-i2v-plus": Page((5,), ("480p", "1080p"), 800),
    "wanx2.1-i2v-plus": Page((5,), ("720p",), 800, effects=(*EFFECTS, *PLUS)),
    "wanx2.1-i2v-turbo": Page((3, 4, 5), ("480p", "720p"), 800, effects=tuple(EFFECTS)),
    "wan2.2-kf2v-flash": Page((5,), ("480p", "720p", "1080p"), 800, needs=BOTH, frames=BOTH),
}
HD, TO_15 = ("720p", "1080p"), tuple(range(2, 16))
WAN_2_7 = Page(TO_15, HD, 5000, own_sound=True, frames=BOTH, media=True)
WAN_3 = Page(
    tuple(range(2, 31)), ("480p", "720p", "1080p"), 20_000, sound=True, needs=NONE, frames=BOTH, ratios=True,
    besides=frozenset({"smart_rewrite", "watermark"}), media=True,
)  # fmt: skip
HAPPYHORSE = Page(tuple(range(3, 16)), HD, 5000, besides=frozenset({"watermark"}), cjk=2, media=True)
NEWER: dict[str, Page] = {
    "wan2.6-i2v": Page(TO_15, HD, 1500, own_sound=True),
    "wan2.6-i2v-flash": Page(TO_15, HD, 1500, sound=True, own_sound=True),
    "wan2.7-i2v": WAN_2_7,
    "wan2.7-i2v-2026-04-25": WAN_2_7,
    "wan3.0-video": WAN_3,
    "wan3.0-video-prime": WAN_3,
    "happyhorse-1.0-i2v": HAPPYHORSE,
    "happyhorse-1.1-i2v": HAPPYHORSE,
}
VIRGINIA = {"wan2.6-i2v-us": Page((5, 10, 15), HD, 1500, own_sound=True)}
VIDU = {
    f"{family}{mix}-{tier}{pace}": Page(
        tuple(range(1, 17)), (tier,), None, sound=True, ratios=True, besides=NONE,
        needs=frozenset({"reference_images"}) if mix else NONE, frames=NONE if mix else BOTH,
        references=0 if pace and not mix else 4,
    )
    for family in ("viduq3p", "viduq3t")
    for mix in ("", "-mix")
    for tier in ("540p", "720p", "1080p")
    for pace in ("", "-offpeak")
}  # fmt: skip
_ON_UNIALL = Page((5, 10, 15), HD, 1500, needs=NONE, besides=frozenset({"negative_prompt"}))
UNIALL = {
    **{f"wan2.6-video-{tier}": replace(_ON_UNIALL, tiers=(tier,)) for tier in HD},
    **{
        f"wan2.6-i2v-flash-{tier}-{sound}": replace(
            _ON_UNIALL, seconds=tuple(range(5, 16)), tiers=(tier,), needs=frozenset({"image"})
        )
        for tier in HD
        for sound in ("audio", "silent")
    },
    **{
        f"happy-horse-{tier}": Page(tuple(range(3, 16)), (tier,), 2500, needs=NONE, besides=NONE, ratios=True)
        for tier in HD
    },
}
SERVED = {
    "nebula": ["wan2.5-i2v-preview"],
    "dashscope": [*WAN, *NEWER],
    "dashscope-intl": [name for name in (*WAN, *NEWER) if name != "wan2.2-kf2v-flash"],
    "dashscope-us": ["wan2.6-i2v-us", "wan3.0-video", "wan3.0-video-prime", "happyhorse-1.0-i2v"],
    "dashscope-eu": ["wan2.6-i2v", "happyhorse-1.0-i2v"],
    "dashscope-hk": ["wan3.0-video", "wan3.0-video-prime"],
    "dashscope-passthrough": [name for name in (*WAN, *NEWER) if name != "wan2.2-kf2v-flash"],
    "uniall": [*VIDU, *UNIALL],
}
WITHOUT_DATES = [name for name in NEWER if "-2026-" not in name]
# Their bodies are in test_videos.py; a proxy of one's own has no page.
SELF_HOSTED = {
    "newapi": ["wan2.5-i2v-preview", *[name for name in NEWER if name.startswith(("wan2.6", "wan2.7"))]],
    "newapi-videos": ["wan2.5-i2v-preview", *[name for name in NEWER if name.startswith("wan")]],
    "litellm": [name for name in WITHOUT_DATES if not name.startswith("wan2.6")],
    "sglang": ["wan2.2-i2v-a14b"],
    "vllm-omni": ["wan2.2-i2v-a14b"],
}
PAGES = {**WAN, **NEWER, **VIRGINIA, **VIDU, **UNIALL}
OFFERS = [(gateway, model) for gateway, models in SERVED.items() for model in models]
each_offer = each_row(("gateway", "model"), OFFERS, ids=[f"{gateway}-{model}" for gateway, model in OFFERS])


def tiers_of(gateway: str, model: str) -> tuple[str, ...]:
    """The resolutions that are made there."""
    page = PAGES[model]
    return page.singapore if gateway == "dashscope-intl" and page.singapore else page.tiers


# What the pages call our fields, and where it stands; the rest is called the same and stands at the top.
_FRAMES = {"image": "first_frame_url", "last_image": "last_frame_url"}
_MEDIA = {"image": "first_frame", "last_image": "last_frame", "audio_url": "driving_audio"}
_DASHSCOPE = {
    **{name: f"input.{name}" for name in ("prompt", "negative_prompt", "template", "audio_url")},
    "image": "input.img_url",
    **{name: f"parameters.{name}" for name in ("resolution", "duration", "watermark", "seed")},
    "smart_rewrite": "parameters.prompt_extend",
    "generate_audio": "parameters.audio",
    "aspect_ratio": "parameters.ratio",
}
WIRE: dict[str, dict[str, str]] = {
    "nebula": {},
    "uniall": {
        "reference_images": "reference_image_urls", "generate_audio": "extra_body.audio", "seed": "extra_body.seed",
        "negative_prompt": "extra_body.negative_prompt",
    },
    **dict.fromkeys([name for name in SERVED if name.startswith("dashscope")], _DASHSCOPE),
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
        self.client = NebulaVideoClient(
            gateway=gateway,
            model=model,
            api_key=KEY,
            clock=FakeClock(),
            download_hosts=MOCKED,
            base_url="https://gateway.example.com",
            http_client=httpx.Client(transport=httpx.MockTransport(self.sent)),
        )

    def ask(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The smallest request of the model, and these fields."""
        least = {name: [CAT] if name == "reference_images" else CAT for name in PAGES[self.model].needs}
        return {"prompt": "A boat", **least, **fields}

    def takes(self, **fields: Any) -> None:
        """It is sent, and each of the fields is there."""
        posts = self.sent.posts
        self.client.submit(**self.ask(fields))
        assert self.sent.posts == posts + 1, fields
        sent = json.loads(self.sent.requests[-1].content)
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
        if self.model.startswith("happy-horse") and name == "seed":
            where = name
        found: Any = sent
        if PAGES[self.model].media and name in _MEDIA:
            found = {each["type"]: each["url"] for each in sent["input"].get("media", [])}
            where = _MEDIA[name]
        for step in where.split("."):
            found = found.get(step)
        if name == "resolution" and self.gateway != "nebula":
            value = value.upper()
        if isinstance(value, bytes):
            assert found.startswith("data:image/")
        elif value in ("", None):
            assert not found, where
        else:
            assert found == value, where

    def refuses(self, *parts: str, **fields: Any) -> None:
        """It is not sent; the message has these parts and says what to do."""
        requests = len(self.sent.requests)
        with pytest.raises(InvalidRequestError, match="Nothing was sent and nothing was spent") as caught:
            self.client.submit(**self.ask(fields))
        assert caught.value.hint
        assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)
        assert len(self.sent.requests) == requests, fields


def test_every_gateway_serves_what_its_pages_name_and_nothing_else() -> None:
    assert {name: {offer.model.name for offer in offers(row)} for name, row in GATEWAYS.items()} == {
        name: set(models) for name, models in (SERVED | SELF_HOSTED).items()
    }


@each_row(
    ("gateway", "model"),
    [(gateway, model) for gateway, models in SELF_HOSTED.items() for model in models if model in PAGES],
)
def test_a_self_hosted_gateway_makes_what_the_vendor_behind_it_makes(gateway: str, model: str) -> None:
    offer, page = find_offer(model, GATEWAYS[gateway]), PAGES[model]
    assert (offer.model.durations, offer.resolutions, offer.model.max_prompt) == (page.seconds, page.tiers, page.prompt)


@each_offer
def test_each_documented_duration_is_made_and_no_other(gateway: str, model: str) -> None:
    desk, seconds = Desk(gateway, model), PAGES[model].seconds
    for duration in {seconds[0], seconds[len(seconds) // 2], seconds[-1]}:
        desk.takes(duration=duration)
    assert find_offer(model, GATEWAYS[gateway]).model.durations == tuple(seconds)
    for duration in {-5, -1, 0, *range(1, 19), 20, 31, 60} - {*seconds}:
        desk.refuses(f"duration is {duration}; {model} makes ", duration=duration)


@each_offer
def test_each_documented_resolution_is_made_and_no_other(gateway: str, model: str) -> None:
    desk, tiers = Desk(gateway, model), tiers_of(gateway, model)
    for tier in tiers:
        desk.takes(resolution=tier)
    for tier in {*TIERS, "4k"} - {*tiers}:
        desk.refuses(f"resolution is {tier}; {model} makes {', '.join(tiers)}", resolution=tier)


@each_offer
def test_what_the_vendor_would_cut_off_a_prompt_is_refused(gateway: str, model: str) -> None:
    desk, limit, cjk = Desk(gateway, model), PAGES[model].prompt, PAGES[model].cjk
    if limit is None:
        desk.takes(prompt="x" * 5000)
        return
    for letter, counts in (("x", 1), ("猫", cjk)):
        desk.takes(prompt=letter * (limit // counts))
        told = f"; {model} reads {limit}"
        desk.refuses(f"prompt has {limit + counts} characters", told, prompt=letter * (limit // counts + 1))


@each_offer
def test_a_prompt_may_be_left_out_where_the_gateway_s_page_says_so(gateway: str, model: str) -> None:
    """A video is made of a prompt or of an image at least."""
    desk = Desk(gateway, model)
    if not gateway.startswith("dashscope"):
        desk.refuses("The prompt is empty", prompt="")
    elif PAGES[model].needs:
        desk.takes(prompt="")
    else:
        desk.refuses("There is neither a prompt nor an image", prompt="")
        desk.takes(prompt="", image=CAT)


@each_offer
def test_a_negative_prompt_of_500_characters_is_taken_where_there_is_a_place_for_it(gateway: str, model: str) -> None:
    desk = Desk(gateway, model)
    if gateway != "nebula" and "negative_prompt" in PAGES[model].besides:
        desk.takes(negative_prompt="猫" * 500)
        desk.refuses(f"negative prompt has 501 characters; {model} reads 500", negative_prompt="x" * 501)
    else:
        desk.refuses("negative_prompt", negative_prompt="x")


@each_offer
def test_rewriting_and_watermarks_are_said_either_way(gateway: str, model: str) -> None:
    """The vendor's own default is to rewrite, and HappyHorse's to add its watermark."""
    desk = Desk(gateway, model)
    places = {"nebula": {"smart_rewrite"}, "uniall": set[str]()}.get(gateway, {"smart_rewrite", "watermark"})
    for name in ("smart_rewrite", "watermark"):
        if name in PAGES[model].besides & places:
            desk.takes(**{name: True})
            desk.takes(**{name: False})
        else:
            desk.refuses(name, **{name: True})


@each_offer
def test_each_effect_is_taken_by_the_models_that_have_it(gateway: str, model: str) -> None:
    desk, effects = Desk(gateway, model), PAGES[model].effects
    for effect in effects:
        desk.takes(template=effect, prompt="")
    for effect in {*EFFECTS, *PLUS, "somersault", ""} - {*effects}:
        desk.refuses("template", model if gateway.startswith("dashscope") else "", template=effect, prompt="")


def test_an_effect_beside_a_prompt_warns_which_one_wins() -> None:
    with pytest.warns(UserWarning, match="template is given, so the model ignores the prompt"):
        Desk("dashscope", "wanx2.1-i2v-turbo").takes(template="flying")


@each_offer
def test_sound_is_switched_or_taken_from_the_caller_where_the_page_says_so(gateway: str, model: str) -> None:
    desk, page = Desk(gateway, model), PAGES[model]
    if page.sound:
        desk.takes(generate_audio=True)
        desk.takes(generate_audio=False)
    else:
        desk.refuses("generate_audio", model, generate_audio=True)
    if page.own_sound:
        desk.takes(audio_url="https://example.com/a.mp3")
    else:
        desk.refuses("audio_url", model, audio_url="https://example.com/a.mp3")


@each_offer
def test_a_seed_has_31_bits(gateway: str, model: str) -> None:
    desk = Desk(gateway, model)
    lowest = 1 if gateway == "nebula" else 0
    for seed in (lowest, 2147483647):
        desk.takes(seed=seed)
    for seed in (-1, lowest - 1, 2147483648):
        desk.refuses(f"seed is {seed}", seed=seed)


@each_offer
def test_the_frames_that_a_model_needs_and_takes_are_the_pages(gateway: str, model: str) -> None:
    desk, page = Desk(gateway, model), PAGES[model]
    if page.frames:
        desk.takes(image=CAT)
    else:
        desk.refuses("image", model, image=CAT)
    if "last_image" in page.frames:
        desk.takes(image=CAT, last_image=DOG)
        if not page.needs:
            desk.refuses("a last_image and no image", last_image=DOG)
    else:
        desk.refuses("image", model, image=CAT, last_image=DOG)
    for name in page.needs - {"reference_images"}:
        desk.refuses(f"There is no {name}", **{name: None})
    if not page.needs:
        desk.takes(image=None, last_image=None)


@each_offer
def test_one_to_four_references_are_taken_where_the_page_says_so(gateway: str, model: str) -> None:
    desk, page = Desk(gateway, model), PAGES[model]
    four = [f"https://example.com/{number}.jpg" for number in range(4)]
    if not page.references:
        desk.refuses("reference_images", model, reference_images=four[:1])
        return
    for count in range(1, 5):
        desk.takes(reference_images=four[:count])
    desk.refuses(f"reference_images holds 5; {model} takes 4", reference_images=[*four, CAT])
    if "reference_images" in page.needs:
        desk.refuses("There is no reference_images", reference_images=[])
    else:
        desk.refuses("There are frames and reference images", reference_images=four, image=CAT)


@each_offer
def test_a_prompt_names_no_more_references_than_there_are(gateway: str, model: str) -> None:
    desk = Desk(gateway, model)
    if not PAGES[model].references:
        desk.takes(prompt="@Image1 is written on the wall")  # a text like any other
        return
    for count in range(1, 5):
        desk.takes(reference_images=[CAT] * count, prompt=f"@Image{count} waves at @Image1")
        for named in (0, count + 1, 10 * count, 10**30):
            told = f"of reference images there are {count}"
            desk.refuses(told, reference_images=[CAT] * count, prompt=f"@Image1 waves at @Image{named}")


@each_offer
def test_proportions_are_asked_of_the_models_that_need_no_image(gateway: str, model: str) -> None:
    desk = Desk(gateway, model)
    for ratio in PROPORTIONS:
        if PAGES[model].ratios:
            desk.takes(aspect_ratio=ratio)
        else:
            desk.refuses("aspect_ratio", model, aspect_ratio=ratio)
    for ratio in ("2:1", "16x9", ""):
        desk.refuses("aspect_ratio", model, aspect_ratio=ratio)


# --- both clients ---


@pytest.mark.parametrize("gateway_name", list(SERVED))
async def test_either_client_sends_nothing_that_is_refused_and_then_what_is_not(
    make_client: MakeClient, gateway: Gateway, gateway_name: str
) -> None:
    gateway.submits = [PENDING]
    model = GATEWAYS[gateway_name].default_model
    client = make_client(gateway=gateway_name, base_url="https://gateway.example.com", model=model)
    for fields in ({"duration": 99}, {"resolution": "540p"}, {"seed": -1}, {"image": b"no image"}, {"image": "/cat"}):
        with pytest.raises(InvalidRequestError, match="Nothing was sent"):
            await settle(client.submit({"prompt": "A boat", "image": CAT, **fields}))
        assert gateway.requests == []
    task = await settle(client.submit(prompt="A boat", image=CAT))
    assert (gateway.posts, task.model, task.gateway) == (1, model, gateway_name)


# --- images ---


@functools.cache
def picture(width: int = 640, height: int = 480, form: str = "JPEG", mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (width, height)).save(buffer, form)
    return buffer.getvalue()


@functools.cache
def padded(size: int) -> bytes:
    """A sound JPEG of that many bytes: zeros behind its end mark."""
    whole = picture()
    return whole + b"\0" * (size - len(whole))


class ImageDesk(Desk):
    """Beijing has a storage: there an image goes first, and its address into the request."""

    def takes(self, **fields: Any) -> None:
        if self.gateway != "dashscope":
            super().takes(**fields)
            return
        stored = sum(isinstance(value, bytes) for value in fields.values())
        signed = {"policy": "eyJ9", "signature": "c2ln", "oss_access_key_id": "LTAI"}
        self.sent.fetches = [{"data": {"upload_host": "https://storage.example.com", "upload_dir": "x", **signed}}]
        self.sent.submits = [*[httpx.Response(200)] * stored, PENDING]
        before = self.sent.posts
        self.client.submit(**self.ask(fields))
        assert self.sent.posts == before + stored + 1
        assert self.sent.requests[-1].content.count(b'"oss://x/') == stored


BEIJING = frozenset({"JPEG", "PNG", "BMP", "WEBP"})
# Gateway, formats, largest size in bytes, sides. Nebula: "under 5 MB". Of Vidu's images the page tells nothing but
# that they are addresses; what the row says of them is from Vidu's own pages.
IMAGES = [
    ("nebula", frozenset({"JPEG", "PNG"}), 5 * 1024 * 1024 - 1, None),
    ("dashscope", BEIJING, 10 * 1024 * 1024, (360, 2000)),
    ("dashscope-intl", BEIJING, 10 * 1024 * 1024, (360, 2000)),
    ("dashscope-passthrough", BEIJING, 10 * 1024 * 1024, (360, 2000)),
    ("uniall", frozenset({"JPEG", "PNG", "WEBP"}), 10 * 1024 * 1024, None),
]
each_gateway = each_row(("gateway", "formats", "largest", "sides"), IMAGES, ids=[str(row[0]) for row in IMAGES])


@each_gateway
def test_images_are_held_to_the_gateway_s_formats(
    gateway: str, formats: frozenset[str], largest: int, sides: tuple[int, int] | None
) -> None:
    desk = ImageDesk(gateway, GATEWAYS[gateway].default_model)
    for form in ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF"):
        if form in formats:
            desk.takes(image=picture(form=form))
        else:
            desk.refuses(image=picture(form=form))
    transparent = picture(form="PNG", mode="RGBA")
    if gateway.startswith("dashscope"):
        desk.refuses("an alpha channel", image=transparent)
    else:
        desk.takes(image=transparent)


@each_gateway
def test_images_are_held_to_the_gateway_s_size_to_the_byte(
    gateway: str, formats: frozenset[str], largest: int, sides: tuple[int, int] | None
) -> None:
    desk = ImageDesk(gateway, GATEWAYS[gateway].default_model)
    at_the_limit = padded(largest)
    assert len(at_the_limit) == largest
    desk.takes(image=at_the_limit)
    desk.refuses(f"{largest + 1:,} bytes", f"at most {largest:,} bytes", image=padded(largest + 1))


@each_gateway
def test_images_are_held_to_the_gateway_s_sides_to_the_pixel(
    gateway: str, formats: frozenset[str], largest: int, sides: tuple[int, int] | None
) -> None:
    desk = ImageDesk(gateway, GATEWAYS[gateway].default_model)
    low, high = sides or (1, 3000)
    for width, height in ((low, low), (low, high), (high, low), (high, high)):
        desk.takes(image=picture(width, height))
    if sides:
        for width, height in ((low - 1, low), (low, low - 1), (high + 1, low), (low, high + 1)):
            desk.refuses(f"{width} x {height} pixels", "360 to 2000", image=picture(width, height))


@each_row(
    ("model", "taken", "refused"),
    [
        ("wan2.7-i2v", [(240, 240), (240, 1920), (8000, 1000)], [(239, 240), (240, 1921), (8001, 1100)]),
        ("wan3.0-video", [(240, 8000)], [(239, 240), (240, 8001)]),
        ("happyhorse-1.1-i2v", [(300, 750), (2400, 1000)], [(299, 300), (751, 300)]),
        ("wan2.6-i2v", [(2000, 360)], [(2001, 400), (359, 360)]),
    ],
)
@each_row("gateway", ["dashscope", "dashscope-intl", "dashscope-passthrough"])
def test_a_model_s_own_limits_replace_the_gateway_s(
    gateway: str, model: str, taken: list[tuple[int, int]], refused: list[tuple[int, int]]
) -> None:
    desk = ImageDesk(gateway, model)
    for size in taken:
        desk.takes(image=picture(*size, form="PNG", mode="1"))
    for width, height in refused:
        desk.refuses(f"{width} x {height} pixels", image=picture(width, height, form="PNG", mode="1"))


def test_a_model_s_own_size_and_formats_replace_the_gateway_s() -> None:
    newer, horse = ImageDesk("dashscope", "wan2.7-i2v"), ImageDesk("dashscope", "happyhorse-1.1-i2v")
    newer.takes(image=padded(20 * 1024 * 1024))
    newer.refuses("at most 20,971,520 bytes", image=padded(20 * 1024 * 1024 + 1))
    horse.refuses("at most 10,485,760 bytes", image=padded(10 * 1024 * 1024 + 1))
    newer.takes(image=picture(form="BMP"))
    horse.refuses("The image is BMP", image=picture(form="BMP"))


@each_row(
    ("gateway", "model", "name"),
    [
        ("dashscope", "wan2.2-kf2v-flash", "image"),
        ("dashscope", "wan2.2-kf2v-flash", "last_image"),
        ("uniall", "viduq3t-540p", "last_image"),
        ("uniall", "viduq3t-mix-540p", "reference_images"),
    ],
)
def test_every_image_of_a_request_is_held_to_them(gateway: str, model: str, name: str) -> None:
    desk = ImageDesk(gateway, model)
    first = {"image": CAT} if name == "last_image" else {}
    sound, wrong = picture(), [padded(10 * 1024 * 1024 + 1), picture(form="GIF"), sound_until_the_middle(), b"", "/cat"]
    if name == "reference_images":
        desk.client.submit(**desk.ask({name: [CAT, sound]}))
        assert desk.sent.posts == 1
        for image in wrong:
            desk.refuses(**{name: [CAT, image]})
        return
    desk.takes(**first, **{name: sound})
    for image in wrong:
        desk.refuses(**first, **{name: image})


def sound_until_the_middle() -> bytes:
    whole = picture()
    return whole[: len(whole) // 2]
