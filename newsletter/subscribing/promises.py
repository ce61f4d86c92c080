"""What this room must forget about people, and when."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from gettext import NullTranslations

from newsletter.consent import service as consent
from newsletter.consent.service import Ledger
from newsletter.core.database import Connection
from newsletter.core.promises import Due, Kept, Promise, by_expiry
from newsletter.delivery import store as delivery
from newsletter.delivery.rules import LONGEST_WAIT
from newsletter.subscribing import ending, erasure, store
from newsletter.subscribing.rules import HITS_KEPT, Via, request_lives

_FIVE_MINUTES = timedelta(minutes=5)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_SOON = {"every": _FIVE_MINUTES, "grace": _HOUR}
LONGEST_AFTER_LEAVING = timedelta(days=28)
"""Erasing on request is to be done within a month (GDPR Art. 12(3)), in February too."""


def promises(*, confirm_hours: int, erase_left_days: int, ledger: Ledger) -> list[Promise]:
    """The declarations, with the deadlines of this installation."""
    return [
        _unconfirmed(confirm_hours),
        _left(erase_left_days, ledger),
        _closed(ledger),
        _signup_requests(confirm_hours),
        _confirmations(confirm_hours),
        _outbox(),
        _limits(),
    ]


def _unconfirmed(confirm_hours: int) -> Promise:
    def sentence(words: NullTranslations) -> str:
        return words.ngettext(
            "If you do not confirm within %(hours)d hour, we delete your address.",
            "If you do not confirm within %(hours)d hours, we delete your address.",
            confirm_hours,
        ) % {"hours": confirm_hours}

    return Promise(
        "unconfirmed",
        sentence,
        deadline=timedelta(hours=confirm_hours),
        at_most=_DAY,
        keep=keep_unconfirmed,
        due=_due_unconfirmed,
        **_SOON,
    )


def _left(erase_left_days: int, ledger: Ledger) -> Promise:
    def sentence(words: NullTranslations) -> str:
        return words.ngettext(
            "When you unsubscribe from everything, we delete your address within %(days)d day.",
            "When you unsubscribe from everything, we delete your address within %(days)d days.",
            erase_left_days,
        ) % {"days": erase_left_days}

    erase_after = timedelta(days=erase_left_days)
    return Promise(
        "left",
        sentence,
        deadline=erase_after,
        at_most=LONGEST_AFTER_LEAVING,
        keep=keep_left(erase_after, ledger),
        due=_due_left(erase_after),
        **_SOON,
    )


def _closed(ledger: Ledger) -> Promise:
    def sentence(words: NullTranslations) -> str:
        return words.gettext(
            "When a newsletter is closed, we unsubscribe its readers within %(minutes)d minutes, and delete them as above."
        ) % {"minutes": _HOUR // timedelta(minutes=1)}

    return Promise(
        "closed",
        sentence,
        deadline=_HOUR,
        at_most=_DAY,
        every=_FIVE_MINUTES,
        grace=_DAY,
        keep=keep_closed(ledger),
        due=_due_closed,
    )


def _signup_requests(confirm_hours: int) -> Promise:
    lives = request_lives(timedelta(hours=confirm_hours))

    def sentence(words: NullTranslations) -> str:
        hours = lives // _HOUR
        return words.ngettext(
            "A sign-up that could not be worked on is deleted after %(hours)d hour.",
            "A sign-up that could not be worked on is deleted after %(hours)d hours.",
            hours,
        ) % {"hours": hours}

    kept = by_expiry(store.expire_requests, store.due_requests)
    return Promise("signup-request", sentence, deadline=lives, at_most=_DAY, **_SOON, **kept)


def _confirmations(confirm_hours: int) -> Promise:
    def sentence(words: NullTranslations) -> str:
        return words.ngettext(
            "The link of a confirmation mail is forgotten %(hours)d hour after you asked for it, used or not.",
            "The link of a confirmation mail is forgotten %(hours)d hours after you asked for it, used or not.",
            confirm_hours,
        ) % {"hours": confirm_hours}

    kept = by_expiry(store.expire_confirmations, store.due_confirmations)
    return Promise("confirmation", sentence, deadline=timedelta(hours=confirm_hours), at_most=_DAY, **_SOON, **kept)


def _outbox() -> Promise:
    def sentence(words: NullTranslations) -> str:
        return words.gettext(
            "A mail about your sign-up or your data that could not be delivered in its time is forgotten, "
            "after %(days)d days at most."
        ) % {"days": LONGEST_WAIT.days}

    kept = by_expiry(delivery.expire_mails, delivery.due_mails)
    return Promise("outbox", sentence, deadline=LONGEST_WAIT, at_most=LONGEST_WAIT, **_SOON, **kept)


def _limits() -> Promise:
    def sentence(words: NullTranslations) -> str:
        return words.gettext(
            "Counters that protect strangers from being signed up by others hold codes, no addresses, "
            "and are deleted after %(days)d days."
        ) % {"days": HITS_KEPT.days}

    kept = by_expiry(store.expire_hits, store.due_hits)
    return Promise("limits", sentence, deadline=HITS_KEPT, at_most=HITS_KEPT, every=_HOUR, grace=_DAY, **kept)


async def keep_unconfirmed(db: Connection, now: datetime, size: int) -> Kept:
    """Requests that were not confirmed in time; whoever had unsubscribed before goes on being that."""
    people = await store.due_lapsed(db, now=now, size=size)
    await store.lock_subscribers(db, subscriber_ids=people)
    lapsed = await store.lapse(db, subscriber_ids=people, now=now)
    await erasure.forget_unconfirmed(db, people)
    await erasure.count(db, [row.list_id for row in lapsed], now=now, lapsed=1)
    return Kept(len(lapsed), min((row.expires_at for row in lapsed), default=None))


async def _due_unconfirmed(db: Connection, now: datetime) -> Due:
    return await store.due_unconfirmed(db, now=now)


def _due_left(erase_after: timedelta) -> Callable[[Connection, datetime], Awaitable[Due]]:
    async def due(db: Connection, now: datetime) -> Due:
        return (await store.due_to_erase(db, left_before=now - erase_after)).due_after(erase_after)

    return due


def keep_left(erase_after: timedelta, ledger: Ledger) -> Callable[[Connection, datetime, int], Awaitable[Kept]]:
    """People whose last confirmed subscription ended that long ago."""

    async def keep(db: Connection, now: datetime, size: int) -> Kept:
        left_before = now - erase_after
        due = await store.due_left(db, left_before=left_before, size=size)
        await store.lock_subscribers(db, subscriber_ids=due)
        # Whoever came back before the lock is not due any more, so that no later batch finds them again.
        gone = await store.still_left(db, subscriber_ids=due, left_before=left_before)
        await erasure.end_life(db, ledger, [row.subscriber_id for row in gone], now=now)
        return Kept(len(gone), min((row.left_at for row in gone), default=None)).due_after(erase_after)

    return keep


def keep_closed(ledger: Ledger) -> Callable[[Connection, datetime, int], Awaitable[Kept]]:
    """Readers of closed lists: unsubscribed at once, and not only when the hour is over."""

    async def keep(db: Connection, now: datetime, size: int) -> Kept:
        due = await store.due_closed(db, now=now, size=size)
        await store.lock_subscribers(db, subscriber_ids=[row.subscriber_id for row in due])
        for list_id in sorted({row.list_id for row in due}):
            people = [row.subscriber_id for row in due if row.list_id == list_id]
            ended = await ending.end(db, ledger, people, list_id, Via.CLOSING, now=now)
            await consent.record_withdrawals(db, ending.endings_as_withdrawals(ended, now))
        return Kept(len(due), min((row.closed_at for row in due), default=None)).due_after(_HOUR)

    return keep


async def _due_closed(db: Connection, now: datetime) -> Due:
    return (await store.due_of_closed(db, closed_before=now - _HOUR)).due_after(_HOUR)
