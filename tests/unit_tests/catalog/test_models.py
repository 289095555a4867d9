"""What the model's row allows, on both sides of each edge, and what the refusals say."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from PIL import Image

from langchain_nebula_video import InvalidRequestError, VideoRequest
from langchain_nebula_video.catalog.gateways import GATEWAYS, find_gateway
from langchain_nebula_video.catalog.models import MODELS, Model, find_model
from langchain_nebula_video.catalog.offers import build_request, find_offer, offers
from langchain_nebula_video.protocols import PROTOCOLS
from tests.tables import each_row

MODEL = "wan2.5-i2v-preview"
WAN = MODELS[MODEL]
NEBULA = GATEWAYS["nebula"]
ASK: dict[str, Any] = {"prompt": "A kitten opens its eyes", "image": "https://example.com/cat.jpg"}


def completed(**fields: Any) -> VideoRequest:
    asked = build_request({**ASK, **fields}, {})
    return find_offer(asked.model or MODEL, NEBULA).complete(asked)


def refused(*parts: str, **fields: Any) -> None:
    """A request with these fields is refused: the message says each part, that nothing was sent, what to do."""
    with pytest.raises(InvalidRequestError) as caught:
        completed(**fields)
    told = str(caught.value)
    assert "Nothing was sent and nothing was spent." in told
    assert caught.value.hint
    for part in parts:
        assert part in told


# --- defaults ---


def test_what_is_left_out_is_the_page_s_default() -> None:
    request = completed()
    assert request.model == MODEL
    assert (request.duration, request.resolution) == (5, "720p")
    assert (request.smart_rewrite, request.generate_audio) == (False, False)
    assert (request.seed, request.audio_url) == (None, None)


def test_none_is_as_good_as_left_out() -> None:
    assert completed(duration=None, resolution=None, seed=None, model=None, audio_url=None) == completed()


def test_a_completed_request_stays_the_same_when_completed_again() -> None:
    request = completed(duration=10, seed=1)
    assert find_offer(MODEL, NEBULA).complete(request) == request


def test_completing_leaves_the_caller_s_request_alone() -> None:
    request = VideoRequest(**ASK)
    find_offer(MODEL, NEBULA).complete(request)
    assert request.duration is None


# --- prompt ---


@each_row("prompt", ["x", "x" * 1500, "猫" * 1500, "\n x"])
def test_a_prompt_of_up_to_1500_characters_is_taken(prompt: str) -> None:
    assert completed(prompt=prompt).prompt == prompt


@each_row("prompt", ["x" * 1501, "猫" * 1501])
def test_a_longer_prompt_is_refused_because_the_rest_would_be_dropped(prompt: str) -> None:
    refused("1501 characters", "1500", "Shorten it", prompt=prompt)


@each_row("prompt", ["", " ", "\n\t", "\u3000"])
def test_an_empty_prompt_is_refused(prompt: str) -> None:
    refused("The prompt is empty", "what should happen", prompt=prompt)


@each_row("field", ["prompt", "audio_url", "image"])
def test_half_a_character_is_refused_because_it_cannot_be_sent(field: str) -> None:
    refused(f"{field} holds half a character", "an emoji was cut in two", **{field: "https://example.com/\ud83d"})


# --- image ---


def test_a_missing_image_is_refused() -> None:
    refused("There is no image", "https or http URL", image=None)


def test_an_image_of_any_kind_gets_through_to_the_wire() -> None:
    picture = Image.new("RGB", (4, 4))
    for image in (picture, b"bytes", {"type": "image", "url": "https://example.com/cat.jpg"}):
        assert completed(image=image).image is image


def test_an_image_that_cannot_be_compared_is_no_matter() -> None:
    """Arrays answer a comparison with an array, which is neither true nor false."""

    class Array:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            raise ValueError("ambiguous")

    image = Array()
    assert completed(image=image).image is image


# --- duration, resolution, seed ---


@each_row(("duration", "seconds"), [(5, 5), (10, 10), ("5", 5), (5.0, 5), ("10", 10)])
def test_the_page_s_durations_are_taken(duration: object, seconds: int) -> None:
    found = completed(duration=duration).duration
    assert (found, type(found)) == (seconds, int)


@each_row("duration", [0, 1, 4, 6, 7, 9, 11, 15, -5, 10**9])
def test_another_duration_is_refused_because_5_would_be_billed(duration: int) -> None:
    refused(f"duration is {duration}", "Choose one of: 5, 10", duration=duration)


@each_row("duration", [True, False, 5.5, "5s", "five", [5], {}, float("nan")])
def test_a_duration_that_is_no_whole_number_is_refused(duration: object) -> None:
    refused("duration", duration=duration)


@each_row("resolution", ["480p", "720p", "1080p", "480P", "720P", "1080P", "720", 720])
def test_the_page_s_resolutions_are_taken_however_they_are_written(resolution: Any) -> None:
    assert completed(resolution=resolution).resolution == f"{resolution}".lower().removesuffix("p") + "p"


@each_row("resolution", ["4k", "360p", "360", "1280x720", " 720p", "720p ", "auto"])
def test_another_resolution_is_refused(resolution: str) -> None:
    refused("resolution is", "Choose one of: 480p, 720p, 1080p", resolution=resolution)


@each_row("resolution", [7.2, ["720p"], True])
def test_a_resolution_that_is_neither_text_nor_number_is_refused(resolution: object) -> None:
    refused("resolution", resolution=resolution)


@each_row("seed", [1, 12345, 2147483646, 2147483647])
def test_a_seed_within_the_page_s_range_is_taken(seed: int) -> None:
    assert completed(seed=seed).seed == seed


@each_row("seed", [-1, -(10**20), 2147483648, 10**20])
def test_a_seed_outside_the_page_s_range_is_refused(seed: int) -> None:
    refused(f"seed is {seed}.", "from 1 to 2147483647", seed=seed)


def test_a_seed_of_0_which_nebula_does_not_pass_on_is_refused_before_it_is_sent() -> None:
    refused("seed is 0. Nebula would replace it by a random one.", "Give a seed from 1 to 2147483647, or none.", seed=0)


@each_row("seed", [True, 1.5, "one", []])
def test_a_seed_that_is_no_whole_number_is_refused(seed: object) -> None:
    refused("seed", seed=seed)


# --- sound ---


@each_row("url", ["https://example.com/a.mp3", "HTTPS://example.com/a.wav?x=1"])
def test_a_public_https_sound_is_taken(url: str) -> None:
    assert completed(audio_url=url).audio_url == url


@each_row(
    "url",
    ["", "http://example.com/a.mp3", "ftp://example.com/a.mp3", "https://", "https:///a.mp3", "a.mp3", "/tmp/a.mp3",
     "data:audio/mp3;base64,AA==", "https://exa mple.com/a.mp3", "https://example.com:0/a.mp3"],
)  # fmt: skip
def test_a_sound_that_is_at_no_https_address_is_refused(url: str) -> None:
    refused("audio_url is not an https address", "MP3 or WAV", "15 MB", audio_url=url)


def test_a_sound_of_one_s_own_beside_made_sound_warns_which_one_wins() -> None:
    with pytest.warns(UserWarning, match="audio_url is given, so the gateway ignores generate_audio"):
        request = completed(audio_url="https://example.com/a.mp3", generate_audio=True)
    assert request.audio_url == "https://example.com/a.mp3"


@each_row("field", ["generate_audio", "smart_rewrite"])
def test_a_switch_is_taken_either_way(field: str) -> None:
    assert [getattr(completed(**{field: value}), field) for value in (True, False)] == [True, False]


# --- what this model does not take ---


@each_row(
    ("field", "value"),
    [
        ("negative_prompt", "blur"),
        ("negative_prompt", ""),
        ("template", "squish"),
        ("watermark", True),
        ("last_image", "https://example.com/end.jpg"),
        ("last_image", b""),
        ("reference_images", ["https://example.com/who.jpg"]),
        ("aspect_ratio", "16:9"),
    ],
)
def test_a_field_that_is_not_taken_is_refused_by_name(field: str, value: object) -> None:
    """Either the model does not take it, or the gateway has no place for it."""
    refused(field, f"Leave {field} out", **{field: value})


@each_row(("field", "value"), [("negative_prompt", "blur"), ("watermark", True)])
def test_a_field_that_the_model_takes_elsewhere_is_laid_to_the_gateway(field: str, value: object) -> None:
    refused(f"Nebula has no place for {field}", "another model or gateway", **{field: value})


@each_row(("field", "value"), [("template", "squish"), ("aspect_ratio", "16:9"), ("last_image", b"")])
def test_a_field_that_the_model_never_takes_is_laid_to_the_model(field: str, value: object) -> None:
    refused(f"{MODEL} takes no {field}", "another model or gateway", **{field: value})


@each_row(
    ("field", "value"),
    [("negative_prompt", None), ("watermark", False), ("reference_images", []), ("reference_images", ())],
)
def test_a_field_left_at_its_default_does_not_count(field: str, value: object) -> None:
    assert completed(**{field: value}) == completed()


def test_every_field_of_a_request_is_either_taken_or_refused_by_name() -> None:
    offer = find_offer(MODEL, NEBULA)
    fields = set(VideoRequest.model_fields) - {"model"}
    assert {name for name in fields if not offer.accepts(name)} == {
        "negative_prompt", "template", "watermark", "last_image", "reference_images", "aspect_ratio"
    }  # fmt: skip


# --- reading a request ---


def test_an_unknown_field_is_refused_by_name() -> None:
    refused("durations", durations=5)


def test_several_wrong_fields_are_named_at_once() -> None:
    refused("duration", "seed", "frames", duration="x", seed="y", frames=1)


def test_a_refusal_does_not_repeat_the_value_which_may_be_megabytes_or_secret() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        build_request({"prompt": {"secret": "hunter2"}}, {})
    assert "hunter2" not in str(caught.value)


@each_row("request_", [None, {}, VideoRequest()])
def test_keywords_alone_make_a_request(request_: Any) -> None:
    assert build_request(request_, {"prompt": "x"}) == VideoRequest(prompt="x")


@each_row("request_", [{"prompt": "a", "seed": 1}, VideoRequest(prompt="a", seed=1)])
def test_keywords_win_over_the_request(request_: Any) -> None:
    assert build_request(request_, {"prompt": "b"}) == VideoRequest(prompt="b", seed=1)


@each_row("request_", ["A kitten", 7, ["prompt"], {1: 2}])
def test_what_is_no_request_is_refused(request_: Any) -> None:
    with pytest.raises(InvalidRequestError, match=r"is no request\. Nothing was sent .* Give a VideoRequest"):
        build_request(request_, {})


# --- models and gateways ---


def test_an_unknown_model_is_refused_with_those_there_are() -> None:
    refused("There is no model 'wan9'", f"Choose one of: {MODEL}", model="wan9")
    with pytest.raises(InvalidRequestError, match="Choose one of"):
        find_model("")


def test_an_unknown_gateway_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        InvalidRequestError,
        match=r"no gateway 'nebular'\. Did you mean nebula\? Nothing was sent .* Choose one of: nebula",
    ):
        find_gateway("nebular")


def test_a_model_that_the_gateway_does_not_serve_is_refused_with_where_it_is() -> None:
    with pytest.raises(InvalidRequestError, match=f"'other' does not serve '{MODEL}'"):
        find_offer(MODEL, replace(NEBULA, name="other"))
    with pytest.raises(InvalidRequestError, match=r"is served by 'dashscope', 'dashscope-intl'"):
        find_offer("wan2.2-i2v-flash", NEBULA)


def test_a_gateway_s_own_name_for_a_model_is_led_to_ours() -> None:
    with pytest.raises(InvalidRequestError, match=r"It is called 'wanx2\.1-i2v-turbo' here"):
        find_model("wan2.1-i2v-turbo")


each_model = each_row("row", MODELS.values(), ids=list(MODELS))


class TestEveryRow:
    """What holds for each row of `MODELS`, so that a new one cannot be half filled in."""

    @each_model
    def test_stands_under_its_own_name(self, row: Model) -> None:
        assert MODELS[row.name] is row

    @each_model
    def test_has_a_price_for_each_resolution_at_each_of_its_gateways(self, row: Model) -> None:
        assert set(row.prices) <= set(GATEWAYS)
        for table in row.prices.values():
            assert set(table) <= set(row.resolutions)
            assert all(price > 0 for price in table.values())
        assert set(row.names) <= set(row.prices)

    @each_model
    def test_says_how_long_each_duration_takes(self, row: Model) -> None:
        assert set(row.typical_seconds) in ({0}, set(row.durations))
        assert all(0 < earliest < latest < row.timeout for earliest, latest in row.typical_seconds.values())

    @each_model
    def test_has_defaults_that_it_offers(self, row: Model) -> None:
        assert row.default_resolution in row.resolutions
        assert row.default_duration in row.durations
        assert all(resolution == resolution.lower() for resolution in row.resolutions)
        assert row.typical(None) == next(iter(row.typical_seconds.values()))

    @each_model
    def test_names_only_fields_that_there_are(self, row: Model) -> None:
        assert row.requires | row.takes <= set(VideoRequest.model_fields)
        assert not row.requires & row.takes
        assert "prompt" in row.takes
        assert bool(row.templates) is ("template" in row.takes)
        assert bool(row.max_references) is ("reference_images" in row.requires | row.takes)
        assert bool(row.aspect_ratios) is ("aspect_ratio" in row.takes)

    @each_model
    def test_cannot_be_changed_by_accident(self, row: Model) -> None:
        assert all(isinstance(table, MappingProxyType) for table in (row.prices, *row.prices.values()))
        with pytest.raises(AttributeError):
            row.timeout = 1.0  # type: ignore[misc]


@each_row("name", list(GATEWAYS))
def test_every_gateway_speaks_a_protocol_that_there_is(name: str) -> None:
    row = GATEWAYS[name]
    assert row.name == name
    assert row.protocol in PROTOCOLS
    assert row.base_url is None or row.base_url.startswith("https://")
    assert not (row.base_url or "").endswith("/")
    assert row.cny_per_usd > 0
    assert row.requires <= row.carries <= set(VideoRequest.model_fields)
    assert row.default_model in {offer.model.name for offer in offers(row)}


@each_row(
    ("name", "fps", "typical"),
    [
        ("wan2.5-i2v-preview", 24, {5: (60, 120), 10: (120, 180)}),
        ("wan2.2-i2v-flash", 30, {5: (60, 300)}),
        ("wan2.2-i2v-plus", 30, {5: (60, 300)}),
        ("wanx2.1-i2v-plus", 30, {5: (60, 300)}),
        ("wanx2.1-i2v-turbo", 30, {3: (60, 300), 4: (60, 300), 5: (60, 300)}),
    ],
)
def test_frames_and_minutes_are_the_pages(name: str, fps: int, typical: dict[int, tuple[float, float]]) -> None:
    """Alibaba: "usually one to five minutes"; Nebula has figures of its own for each duration."""
    row = MODELS[name]
    assert row.fps == fps
    assert {duration: row.typical(duration) for duration in row.durations} == typical
    assert row.slowest == max(latest for _, latest in typical.values())


def test_the_row_of_wan_is_the_page_s() -> None:
    assert (WAN.durations, WAN.resolutions) == ((5, 10), ("480p", "720p", "1080p"))
    assert (WAN.typical(5), WAN.typical(10)) == ((60.0, 120.0), (120.0, 180.0))
    assert (NEBULA.images.max_bytes, NEBULA.images.formats) == (5 * 1024 * 1024 - 1, ("JPEG", "PNG"))
    assert NEBULA.base_url == "https://llm.ai-nebula.com"
