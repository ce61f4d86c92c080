"""What this room must forget, and when."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from gettext import NullTranslations

from newsletter.core.database import Connection
from newsletter.core.logs import get_logger
from newsletter.core.promises import Due, Kept, Promise, by_age
from newsletter.delivery import store

log = get_logger(__name__)

WEEK = timedelta(days=7)
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
PACES_KEPT = timedelta(days=1)


def promises(*, delivery_days: int) -> list[Promise]:
    """The declarations, with the deadlines of this installation."""

    def deliveries(words: NullTranslations) -> str:
        return words.gettext(
            "Who was sent which letter is forgotten %(days)d days after the week that it was sent in; what stays are sums."
        ) % {"days": delivery_days}

    kept_for = timedelta(days=delivery_days)

    def before(now: datetime) -> date:
        """A week goes as soon as its last day is that long ago: what lies in it may be as young as that."""
        return (now - kept_for - WEEK).date() + timedelta(days=1)

    async def drop(db: Connection, now: datetime, size: int) -> Kept:  # noqa: ARG001  a week goes as a whole
        for campaign_id in await store.cancel_forgotten(db, before=before(now), now=now):
            log.warning("campaign_cancelled", campaign_id=campaign_id, reason="not finished when its deliveries were to go")
        return (await store.drop_week(db, before=before(now))).due_after(kept_for + WEEK)

    async def due(db: Connection, now: datetime) -> Due:
        return (await store.due_weeks(db, before=before(now))).due_after(kept_for + WEEK)

    def paces(words: NullTranslations) -> str:
        return words.gettext("How much mail a provider took from us at a time is forgotten after a day.")

    return [
        Promise(
            "deliveries",
            deliveries,
            deadline=kept_for,
            at_most=timedelta(days=90),
            every=_HOUR,
            grace=_DAY,
            keep=drop,
            due=due,
        ),
        Promise(
            "paces",
            paces,
            deadline=PACES_KEPT,
            at_most=PACES_KEPT,
            every=_HOUR,
            grace=_DAY,
            **by_age(PACES_KEPT, store.forget_paces, store.due_paces),
        ),
    ]
