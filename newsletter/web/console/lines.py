"""Lines over months, as the points of a chart. Geometry alone; the words are the template's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 400, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 8, 16, 26
_STEPS = (1, 2, 5)


@dataclass(frozen=True)
class Line:
    """`path`: through all points; `area`: the same, closed along the ground."""

    label: str
    path: str
    area: str
    first: int
    last: int


@dataclass(frozen=True)
class Lines:
    """`rules`: height of each line across, and what it stands for; `ticks`: place of each month."""

    lines: Sequence[Line]
    rules: Sequence[tuple[float, int]]
    ticks: Sequence[float]

    width = WIDTH
    height = HEIGHT
    left = _LEFT
    right = WIDTH - _RIGHT


def lines(series: Sequence[tuple[str, Sequence[int]]]) -> Lines:
    """One for each label, all on one scale that begins at nothing."""
    most = _round_up(max((max(values, default=0) for _, values in series), default=0))
    count = max((len(values) for _, values in series), default=2)
    ticks = [round(_LEFT + number * (WIDTH - _LEFT - _RIGHT) / max(1, count - 1), 1) for number in range(count)]
    ground = HEIGHT - _BOTTOM

    def height(value: float) -> float:
        return round(ground - value * (ground - _TOP) / most, 1)

    made = []
    for label, values in series:
        points = " ".join(f"{x} {height(value)}" for x, value in zip(ticks, values, strict=False))
        area = f"M{_LEFT} {ground}V{height(values[0])}L{points}V{ground}Z"
        made.append(Line(label, f"M{points}", area, values[0], values[-1]))
    return Lines(made, [(height(most * part / 2), most * part // 2) for part in (2, 1, 0)], ticks)


def _round_up(value: int) -> int:
    """To a figure that is easy to read: 38,412 to 50,000. Even, so that half of it is a whole number."""
    size = 1
    while True:
        for step in _STEPS:
            if step * size >= max(2, value) and step * size % 2 == 0:
                return step * size
        size *= 10
