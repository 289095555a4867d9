"""Money and numbers in a fleet's output."""

from __future__ import annotations

from decimal import Decimal

from langchain_nebula_video.fleet.words import amount, count_all
from tests.tables import each_row


@each_row(
    ("usd", "told"),
    [
        ("0", "$0.00"),
        ("0.1845", "$0.1845"),
        ("0.369", "$0.3690"),
        ("1.476", "$1.48"),
        ("2.4", "$2.40"),
        ("3557.529", "$3,557.53"),
    ],
)
def test_small_sums_have_four_decimals_and_larger_ones_cents(usd: str, told: str) -> None:
    assert amount(Decimal(usd)) == told


@each_row(("number", "told"), [(0, "0 videos"), (1, "1 video"), (15_000, "15,000 videos")])
def test_one_is_no_plural(number: int, told: str) -> None:
    assert count_all(number, "video") == told
