"""The control routes under ``/_emulator/``: what a test in another process needs."""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .files import is_loopback

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from .faults.schedule import Faults
    from .serving.state import Core

PREFIX = "/_emulator"


def routes(core: Core, faults: Faults) -> list[Route]:
    """The control routes of one emulator."""
    control = _Control(core, faults)
    table: list[tuple[str, str, Callable[[Any], Any]]] = [
        ("GET", "", control.summary),
        ("GET", "/", control.summary),
        ("GET", "/tasks", lambda _: core.engine.records()),
        ("GET", "/bill", control.bill),
        ("GET", "/requests", lambda _: core.traffic.records()),
        ("GET", "/peaks", lambda _: core.traffic.peaks()),
        ("GET", "/violations", lambda _: core.traffic.violations()),
        ("GET", "/accounts", control.accounts),
        ("POST", "/accounts", control.add_account),
        ("GET", "/faults", lambda _: faults.records()),
        ("POST", "/faults", control.add_fault),
        ("DELETE", "/faults", control.clear_faults),
        ("GET", "/clock", control.clock),
        ("POST", "/clock", control.set_clock),
    ]
    return [Route(PREFIX + path, _endpoint(act), methods=[method]) for method, path, act in table]


class _Control:
    """The actions that are more than reading one list."""

    def __init__(self, core: Core, faults: Faults) -> None:
        self._core = core
        self._faults = faults

    def summary(self, _: object) -> dict[str, Any]:
        core = self._core
        return {
            "tasks": len(core.engine.records()),
            "requests": len(core.traffic.records()),
            "usd": core.engine.bill().usd,
            "cny": core.engine.bill().cny,
            "faults": len(self._faults.records()),
            "violations": len(core.traffic.violations()),
            "clock": self.clock(None),
        }

    def bill(self, _: object) -> dict[str, Any]:
        bill = self._core.engine.bill()
        return {"usd": bill.usd, "cny": bill.cny, "lines": bill.lines}

    def accounts(self, _: object) -> list[Any]:
        self._core.engine.settle()
        return [account.record() for account in self._core.accounts]

    def add_account(self, asked: dict[str, Any]) -> list[Any]:
        self._core.add_account(**asked)
        return self.accounts(None)

    def add_fault(self, asked: dict[str, Any]) -> Any:
        self._faults.add(**asked)
        return self._faults.records()

    def clear_faults(self, asked: dict[str, Any]) -> Any:
        self._faults.clear(**asked)
        return self._faults.records()

    def clock(self, _: object) -> dict[str, Any]:
        clock = self._core.clock
        return {"now": clock.now(), "running": clock.running, "speed": self._core.engine.speed}

    def set_clock(self, asked: dict[str, Any]) -> dict[str, Any]:
        clock = self._core.clock
        acts: dict[str, Callable[[Any], None]] = {
            "advance": lambda seconds: clock.advance(float(seconds)),
            "running": lambda running: clock.resume() if running else clock.pause(),
            "speed": self._set_speed,
        }
        unknown = asked.keys() - acts.keys()
        if unknown:
            message = f"a clock takes {', '.join(acts)}, not {', '.join(sorted(unknown))}"
            raise ValueError(message)
        for name, value in asked.items():
            acts[name](value)
        return self.clock(None)

    def _set_speed(self, speed: Any) -> None:
        self._core.engine.speed = float(speed)


def _endpoint(act: Callable[[Any], Any]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        if request.client is None or not is_loopback(request.client.host):
            return _Json({"error": "the control routes answer this machine alone"}, 403)
        try:
            body = json.loads(await request.body() or b"{}")
            return _Json(act({**request.query_params, **body}))
        # What a wrong request makes the actions raise: an unknown fault or name, a wrong type.
        except (ValueError, TypeError, ArithmeticError) as error:
            return _Json({"error": str(error)}, 400)

    return endpoint


class _Json(JSONResponse):
    """JSON of records; money as text, so that it stays exact."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, default=_plain, ensure_ascii=False).encode()


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Decimal):
        return str(value)
    message = f"cannot be shown: {value!r}"
    raise TypeError(message)
