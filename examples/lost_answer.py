"""The answer to a paid request is lost. The request is not repeated, and the task id leads to the video."""

from __future__ import annotations

import logging

from _gateway import PHOTOGRAPH

from langchain_nebula_video import NebulaVideoClient, SubmissionUnconfirmedError
from langchain_nebula_video.emulator import Emulator

logging.getLogger("langchain_nebula_video").setLevel(logging.ERROR)  # the error below says the same

# Always on the emulator: only it can break a connection on demand.
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

    # With a real gateway, look for the task id in its console. Here the emulator knows it.
    task_id = emulator.tasks[0].id
    video = client.wait(task_id)
    print(f"Found and fetched: task {task_id}, {video.cost}, paid once: {len(emulator.bill.lines) == 1}")
