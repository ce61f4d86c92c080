"""How a campaign went over time: a chart whose heading says what to see, and the table behind it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from newsletter.campaigns.reporting import Report, busy_part, by_second, reached
from newsletter.campaigns.service import Status
from newsletter.web.console.curves import Curve, curve
from newsletter.web.console.live import span

MOST_ROWS = 40
"""Of a table behind a chart."""
FEWEST_FOR_SHARES = 20
"""Of fewer that were taken, 99 % are all."""


def course_of(report: Report, status: Status, zone: ZoneInfo, *, under_way: bool) -> dict[str, Any]:
    """For the page."""
    points = report.points
    busy = busy_part(points)
    start = status.started_at or (busy[0].taken_at if busy else None)
    drawn: list[tuple[float, float]] = []
    if start is not None and busy:
        drawn = [(0.0, 0.0)] if busy[0].taken_at > start else []
        drawn += [((point.taken_at - start).total_seconds(), float(point.accepted)) for point in busy]
    told = by_second(points)
    step = max(len(told) // MOST_ROWS, 1)
    rows = [*told[:-1:step], *told[-1:]]
    return {
        "course": curve(drawn) if len(drawn) > 1 else Curve("", "", ()),
        "course_heading": f"{points[-1].accepted:,} taken by {points[-1].taken_at.astimezone(zone):%H:%M:%S}"
        if under_way and points
        else heading(report, status),
        "course_span": span(timedelta(seconds=drawn[-1][0])) if drawn else "",
        "course_rows": [(f"{row.taken_at.astimezone(zone):%d %B %H:%M:%S}".lstrip("0"), row) for row in rows],
    }


def heading(report: Report, status: Status) -> str:
    """What to see in the chart of a campaign that has ended."""
    half, nearly, whole = (reached(report.points, share, status.started_at) for share in (0.5, 0.99, 1))
    if half is None or nearly is None or whole is None:
        return "Nothing was taken"
    if (taken := report.points[-1].accepted) < FEWEST_FOR_SHARES:
        return f"{'All' if taken >= (status.planned or 0) else f'All {taken} that were'} taken within {_within(whole)}"
    if span(half) == span(nearly):
        return f"99 % of what was taken went within {_within(nearly)}"
    return f"Half of what was taken went within {_within(half)}, 99 % within {_within(nearly)}"


def _within(length: timedelta) -> str:
    return span(max(length, timedelta(seconds=1)))
