"""What the console's buttons do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from langchain_nebula_video.emulator import Behaviour

from . import presets
from .message import Message
from .submitting import submit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.datastructures import FormData

    from langchain_nebula_video.emulator import Emulator

    Action = Callable[[Emulator, FormData], Awaitable[Message]]


async def switch_preset(emulator: Emulator, form: FormData) -> Message:
    """Switch a common fault on or off."""
    preset = presets.find(_text(form, "preset"))
    waiting = presets.waiting(preset, emulator.faults.records())
    for record in waiting:
        emulator.faults.remove(record.number)
    if not waiting:
        emulator.faults.add(preset.point, preset.kind, times=preset.times, **preset.params)
    return Message(f"{preset.title}: {'off' if waiting else 'on'}.")


async def add_fault(emulator: Emulator, form: FormData) -> Message:
    """Add any fault."""
    params = json.loads(_text(form, "params") or "{}")
    if not isinstance(params, dict):
        message = 'parameters are a JSON object, such as {"code": 503}'
        raise TypeError(message)
    times, after = _text(form, "times"), _text(form, "after")
    point, kind = _text(form, "point"), _text(form, "kind")
    emulator.faults.add(point, kind, times=int(times) if times else None, after=int(after or 0), **params)
    return Message(f"Added: {kind} at {point}.")


async def remove_fault(emulator: Emulator, form: FormData) -> Message:
    """Remove one fault."""
    emulator.faults.remove(int(_text(form, "number")))
    return Message("The fault is removed.")


async def clear_faults(emulator: Emulator, _: FormData) -> Message:
    """Remove all faults."""
    emulator.faults.clear()
    return Message("All faults are removed.")


async def set_speed(emulator: Emulator, form: FormData) -> Message:
    """Change the speed of all tasks that are not finished."""
    emulator.speed = float(_text(form, "speed"))
    return Message(f"Tasks are now {emulator.speed:g} times as fast as the real service.")


async def set_behaviour(emulator: Emulator, form: FormData) -> Message:
    """Change what Nebula is played from."""
    emulator.behaviour = Behaviour(_text(form, "behaviour"))
    return Message(f"Nebula is now played from: {emulator.behaviour}.")


async def set_clock(emulator: Emulator, form: FormData) -> Message:
    """Pause the clock, let it run, or move it forward."""
    clock, action = emulator.clock, _text(form, "do")
    if action == "pause":
        clock.pause()
        return Message("The clock stands still.")
    if action == "resume":
        clock.resume()
        return Message("The clock runs.")
    clock.advance(float(action))
    return Message("The clock was moved forward.")


def _text(form: FormData, name: str) -> str:
    value: Any = form.get(name, "")
    if not isinstance(value, str):
        message = f"{name} is a text, not a file"
        raise TypeError(message)
    return value.strip()


TABLE: Mapping[str, Action] = {
    "/videos": submit,
    "/presets": switch_preset,
    "/faults": add_fault,
    "/faults/remove": remove_fault,
    "/faults/clear": clear_faults,
    "/speed": set_speed,
    "/behaviour": set_behaviour,
    "/clock": set_clock,
}
