"""Tables of cases: one test checks every row and names each row that fails."""

from __future__ import annotations

import functools
import inspect
import reprlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import pytest

Test = TypeVar("Test", bound=Callable[..., Any])

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxtuple = 12


def each_row(
    names: str | tuple[str, ...], rows: Iterable[Any], *, ids: Iterable[object] | None = None
) -> Callable[[Test], Test]:
    """Call a test once for each row, like `pytest.mark.parametrize`, but within one test.

    Each row of a parametrised test costs a millisecond of set-up, and an async one three. Use this for a rule
    without state: all rows share the test's fixtures. A row that fails does not stop the rows after it. The
    exception group that is raised holds each failure with a note that names its row.
    """
    columns = (names,) if isinstance(names, str) else names
    table = [(row,) if isinstance(names, str) else tuple(row) for row in rows]
    labels = [str(name) for name in ids] if ids is not None else [_label(columns, row) for row in table]
    if not table or len(labels) != len(table) or {len(row) for row in table} != {len(columns)}:
        raise ValueError(f"{names}: a table has rows, a value for each name, and a label for each row")
    cases = [(label, dict(zip(columns, row, strict=True))) for label, row in zip(labels, table, strict=True)]

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def walk(*args: Any, **fixtures: Any) -> None:
            with _failures(len(cases)) as failures:
                for label, case in cases:
                    with _noted(failures, label):
                        test(*args, **fixtures, **case)

        @functools.wraps(test)
        async def walk_async(*args: Any, **fixtures: Any) -> None:
            with _failures(len(cases)) as failures:
                for label, case in cases:
                    with _noted(failures, label):
                        await test(*args, **fixtures, **case)

        walked: Any = walk_async if inspect.iscoroutinefunction(test) else walk
        signature = inspect.signature(test)
        kept = [parameter for parameter in signature.parameters.values() if parameter.name not in columns]
        if len(kept) + len(columns) != len(signature.parameters):
            raise ValueError(f"{test.__name__} does not take {names}")
        walked.__signature__ = signature.replace(parameters=kept)
        return cast("Test", walked)

    return decorate


def _label(columns: tuple[str, ...], row: tuple[Any, ...]) -> str:
    return ", ".join(f"{name}={_SHORT.repr(value)}" for name, value in zip(columns, row, strict=True))


@contextmanager
def _noted(failures: list[BaseException], label: str) -> Iterator[None]:
    try:
        yield
    except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 the exception group raises it
        error.add_note(f"in the row {label}")
        failures.append(error)


@contextmanager
def _failures(rows: int) -> Iterator[list[BaseException]]:
    failures: list[BaseException] = []
    yield failures
    if failures:
        raise BaseExceptionGroup(f"{len(failures)} of {rows} rows fail", failures)
