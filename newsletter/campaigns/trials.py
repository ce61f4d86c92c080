"""Whom a test mail may go to, and how many an operator may send: a test goes out without anybody's consent."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from newsletter.campaigns import store
from newsletter.consent.rules import Reason
from newsletter.consent.service import suppressions
from newsletter.core.database import Connection
from newsletter.core.errors import InvalidInput, TooMany

MOST = 50
"""Test mails of one operator within `WINDOW`, whichever way they are sent."""
WINDOW = timedelta(hours=1)
ACTION = "campaign.test"
"""What the audit log calls one, and what is counted there."""
_UNWANTED = (Reason.OBJECTED, Reason.REFUSED)


class Unwanted(InvalidInput):
    """Whoever has this address wants no mail of ours at all, and not as a test either."""

    def __init__(self) -> None:
        super().__init__("Nothing is sent to this address: whoever has it does not want mail from here.", field="to")


async def check_trial(db: Connection, who: UUID, *, by: str, now: datetime) -> None:
    """In a transaction which then notes it in the audit log: others by the same operator wait. Raises `Unwanted`, `TooMany`."""
    if any(each.reason in _UNWANTED for each in await suppressions(db, who, now=now)):
        raise Unwanted
    await store.hold_trials(db, operator=by)
    if await store.count_trials(db, operator=by, action=ACTION, since=now - WINDOW) >= MOST:
        raise TooMany(f"You have sent {MOST} test mails within an hour: send the next ones later.", retry_after=900)
