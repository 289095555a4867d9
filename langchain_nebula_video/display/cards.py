"""A card: a title, a bar or a player, and a table of facts; as HTML and as text."""

from __future__ import annotations

import html
from dataclasses import dataclass

__all__ = ["Card", "Fact"]


@dataclass(frozen=True, slots=True)
class Fact:
    """A line of a card."""

    name: str
    text: str
    link: str | None = None
    """An http or https URL that the text leads to."""


@dataclass(frozen=True, slots=True)
class Card:
    """What an object shows of itself. Every text is escaped; only `player` is HTML."""

    title: str
    facts: tuple[Fact, ...]
    fraction: float | None = None
    """0 to 1: how full the bar is. `None`: no bar."""
    player: str = ""

    def as_html(self) -> str:
        """Return the card as HTML. It has no script, and no style that leaves it."""
        title, bar = html.escape(self._heading()), ""
        if self.fraction is not None:
            value = min(1.0, max(0.0, self.fraction))
            bar = f'<progress max="1" value="{value:.4f}" aria-label="{title}" style="width:100%"></progress>'
        rows = "".join(f"<tr><th>{html.escape(fact.name)}</th><td>{_linked(fact)}</td></tr>" for fact in self.facts)
        return f"<div><strong>{title}</strong>{bar}{self.player}<table>{rows}</table></div>"

    def as_text(self) -> str:
        """Return the card as one line."""
        facts = ", ".join(f"{fact.name.lower()}: {fact.text}" for fact in self.facts)
        return f"<{self._heading()}: {facts}>" if facts else f"<{self._heading()}>"

    def _heading(self) -> str:
        return self.title if self.fraction is None else f"{self.title} {self.fraction:.0%}"

    def as_bundle(self) -> dict[str, str]:
        """Return what IPython's `_repr_mimebundle_` returns. The text takes the place of the object's `repr`."""
        return {"text/html": self.as_html(), "text/plain": self.as_text()}


def _linked(fact: Fact) -> str:
    text = html.escape(fact.text)
    if fact.link is None or not fact.link.lower().startswith(("https://", "http://")):
        return text
    return f'<a href="{html.escape(fact.link, quote=True)}" rel="noreferrer noopener" target="_blank">{text}</a>'
