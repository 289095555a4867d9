#!/usr/bin/env python3
"""scripts/models_table.py [--check] [PAGE ...]: generate the tables of the docs from MODELS and GATEWAYS.

A table is between `<!-- table: NAME -->` and `<!-- /table -->`. With --check the script writes nothing, and its exit
code is 1 if a page is not current.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from pathlib import Path

from langchain_nebula_video.catalog.gateways import GATEWAYS, Gateway
from langchain_nebula_video.catalog.models import MODELS, Model
from langchain_nebula_video.catalog.offers import Offer, offers
from langchain_nebula_video.media.limits import ImageLimits
from langchain_nebula_video.schema import VideoRequest, money

DOCS = Path(__file__).parents[1] / "docs"
NONE = "\N{EN DASH}"
UNKNOWN = "not documented"
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- /table -->)", re.DOTALL)

_MANY = 3
"""From more names on, a common prefix stands for them."""
_SOURCE = re.compile(r"(.+), (\d{4}-\d\d(?:-\d\d)?|\d{4}); ([ABC])")

Row = Sequence[str]


def table(head: Row, rows: Iterable[Row]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" if line[0] != "---" else f"|{'|'.join(line)}|\n" for line in lines)


def code(word: str) -> str:
    """Format a word as code."""
    return f"`{word}`"


def join_words(words: Iterable[str], last: str = ", ") -> str:
    """Join words with commas, and the last one with `last`."""
    found = list(words)
    return last.join([", ".join(found[:-1]), found[-1]]) if len(found) > 1 else "".join(found) or NONE


# --- names: models with equal cells share a row ---


def has_tier_in_name(model: Model) -> bool:
    """Return whether the name of the model has its only resolution in it."""
    return f"-{model.resolutions[0]}" in model.name and len(model.resolutions) == 1


def group_names(names: Sequence[str]) -> str:
    """Format the names of models that share a row.

    A common prefix is enough for many names if no other model has it. Otherwise each name is listed, and names that
    differ in their resolution alone are one name with braces.
    """
    words: list[str] = []
    rest = list(names)
    for family in map(find_family, names):
        if len(family) > _MANY and set(family) <= set(rest):
            words.append(f"`{common_start(family)}…` (all {len(family)})")
            rest = [name for name in rest if name not in family]
    patterns: dict[str, list[str]] = {}
    for name in rest:
        tier = MODELS[name].resolutions[0] if has_tier_in_name(MODELS[name]) else ""
        patterns.setdefault(name.replace(tier, "\0") if tier else name, []).append(tier)
    return join_words(
        [
            *words,
            *(
                code(pattern.replace("\0", "{" + ",".join(tiers) + "}" if len(tiers) > 1 else tiers[0]))
                for pattern, tiers in patterns.items()
            ),
        ]
    )


def common_start(names: Sequence[str]) -> str:
    """Return the letters that all names begin with."""
    pairs = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in pairs)


def find_family(name: str) -> list[str]:
    """Return all models whose names have the same letters in front."""
    letters = re.match(r"[a-z]*", name)
    return [other for other in MODELS if letters and other.startswith(letters[0])]


def merge_rows(cells: Callable[[Model], Row]) -> list[Row]:
    """Return one row for all models with the same cells, in the order of the first of them."""
    lines: dict[tuple[str, ...], list[str]] = {}
    for model in MODELS.values():
        lines.setdefault(tuple(cells(model)), []).append(model.name)
    return [[group_names(names), *row] for row, names in lines.items()]


# --- cells ---


def format_choices(choices: Sequence[object], default: object) -> str:
    """Format choices with the default in bold, and many numbers as a range."""
    if len(choices) > 5 and all(isinstance(choice, int) for choice in choices):
        return f"{choices[0]} to {choices[-1]}, **{default}**"
    return ", ".join(f"**{choice}**" if choice == default else str(choice) for choice in choices)


def format_inputs(model: Model) -> str:
    """Format the images that the model needs or takes."""
    if "reference_images" in model.requires:
        return f"1 to {model.max_references} `reference_images`"
    image, both = code("image"), f"{code('image')} and {code('last_image')}"
    if "last_image" in model.requires:
        return both
    ways = [] if "image" in model.requires else ["the prompt alone"]
    ways += [image] if "image" in model.takes | model.requires else []
    ways += [both] if "last_image" in model.takes else []
    ways += [f"1 to {model.max_references} `reference_images`"] if model.max_references else []
    return join_words(ways, ", or ")


def format_sound(model: Model) -> str:
    """Format where the sound of a video comes from."""
    kinds = {"generate_audio": "generated", "audio_url": "yours"}
    chosen = join_words((kind for name, kind in kinds.items() if name in model.takes), " or ")
    return chosen if not model.always_sound else "always" if chosen == NONE else f"always, or {chosen}"


def format_time(seconds: float) -> str:
    """Format a time."""
    if seconds >= 7200:
        return f"{seconds / 3600:g} h"
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"


def format_usual_time(model: Model) -> str:
    """Format how long a task usually takes, by seconds of video."""
    lines = []
    for duration, (start, end) in model.typical_seconds.items():
        (low, unit), (high, last_unit) = format_time(start).split(), format_time(end).split()
        time = f"{low} to {high} {unit}" if unit == last_unit else f"{low} {unit} to {high} {last_unit}"
        lines.append(f"{time} ({duration} s)" if duration else time)
    return join_words(lines)


def other_fields(model: Model) -> str:
    """Format the fields of a request that only some models take and that no other column shows."""
    common = frozenset.intersection(*(row.takes | row.requires for row in MODELS.values()))
    shown = common | {"image", "last_image", "reference_images", "generate_audio", "audio_url"}
    taken = model.takes | model.requires
    return join_words(code(name) for name in VideoRequest.model_fields if name in taken - shown)


def format_prices(offer: Offer) -> str:
    """Format the prices of an offer by resolution, and its other name."""
    currency, silent = offer.gateway.currency, offer.silent_prices
    prices = [f"{tier} {money(each, currency)}" for tier, each in offer.prices.items()]
    prices = [
        f"{text} (silent {money(silent[tier], currency)})" if tier in silent else text
        for tier, text in zip(offer.prices, prices, strict=True)
    ]
    there = f" as {code(offer.wire_name)}" if offer.wire_name != offer.model.name else ""
    return (join_words(prices) if prices else UNKNOWN) + there


def format_sides(limits: ImageLimits) -> str:
    """Format the lengths of sides and their proportions."""
    low, high = limits.sides or (None, None)
    sides = UNKNOWN if low is None else f"{low} or more" if high is None else f"{low} to {high}"
    return sides + (f", 1:{limits.max_ratio:g} to {limits.max_ratio:g}:1" if limits.max_ratio else "")


def format_bytes(limit: int) -> str:
    """Format a limit in bytes. One byte less than whole megabytes reads as `under`."""
    whole = f"{-(-limit // 1024 // 1024)} MB"
    return f"under {whole}" if limit % (1024 * 1024) else f"{whole} at most"


# --- tables ---


def models() -> str:
    """Return the table of what each model makes."""
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
        merge_rows(
            lambda model: [
                format_inputs(model),
                format_choices(model.durations, model.default_duration),
                "in the name"
                if has_tier_in_name(model)
                else format_choices(model.resolutions, model.default_resolution),
                str(model.fps),
                format_sound(model),
                str(model.max_prompt or UNKNOWN),
                format_usual_time(model),
                format_time(model.timeout),
                other_fields(model),
            ]
        ),
    )


def prices() -> str:
    """Return the table of prices by gateway. Gateways without any price share the last column."""
    served = {name: {offer.model.name: offer for offer in offers(row)} for name, row in GATEWAYS.items()}
    priced = [name for name, there in served.items() if any(offer.prices for offer in there.values())]

    def cells(model: Model) -> Row:
        known = [format_prices(served[name][model.name]) if model.name in served[name] else NONE for name in priced]
        others = [code(name) for name in served if name not in priced and model.name in served[name]]
        return [*known, join_words(others)]

    return table(["Model", *map(code, priced), f"Price {UNKNOWN}"], merge_rows(cells))


def fields() -> str:
    """Return the table of request fields by gateway. Equal columns are one."""

    def support(row: Gateway, field: str) -> str:
        if field in row.always_on & row.carries:
            return "always on"
        if field == "seed" and row.min_seed and field in row.carries:
            return f"from {row.min_seed}"
        return "required" if field in row.requires else "yes" if field in row.carries else NONE

    names = [name for name in VideoRequest.model_fields if name != "model"]
    columns: dict[tuple[str, ...], list[str]] = {}
    for row in GATEWAYS.values():
        columns.setdefault(tuple(support(row, name) for name in names), []).append(code(row.name))
    return table(
        ["Field", *map(join_words, columns.values())],
        [[code(name), *cells] for name, *cells in zip(names, *columns, strict=True)],
    )


def sources() -> str:
    """Return the table of sources, and how many of them agree."""
    agreement = {"A": "three or more", "B": "two", "C": "one, or they differ"}

    def cells(model: Model) -> Row:
        found = _SOURCE.fullmatch(model.source)
        return [found[1], found[2], agreement[found[3]]] if found else [model.source, NONE, NONE]

    return table(["Model", "Source", "As of", "Sources that agree"], merge_rows(cells))


def effects() -> str:
    """Return the table of templates."""
    return table(
        ["Model", "`template`"],
        [[code(model.name), join_words(map(code, model.templates))] for model in MODELS.values() if model.templates],
    )


def images() -> str:
    """Return the table of image limits: of each gateway, and of models with limits of their own."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for row in GATEWAYS.values():
        schemes = join_words(code(f"{scheme}://") for scheme in row.images.schemes)
        rows.setdefault((*format_limits(row.images), schemes), []).append(code(row.name))
    for model in MODELS.values():
        if model.images:
            rows.setdefault((*format_limits(model.images), "the gateway's"), []).append(code(model.name))
    return table(
        ["Gateway, or model", "Formats", "Bytes", "Sides in pixels", "PNG with alpha", "Addresses"],
        [[join_words(names), *cells] for cells, names in rows.items()],
    )


def format_limits(limits: ImageLimits) -> Row:
    """Format everything but the schemes."""
    return [
        join_words(limits.formats),
        format_bytes(limits.max_bytes),
        format_sides(limits),
        "yes" if limits.alpha else "no",
    ]


def gateways() -> str:
    """Return the table of gateways."""
    return table(
        ["`gateway`", "Key", "Address, if another", "Address", "Default model", "Prices in"],
        [
            [
                code(name),
                code(row.key_variable),
                join_words(map(code, (row.url_variable, *row.other_url_variables))),
                code(row.base_url or row.url_form or "") if row.base_url or row.url_form else "yours: always needed",
                code(row.default_model),
                row.currency,
            ]
            for name, row in GATEWAYS.items()
        ],
    )


TABLES = {table_.__name__: table_ for table_ in (models, prices, fields, effects, images, gateways, sources)}


def render_page(text: str) -> str:
    """Return a page with its tables generated again."""
    return _TABLE.sub(lambda found: found[1] + f"\n{TABLES[found[2]]()}\n" + found[3], text)


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or check them."""
    given = [Path(name) for name in arguments if name != "--check"]
    stale = []
    for page in given or sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        current = render_page(text)
        if current != text:
            stale.append(page)
            if "--check" not in arguments:
                page.write_text(current, encoding="utf-8")
    if stale and "--check" in arguments:
        names = ", ".join(page.name for page in stale)
        sys.stderr.write(f"Not current: {names}. Run: python scripts/models_table.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
