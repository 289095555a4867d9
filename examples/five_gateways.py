"""One chain on five gateways: nothing changes but a word."""

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
    """Stands for a model that draws: chatter, and a base64 image block that is large enough for every gateway."""
    picture = io.BytesIO()
    Image.open(io.BytesIO(PHOTOGRAPH)).resize((902, 600)).save(picture, "JPEG")
    data = base64.b64encode(picture.getvalue()).decode()
    words = create_text_block(f"Here is {subject}!")  # never the prompt: that is the runnable's, or the user's
    return AIMessage(content_blocks=[words, create_image_block(base64=data, mime_type="image/jpeg")])


def chain(gateway: str) -> Runnable[str, Video]:
    """The picture, then its video. Keys and addresses are in the environment, each gateway's in its own variables."""
    animate = NebulaVideoRunnable(gateway=gateway, prompt="The cat slowly turns its head", poll_interval=0.1)
    return RunnableLambda(draw) | animate


# Always on the emulator: these are five videos, on five accounts.
with five_gateways() as emulator:
    for gateway in ("nebula", "dashscope", "dashscope-intl", "dashscope-passthrough", "uniall"):
        video = chain(gateway).invoke("the cat")
        print(f"{gateway}: {video.model}, {video.duration} s at {video.resolution}, cost {video.cost}")
    print("Videos paid for:", len(emulator.bill.lines))
