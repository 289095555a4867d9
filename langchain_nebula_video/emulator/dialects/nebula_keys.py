"""What Nebula's gateway asks of a key (middleware/auth.go and distributor.go, 2025-12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .nebula_refusals import NebulaRefusal

if TYPE_CHECKING:
    from langchain_nebula_video.emulator.accounts import Key
    from langchain_nebula_video.emulator.serving.exchange import Exchange


def authenticate(exchange: Exchange) -> Key:
    """Return the key of a request.

    Raises:
        NebulaRefusal: There is none, or it is unknown or used up.
    """
    authorization = exchange.headers.get("authorization", "")
    if not authorization:
        raise NebulaRefusal("no_key")
    key = exchange.state.accounts.find_key_of(authorization)
    if key is None or key.account.region is not None:
        raise NebulaRefusal("wrong_key")
    if key.quota is not None and key.quota <= 0:
        raise NebulaRefusal("key_used_up")
    return key


def check_model(key: Key, model: str) -> None:
    """Check a key's list of models. A look is checked as well, with an empty name, so it never passes.

    Raises:
        NebulaRefusal: The key may not use the model.
    """
    if key.models is not None and model not in key.models:
        raise NebulaRefusal("model_not_allowed", model)
