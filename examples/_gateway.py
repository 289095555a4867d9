"""What the examples share: where they send their requests, a photograph, and a stand-in for a language model."""

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
    """Stands for a language model: calls the tool, then thanks. Put your own chat model in its place."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:  # noqa: ARG002 it knows what to call
        """Nothing to bind: the script is fixed."""
        return self


def picture(data: bytes) -> ImageContentBlock:
    """A picture as a message carries it."""
    return create_image_block(base64=base64.b64encode(data).decode(), mime_type="image/jpeg")


@contextmanager
def gateway(speed: float = 500) -> Iterator[dict[str, Any]]:
    """Keywords for a client, a tool or a runnable: the real gateway if there is a key, else the emulator."""
    if os.environ.get("NEBULA_API_KEY"):
        print("Gateway: the real one. This costs money.")
        yield {}
        return
    with Emulator(speed=speed) as emulator:
        print("Gateway: the emulator. Set NEBULA_API_KEY for the real one.")
        yield {"base_url": emulator.url, "api_key": emulator.api_key, "poll_interval": 0.1}


@contextmanager
def five_gateways() -> Iterator[Emulator]:
    """All of them on the emulator, in the environment as a deployment would have them."""
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
