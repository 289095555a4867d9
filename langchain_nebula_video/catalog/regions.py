"""DashScope's regions: their addresses, and the gateway of each. A region has keys, models and prices of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["REGIONS", "Region", "region_of_host"]


@dataclass(frozen=True, slots=True)
class Region:
    """One region."""

    title: str
    gateway: str | None
    """The row of `GATEWAYS`. `None`: no video model is known to be served there."""
    host: str | None
    """The host that all accounts share, if there is one. An account's workspace has its own."""


# Sources: Alibaba's pages on regions, 2026; its SDK 2.0.2 (six regions, workspace hosts); LiteLLM 1.110.2 (the shared
# host of Virginia, for which the SDK falls back to Singapore's).
REGIONS = {
    "cn-beijing": Region("Beijing", "dashscope", "dashscope.aliyuncs.com"),
    "ap-southeast-1": Region("Singapore", "dashscope-intl", "dashscope-intl.aliyuncs.com"),
    "us-east-1": Region("Virginia", "dashscope-us", "dashscope-us.aliyuncs.com"),
    "eu-central-1": Region("Frankfurt", "dashscope-eu", None),
    "cn-hongkong": Region("Hong Kong", "dashscope-hk", "cn-hongkong.dashscope.aliyuncs.com"),
    "ap-northeast-1": Region("Tokyo", None, None),
}
_SHARED_HOSTS = {region.host: name for name, region in REGIONS.items()}
_WORKSPACE_HOST = re.compile(r"[^.]+\.([a-z0-9-]+)\.maas\.aliyuncs\.com")
"""A workspace's host, or that of a token plan (`token-plan.cn-beijing.maas.aliyuncs.com`)."""


def region_of_host(host: str | None) -> Region | None:
    """Return the region of one of DashScope's own hosts; `None` for any other host."""
    name = (host or "").lower().rstrip(".")
    workspace = _WORKSPACE_HOST.fullmatch(name)
    return REGIONS.get(workspace[1] if workspace else _SHARED_HOSTS.get(name, ""))
