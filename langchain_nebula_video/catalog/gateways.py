"""GATEWAYS: one row per gateway, with its URL, protocol, environment variables and limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Literal

from langchain_nebula_video.catalog.suggestions import did_you_mean
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.media.limits import ImageLimits

__all__ = ["GATEWAYS", "Gateway", "find_gateway"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gateway:
    """One gateway: its URL, its protocol, and the request fields that it can pass to a model."""

    name: str
    title: str
    """The display name."""
    base_url: str | None
    """`None`: each deployment has its own URL, so the caller must set it."""
    protocol: str
    """A key of `PROTOCOLS`."""
    prefix: str = ""
    """Inserted before each of the protocol's paths."""
    api_root: str = "/v1"
    """The start of all of the protocol's paths. A `base_url` that ends with it is accepted too."""
    other_roots: tuple[str, ...] = ()
    """The paths of its other APIs. A `base_url` that ends with one of them is accepted too."""
    region: str | None = None
    """A key of `REGIONS`, if the row is one region of several. A `base_url` of another region is refused, because keys
    and prices are those of the region."""
    key_variable: str
    """The environment variable that holds the key."""
    url_variable: str
    """The environment variable that overrides `base_url`."""
    other_url_variables: tuple[str, ...] = ()
    """More names of that variable, which the vendor's own tools read. The first one that is set counts."""
    url_form: str | None = None
    """How a `base_url` looks, if `base_url` is `None`."""
    default_model: str
    """The model, if the caller names none."""
    currency: Literal["USD", "CNY"]
    """The currency of its prices."""
    cny_per_usd: Decimal = Decimal("7.2")
    """The exchange rate for conversions."""
    carries: frozenset[str]
    """The fields of a `VideoRequest` that it can pass to a model."""
    requires: frozenset[str] = frozenset()
    """The fields that it requires for every model."""
    always_on: frozenset[str] = frozenset()
    """The switches of a `VideoRequest` that a model gets as on, whatever the request says."""
    min_seed: int = 0
    """The lowest seed that reaches a model. One below it would be replaced by a random one."""
    images: ImageLimits
    steps: tuple[float, float] = (3.0, 30.0)
    """The shortest and the longest interval between two fetches of a task, in seconds. The first may come
    later."""
    looks_per_second: float | None = None
    """The most looks a second that its page allows an account. `None`: it names no limit."""
    submits_per_second: float | None = None
    """The most submits a second, likewise."""
    stores_images: bool = False
    """Whether it has temporary storage to which local images are uploaded."""
    task_hours: float | None = None
    """Hours for which a task can be fetched; `math.inf`: for ever. `None`: not documented."""
    renews_urls: bool = True
    """Whether a video's URL may have a new signature if its task is fetched again."""
    max_hold: float = 300.0
    """Seconds for which a server on the way may hold a submit and still deliver it. Before, the absence of its task
    proves nothing. Source of the default: Alibaba's Java client waits 300 s for an answer, so a server may take as
    long to give it (page on connection reuse, 2026-11); common proxies give up after 60 s."""
    bytes_hint: str | None = None
    """What to say when it refuses an image that was sent as bytes. `None`: bytes are fine there."""
    key_hint: str | None = None
    """An additional hint for a refused key."""
    code_hints: Mapping[str, str] = field(default_factory=dict)
    """Additional hints for codes that mean something particular here."""
    free_refusals: frozenset[str] = frozenset()
    """Codes and types of its own error envelope after which it has no task and bills nothing, also with a 5xx status:
    such a submit may be repeated. A fact of this gateway's code, not of its protocol."""
    content_path: str | None = None
    """Where it serves a finished video itself, if an answer has no URL: a path with `{task_id}`, fetched with the
    key."""
    storage_hosts: tuple[str, ...] = ()
    """Domains of the storage that it works with, each with a dot before it: uploads and videos. Only who runs it, or
    its vendor, can give out names there."""
    charges_list_price: bool = False
    """Whether its bill is exactly list price x seconds x group ratio, so that the figures of a finished task and a
    known ratio are the bill."""
    bill_unit: Decimal | None = None
    """The bill is cut down to a whole number of these, in US dollars. `None`: it is not."""
    beat_seconds: float | None = None
    """The pause of its own loop, in seconds: its tasks change only when that comes by. `None`: at any time."""


_COMMON = frozenset({"prompt", "image", "duration", "resolution", "generate_audio", "seed"})
_NEBULA = _COMMON | {"smart_rewrite", "audio_url"}
_DASHSCOPE = _NEBULA | {"last_image", "negative_prompt", "template", "watermark", "aspect_ratio"}
_UNIALL = _COMMON | {"last_image", "reference_images", "aspect_ratio", "negative_prompt"}

_OPEN = frozenset({"prompt", "image", "duration", "resolution", "seed", "negative_prompt"})
_OPEN_IMAGES = ImageLimits(formats=("JPEG", "PNG", "BMP", "WEBP"), max_bytes=20 * 1024 * 1024)

# Alibaba's image-to-video page, 2025-12: formats, "PNG without alpha", sides of 360 to 2000 pixels, at most 10 MB.
_DASHSCOPE_IMAGES = ImageLimits(
    formats=("JPEG", "PNG", "BMP", "WEBP"), max_bytes=10 * 1024 * 1024, sides=(360, 2000), alpha=False
)
# Alibaba's pages on regions and token plans, 2026: keys by region; keys of a plan work at its own address.
_KEY_HINT = (
    "A key works in one region only: if it is of another one, use the gateway of that region ({}). A key that begins "
    "with sk-sp- is of a token plan and needs the plan's own address as base_url: "
    "https://token-plan.REGION.maas.aliyuncs.com."
)
# Alibaba's addresses for its other APIs, which are often in DASHSCOPE_BASE_URL: its SDK 2.0.2 and LiteLLM 1.110.2.
_OTHER_ROOTS = ("/compatible-mode/v1", "/apps/anthropic")
# Alibaba's image-to-video page, 2025-12: the list of its result hosts, all of the form
# dashscope-result-bj.oss-cn-beijing.aliyuncs.com, and the `upload_host` of its page on temporary storage.
_ALIBABA_STORAGE = (".aliyuncs.com",)
_BEIJING = Gateway(
    name="dashscope",
    title="Alibaba DashScope, Beijing",
    base_url="https://dashscope.aliyuncs.com",
    region="cn-beijing",
    protocol="dashscope",
    api_root="/api/v1",
    other_roots=_OTHER_ROOTS,
    key_variable="DASHSCOPE_API_KEY",
    url_variable="DASHSCOPE_BASE_URL",
    other_url_variables=("DASHSCOPE_HTTP_BASE_URL",),
    default_model="wan2.5-i2v-preview",
    currency="CNY",
    carries=_DASHSCOPE,
    # URLs of its temporary storage are accepted too, "in the Beijing region only": the international page on
    # uploading local files, 2026-03-23.
    images=replace(_DASHSCOPE_IMAGES, schemes=("https", "http", "oss")),
    stores_images=True,
    steps=(5.0, 30.0),
    # Alibaba's page on image-to-video, 2025-12: 20 queries a second and account; its page on limits: 5 submits a second
    # for Wan 2.5 and later. Older models have 2, and a 429 slows their submits down to that.
    looks_per_second=20.0,
    submits_per_second=5.0,
    key_hint=_KEY_HINT.format("gateway='dashscope-intl' for Singapore"),
    task_hours=24,
    storage_hosts=_ALIBABA_STORAGE,
)
_SINGAPORE = replace(
    _BEIJING,
    name="dashscope-intl",
    title="Alibaba DashScope, Singapore",
    base_url="https://dashscope-intl.aliyuncs.com",
    region="ap-southeast-1",
    key_variable="DASHSCOPE_INTL_API_KEY",
    url_variable="DASHSCOPE_INTL_BASE_URL",
    other_url_variables=(),
    currency="USD",
    images=_DASHSCOPE_IMAGES,
    stores_images=False,
    key_hint=_KEY_HINT.format("gateway='dashscope' for Beijing"),
)

# The gateway's published code, 2025-12 (relay/relay_task.go, controller/relay.go, service/error.go): it bills from the
# row of a task alone, and it writes a row only after it had the vendor's task id. These codes come before the row, or
# instead of it. `nebula_api_error` is the type of the envelope of its checks of key, account and channel.
_NEBULA_FREE_REFUSALS = frozenset(
    {
        "nebula_api_error",
        "invalid_request",
        "invalid_api_platform",
        "invalid_multipart_form",
        "get_model_price_failed",
        "get_user_quota_failed",
        "quota_not_enough",
        "build_request_failed",
        "do_request_failed",
        "fail_to_fetch_task",
        "task_submit_failed",
        "unknown_response",
        "unmarshal_response_failed",
        "read_response_body_failed",
        "insert_task_failed",
    }
)

# The route of OpenAI's video API, which new-api, LiteLLM, vLLM-Omni and SGLang have taken over.
_CONTENT_PATH = "/v1/videos/{task_id}/content"

# Sources: QuantumNous/new-api until 2026-08 (relay/channel/task/ali/adaptor.go, model/task.go) and its plugins for
# Alibaba, 1.0.0 to 1.4.2, 2026-08 to 10. Its rows of tasks stay. Alibaba's limits hold for images.
_NEWAPI = Gateway(
    name="newapi",
    title="new-api",
    base_url=None,
    protocol="newapi",
    key_variable="NEWAPI_API_KEY",
    url_variable="NEWAPI_BASE_URL",
    default_model="wan2.5-i2v-preview",
    currency="USD",
    carries=_DASHSCOPE - {"aspect_ratio"},
    requires=frozenset({"prompt"}),
    # The code leaves out a rewriting that is off and a seed of 0, and so does the plugin until 1.2.
    always_on=frozenset({"smart_rewrite"}),
    min_seed=1,
    images=_DASHSCOPE_IMAGES,
    steps=(5.0, 30.0),
    task_hours=math.inf,
    renews_urls=False,
    content_path=_CONTENT_PATH,
    storage_hosts=_ALIBABA_STORAGE,  # it serves Alibaba's models
)

GATEWAYS: dict[str, Gateway] = {
    row.name: row
    for row in [
        # Source of base URL, Bearer key, "1 USD = 7.2 CNY", images under 5 MB and a poll every 3 to 5 seconds: the
        # gateway's page for wan2.5-i2v-preview, 2025-11-04. That it keeps its tasks and signs no URL anew, and its path
        # of the video: its published code, 2025-12 (relay/relay_task.go, router/video-router.go).
        Gateway(
            name="nebula",
            title="Nebula",
            base_url="https://llm.ai-nebula.com",
            protocol="nebula",
            key_variable="NEBULA_API_KEY",
            url_variable="NEBULA_BASE_URL",
            default_model="wan2.5-i2v-preview",
            currency="USD",
            carries=_NEBULA,
            requires=frozenset({"prompt"}),
            # The gateway's published code, 2025-12 (relay/channel/task/ali/dto.go): a switch that is off, or a seed of
            # 0, is left out of what it sends, and the vendor then applies its own defaults. Alibaba's image-to-video
            # page, 2025-12: rewriting is on by default, and a silent video needs an explicit `audio: false`.
            always_on=frozenset({"smart_rewrite", "generate_audio"}),
            min_seed=1,
            images=ImageLimits(formats=("JPEG", "PNG"), max_bytes=5 * 1024 * 1024 - 1),
            task_hours=math.inf,
            renews_urls=False,
            content_path=_CONTENT_PATH,
            storage_hosts=_ALIBABA_STORAGE,  # the same page: its example's result
            # The same code (controller/task.go): the loop sleeps 15 seconds between two rounds.
            beat_seconds=15.0,
            free_refusals=_NEBULA_FREE_REFUSALS,
            # The gateway's published code, 2025-11 (relay/channel/task/ali/adaptor.go): it cuts a data: URI to its bare
            # base64, of which Alibaba's page knows nothing, and warns above 500,000 characters. Not tried live.
            bytes_hint="The image went as bytes. Nebula passes on only their base64, which the vendor most likely "
            "refuses, above some 375 KB in any case: give the image's public https address, or set image_store=… "
            "to publish it while its task needs it.",
            # "Resolution price x duration x group ratio, on completion", says the page. The gateway's published code,
            # 2025-12 to 2026-02 (controller/task_video.go): at the vendor's own duration and resolution, times the
            # site's discount, cut to whole units of 500,000 to the dollar. Neither ratio nor discount is told.
            charges_list_price=True,
            bill_unit=Decimal("0.000002"),
            # The same code (relay/relay_task.go): base price x 4 seconds x ratio, whatever was asked for.
            code_hints={
                "quota_not_enough": "Whatever the video costs, Nebula asks for a balance of $0.2952, times the ratio "
                "of your account's group."
            },
        ),
        # Sources: Alibaba's page, 2025-12: hosts, keys by region, at most 20 fetches per second per account. Its pages
        # on regions, 2026: the rows after Singapore. No price of theirs is known.
        _BEIJING,
        _SINGAPORE,
        replace(
            _SINGAPORE,
            name="dashscope-us",
            title="Alibaba DashScope, Virginia",
            region="us-east-1",
            base_url="https://dashscope-us.aliyuncs.com",
            key_variable="DASHSCOPE_US_API_KEY",
            url_variable="DASHSCOPE_US_BASE_URL",
            default_model="wan2.6-i2v-us",
        ),
        replace(
            _SINGAPORE,
            name="dashscope-eu",
            title="Alibaba DashScope, Frankfurt",
            region="eu-central-1",
            base_url=None,
            url_form="https://WORKSPACE.eu-central-1.maas.aliyuncs.com",
            key_variable="DASHSCOPE_EU_API_KEY",
            url_variable="DASHSCOPE_EU_BASE_URL",
            default_model="wan2.6-i2v",
        ),
        replace(
            _SINGAPORE,
            name="dashscope-hk",
            title="Alibaba DashScope, Hong Kong",
            region="cn-hongkong",
            base_url="https://cn-hongkong.dashscope.aliyuncs.com",
            key_variable="DASHSCOPE_HK_API_KEY",
            url_variable="DASHSCOPE_HK_BASE_URL",
            default_model="wan3.0-video",
        ),
        # Source: the page of a reseller (doc.aimanyi.top, read 2025-12). It has the vendor's body under a prefix, and
        # no prices. It documents no task list, no cancellation and no upload.
        Gateway(
            name="dashscope-passthrough",
            title="a reseller's DashScope passthrough",
            base_url=None,
            protocol="dashscope-passthrough",
            prefix="/alibailian",
            api_root="/api/v1",
            other_roots=_OTHER_ROOTS,
            key_variable="DASHSCOPE_PASSTHROUGH_API_KEY",
            url_variable="DASHSCOPE_PASSTHROUGH_BASE_URL",
            default_model="wan2.5-i2v-preview",
            currency="CNY",
            carries=_DASHSCOPE,
            images=_DASHSCOPE_IMAGES,
            steps=(5.0, 30.0),
            task_hours=24,
            storage_hosts=_ALIBABA_STORAGE,
        ),
        # Sources: UniAll's page "Vidu video generation", docs.uniall.ai, 2026-06-03, and its pages on other models; the
        # address: two articles of its own, 2026-05-30. Of images they say only that they are URLs. Formats and size
        # come from Vidu's own pages.
        Gateway(
            name="uniall",
            title="UniAll",
            base_url="https://api.uniall.ai",
            protocol="uniall",
            key_variable="UNIALL_API_KEY",
            url_variable="UNIALL_BASE_URL",
            default_model="viduq3p-720p",
            currency="USD",
            carries=_UNIALL,
            requires=frozenset({"prompt"}),
            images=ImageLimits(formats=("JPEG", "PNG", "WEBP"), max_bytes=10 * 1024 * 1024),
            content_path=_CONTENT_PATH,
        ),
        _NEWAPI,
        # From the plugins on, `/v1/videos` carries every field of the vendor's, and names no address of the video.
        replace(
            _NEWAPI,
            name="newapi-videos",
            title="new-api with plugins",
            protocol="videos-newapi",
            default_model="wan2.7-i2v",
            carries=_DASHSCOPE,
            always_on=frozenset(),
            min_seed=0,
        ),
        # LiteLLM 1.110.2 and 1.108.7, run on 2026-11-27. Each look asks the vendor, who keeps a task for 24 hours.
        Gateway(
            name="litellm",
            title="LiteLLM",
            base_url=None,
            protocol="videos-litellm",
            key_variable="LITELLM_API_KEY",
            url_variable="LITELLM_BASE_URL",
            default_model="wan2.7-i2v",
            currency="USD",
            carries=_DASHSCOPE - {"template"},
            images=_DASHSCOPE_IMAGES,
            steps=(5.0, 30.0),
            task_hours=24,
            content_path=_CONTENT_PATH,
            storage_hosts=_ALIBABA_STORAGE,
        ),
        # Sources: SGLang, entrypoints/openai/video_api.py; vLLM-Omni, docs/serving/videos_api.md; 2026. Neither
        # documents limits for images: the formats are some that Pillow opens, the size is a guess.
        Gateway(
            name="sglang",
            title="SGLang",
            base_url=None,
            protocol="videos-sglang",
            key_variable="SGLANG_API_KEY",
            url_variable="SGLANG_BASE_URL",
            default_model="wan2.2-i2v-a14b",
            currency="USD",
            carries=_OPEN,
            requires=frozenset({"prompt"}),
            images=_OPEN_IMAGES,
            content_path=_CONTENT_PATH,
        ),
        Gateway(
            name="vllm-omni",
            title="vLLM-Omni",
            base_url=None,
            protocol="videos-vllm-omni",
            key_variable="VLLM_OMNI_API_KEY",
            url_variable="VLLM_OMNI_BASE_URL",
            default_model="wan2.2-i2v-a14b",
            currency="USD",
            carries=_OPEN,
            requires=frozenset({"prompt"}),
            images=_OPEN_IMAGES,
            content_path=_CONTENT_PATH,
        ),
    ]
}


def find_gateway(name: str) -> Gateway:
    """Return the gateway's row.

    Raises:
        InvalidRequestError: there is no such gateway.
    """
    given: object = name  # an option may have a value of any type
    if isinstance(given, str) and given in GATEWAYS:
        return GATEWAYS[given]
    meant = did_you_mean(str(name), GATEWAYS)
    raise InvalidRequestError(f"There is no gateway {name!r}.{meant}", hint=f"Choose one of: {', '.join(GATEWAYS)}.")
