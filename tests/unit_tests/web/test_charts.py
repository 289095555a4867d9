"""Charts of steps: what is drawn, and what is said for those who do not see it."""

from __future__ import annotations

import re
from itertools import pairwise

from langchain_nebula_video.web.charts import Chart, step_chart
from tests.tables import each_row


def drawn(steps: list[tuple[float, float]], span: tuple[float, float] = (0, 100), *, whole: bool = False) -> Chart:
    def as_text(value: float) -> str:
        return f"{value:g}"

    chart = step_chart("c", "Spend", steps, span, value_text=as_text, time_text=as_text, whole=whole)
    assert chart is not None
    return chart


def test_a_value_that_never_changed_has_no_chart() -> None:
    assert step_chart("c", "Spend", [], (0, 1), value_text=str, time_text=str) is None


def test_the_line_goes_along_and_then_up_to_each_value() -> None:
    chart = drawn([(25, 1), (50, 4), (75, 2)])
    assert chart.line == "M0 1000H250.0V750.0H500.0V0.0H750.0V500.0H1000"
    assert chart.area == chart.line + "V1000Z"


@each_row(
    ("highest", "whole", "top"),
    [(0.369, False, "0.4"), (4.2, False, "5"), (1, False, "1"), (1, True, "2"), (3, True, "4"), (190, True, "200")],
)
def test_the_axis_ends_at_a_round_number(highest: float, whole: bool, top: str) -> None:
    assert drawn([(0, highest)], whole=whole).y_ticks[0].text == top


def test_an_axis_of_whole_numbers_has_no_half_ones() -> None:
    assert [tick.text for tick in drawn([(0, 5)], whole=True).y_ticks] == ["5", "0"]
    assert [tick.text for tick in drawn([(0, 4)], whole=True).y_ticks] == ["4", "2", "0"]


def test_a_sentence_and_a_table_say_the_same() -> None:
    chart = drawn([(10, 1), (20, 3), (90, 2)])
    assert chart.summary == "Spend from 0 to 100: now 2, at most 3, reached at 20."
    assert chart.rows == (("10", "1"), ("20", "3"), ("90", "2"))
    assert chart.newest == "2"


def test_of_thousands_of_steps_the_drawing_keeps_the_peak_and_the_table_the_end() -> None:
    steps = [(float(at), float(at % 7)) for at in range(5000)]
    steps[2345] = (2345.0, 100.0)
    chart = drawn(steps)
    places = [float(x) for x in re.findall(r"H([\d.]+)", chart.line)]
    assert len(places) <= 301
    assert all(before <= after for before, after in pairwise(places))
    assert "V0.0H" in chart.line
    assert len(chart.rows) <= 13
    assert chart.rows[-1][0] == "4999"


def test_steps_outside_of_the_span_widen_it() -> None:
    assert [tick.text for tick in drawn([(50, 1), (200, 2)], (100, 150)).x_ticks] == ["50", "125", "200"]
