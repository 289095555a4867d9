"""The control routes under ``/_emulator/``, for tests in another process or language."""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .serving.browsers import control_refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from .faults.schedule import Faults
    from .serving.state import State

PREFIX = "/_emulator"


def routes(state: State, faults: Faults) -> list[Route]:
    """Return the control routes of one emulator."""
    control = _Control(state, faults)
    table: list[tuple[str, str, Callable[[Any], Any]]] = [
        ("GET", "", control.summary),
        ("GET", "/", control.summary),
        ("GET", "/tasks", lambda _: state.engine.records()),
        ("GET", "/bill", control.bill),
        ("GET", "/requests", lambda _: state.request_log.records()),
        ("GET", "/peaks", lambda _: state.request_log.peaks()),
        ("GET", "/violations", lambda _: state.request_log.violations()),
        ("GET", "/accounts", control.accounts),
        ("POST", "/accounts", control.add_account),
        ("POST", "/keys", control.add_key),
        ("GET", "/faults", lambda _: faults.records()),
        ("POST", "/faults", control.add_fault),
        ("DELETE", "/faults", control.clear_faults),
        ("GET", "/clock", control.clock),
        ("POST", "/clock", control.set_clock),
    ]
    return [Route(PREFIX + path, _endpoint_for(action), methods=[method]) for method, path, action in table]


class _Control:
    """The actions that do more than return one list."""

    def __init__(self, state: State, faults: Faults) -> None:
        self._state = state
        self._faults = faults

    def summary(self, _: object) -> dict[str, Any]:
        state = self._state
        return {
            "tasks": len(state.engine.records()),
            "requests": len(state.request_log.records()),
            "usd": state.engine.bill().usd,
            "cny": state.engine.bill().cny,
            "faults": len(self._faults.records()),
            "violations": len(state.request_log.violations()),
            "clock": self.clock(None),
        }

    def bill(self, _: object) -> dict[str, Any]:
        bill = self._state.engine.bill()
        return {"usd": bill.usd, "cny": bill.cny, "lines": bill.lines}

    def accounts(self, _: object) -> list[Any]:
        self._state.engine.settle()
        return [account.record() for account in self._state.accounts]

    def add_account(self, params: dict[str, Any]) -> list[Any]:
        self._state.add_account(**params)
        return self.accounts(None)

    def add_key(self, params: dict[str, Any]) -> list[Any]:
        self._state.add_key(**params)
        return self.accounts(None)

    def add_fault(self, params: dict[str, Any]) -> Any:
        self._faults.add(**params)
        return self._faults.records()

    def clear_faults(self, params: dict[str, Any]) -> Any:
        self._faults.clear(**params)
        return self._faults.records()

    def clock(self, _: object) -> dict[str, Any]:
        clock = self._state.clock
        return {"now": clock.now(), "running": clock.running, "speed": self._state.engine.speed}

    def set_clock(self, params: dict[str, Any]) -> dict[str, Any]:
        clock = self._state.clock
        actions: dict[str, Callable[[Any], None]] = {
            "advance": lambda seconds: clock.advance(float(seconds)),
            "running": lambda running: clock.resume() if running else clock.pause(),
            "speed": self._set_speed,
        }
        unknown = params.keys() - actions.keys()
        if unknown:
            message = f"a clock takes {', '.join(actions)}, not {', '.join(sorted(unknown))}"
            raise ValueError(message)
        for name, value in params.items():
            actions[name](value)
        return self.clock(None)

    def _set_speed(self, speed: Any) -> None:
        self._state.engine.speed = float(speed)


def _endpoint_for(action: Callable[[Any], Any]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        if (refusal := control_refusal(request.scope)) is not None:
            return _RecordResponse({"error": refusal}, 403)
        try:
            body = json.loads(await request.body() or b"{}")
            return _RecordResponse(action({**request.query_params, **body}))
        # Invalid requests raise these: an unknown fault or name, or a value of the wrong type.
        except (ValueError, TypeError, ArithmeticError) as error:
            return _RecordResponse({"error": str(error)}, 400)

    return endpoint


class _RecordResponse(JSONResponse):
    """JSON of records. Money is text, so that it stays exact."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, default=_to_json, ensure_ascii=False).encode()


def _to_json(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Decimal):
        return str(value)
    message = f"cannot be shown: {value!r}"
    raise TypeError(message)
