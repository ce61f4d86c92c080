"""What this room must forget, and when."""

from __future__ import annotations

from datetime import datetime, timedelta
from gettext import NullTranslations

from newsletter.core.database import Connection
from newsletter.core.promises import Kept, Promise
from newsletter.delivery import store

WEEK = timedelta(days=7)
PACES_KEPT = timedelta(days=1)


def promises(*, delivery_days: int) -> list[Promise]:
    """The declarations, with the deadlines of this installation."""

    def deliveries(words: NullTranslations) -> str:
        return words.gettext("Who was sent which letter is forgotten after %(days)d days; what stays are sums.") % {
            "days": delivery_days
        }

    async def drop(db: Connection, now: datetime, size: int) -> Kept:  # noqa: ARG001  a week goes as a whole
        """As soon as its last day is that long ago: what lies in a week may be as young as that."""
        kept_for = timedelta(days=delivery_days)
        return (await store.drop_week(db, before=(now - kept_for - WEEK).date() + timedelta(days=1))).due_after(kept_for)

    def paces(words: NullTranslations) -> str:
        return words.gettext("How much mail a provider took from us at a time is forgotten after a day.")

    async def forget(db: Connection, now: datetime, size: int) -> Kept:
        return (await store.forget_paces(db, before=now - PACES_KEPT, size=size)).due_after(PACES_KEPT)

    return [
        Promise("deliveries", deliveries, timedelta(hours=1), WEEK + timedelta(days=1), drop),
        Promise("paces", paces, timedelta(hours=1), timedelta(days=1), forget),
    ]
