"""GATEWAYS: where a model is reached. A row holds the address, the protocol, the key's variable and the limits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.media.limits import ImageLimits

__all__ = ["GATEWAYS", "Gateway", "find_gateway"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gateway:
    """One row: where, how it speaks, and what it can pass on to a model."""

    name: str
    title: str
    """For people."""
    base_url: str | None
    """`None`: every deployment has its own, so the caller must give it."""
    protocol: str
    """The row of `PROTOCOLS` that speaks to it."""
    prefix: str = ""
    """What stands before each of the protocol's paths."""
    api_root: str = "/v1"
    """What all of the protocol's paths begin with; at the end of a `base_url` it is forgiven."""
    key_variable: str
    """The environment variable that holds the key."""
    url_variable: str
    """The environment variable that replaces `base_url`."""
    default_model: str
    """The model for callers that name none."""
    currency: Literal["USD", "CNY"]
    """What its prices are in."""
    cny_per_usd: Decimal = Decimal("7.2")
    """The rate that amounts are converted with."""
    bills: bool = False
    """Whether its answers tell the price that was billed."""
    carries: frozenset[str]
    """The fields of a `VideoRequest` that its protocol has a place for."""
    requires: frozenset[str] = frozenset()
    """Those of them that must be there, whatever the model."""
    images: ImageLimits
    steps: tuple[float, float] = (3.0, 8.0)
    """Seconds between two looks at a task, the shortest and the longest."""
    stores_images: bool = False
    """Whether it has a temporary storage, into which local images are laid."""
    task_hours: int | None = None
    """For how many hours a task can be asked after; `None`: no page says."""
    key_hint: str | None = None
    """What else can be wrong with a key that it refuses."""


_COMMON = frozenset({"prompt", "image", "duration", "resolution", "generate_audio", "seed"})
_NEBULA = _COMMON | {"smart_rewrite", "audio_url"}
_DASHSCOPE = _NEBULA | {"last_image", "negative_prompt", "template", "watermark"}
_UNIALL = _COMMON | {"last_image", "reference_images", "aspect_ratio"}

# Alibaba's image-to-video page, 2025-12: formats, "PNG without alpha", sides of 360 to 2000 pixels, at most 10 MB.
_DASHSCOPE_IMAGES = ImageLimits(
    formats=("JPEG", "PNG", "BMP", "WEBP"), max_bytes=10 * 1024 * 1024, sides=(360, 2000), alpha=False
)
_REGIONS = "Keys of Beijing and Singapore are not interchangeable: if it is one of {}, use gateway={!r}."

GATEWAYS: dict[str, Gateway] = {
    row.name: row
    for row in [
        # Base URL, Bearer key, "1 USD = 7.2 CNY", images under 5 MB, a look every 3 to 5 seconds: the gateway's
        # page for wan2.5-i2v-preview, 2025-11-04.
        Gateway(
            name="nebula",
            title="Nebula",
            base_url="https://llm.ai-nebula.com",
            protocol="nebula",
            key_variable="NEBULA_API_KEY",
            url_variable="NEBULA_BASE_URL",
            default_model="wan2.5-i2v-preview",
            currency="USD",
            bills=True,
            carries=_NEBULA,
            requires=frozenset({"prompt"}),
            images=ImageLimits(formats=("JPEG", "PNG"), max_bytes=5 * 1024 * 1024 - 1),
            task_hours=24,
        ),
        # Hosts, keys by region, at most 20 looks a second for the whole account: Alibaba's page, 2025-12.
        Gateway(
            name="dashscope",
            title="Alibaba DashScope, Beijing",
            base_url="https://dashscope.aliyuncs.com",
            protocol="dashscope",
            api_root="/api/v1",
            key_variable="DASHSCOPE_API_KEY",
            url_variable="DASHSCOPE_BASE_URL",
            default_model="wan2.5-i2v-preview",
            currency="CNY",
            carries=_DASHSCOPE,
            # What lies in its temporary storage is taken too, "in the Beijing region only": the international page
            # on uploading local files, 2026-03-23.
            images=replace(_DASHSCOPE_IMAGES, schemes=("https", "http", "oss")),
            stores_images=True,
            steps=(5.0, 15.0),
            key_hint=_REGIONS.format("Singapore", "dashscope-intl"),
            task_hours=24,
        ),
        Gateway(
            name="dashscope-intl",
            title="Alibaba DashScope, Singapore",
            base_url="https://dashscope-intl.aliyuncs.com",
            protocol="dashscope",
            api_root="/api/v1",
            key_variable="DASHSCOPE_INTL_API_KEY",
            url_variable="DASHSCOPE_INTL_BASE_URL",
            default_model="wan2.5-i2v-preview",
            currency="USD",
            carries=_DASHSCOPE,
            images=_DASHSCOPE_IMAGES,
            steps=(5.0, 15.0),
            key_hint=_REGIONS.format("Beijing", "dashscope"),
            task_hours=24,
        ),
        # The page of one of its resellers (doc.aimanyi.top, read 2025-12) has the vendor's body under a prefix,
        # and no price. It documents neither a list nor a way to cancel or upload.
        Gateway(
            name="dashscope-passthrough",
            title="a reseller's DashScope passthrough",
            base_url=None,
            protocol="dashscope-passthrough",
            prefix="/alibailian",
            api_root="/api/v1",
            key_variable="DASHSCOPE_PASSTHROUGH_API_KEY",
            url_variable="DASHSCOPE_PASSTHROUGH_BASE_URL",
            default_model="wan2.5-i2v-preview",
            currency="CNY",
            carries=_DASHSCOPE,
            images=_DASHSCOPE_IMAGES,
            steps=(5.0, 15.0),
            task_hours=24,
        ),
        # UniAll's page "create a video task (old)", docs.uniall.ai, 2026-03: no base URL, no price, and nothing of
        # images but that they are addresses; formats and size are those that Vidu's own pages give.
        Gateway(
            name="uniall",
            title="UniAll",
            base_url=None,
            protocol="uniall",
            key_variable="UNIALL_API_KEY",
            url_variable="UNIALL_BASE_URL",
            default_model="viduq3p-720p",
            currency="USD",
            carries=_UNIALL,
            requires=frozenset({"prompt"}),
            images=ImageLimits(formats=("JPEG", "PNG", "WEBP"), max_bytes=10 * 1024 * 1024),
        ),
    ]
}


def find_gateway(name: str) -> Gateway:
    """The row of that name.

    Raises:
        InvalidRequestError: there is none.
    """
    given: object = name  # an option's value may be anything
    if isinstance(given, str) and given in GATEWAYS:
        return GATEWAYS[given]
    raise InvalidRequestError(f"There is no gateway {name!r}.", hint=f"Choose one of: {', '.join(GATEWAYS)}.")
