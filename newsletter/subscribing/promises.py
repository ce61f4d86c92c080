"""What this room must forget about people, and when."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from gettext import NullTranslations

from newsletter.core.database import Connection
from newsletter.core.promises import Kept, Promise
from newsletter.delivery import store as delivery
from newsletter.subscribing import erasure, store
from newsletter.subscribing.rules import ERASE_AT_THE_LATEST

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
        return words.gettext("A sign-up that could not be worked on is deleted after 24 hours.")

    def outbox(words: NullTranslations) -> str:
        return words.gettext("A mail about your sign-up that could not be delivered in its time is forgotten.")

    def limits(words: NullTranslations) -> str:
        return words.gettext(
            "Counters that protect strangers from being signed up by others hold codes, no addresses, "
            "and are deleted after 30 days."
        )

    return [
        Promise("unconfirmed", unconfirmed, _FIVE_MINUTES, _HOUR, keep_unconfirmed),
        Promise("left", left, _FIVE_MINUTES, _DAY, keep_left(timedelta(days=erase_left_days))),
        Promise("signup-request", requests, _FIVE_MINUTES, _HOUR, _keep_requests),
        Promise("outbox", outbox, _FIVE_MINUTES, _HOUR, _keep_outbox),
        Promise("limits", limits, _HOUR, _DAY, _keep_limits),
    ]


async def keep_unconfirmed(db: Connection, now: datetime, size: int) -> Kept:
    """Requests that were not confirmed in time; whoever had unsubscribed before goes on being that."""
    people = await store.due_lapsed(db, now=now, size=size)
    await store.lock_subscribers(db, subscriber_ids=people)
    lapsed = await store.lapse(db, subscriber_ids=people, now=now)
    await erasure.count(db, [row.list_id for row in lapsed], now=now, lapsed=1)
    await erasure.forget_unconfirmed(db, people)
    return Kept(len(lapsed), min((row.expires_at for row in lapsed), default=None))


def keep_left(erase_after: timedelta) -> Callable[[Connection, datetime, int], Awaitable[Kept]]:
    """People whose last confirmed subscription ended that long ago."""

    async def keep(db: Connection, now: datetime, size: int) -> Kept:
        times = {"left_before": now - erase_after, "at_the_latest": now - ERASE_AT_THE_LATEST, "now": now}
        due = await store.due_left(db, **times, size=size)
        people = [row.subscriber_id for row in due]
        await store.lock_subscribers(db, subscriber_ids=people)
        await erasure.erase(db, await store.still_left(db, subscriber_ids=people, **times), now=now)
        oldest = min((row.left_at for row in due), default=None)
        return Kept(len(people), oldest + erase_after if oldest else None)

    return keep


async def _keep_requests(db: Connection, now: datetime, size: int) -> Kept:
    return await store.expire_requests(db, now=now, size=size)


async def _keep_outbox(db: Connection, now: datetime, size: int) -> Kept:
    return await delivery.expire_mails(db, now=now, size=size)


async def _keep_limits(db: Connection, now: datetime, size: int) -> Kept:
    return await store.expire_hits(db, now=now, size=size)
