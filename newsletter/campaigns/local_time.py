"""A date and a time as people type them, where their list is at home. Pure.

Twice a year a clock is put forward, and an hour of that night does not exist; and put back, and an hour comes twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from newsletter.core.errors import InvalidInput

FARTHEST = timedelta(days=366)
"""Ahead: who types a wrong year is told."""


@dataclass(frozen=True)
class Meant:
    """A moment, in UTC. `comes_twice`: the clock shows that time again an hour later; the first is meant."""

    at: datetime
    comes_twice: bool = False


def read_local(text: str, zone: ZoneInfo) -> Meant:
    """`2026-12-05T09:30` (a browser's datetime-local; a space will do) in that zone.

    Raises `InvalidInput` for what is no such time, and for one that no clock shows that day.
    """
    typed = _parsed(text)
    first = typed.replace(tzinfo=zone, fold=0)
    try:
        at, later = first.astimezone(UTC), typed.replace(tzinfo=zone, fold=1).astimezone(UTC)
        shown = at.astimezone(zone).replace(tzinfo=None)
    except OverflowError:
        raise _unread() from None
    if shown != typed:
        raise InvalidInput(
            f"There is no {typed:%H:%M} on {_day(typed)}: clocks in {zone.key} are put forward then. "
            f"Take an earlier time, or {max(shown, later.astimezone(zone).replace(tzinfo=None)):%H:%M}.",
            field="at",
        )
    return Meant(at, comes_twice=later != at)


def read_ahead(text: str, zone: ZoneInfo, *, now: datetime) -> Meant:
    """The same, of something that is to happen. Raises `InvalidInput` for what is past, and for more than a year ahead."""
    meant = read_local(text, zone)
    if meant.at <= now:
        clock = now.astimezone(zone)
        raise InvalidInput(
            f"That is past: in {zone.key} it is {clock:%H:%M} on {_day(clock)} now. Take a later time.", field="at"
        )
    if meant.at - now > FARTHEST:
        raise InvalidInput("That is more than a year ahead: look at the year again.", field="at")
    return meant


def _parsed(text: str) -> datetime:
    try:
        typed = datetime.fromisoformat(text.strip())
    except ValueError:
        raise _unread() from None
    if typed.tzinfo is not None or ":" not in text:
        raise _unread()
    return typed.replace(second=0, microsecond=0)


def _unread() -> InvalidInput:
    return InvalidInput("Give a date and a time, such as 2026-12-05 09:30, without a zone.", field="at")


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y}"
