"""One chain on five gateways. Only the name of the gateway changes."""

from __future__ import annotations

import base64
import io

from _gateway import PHOTOGRAPH, five_gateways
from langchain_core.messages import AIMessage
from langchain_core.messages.content import create_image_block, create_text_block
from langchain_core.runnables import Runnable, RunnableLambda
from PIL import Image

from langchain_nebula_video import NebulaVideoRunnable, Video


def draw(subject: str) -> AIMessage:
    """A stand-in for an image model: some text, and a base64 image block that is large enough for every gateway."""
    picture = io.BytesIO()
    Image.open(io.BytesIO(PHOTOGRAPH)).resize((902, 600)).save(picture, "JPEG")
    data = base64.b64encode(picture.getvalue()).decode()
    words = create_text_block(f"Here is {subject}!")  # a model's text is never the prompt
    return AIMessage(content_blocks=[words, create_image_block(base64=data, mime_type="image/jpeg")])


def chain(gateway: str) -> Runnable[str, Video]:
    """Draw, then animate. Each gateway reads its key and address from its own environment variables."""
    animate = NebulaVideoRunnable(gateway=gateway, prompt="The cat slowly turns its head", poll_interval=0.1)
    return RunnableLambda(draw) | animate


# Always on the emulator: this makes five videos on five accounts.
with five_gateways() as emulator:
    for gateway in ("nebula", "dashscope", "dashscope-intl", "dashscope-passthrough", "uniall"):
        video = chain(gateway).invoke("the cat")
        print(f"{gateway}: {video.model}, {video.duration} s at {video.resolution}, cost {video.cost}")
    print("Videos paid for:", len(emulator.bill.lines))
