"""The lines of a chart: on one scale that begins at nothing and is easy to read, and inside its frame."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from newsletter.web.console.lines import HEIGHT, WIDTH, lines

SERIES = st.lists(
    st.tuples(st.text(max_size=5), st.lists(st.integers(0, 10**9), min_size=12, max_size=12)), min_size=1, max_size=4
)


@given(SERIES)
def test_every_point_is_inside_and_higher_values_stand_higher(series: list[tuple[str, list[int]]]) -> None:
    chart = lines(series)
    for line, (_, values) in zip(chart.lines, series, strict=True):
        points = [tuple(map(float, pair.split(" "))) for pair in re.findall(r"[\d.]+ [\d.]+", line.path)]
        assert len(points) == len(values)
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
        by_value = sorted(zip(values, (y for _, y in points), strict=True))
        assert [y for _, y in by_value] == sorted((y for _, y in points), reverse=True)
        assert (line.first, line.last) == (values[0], values[-1])


@given(SERIES)
def test_the_rules_across_stand_for_all_half_and_nothing_of_a_round_figure(series: list[tuple[str, list[int]]]) -> None:
    (top, most), (middle, half), (ground, nothing) = lines(series).rules
    assert most >= max(max(values) for _, values in series)
    assert str(most).rstrip("0") in ("1", "2", "5")
    assert (half * 2, nothing) == (most, 0)
    assert top < middle < ground
