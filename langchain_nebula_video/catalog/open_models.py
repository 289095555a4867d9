"""Models with open weights, as one serves them on GPUs of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from langchain_nebula_video.catalog.model import Model, price_table

__all__ = ["open_models"]

_WAN_2_2 = "Wan-AI/Wan2.2-I2V-A14B-Diffusers"


def open_models() -> Iterator[Model]:
    """Yield the rows for SGLang and vLLM-Omni. A server serves one model, under its name on Hugging Face."""
    # Source: the model's card, 2025-07: 480P and 720P, videos of five seconds, 16 frames a second. The servers make any
    # shorter length too. They document no prompt length. How long a task takes depends on the GPUs: an estimate.
    yield Model(
        name="wan2.2-i2v-a14b",
        title="Wan 2.2 image-to-video, open weights",
        requires=frozenset({"image"}),
        takes=frozenset({"prompt", "duration", "resolution", "seed", "negative_prompt"}),
        durations=(1, 2, 3, 4, 5),
        resolutions=("480p", "720p"),
        default_resolution="720p",
        fps=16,
        max_prompt=None,
        prices=price_table(sglang="", vllm_omni=""),
        names=MappingProxyType({"sglang": _WAN_2_2, "vllm-omni": _WAN_2_2}),
        typical_seconds=MappingProxyType({0: (60.0, 600.0)}),
        timeout=1800.0,
        source="the model's card on Hugging Face, 2025-07; C",
    )
