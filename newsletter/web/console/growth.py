"""What came and went, month by month, as the bars of a chart. Geometry alone; the words are the template's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from newsletter.subscribing.views import Month

WIDTH, HEIGHT = 400, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 8, 16, 26
_BAR = 0.62
"""Of the room that a month has."""


@dataclass(frozen=True)
class Bar:
    """A month. Up: who confirmed; down: who unsubscribed."""

    x: float
    width: float
    up: float
    """Height above the line."""
    down: float
    """Height below it."""
    month: Month

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


@dataclass(frozen=True)
class Chart:
    bars: Sequence[Bar]
    zero: float
    """Where the line is that both begin at."""
    top: int
    """What the upper edge stands for."""
    bottom: int
    """What the lower edge stands for."""

    width = WIDTH
    height = HEIGHT
    left = _LEFT
    right = WIDTH - _RIGHT
    upper = _TOP
    lower = HEIGHT - _BOTTOM


def chart(months: Sequence[Month]) -> Chart:
    """Both directions on one scale, so that they can be compared."""
    most_up = max((max(0, each.confirmed) for each in months), default=0)
    most_down = max((max(0, each.unsubscribed) for each in months), default=0)
    room = HEIGHT - _TOP - _BOTTOM
    scale = room / max(1, most_up + most_down)
    zero = _TOP + (most_up * scale if most_up + most_down else room)
    step = (WIDTH - _LEFT - _RIGHT) / max(1, len(months))
    bars = [
        Bar(
            round(_LEFT + number * step + step * (1 - _BAR) / 2, 1),
            round(step * _BAR, 1),
            round(max(0, each.confirmed) * scale, 1),
            round(max(0, each.unsubscribed) * scale, 1),
            each,
        )
        for number, each in enumerate(months)
    ]
    return Chart(bars, round(zero, 1), most_up, most_down)
