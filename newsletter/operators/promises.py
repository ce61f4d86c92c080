"""What this room must forget, and when."""

from __future__ import annotations

from datetime import datetime, timedelta
from gettext import NullTranslations

from newsletter.core.database import Connection
from newsletter.core.promises import Due, Kept, Promise
from newsletter.operators import store
from newsletter.operators.rules import INVITATION_LIVES, LONGEST

_DAY = timedelta(days=1)
_SOON = timedelta(minutes=5)


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

    def former(words: NullTranslations) -> str:
        return words.gettext(
            "Of somebody who works here no longer, address and password are deleted at once, and the name after %(days)d days."
        ) % {"days": log_days}

    async def keep_former(db: Connection, now: datetime, size: int) -> Kept:
        return (await store.expire_operators(db, before=now - kept_for, size=size)).due_after(kept_for)

    async def due_former(db: Connection, now: datetime) -> Due:
        return (await store.due_operators(db, before=now - kept_for)).due_after(kept_for)

    return [
        Promise(
            "console-session",
            _sessions,
            deadline=LONGEST,
            at_most=LONGEST,
            every=_SOON,
            grace=timedelta(hours=1),
            keep=_keep_sessions,
            due=_due_sessions,
        ),
        Promise(
            "operator-link",
            _links,
            deadline=INVITATION_LIVES,
            at_most=INVITATION_LIVES,
            every=timedelta(hours=1),
            grace=_DAY,
            keep=_keep_links,
            due=_due_links,
        ),
        Promise(
            "former-operator",
            former,
            deadline=kept_for,
            at_most=timedelta(days=366),
            every=timedelta(hours=1),
            grace=_DAY,
            keep=keep_former,
            due=due_former,
        ),
        Promise(
            "audit-log",
            audit,
            deadline=kept_for,
            at_most=timedelta(days=366),
            every=timedelta(hours=1),
            grace=timedelta(days=1),
            keep=keep,
            due=due,
        ),
    ]


def _sessions(words: NullTranslations) -> str:
    hours = LONGEST // timedelta(hours=1)
    return words.gettext(
        "Our staff's sessions, with network and browser, are deleted when they end, after %(hours)d hours at most."
    ) % {"hours": hours}


async def _keep_sessions(db: Connection, now: datetime, size: int) -> Kept:
    return await store.expire_sessions(db, now=now, size=size)


async def _due_sessions(db: Connection, now: datetime) -> Due:
    return await store.due_sessions(db, now=now)


def _links(words: NullTranslations) -> str:
    return words.gettext("Links with which our staff set a password are deleted after %(days)d days at most.") % {
        "days": INVITATION_LIVES.days
    }


async def _keep_links(db: Connection, now: datetime, size: int) -> Kept:
    return await store.expire_links(db, now=now, size=size)


async def _due_links(db: Connection, now: datetime) -> Due:
    return await store.due_links(db, now=now)
