"""What this room must forget: its own records."""

from __future__ import annotations

from datetime import datetime, timedelta
from gettext import NullTranslations

from newsletter.core.database import Connection
from newsletter.core.promises import Due, Kept, Promise
from newsletter.privacy import store


def promises(*, log_days: int) -> list[Promise]:
    """The declarations, with the deadlines of this installation."""

    def runs(words: NullTranslations) -> str:
        return words.gettext("The records of what was deleted when hold no personal data and are kept for %(days)d days.") % {
            "days": log_days
        }

    kept_for = timedelta(days=log_days)

    async def keep(db: Connection, now: datetime, size: int) -> Kept:
        return (await store.expire_runs(db, before=now - kept_for, size=size)).due_after(kept_for)

    async def due(db: Connection, now: datetime) -> Due:
        return (await store.due_runs(db, before=now - kept_for)).due_after(kept_for)

    return [
        Promise(
            "retention-runs",
            runs,
            deadline=kept_for,
            at_most=timedelta(days=366),
            every=timedelta(hours=1),
            grace=timedelta(days=1),
            keep=keep,
            due=due,
        )
    ]
