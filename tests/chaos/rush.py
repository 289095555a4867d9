"""A rush: many callers reserve at the same moment, with a budget for a few of them; over and over."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

from langchain_nebula_video import Budget, BudgetExceededError, NebulaVideoClient, NebulaVideoError, SqlJournal
from tests.chaos.ledger import Delivery, Figures, Ledger
from tests.chaos.plan import Plan, fields, host_picture, new_emulator, reach

CALLERS = 16
JOURNALS = 4
"""The callers are spread over so many journals of the same database, each with connections of its own."""
AFFORDABLE = 5
"""The budget pays for so many of a round's videos."""
_LATE_SECONDS = 0.1


def rush(plan: Plan, folder: Path) -> Figures:
    """Let rounds of callers compete for budgets and for the four submits that may be under way at once."""
    began = time.monotonic()
    url, videos = plan.journal_url(folder), folder / "videos"
    received: list[Delivery] = []
    errors = Counter[str]()
    rounds = max(1, plan.generations // CALLERS)
    barrier = threading.Barrier(CALLERS)
    with new_emulator() as emulator, ThreadPoolExecutor(CALLERS) as pool:
        emulator.faults.add("submit", "late", seconds=_LATE_SECONDS, times=None)
        image = host_picture(emulator)
        options: dict[str, Any] = {**reach(emulator, plan.gateway), "save_to": videos, "poll_interval": 0.05}
        journals = [SqlJournal(url) for _ in range(JOURNALS)]
        each = NebulaVideoClient(**options).quote(fields(image, "price")).usd
        assert each is not None
        over = Decimal(0)

        def call(name: str, journal: SqlJournal, budget: Decimal) -> None:
            client = NebulaVideoClient(**options, journal=journal, budget=Budget(budget))
            barrier.wait()
            try:
                received.append(Delivery.of(name, client.generate(fields(image, name), key=name).url))
            except BudgetExceededError:
                errors["refused_by_the_budget"] += 1
            except NebulaVideoError as error:
                errors[f"error_{type(error).__name__}"] += 1

        for number in range(rounds):
            budget = each * AFFORDABLE * (number + 1)
            names = [f"r{number}.{caller}" for caller in range(CALLERS)]
            list(pool.map(call, names, itertools.cycle(journals), itertools.repeat(budget)))
            over = max(over, Ledger(emulator).usd - budget)
        operator = NebulaVideoClient(**options, journal=journals[0])
        for task in operator.resume():
            operator.wait(task)
        figures = Ledger(emulator).judge(journals[0].entries(), received, videos=videos, budget=budget)
    figures.over_budget_usd = max(over, figures.over_budget_usd)
    figures.generations, figures.seconds = rounds * CALLERS, time.monotonic() - began
    figures.disturbances += errors
    return figures
