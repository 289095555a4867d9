"""Fall back to a second gateway if the first one refuses, but never after a lost answer."""

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

logging.getLogger("langchain_nebula_video").setLevel(logging.ERROR)  # the errors below say the same

CAT = "https://example.com/cat.jpg"  # the emulator has an image for every URL of this host

# Always on the emulator: only it can refuse on demand.
with five_gateways() as emulator:
    first = NebulaVideoRunnable(gateway="nebula", prompt="The cat blinks", resolution="480p", poll_interval=0.1)
    second = NebulaVideoRunnable(gateway="dashscope", prompt="The cat blinks", resolution="480p", poll_interval=0.1)
    # Fall back only after errors in which nothing was sent or accepted. Any other error could pay at both gateways.
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
