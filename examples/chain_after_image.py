"""A chain: a model draws an image, and the runnable animates it."""

from __future__ import annotations

from _gateway import PHOTOGRAPH, gateway, picture
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda

from langchain_nebula_video import NebulaVideoRunnable


def draw(subject: str) -> AIMessage:
    """A stand-in for an image model: it answers with a base64 image block."""
    print("Drawn:", subject)
    return AIMessage(content_blocks=[picture(PHOTOGRAPH)])


with gateway() as options:
    animate = NebulaVideoRunnable(prompt="The camera slowly moves in", resolution="480p", **options)
    video = (RunnableLambda(draw) | animate).invoke("a cat")

print(f"Video: {video.duration} s at {video.resolution} for {video.cost}")
print("URL:  ", video.url)
