"""What people may ask for about their data, in numbers and words. Pure."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from newsletter.core.i18n import N_

PAUSES = (1, 3, 6)
"""Months that a pause may last; without one it lasts until it is ended."""


class Why(StrEnum):
    """Why somebody objects, if they like to say; never a text of their own, in which people write who they are."""

    NONE = "none"
    TOO_MUCH = "too-much"
    NOT_FOR_ME = "not-for-me"
    NEVER_ASKED = "never-asked"


OBJECTIONS = {
    Why.NONE: N_("I object: never write to me again."),
    Why.TOO_MUCH: N_("I object: never write to me again. There are too many letters."),
    Why.NOT_FOR_ME: N_("I object: never write to me again. The letters are not what I expected."),
    Why.NEVER_ASKED: N_("I object: never write to me again. I never asked for letters."),
}
"""What is kept as the words of the objection (GDPR Art. 21(2)); no reason has to be given."""


@dataclass(frozen=True)
class RightsRequest:
    """Somebody waits for an answer about their data until `due_at`."""

    number: int
    kind: str
    channel: str
    received_at: datetime
    due_at: datetime
    note: str
    mail: str | None = None
    """Of what was written on the page and not handed over: `waiting` for a relay, `refused` by one, `lost` with its time,
    `erased` with whoever wrote it."""
    reply: str | None = None
    """What the relay said."""
    readable_until: datetime | None = None
    """When the text that was not handed over is deleted."""

    def is_overdue(self, now: datetime) -> bool:
        return self.due_at <= now


def months_later(moment: datetime, months: int) -> datetime:
    """The same day and time so many months on; the last day of a month that is too short (Regulation 1182/71 Art. 3(2)(c))."""
    years, month = divmod(moment.month - 1 + months, 12)
    year = moment.year + years
    return moment.replace(year=year, month=month + 1, day=min(moment.day, monthrange(year, month + 1)[1]))
