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
    RESTRICTED = "restricted"
    """A pause that the person asked for; ends when it says, or with the person."""


class Event(StrEnum):
    """What consent events record."""

    ASKED = "asked"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    PREFERENCES = "preferences"
    UNSUBSCRIBED = "unsubscribed"
    RESUBSCRIBED = "resubscribed"
    RESTRICTED = "restricted"
    RESUMED = "resumed"
    OBJECTED = "objected"
    CORRECTED = "corrected"
    MOVED = "moved"


class Keeps(StrEnum):
    """What remains as proof of consent after somebody was erased."""

    NONE = "none"
    SEALED = "sealed"
    """Keyed id, lists, hashes of wordings and mails, form, times: no address, and nothing that it came from."""
    FULL = "full"
    """With the address, and with network and browser as far as they are still there."""


EVIDENCE_FOR = timedelta(days=180)
EVIDENCE_AT_MOST = timedelta(days=3 * 365)
"""After which proof of consent goes, whatever the settings say and whoever disputes."""

LEFT_FOR = timedelta(days=3 * 365)
REFUSED_FOR = timedelta(days=30)

KEPT_FOR: dict[Reason, timedelta | None] = {
    Reason.LEFT: LEFT_FOR,
    Reason.COMPLAINED: timedelta(days=3 * 365),
    Reason.BOUNCED: timedelta(days=365),
    Reason.REFUSED: REFUSED_FOR,
    Reason.OBJECTED: None,
    Reason.RESTRICTED: None,
}
"""How long each stands; None: until it is lifted."""

_ASK_AGAIN_AFTER: dict[Reason, timedelta | None] = {
    Reason.LEFT: timedelta(0),
    Reason.COMPLAINED: timedelta(hours=24),
    Reason.BOUNCED: timedelta(days=7),  # addresses are reissued
    Reason.REFUSED: None,
    Reason.OBJECTED: None,
    Reason.RESTRICTED: timedelta(0),
}
"""After which time a sign-up may be answered by a confirmation mail again; None: not while it stands."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """What stands against mailing somebody; `list_id` 0 means every list."""

    list_id: int
    reason: str
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class SealedEvent:
    """One event of evidence that outlived the person, with the texts that its hashes stand for.

    `address`, `network` and `agent` are there only where the settings keep evidence in full. `list_id` None: about the person;
    `list` is that list's short name.
    """

    kind: str
    list_id: int | None
    list: str | None
    occurred_at: datetime
    language: str
    form: str
    via: str | None
    wording: str | None
    mail: str | None
    process: str | None
    address: str | None
    network: str | None
    agent: str | None
    erased_at: datetime
    expires_at: datetime
    held_at: datetime | None
    hold_reason: str | None


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
