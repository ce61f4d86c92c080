"""What this room must forget, and when."""

from __future__ import annotations

from datetime import timedelta
from gettext import NullTranslations

from newsletter.core.promises import Promise, by_age
from newsletter.operators import store


def promises(*, log_days: int) -> list[Promise]:
    """The declarations, with the deadlines of this installation."""

    def audit(words: NullTranslations) -> str:
        return words.gettext("The log of what our staff did names no reader and is deleted after %(days)d days.") % {
            "days": log_days
        }

    kept_for = timedelta(days=log_days)

    return [
        Promise(
            "audit-log",
            audit,
            deadline=kept_for,
            at_most=timedelta(days=366),
            every=timedelta(hours=1),
            grace=timedelta(days=1),
            **by_age(kept_for, store.expire_audit, store.due_audit),
        )
    ]
