"""A second gateway for when the first one refuses; and why a lost answer must not lead to it."""

from __future__ import annotations

import logging

from _gateway import five_gateways

from langchain_nebula_video import (
    InvalidRequestError,
    NebulaVideoRunnable,
    NotSentError,
    RefusedError,
    SubmissionUnconfirmedError,
)

logging.getLogger("langchain_nebula_video").setLevel(logging.ERROR)  # the errors below say it all

CAT = "https://example.com/cat.jpg"  # the emulator knows a picture for every address there

# Always on the emulator: only there can a gateway be made to refuse.
with five_gateways() as emulator:
    first = NebulaVideoRunnable(gateway="nebula", prompt="The cat blinks", resolution="480p", poll_interval=0.1)
    second = NebulaVideoRunnable(gateway="dashscope", prompt="The cat blinks", resolution="480p", poll_interval=0.1)
    # Only after errors in which nothing was sent or accepted: a fallback on every error could pay at both.
    safe = (RefusedError, NotSentError, InvalidRequestError)
    animate = first.with_fallbacks([second], exceptions_to_handle=safe)

    emulator.faults.add("submit", "status", code=403)
    video = animate.invoke(CAT)
    print("The first one refuses: made by", video.gateway, "for", video.cost)

    emulator.faults.add("submit", "reset_after")
    try:
        animate.invoke(CAT)
    except SubmissionUnconfirmedError:
        print("Its answer is lost: not sent to the second one, as it may be paid for.")
    print("Tasks in all:", len(emulator.tasks))
