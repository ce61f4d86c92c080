"""Campaigns that start by themselves: at a time that an operator set, in the time zone of the list.

Whatever stands in the way when the time has come (a standstill, a closed list, words that are no mail any more) makes the
campaign a draft again, with the reason; nothing is sent that nobody expects any more.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NoReturn

from newsletter.campaigns import store
from newsletter.campaigns.local_time import Meant, read_ahead
from newsletter.campaigns.service import Campaigns
from newsletter.core.audit import Audit
from newsletter.core.database import Connection, Database
from newsletter.core.errors import Conflict, DatabaseError, NewsletterError, NotFound
from newsletter.core.logs import get_logger

SCHEDULE = "schedule"
"""Who starts it, in the audit log."""
TOO_LATE = timedelta(hours=6)
"""A campaign that nobody could start for so long is not started any more: it may be news of yesterday."""
LONGEST_REASON = 500

log = get_logger(__name__)


class Scheduling:
    """`by` names the operator, for the audit log."""

    def __init__(self, db: Database, campaigns: Campaigns, audit: Audit) -> None:
        self._db = db
        self._campaigns = campaigns
        self._audit = audit

    async def schedule(self, campaign_id: int, local: str, *, by: str, now: datetime, words: str | None = None) -> Meant:
        """Start it at that local time; again for another time. Returns which moment that is. `words`: as for sending.

        Raises `InvalidInput` for a time that cannot be meant, `WordsChanged`, `Conflict` when the campaign was begun or
        cancelled, and whatever refuses to send it: it is compiled now, so that nobody learns of a fault when the time has come.
        """
        letter = await self._campaigns.sendable(campaign_id)
        meant = read_ahead(local, letter.mailing_list.zone, now=now)
        async with self._db.transaction() as db:
            if not await store.schedule(db, campaign_id=campaign_id, at=meant.at):
                await self._refuse(db, campaign_id, "schedule")
            await self._campaigns.refuse_other_words(db, campaign_id, words)
            await self._audit(db, by, "campaign.schedule", f"campaign {campaign_id}, {meant.at:%Y-%m-%d %H:%M} UTC", now)
        return meant

    async def unschedule(self, campaign_id: int, *, by: str, now: datetime) -> None:
        """A draft again. Raises `Conflict` when it waits for nothing (any more)."""
        async with self._db.transaction() as db:
            if not await store.unschedule(db, campaign_id=campaign_id):
                await self._refuse(db, campaign_id, "unschedule")
            await self._audit(db, by, "campaign.unschedule", f"campaign {campaign_id}", now)

    async def start_due(self, *, now: datetime) -> int:
        """Start what is due; returns how many were started or became drafts again."""
        due = await store.due_campaigns(self._db, now=now)
        for each in due:
            try:
                await self._start(each.campaign_id, each.scheduled_at, now)
            except DatabaseError:
                raise  # That says nothing of the campaign: it stays due.
            except NewsletterError as error:
                await self._return(each.campaign_id, str(error), now)
            except Exception:  # One that nobody foresaw must not keep those after it from starting.
                log.exception("campaign_not_started", campaign_id=each.campaign_id)
                await self._return(each.campaign_id, "It could not be made into a mail; the log says why.", now)
        return len(due)

    async def _start(self, campaign_id: int, scheduled_at: datetime, now: datetime) -> None:
        if now - scheduled_at > TOO_LATE:
            raise Conflict("No worker was there to start it for six hours after its time.")
        await self._campaigns.send(campaign_id, by=SCHEDULE, now=now, when_due=True)
        log.info("campaign_started", campaign_id=campaign_id)

    async def _return(self, campaign_id: int, reason: str, now: datetime) -> None:
        async with self._db.transaction() as db:
            if not await store.return_to_draft(db, campaign_id=campaign_id, reason=reason[:LONGEST_REASON], now=now):
                return  # Somebody has sent, cancelled or unscheduled it meanwhile.
            await self._audit(db, SCHEDULE, "campaign.return", f"campaign {campaign_id}", now)
        log.warning("campaign_returned", campaign_id=campaign_id, reason=reason)

    async def _refuse(self, db: Connection, campaign_id: int, verb: str) -> NoReturn:
        row = await store.campaign(db, campaign_id=campaign_id)
        if row is None:
            raise NotFound(f"There is no campaign {campaign_id}.")
        raise Conflict(f"Campaign {campaign_id} is {row.state}: there is nothing to {verb}.")
