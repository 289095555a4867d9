"""What Nebula is played from: the loop and the bills that belong to each behaviour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .billing import LookBilling, LoopBilling
from .enums import Behaviour, Dialect
from .loop import BEAT, Loop

if TYPE_CHECKING:
    from .serving.state import State


def play_from(state: State, behaviour: Behaviour) -> None:
    """Play Nebula from its page or from its code, from now on.

    Tasks keep their costs. One that is not charged yet is charged when the new behaviour says so.
    """
    engine, table = state.engine, state.table
    if behaviour is Behaviour.PAGE:
        table.loop = None
        engine.bill_by(None, {})
    else:
        kind = LookBilling if behaviour is Behaviour.OLDER_SOURCE else LoopBilling
        table.loop = Loop(state.clock.now(), BEAT / engine.speed)
        engine.bill_by(table.loop, {Dialect.NEBULA: kind(table, state.site_discount)})
    state.behaviour = behaviour
