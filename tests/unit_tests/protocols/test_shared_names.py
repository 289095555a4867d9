"""The answers that waiting tasks keep share the texts of their names, and say the same as before."""

from __future__ import annotations

import json
from typing import Any

from langchain_nebula_video.protocols.values import share_names


def answer(number: int, levels: int = 2) -> dict[str, Any]:
    inner: dict[str, Any] = {"task_status": "RUNNING", "prices": [{"model_price": 0.0738}], "number": number}
    for _ in range(levels):
        inner = {"some output": inner}
    return inner


def test_an_answer_with_shared_names_says_the_same() -> None:
    for levels in (0, 2, 20):
        assert share_names(answer(1, levels)) == answer(1, levels)


def test_two_answers_have_the_same_names_once() -> None:
    first, second = (share_names(json.loads(json.dumps(answer(number)))) for number in (1, 2))
    while isinstance(first, dict):
        assert [id(name) for name in first] == [id(name) for name in second]
        first, second = next(iter(first.values())), next(iter(second.values()))
