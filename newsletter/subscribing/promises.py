"""What this room must forget about people, and when."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from gettext import NullTranslations

from newsletter.core.database import Connection
from newsletter.core.promises import Kept, Promise
from newsletter.delivery import store as delivery
from newsletter.subscribing import erasure, store
from newsletter.subscribing.rules import HITS_KEPT, request_lives

_FIVE_MINUTES = timedelta(minutes=5)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


def promises(*, confirm_hours: int, erase_left_days: int) -> list[Promise]:
    """The declarations, with the deadlines of this installation."""

    def unconfirmed(words: NullTranslations) -> str:
        return words.ngettext(
            "If you do not confirm within %(hours)d hour, we delete your address.",
            "If you do not confirm within %(hours)d hours, we delete your address.",
            confirm_hours,
        ) % {"hours": confirm_hours}

    def left(words: NullTranslations) -> str:
        return words.ngettext(
            "When you unsubscribe from everything, we delete your address within %(days)d day.",
            "When you unsubscribe from everything, we delete your address within %(days)d days.",
            erase_left_days,
        ) % {"days": erase_left_days}

    def requests(words: NullTranslations) -> str:
        hours = request_lives(timedelta(hours=confirm_hours)) // _HOUR
        return words.ngettext(
            "A sign-up that could not be worked on is deleted after %(hours)d hour.",
            "A sign-up that could not be worked on is deleted after %(hours)d hours.",
            hours,
        ) % {"hours": hours}

    def links(words: NullTranslations) -> str:
        return words.ngettext(
            "The link of a confirmation mail is forgotten %(hours)d hour after you asked for it, used or not.",
            "The link of a confirmation mail is forgotten %(hours)d hours after you asked for it, used or not.",
            confirm_hours,
        ) % {"hours": confirm_hours}

    def outbox(words: NullTranslations) -> str:
        return words.gettext("A mail about your sign-up that could not be delivered in its time is forgotten.")

    def limits(words: NullTranslations) -> str:
        return words.gettext(
            "Counters that protect strangers from being signed up by others hold codes, no addresses, "
            "and are deleted after %(days)d days."
        ) % {"days": HITS_KEPT.days}

    return [
        Promise("unconfirmed", unconfirmed, _FIVE_MINUTES, _HOUR, keep_unconfirmed),
        Promise("left", left, _FIVE_MINUTES, _DAY, keep_left(timedelta(days=erase_left_days))),
        Promise("signup-request", requests, _FIVE_MINUTES, _HOUR, _keep_requests),
        Promise("confirmation", links, _FIVE_MINUTES, _HOUR, _keep_confirmations),
        Promise("outbox", outbox, _FIVE_MINUTES, _HOUR, _keep_outbox),
        Promise("limits", limits, _HOUR, _DAY, _keep_limits),
    ]


async def keep_unconfirmed(db: Connection, now: datetime, size: int) -> Kept:
    """Requests that were not confirmed in time; whoever had unsubscribed before goes on being that."""
    people = await store.due_lapsed(db, now=now, size=size)
    await store.lock_subscribers(db, subscriber_ids=people)
    lapsed = await store.lapse(db, subscriber_ids=people, now=now)
    await erasure.forget_unconfirmed(db, people)
    await erasure.count(db, [row.list_id for row in lapsed], now=now, lapsed=1)
    return Kept(len(lapsed), min((row.expires_at for row in lapsed), default=None))


def keep_left(erase_after: timedelta) -> Callable[[Connection, datetime, int], Awaitable[Kept]]:
    """People whose last confirmed subscription ended that long ago."""

    async def keep(db: Connection, now: datetime, size: int) -> Kept:
        left_before = now - erase_after
        due = await store.due_left(db, left_before=left_before, size=size)
        await store.lock_subscribers(db, subscriber_ids=due)
        # Whoever came back before the lock is not due any more, so that no later batch finds them again.
        gone = await store.still_left(db, subscriber_ids=due, left_before=left_before)
        await erasure.end_life(db, [row.subscriber_id for row in gone], now=now)
        return Kept(len(gone), min((row.left_at for row in gone), default=None)).due_after(erase_after)

    return keep


async def _keep_requests(db: Connection, now: datetime, size: int) -> Kept:
    return await store.expire_requests(db, now=now, size=size)


async def _keep_confirmations(db: Connection, now: datetime, size: int) -> Kept:
    return await store.expire_confirmations(db, now=now, size=size)


async def _keep_outbox(db: Connection, now: datetime, size: int) -> Kept:
    return await delivery.expire_mails(db, now=now, size=size)


async def _keep_limits(db: Connection, now: datetime, size: int) -> Kept:
    return await store.expire_hits(db, now=now, size=size)
