"""The answer to a paid request is lost. It is not sent again; the video is found by its task id."""

from __future__ import annotations

import logging

from _gateway import PHOTOGRAPH

from langchain_nebula_video import NebulaVideoClient, SubmissionUnconfirmedError
from langchain_nebula_video.emulator import Emulator

logging.getLogger("langchain_nebula_video").setLevel(logging.ERROR)  # the error below says it all

# Always on the emulator: only there can a connection be broken to order.
with Emulator(speed=500) as emulator:
    client = NebulaVideoClient(base_url=emulator.url, api_key=emulator.api_key, poll_interval=0.1)
    emulator.faults.add("submit", "reset_after")  # the task is accepted, then the connection breaks
    order = {"prompt": "The cat blinks", "image": PHOTOGRAPH, "resolution": "480p"}

    for attempt in ("First call: ", "Second call:"):
        try:
            client.generate(order, key="order-17")
        except SubmissionUnconfirmedError as error:
            print(attempt, error)

    posts = sum(request.method == "POST" for request in emulator.requests)
    print("POSTs sent:", posts)

    # At the real gateway you look at its console. Here the emulator tells.
    task_id = emulator.tasks[0].id
    video = client.wait(task_id)
    print(f"Found and fetched: task {task_id}, {video.cost}, paid once: {len(emulator.bill.lines) == 1}")
