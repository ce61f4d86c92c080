"""What this room must forget, and when."""

from __future__ import annotations

from datetime import datetime, timedelta
from gettext import NullTranslations

from newsletter.core.database import Connection
from newsletter.core.promises import Due, Kept, Promise
from newsletter.operators import store


def promises(*, log_days: int) -> list[Promise]:
    """The declarations, with the deadlines of this installation."""

    def audit(words: NullTranslations) -> str:
        return words.gettext("The log of what our staff did names no reader and is deleted after %(days)d days.") % {
            "days": log_days
        }

    kept_for = timedelta(days=log_days)

    async def keep(db: Connection, now: datetime, size: int) -> Kept:
        return (await store.expire_audit(db, before=now - kept_for, size=size)).due_after(kept_for)

    async def due(db: Connection, now: datetime) -> Due:
        return (await store.due_audit(db, before=now - kept_for)).due_after(kept_for)

    return [
        Promise(
            "audit-log",
            audit,
            deadline=kept_for,
            at_most=timedelta(days=366),
            every=timedelta(hours=1),
            grace=timedelta(days=1),
            keep=keep,
            due=due,
        )
    ]
