"""MODELS: one row per model, with its request fields, limits and prices. Each family has a file of its own."""

from __future__ import annotations

import difflib

from langchain_nebula_video.catalog.happyhorse import happy_horse_on_uniall, happyhorse
from langchain_nebula_video.catalog.model import Model
from langchain_nebula_video.catalog.open_models import open_models
from langchain_nebula_video.catalog.suggestions import did_you_mean
from langchain_nebula_video.catalog.vidu import vidu
from langchain_nebula_video.catalog.wan import wan, wan_on_uniall
from langchain_nebula_video.errors import InvalidRequestError

__all__ = ["MODELS", "Model", "find_model"]

MODELS: dict[str, Model] = {
    row.name: row
    for row in (*wan(), *happyhorse(), *vidu(), *wan_on_uniall(), *happy_horse_on_uniall(), *open_models())
}


def find_model(name: str) -> Model:
    """Return the model's row.

    Raises:
        InvalidRequestError: there is no such model.
    """
    given: object = name  # an option may have a value of any type
    if isinstance(given, str) and given in MODELS:
        return MODELS[given]
    meant = did_you_mean(str(name), MODELS)
    raise InvalidRequestError(f"There is no model {name!r}.{meant}", hint=_suggest(str(name)))


def _suggest(name: str) -> str:
    """Return a hint: the model with this name on a gateway, similar names, or the first models of the table."""
    for row in MODELS.values():
        if name in row.names.values():
            return f"It is called {row.name!r} here."
    similar = difflib.get_close_matches(name, MODELS) or list(MODELS)[:_MAX_SUGGESTIONS]
    return f"Choose one of: {', '.join(similar)}, or another of MODELS."


_MAX_SUGGESTIONS = 6
