"""Bars of a chart: none leaves the frame, and what is there can be seen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from newsletter.web.console.bars import HEIGHT, WIDTH, bars, nice_top


@given(st.lists(st.integers(0, 10**9), max_size=60))
def test_bars_stay_within_the_frame_and_stand_in_order(values: list[int]) -> None:
    drawn = bars([(str(number), value) for number, value in enumerate(values)])
    assert [bar.value for bar in drawn.bars] == values
    for bar in drawn.bars:
        assert 0 <= bar.x <= bar.x + bar.width <= WIDTH
        assert 0 <= bar.y <= bar.y + bar.height <= HEIGHT
        assert (bar.height > 0) == (bar.value > 0)
    assert [mark for _, mark in drawn.marks] == [0, nice_top(max(values, default=0)) // 2, nice_top(max(values, default=0))]


def test_the_top_is_an_even_figure_that_is_not_below() -> None:
    assert [nice_top(highest) for highest in (0, 2, 3, 5, 11, 21, 99, 100, 101)] == [2, 2, 4, 10, 20, 40, 100, 100, 200]
