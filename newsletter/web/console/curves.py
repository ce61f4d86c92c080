"""Charts as SVG: where lines run and what stands beside them. The pages draw them, and the script moves them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEFT, RIGHT, TOP, BOTTOM = 56.0, 392.0, 20.0, 150.0
STEPS = 3
MOST = 120
"""Points that are drawn: more cannot be told apart."""


@dataclass(frozen=True)
class Curve:
    """In a field of 400 × 176, so that what is written in it can be read on a telephone.

    `ticks`: height and words beside the lines of the grid, from above.
    """

    line: str
    area: str
    ticks: tuple[tuple[float, str], ...]

    @property
    def labels(self) -> list[str]:
        return [words for _, words in self.ticks]


def curve(points: Sequence[tuple[float, float]]) -> Curve:
    """Through points (x in any unit, y from 0 up); nothing but the grid where there are fewer than two."""
    drawn = points if len(points) <= MOST else [points[index * (len(points) - 1) // (MOST - 1)] for index in range(MOST)]
    step = step_for(max((y for _, y in drawn), default=0.0))
    heights = [BOTTOM - (BOTTOM - TOP) * number / STEPS for number in range(STEPS, -1, -1)]
    ticks = tuple((height, written(step * number)) for height, number in zip(heights, range(STEPS, -1, -1), strict=True))
    first, last = (drawn[0][0], drawn[-1][0]) if drawn else (0.0, 0.0)
    if last <= first:
        return Curve("", "", ticks)
    at = [
        (LEFT + (RIGHT - LEFT) * (x - first) / (last - first), BOTTOM - (BOTTOM - TOP) * y / (step * STEPS)) for x, y in drawn
    ]
    path = " ".join(f"{x:.1f} {y:.1f}" for x, y in at)
    return Curve(f"M{path}", f"M{LEFT:g} {BOTTOM:g}L{path}L{RIGHT:g} {BOTTOM:g}Z", ticks)


def step_for(most: float) -> float:
    """Of the grid: one, two or five times a power of ten, so that three steps hold the most there is."""
    if most <= STEPS:
        return 1
    power = 10.0 ** math.floor(math.log10(most / STEPS))
    return next(step for step in (power, 2 * power, 5 * power, 10 * power) if step * STEPS >= most)


def written(value: float) -> str:
    """Short enough to stand beside a line: 2,000, 20k, 1.5M."""
    for size, unit in ((1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e6 if unit == 'M' else 1e3):g}{unit}"
    return f"{value:,g}"
