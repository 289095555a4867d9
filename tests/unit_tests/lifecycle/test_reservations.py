"""What is reserved before a video is never less than its bill, whatever is asked and whatever ratio is passed."""

from __future__ import annotations

import json
from decimal import ROUND_FLOOR, Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_nebula_video import MemoryJournal, NebulaVideoClient, VideoRequest
from langchain_nebula_video.catalog.gateways import GATEWAYS
from langchain_nebula_video.catalog.offers import Offer, offers
from langchain_nebula_video.lifecycle.orders import make_order
from langchain_nebula_video.protocols import PROTOCOLS
from tests.conftest import KEY, FakeClock, jpeg

IMAGE = "https://example.com/cat.jpg"
SIZED = ("sglang", "vllm-omni")
WIDE = {"480p": "832x480", "720p": "1280x720"}
"""What those say in place of a name: width and height."""
PHOTOGRAPHS = {"480p": jpeg(832, 480), "720p": jpeg(1280, 720)}
"""vLLM-Omni takes files alone, and is asked for a video in the file's shape."""
PRICES = {"480P": Decimal("0.0369"), "720P": Decimal("0.0738"), "1080P": Decimal("0.1233")}
"""In the gateway's code, by the vendor's word."""


class NewestNebula:
    """The gateway by its published code, 2026-02: it tells the vendor's figures, and neither price nor ratio."""

    def __init__(self, ratio: Decimal) -> None:
        self.ratio = ratio
        self.asked: dict[str, Any] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.asked = json.loads(request.content)
            return httpx.Response(200, json={"task_id": "t", "status": "submitted", "output": {"task_id": "t"}})
        usage = {"duration": self.asked.get("duration") or 5, "SR": int(self.made[:-1]), "video_count": 1}
        metadata = {"output": {"task_id": "t", "task_status": "SUCCEEDED"}, "usage": usage, "requested_seconds": 4}
        url = "https://results.example.com/v.mp4"
        return httpx.Response(200, json={"task_id": "t", "status": "succeeded", "url": url, "metadata": metadata})

    @property
    def made(self) -> str:
        """What is not said becomes 720P there, and 1080P at others of its family."""
        return str(self.asked.get("resolution") or "1080P").upper()

    @property
    def bill(self) -> Decimal:
        quota = PRICES[self.made] * (self.asked.get("duration") or 5) * 500_000 * self.ratio
        return quota.to_integral_value(ROUND_FLOOR) / 500_000


RATIOS = st.decimals("0.01", "20", places=3)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "duration": st.sampled_from([5, 10, None]),
        "resolution": st.sampled_from(["480p", "720P", 1080, None]),
        "smart_rewrite": st.booleans(),
        "generate_audio": st.booleans(),
        "seed": st.integers(1, 2**31 - 1),
    },
)


def client(gateway: NewestNebula, journal: MemoryJournal, **options: Any) -> NebulaVideoClient:
    http = httpx.Client(transport=httpx.MockTransport(gateway))
    settings_ = {"api_key": KEY, "clock": FakeClock(), "download_hosts": (".example.com",), **options}
    return NebulaVideoClient(http_client=http, journal=journal, **settings_)


@settings(max_examples=60, deadline=None)
@given(REQUESTS, RATIOS)
def test_a_known_ratio_reserves_the_bill_and_the_bill_is_called_one(request: dict[str, Any], ratio: Decimal) -> None:
    gateway, journal = NewestNebula(ratio), MemoryJournal()
    with client(gateway, journal, group_ratio=ratio, budget=1000) as nebula:
        task = nebula.submit(prompt="x", image=IMAGE, **request)
        (entry,) = journal.entries()
        assert entry.reserved_usd == task.cost.usd
        assert entry.reserved_usd - Decimal("0.000002") < gateway.bill <= entry.reserved_usd
        video = nebula.wait(task)
    assert (video.cost.usd, video.cost.basis) == (gateway.bill, "billed")
    assert journal.spent() == gateway.bill


@settings(max_examples=40, deadline=None)
@given(REQUESTS, st.decimals("0.01", "1", places=3))
def test_a_hidden_discount_leaves_an_estimate_that_is_not_below_the_bill(
    request: dict[str, Any], ratio: Decimal
) -> None:
    gateway, journal = NewestNebula(ratio), MemoryJournal()
    with client(gateway, journal) as nebula:
        video = nebula.generate(prompt="x", image=IMAGE, **request)
    assert video.cost.basis == "estimated"
    assert gateway.bill <= journal.spent() == video.cost.usd


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_every_submit_says_its_resolution(gateway: str) -> None:
    """Stock new-api, and the vendor itself, make 1080P of a Wan 2.5 task that does not say any."""
    row = GATEWAYS[gateway]
    for offer in offers(row):
        for resolution in (None, *offer.resolutions):
            text = json.dumps(_submit(offer, resolution)).lower()
            said = resolution or offer.default_resolution
            expected = WIDE.get(said, said) if gateway in SIZED else said
            assert f'"{expected}"' in text or expected in offer.wire_name.lower(), (offer.model.name, text)


def _submit(offer: Offer, resolution: str | None) -> Any:
    files_alone = offer.gateway.name == "vllm-omni"
    image = PHOTOGRAPHS[resolution or offer.default_resolution] if files_alone else IMAGE
    images: dict[str, Any] = {name: image for name in ("image", "last_image") if offer.requires(name)}
    references = (IMAGE,) if offer.requires("reference_images") else ()
    request = VideoRequest(prompt="x", resolution=resolution, reference_images=references, **images)
    order = make_order(request, offer, Decimal(1), None)
    wire = order.build_submit(PROTOCOLS[offer.gateway.protocol], {})
    return wire.json or dict(wire.form or {})
