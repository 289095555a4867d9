#!/usr/bin/env python3
"""scripts/models_table.py [--check] [PAGE ...]: write the tables of the docs that are made from MODELS and GATEWAYS.

A table stands between `<!-- table: NAME -->` and `<!-- /table -->`. With --check nothing is written, and the exit code
is 1 if a page is not current.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from langchain_nebula_video.catalog.gateways import GATEWAYS, Gateway
from langchain_nebula_video.catalog.models import MODELS, Model
from langchain_nebula_video.catalog.offers import Offer, offers
from langchain_nebula_video.schema import VideoRequest, money

DOCS = Path(__file__).parents[1] / "docs"
NONE = "\N{EN DASH}"
UNKNOWN = "not documented"
_MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- /table -->)", re.DOTALL)

Row = Sequence[str]


def table(head: Row, rows: Iterable[Row]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" if line[0] != "---" else f"|{'|'.join(line)}|\n" for line in lines)


def code(word: str) -> str:
    """A word as code."""
    return f"`{word}`"


def listed(words: Iterable[str], last: str = ", ") -> str:
    """Words as a list; `last` stands before the last one."""
    found = list(words)
    return last.join([", ".join(found[:-1]), found[-1]]) if len(found) > 1 else "".join(found) or NONE


# --- names: rows that say the same are one line ---


def tier_in_name(model: Model) -> bool:
    """Whether the model's name says its only resolution."""
    return f"-{model.resolutions[0]}" in model.name and len(model.resolutions) == 1


def grouped(names: Sequence[str]) -> str:
    """Models that share a line: by what all their names begin with, if no other's does; else one by one.

    Names that differ in their resolution alone are told with braces.
    """
    start = names[0][: next((n for n, same in enumerate(zip(*names, strict=False)) if len(set(same)) > 1), 0)]
    if len(start) > 3 and sorted(name for name in MODELS if name.startswith(start)) == sorted(names):
        return f"`{start}…` (all {len(names)})"
    spread: dict[str, list[str]] = {}
    for name in names:
        tier = MODELS[name].resolutions[0] if tier_in_name(MODELS[name]) else ""
        spread.setdefault(name.replace(tier, "\0") if tier else name, []).append(tier)
    return listed(
        code(pattern.replace("\0", "{" + ",".join(tiers) + "}" if len(tiers) > 1 else tiers[0]))
        for pattern, tiers in spread.items()
    )


def by_line(cells: Callable[[Model], Row]) -> list[Row]:
    """A line for all models with the same cells, in the order of their first one."""
    lines: dict[tuple[str, ...], list[str]] = {}
    for model in MODELS.values():
        lines.setdefault(tuple(cells(model)), []).append(model.name)
    return [[grouped(names), *said] for said, names in lines.items()]


# --- cells ---


def marked(choices: Sequence[object], default: object) -> str:
    """Choices with the default in bold; a run of numbers by its ends."""
    if len(choices) > 5 and all(isinstance(choice, int) for choice in choices):
        return f"{choices[0]} to {choices[-1]}, **{default}**"
    return ", ".join(f"**{choice}**" if choice == default else str(choice) for choice in choices)


def sources(model: Model) -> str:
    """Which images it makes a video of."""
    if "reference_images" in model.requires:
        return f"1 to {model.max_references} `reference_images`"
    needs = [code(name) for name in ("image", "last_image") if name in model.requires]
    if needs:
        return listed(needs, " and ")
    return "the prompt alone, `image`, or `image` and `last_image`" if "last_image" in model.takes else "the prompt"


def sound(model: Model) -> str:
    """Where its sound comes from."""
    kinds = {"generate_audio": "generated", "audio_url": "yours"}
    return listed((told for name, told in kinds.items() if name in model.takes), " or ")


def span(seconds: float) -> str:
    """A time for people."""
    if seconds >= 7200:
        return f"{seconds / 3600:g} h"
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"


def usual(model: Model) -> str:
    """How long it works, by seconds of video."""
    lines = []
    for duration, (start, end) in model.typical_seconds.items():
        (low, unit), (high, last_unit) = span(start).split(), span(end).split()
        worked = f"{low} to {high} {unit}" if unit == last_unit else f"{low} {unit} to {high} {last_unit}"
        lines.append(f"{worked} ({duration} s)" if duration else worked)
    return listed(lines)


def besides(model: Model) -> str:
    """What a request may hold that neither all models take nor another column tells."""
    common = frozenset.intersection(*(row.takes | row.requires for row in MODELS.values()))
    told = common | {"image", "last_image", "reference_images", "generate_audio", "audio_url"}
    taken = model.takes | model.requires
    return listed(code(name) for name in VideoRequest.model_fields if name in taken - told)


def price(offer: Offer) -> str:
    """What it costs there, by resolution."""
    told = [f"{tier} {money(each, offer.gateway.currency)}" for tier, each in offer.prices.items()]
    there = f" as {code(offer.wire_name)}" if offer.wire_name != offer.model.name else ""
    return (listed(told) if told else UNKNOWN) + there


def megabytes(limit: int) -> str:
    """A number of bytes for people; one that is a byte short of a whole number is not to be reached."""
    whole = f"{-(-limit // 1024 // 1024)} MB"
    return f"under {whole}" if limit % (1024 * 1024) else f"{whole} at most"


# --- tables ---


def models() -> str:
    """What each model makes."""
    head = [
        "Model",
        "Made of",
        "Seconds",
        "Resolutions",
        "fps",
        "Sound",
        "Prompt",
        "Usually takes",
        "Timeout",
        "Besides",
    ]
    return table(
        head,
        by_line(
            lambda model: [
                sources(model),
                marked(model.durations, model.default_duration),
                "in the name" if tier_in_name(model) else marked(model.resolutions, model.default_resolution),
                str(model.fps),
                sound(model),
                str(model.max_prompt or UNKNOWN),
                usual(model),
                span(model.timeout),
                besides(model),
            ]
        ),
    )


def prices() -> str:
    """What each model costs, gateway by gateway."""
    served = {name: {offer.model.name: offer for offer in offers(row)} for name, row in GATEWAYS.items()}
    return table(
        ["Model", *map(code, GATEWAYS)],
        by_line(lambda model: [price(there[model.name]) if model.name in there else NONE for there in served.values()]),
    )


def fields() -> str:
    """What a request may hold, gateway by gateway."""

    def said(row: Gateway, field: str) -> str:
        return "required" if field in row.requires else "yes" if field in row.carries else NONE

    asked = [name for name in VideoRequest.model_fields if name != "model"]
    return table(
        ["Field", *map(code, GATEWAYS)],
        [[code(name), *(said(row, name) for row in GATEWAYS.values())] for name in asked],
    )


def effects() -> str:
    """The templates of each model that has them."""
    return table(
        ["Model", "`template`"],
        [[code(model.name), listed(map(code, model.templates))] for model in MODELS.values() if model.templates],
    )


def images() -> str:
    """What each gateway takes as an image."""
    return table(
        ["Gateway", "Formats", "Bytes", "Sides in pixels", "PNG with alpha", "Addresses"],
        [
            [
                code(name),
                listed(row.images.formats),
                megabytes(row.images.max_bytes),
                "{} to {}".format(*row.images.sides) if row.images.sides else UNKNOWN,
                "yes" if row.images.alpha else "no",
                listed(code(f"{scheme}://") for scheme in row.images.schemes),
            ]
            for name, row in GATEWAYS.items()
        ],
    )


def gateways() -> str:
    """Where each gateway is, and what it starts from."""
    return table(
        ["`gateway`", "Key", "Address, if another", "Address", "Default model", "Prices in"],
        [
            [
                code(name),
                code(row.key_variable),
                code(row.url_variable),
                code(row.base_url) if row.base_url else "yours: always needed",
                code(row.default_model),
                row.currency,
            ]
            for name, row in GATEWAYS.items()
        ],
    )


TABLES = {made.__name__: made for made in (models, prices, fields, effects, images, gateways)}


def current(text: str) -> str:
    """A page with its tables made anew."""
    return _MARKED.sub(lambda found: found[1] + f"\n{TABLES[found[2]]()}\n" + found[3], text)


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or look at them."""
    given = [Path(name) for name in arguments if name != "--check"]
    stale = []
    for page in given or sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        made = current(text)
        if made != text:
            stale.append(page)
            if "--check" not in arguments:
                page.write_text(made, encoding="utf-8")
    if stale and "--check" in arguments:
        names = ", ".join(page.name for page in stale)
        sys.stderr.write(f"Not current: {names}. Run: python scripts/models_table.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
