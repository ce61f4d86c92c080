"""What holds for writing: which versions are kept, and how long somebody counts as being there. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

MOST_LANGUAGES = 20
OPEN_FOR = timedelta(minutes=2)
"""After the last sign of life of an editor, its operator is taken to be there still."""
ALL_FOR = timedelta(minutes=10)
"""So long each version is kept; then the last of each ten minutes, and from a day on the last of each day."""
SHORT, LONG = timedelta(minutes=10), timedelta(days=1)
MOST_VERSIONS = 100
"""Of one language, whatever their age."""


class Saved(Protocol):
    """A version, as far as thinning out asks."""

    @property
    def version(self) -> int: ...
    @property
    def saved_at(self) -> datetime: ...


def thinned(versions: Sequence[Saved], now: datetime) -> list[int]:
    """Which of the versions (newest first) are to go. The newest never does."""
    gone, kept = [], 0
    seen: set[tuple[str, int]] = set()
    for index, each in enumerate(versions):
        place = _place(each.saved_at, now)
        if index and ((place and place in seen) or kept >= MOST_VERSIONS):
            gone.append(each.version)
            continue
        kept += 1
        if place:
            seen.add(place)
    return gone


def _place(saved_at: datetime, now: datetime) -> tuple[str, int] | None:
    """The span of which the last one is kept; None for one that is young."""
    age = now - saved_at
    if age < ALL_FOR:
        return None
    span = SHORT if age < LONG else LONG
    return ("short" if span is SHORT else "long", int(saved_at.timestamp() // span.total_seconds()))
