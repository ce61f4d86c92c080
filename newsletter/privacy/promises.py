"""What this room must forget: requests about people's data, messages, and its own records."""

from __future__ import annotations

from datetime import datetime, timedelta
from gettext import NullTranslations

from newsletter.core.database import Connection
from newsletter.core.promises import Due, Kept, Promise
from newsletter.privacy import contact, store
from newsletter.privacy.requests import KEPT_FOR

_SOON = {"every": timedelta(minutes=5), "grace": timedelta(hours=1)}


def promises(*, log_days: int, confirm_hours: int) -> list[Promise]:
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
        *_of_requests(confirm_hours),
        Promise(
            "retention-runs",
            runs,
            deadline=kept_for,
            at_most=timedelta(days=366),
            every=timedelta(hours=1),
            grace=timedelta(days=1),
            keep=keep,
            due=due,
        ),
    ]


def _of_requests(hours: int) -> list[Promise]:
    """`hours`: for how long a link to somebody's data waits to be mailed, as a confirmation mail does."""

    def asked(words: NullTranslations) -> str:
        return words.ngettext(
            "An address that asked what we hold about it is forgotten when the answer is mailed, after %(hours)d hour at most.",
            "An address that asked what we hold about it is forgotten when the answer is mailed, after %(hours)d hours at "
            "most.",
            hours,
        ) % {"hours": hours}

    def written(words: NullTranslations) -> str:
        return words.gettext(
            "What you write on the page for questions about data is deleted here when it is handed over as a mail, "
            "after %(days)d days at most."
        ) % {"days": contact.LIVES.days}

    def registered(words: NullTranslations) -> str:
        return words.gettext(
            "The register of requests that we have to answer names nobody; a line is deleted when it is answered, "
            "after %(days)d days at most."
        ) % {"days": KEPT_FOR.days}

    async def keep_registered(db: Connection, now: datetime, size: int) -> Kept:
        return (await store.expire_rights_requests(db, before=now - KEPT_FOR, size=size)).due_after(KEPT_FOR)

    async def due_registered(db: Connection, now: datetime) -> Due:
        return (await store.due_rights_requests(db, before=now - KEPT_FOR)).due_after(KEPT_FOR)

    lives, day = timedelta(hours=hours), timedelta(days=1)
    return [
        Promise("data-request", asked, deadline=lives, at_most=day, keep=_keep_asked, due=_due_asked, **_SOON),
        Promise(
            "contact-message",
            written,
            deadline=contact.LIVES,
            at_most=contact.LIVES,
            keep=_keep_written,
            due=_due_written,
            **_SOON,
        ),
        Promise(
            "rights-request",
            registered,
            deadline=KEPT_FOR,
            at_most=timedelta(days=366),
            every=timedelta(hours=1),
            grace=day,
            keep=keep_registered,
            due=due_registered,
        ),
    ]


async def _keep_asked(db: Connection, now: datetime, size: int) -> Kept:
    return await store.expire_data_requests(db, now=now, size=size)


async def _due_asked(db: Connection, now: datetime) -> Due:
    return await store.due_data_requests(db, now=now)


async def _keep_written(db: Connection, now: datetime, size: int) -> Kept:
    return await store.expire_contact_messages(db, now=now, size=size)


async def _due_written(db: Connection, now: datetime) -> Due:
    return await store.due_contact_messages(db, now=now)
