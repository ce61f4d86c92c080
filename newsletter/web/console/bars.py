"""Bars of a chart, as a template draws them: one for each label. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 400, 176
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 392, 20, 150


@dataclass(frozen=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    label: str
    value: int


@dataclass(frozen=True)
class Bars:
    bars: list[Bar]
    marks: list[tuple[float, int]]
    """Lines across, with the figure that each stands for."""


def bars(values: Sequence[tuple[str, int]]) -> Bars:
    """Labels and values, from left to right."""
    top = nice_top(max((value for _, value in values), default=0))
    step = (_RIGHT - _LEFT) / max(len(values), 1)
    drawn = []
    for number, (label, value) in enumerate(values):
        height = max((_BOTTOM - _TOP) * value / top, 1.5) if value else 0.0  # What is there can be seen.
        drawn.append(
            Bar(round(_LEFT + number * step, 1), round(_BOTTOM - height, 1), round(step * 0.7, 1), height, label, value)
        )
    marks = [(round(_BOTTOM - (_BOTTOM - _TOP) * part / 2, 1), top * part // 2) for part in range(3)]
    return Bars(drawn, marks)


def nice_top(highest: int) -> int:
    """An even figure that is not below: 2, 4, 10, 20, 40, 100 …"""
    top = 2
    while top < highest:
        top = top * 5 // 2 if str(top)[0] == "4" else top * 2
    return top
