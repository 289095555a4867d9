"""Three situations in which a model asks for the same video again, and what each of them costs at the gateway."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from langchain_nebula_video.emulator import Emulator

__all__ = ["VIDEO", "Open", "Talk", "ask_until_made", "ask_with_a_lost_answer", "interrupt_and_ask_again"]

Talk = Callable[..., Any]
"""Takes the calls of a scripted model, and `timeout`. Returns what the model read and what the program has."""
Open = Callable[[Emulator], AbstractContextManager[Talk]]
"""Makes whatever talks ready for a gateway."""

VIDEO = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}
SLOW = 25
"""The speed at which a video takes some four seconds."""
LIMIT = 1.5
RUNS = 12
"""How often a program asks for what it gave up."""
SUCCEEDED = '"status": "succeeded"'


class _UntilMade(Sequence[dict[str, Any]]):
    """The same call again and again, as long as the video is not there. Read lazily, as a model speaks."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def __len__(self) -> int:
        return RUNS

    def __getitem__(self, place: Any) -> Any:
        if place >= RUNS or self._emulator.bill.usd:
            raise IndexError(place)
        return VIDEO


def ask_with_a_lost_answer(opened: Open) -> dict[str, Any]:
    """The answer to the paid request is lost, and the model asks again."""
    with Emulator(speed=500) as emulator, opened(emulator) as talk:
        emulator.faults.add("submit", "reset_after")
        return _told(emulator, talk([VIDEO] * 2), [])


def ask_until_made(opened: Open, *, in_one_run: bool) -> dict[str, Any]:
    """A video takes longer than a limit allows, and is asked for until it is there."""
    with Emulator(speed=SLOW) as emulator, opened(emulator) as talk:
        answers: list[Any] = []
        ended: list[str] = []
        calls: Any = _UntilMade(emulator) if in_one_run else [VIDEO]
        for _ in range(RUNS):
            try:
                answers += talk(calls, timeout=LIMIT)
            except Exception as error:  # noqa: BLE001 each framework has an error of its own
                ended.append(type(error).__name__)
            if any(SUCCEEDED in text for text, _ in answers):
                break
            calls = [VIDEO]  # it may be made just after the last look
        return _told(emulator, answers, ended)


def interrupt_and_ask_again(opened: Open) -> dict[str, Any]:
    """The program is told to end while it waits (Ctrl-C), and asks again."""
    with Emulator(speed=SLOW) as emulator, opened(emulator) as talk:
        threading.Thread(target=_interrupt, args=(emulator,), daemon=True).start()
        ended = []
        try:
            talk([VIDEO])
        except KeyboardInterrupt:
            ended.append("KeyboardInterrupt")
        return _told(emulator, talk([VIDEO]), ended)


def _interrupt(emulator: Emulator) -> None:
    """Send this process a SIGINT once the gateway is asked for the video."""
    while not any(request.point == "query" for request in emulator.requests):
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)


def _told(emulator: Emulator, answers: Any, ended: list[str]) -> dict[str, Any]:
    posts = sum(request.point == "submit" for request in emulator.requests)
    return {"answers": answers, "ended": ended, "posts": posts, "usd": str(emulator.bill.usd)}
