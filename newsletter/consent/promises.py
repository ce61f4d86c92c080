"""What this room must forget, and when."""

from __future__ import annotations

from datetime import datetime, timedelta
from gettext import NullTranslations

from newsletter.consent import store
from newsletter.consent.rules import LEFT_FOR, REFUSED_FOR
from newsletter.core.database import Connection
from newsletter.core.promises import Kept, Promise


def promises(*, origin_days: int) -> list[Promise]:
    """The declarations, with the deadlines of this installation."""

    def origins(words: NullTranslations) -> str:
        return words.ngettext(
            "The network address and browser that a consent came from are deleted after %(days)d day.",
            "The network address and browser that a consent came from are deleted after %(days)d days.",
            origin_days,
        ) % {"days": origin_days}

    def suppressions(words: NullTranslations) -> str:
        return words.gettext(
            "After deletion we keep a code computed from your address, so that nobody can enter it again by mistake: "
            "for %(years)d years, and for %(days)d days when you told us that you had not asked for our mail."
        ) % {"years": LEFT_FOR.days // 365, "days": REFUSED_FOR.days}

    def withdrawals(words: NullTranslations) -> str:
        return words.gettext(
            "The list of who has left, which a restored backup is compared with, holds the same code for the same time."
        )

    return [
        Promise("consent-origin", origins, timedelta(hours=1), timedelta(days=1), _keep_origins),
        Promise("suppression", suppressions, timedelta(hours=1), timedelta(days=1), _keep_suppressions),
        Promise("withdrawal", withdrawals, timedelta(hours=1), timedelta(days=1), _keep_withdrawals),
    ]


async def _keep_origins(db: Connection, now: datetime, size: int) -> Kept:
    return await store.expire_origins(db, now=now, size=size)


async def _keep_suppressions(db: Connection, now: datetime, size: int) -> Kept:
    return await store.expire_suppressions(db, now=now, size=size)


async def _keep_withdrawals(db: Connection, now: datetime, size: int) -> Kept:
    return await store.expire_withdrawals(db, refused_for=REFUSED_FOR, others_for=LEFT_FOR, now=now, size=size)
