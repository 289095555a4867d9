"""Shared by the examples: the gateway, a photograph, and a scripted chat model."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

from langchain_core.language_models import FakeMessagesListChatModel
from langchain_core.messages.content import ImageContentBlock, create_image_block

from langchain_nebula_video.emulator import Emulator

PHOTOGRAPH = files("langchain_nebula_video").joinpath("assets", "cat.jpg").read_bytes()


class ScriptedModel(FakeMessagesListChatModel):
    """A chat model with fixed answers. Use your own chat model instead."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:  # noqa: ARG002 the answers are fixed
        """Return the model unchanged: its answers are fixed."""
        return self


def picture(data: bytes) -> ImageContentBlock:
    """The content block of a JPEG image."""
    return create_image_block(base64=base64.b64encode(data).decode(), mime_type="image/jpeg")


@contextmanager
def gateway(speed: float = 500) -> Iterator[dict[str, Any]]:
    """Options for a client, a tool or a runnable: the real gateway if `NEBULA_API_KEY` is set, else the emulator."""
    if os.environ.get("NEBULA_API_KEY"):
        print("Gateway: the real one. This costs money.")
        yield {}
        return
    with Emulator(speed=speed) as emulator:
        print("Gateway: the emulator. Set NEBULA_API_KEY for the real one.")
        yield {"base_url": emulator.url, "api_key": emulator.api_key, "poll_interval": 0.1}


@contextmanager
def five_gateways() -> Iterator[Emulator]:
    """Start the emulator and put the address and key of each gateway into the environment, as a deployment does."""
    with Emulator(speed=500) as emulator:
        emulator.add_account("sk-beijing", region="beijing")
        emulator.add_account("sk-singapore", region="singapore")
        where = {
            "NEBULA": (emulator.url, emulator.api_key),
            "DASHSCOPE": (emulator.dashscope_url("beijing"), "sk-beijing"),
            "DASHSCOPE_INTL": (emulator.dashscope_url("singapore"), "sk-singapore"),
            "DASHSCOPE_PASSTHROUGH": (emulator.passthrough_url, emulator.api_key),
            "UNIALL": (emulator.url, emulator.api_key),
        }
        for name, (address, key) in where.items():
            os.environ[f"{name}_BASE_URL"], os.environ[f"{name}_API_KEY"] = address, key
        yield emulator
