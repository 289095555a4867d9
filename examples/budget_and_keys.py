"""The same key pays once. A budget refuses a video before anything is sent."""

from __future__ import annotations

from _gateway import PHOTOGRAPH, gateway

from langchain_nebula_video import Budget, BudgetExceededError, MemoryJournal, NebulaVideoClient

journal = MemoryJournal()

with gateway() as options, NebulaVideoClient(budget=Budget(usd="0.30"), journal=journal, **options) as client:
    order = {"prompt": "The cat blinks", "image": PHOTOGRAPH, "resolution": "480p"}
    first = client.generate(order, key="order-17")
    again = client.generate(order, key="order-17")
    print("Same key, same task:", first.task_id == again.task_id)
    print(f"Spent: ${journal.spent()}")

    try:
        client.generate(order, key="order-18")
    except BudgetExceededError as error:
        print("Refused:", error)
    print(f"Spent: ${journal.spent()}")
