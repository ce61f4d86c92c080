"""Why somebody must not be mailed, for how long, and when they may be asked again. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Reason(StrEnum):
    """Why; all of them refuse campaigns and imports."""

    LEFT = "left"
    COMPLAINED = "complained"
    BOUNCED = "bounced"
    REFUSED = "refused"
    OBJECTED = "objected"


class Event(StrEnum):
    """What consent events record."""

    ASKED = "asked"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    UNSUBSCRIBED = "unsubscribed"
    RESUBSCRIBED = "resubscribed"


LEFT_FOR = timedelta(days=3 * 365)
REFUSED_FOR = timedelta(days=30)

KEPT_FOR: dict[Reason, timedelta | None] = {
    Reason.LEFT: LEFT_FOR,
    Reason.COMPLAINED: timedelta(days=3 * 365),
    Reason.BOUNCED: timedelta(days=365),
    Reason.REFUSED: REFUSED_FOR,
    Reason.OBJECTED: None,
}
"""How long each stands; None: until it is lifted."""

_ASK_AGAIN_AFTER: dict[Reason, timedelta | None] = {
    Reason.LEFT: timedelta(0),
    Reason.COMPLAINED: timedelta(hours=24),
    Reason.BOUNCED: timedelta(days=7),  # addresses are reissued
    Reason.REFUSED: None,
    Reason.OBJECTED: None,
}
"""After which time a sign-up may be answered by a confirmation mail again; None: not while it stands."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """What stands against mailing somebody; `list_id` 0 means every list."""

    list_id: int
    reason: str
    since: datetime
    until: datetime | None


def may_be_asked(suppressions: Iterable[Suppression], now: datetime) -> bool:
    """Whether a sign-up may be answered by mail. What stands against one list counts for all: a bomber changes lists."""
    for suppression in suppressions:
        pause = _ASK_AGAIN_AFTER[Reason(suppression.reason)]
        if pause is None or now < suppression.since + pause:
            return False
    return True


def until(reason: Reason, now: datetime) -> datetime | None:
    """When a suppression that begins now ends."""
    kept = KEPT_FOR[reason]
    return None if kept is None else now + kept
