"""Erasing people: one sweep, in the caller's transaction.

What stays is a keyed id for each list that somebody had confirmed, as much evidence as the settings say, and sums that belong
to nobody. Whoever never confirmed anything leaves nothing behind; whoever refused, the code that refuses new requests for 30
days.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from newsletter.consent import service as consent
from newsletter.consent.service import Ledger
from newsletter.core.database import Connection
from newsletter.delivery import store as delivery
from newsletter.subscribing import store


async def erase(db: Connection, ledger: Ledger, subscriber_ids: Sequence[UUID], *, now: datetime) -> None:
    """People who had confirmed something, with all that they have handed in. The caller holds the lock on each of them."""
    await _drop_requests(db, subscriber_ids)
    await ledger.remember_erased(db, subscriber_ids, now=now)
    list_ids = await store.lists_of(db, subscriber_ids=subscriber_ids)
    read = await store.lists_read_by(db, subscriber_ids=subscriber_ids)
    await _sweep(db, subscriber_ids)
    await count(db, list_ids, now=now, erased=1)
    await count(db, read, now=now, unsubscribed=1)  # Or readers gained would be more than there are.


async def forget(db: Connection, subscriber_ids: Sequence[UUID]) -> None:
    """People who never confirmed anything: nothing stays. The caller holds the lock on each of them."""
    await _drop_requests(db, subscriber_ids)
    await _sweep(db, subscriber_ids)


async def _drop_requests(db: Connection, subscriber_ids: Sequence[UUID]) -> None:
    await store.drop_answers(db, subscriber_ids=subscriber_ids)
    await store.drop_requests(db, subscriber_ids=subscriber_ids)


async def end_life(
    db: Connection, ledger: Ledger, subscriber_ids: Sequence[UUID], *, ended_at: datetime | None = None, now: datetime
) -> None:
    """The same for people whose time is over, some of whom were signed up anew meanwhile: by themselves, or by a stranger.

    Such a request neither keeps here what belongs to the old life nor ends with it: it goes on as that of somebody new. What
    stays of the old one counts from `ended_at`, if that was earlier than now.
    """
    await ledger.remember_erased(db, subscriber_ids, now=ended_at or now)
    list_ids = await store.lists_of(db, subscriber_ids=subscriber_ids)
    await store.say_that_lives_end(db)
    anew = await store.begin_anew(db, subscriber_ids=subscriber_ids, now=now)
    mails = await store.queued_mails(db, subscriber_ids=anew, now=now)
    await delivery.forget_subscribers(db, subscriber_ids=anew)
    for mail in mails:
        await delivery.queue_mail(
            db,
            kind="confirm",
            subscriber_id=mail.subscriber_id,
            about=mail.about,
            list_ids=mail.list_ids,
            language=mail.language,
            message_id=mail.message_id,
            created_at=mail.created_at,
            expires_at=mail.expires_at,
            now=now,
        )
    await _sweep(db, list(set(subscriber_ids) - set(anew)))
    await count(db, list_ids, now=now, erased=1)


async def forget_unconfirmed(db: Connection, subscriber_ids: Sequence[UUID]) -> None:
    """Of these, the ones that no subscription is left of. The caller holds the lock on each of them."""
    await _sweep(db, await store.without_subscription(db, subscriber_ids=subscriber_ids))


async def _sweep(db: Connection, subscriber_ids: Sequence[UUID]) -> None:
    if subscriber_ids:
        await delivery.forget_subscribers(db, subscriber_ids=subscriber_ids)
        await consent.end_pauses(db, subscriber_ids)
        await store.delete_subscribers(db, subscriber_ids=subscriber_ids)


async def count(
    db: Connection,
    list_ids: Sequence[int],
    *,
    now: datetime,
    asked: int = 0,
    confirmed: int = 0,
    refused: int = 0,
    lapsed: int = 0,
    unsubscribed: int = 0,
    erased: int = 0,
) -> None:
    """Add to the day's depersonalised counts: so much for each mention of a list.

    Call it last: whoever else changes something about these lists today waits from here to the end of the transaction.
    """
    if list_ids:
        await store.count_day(
            db,
            list_ids=list_ids,
            day=now.date(),
            asked=asked,
            confirmed=confirmed,
            refused=refused,
            lapsed=lapsed,
            unsubscribed=unsubscribed,
            erased=erased,
        )
