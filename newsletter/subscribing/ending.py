"""Subscriptions that end otherwise than by the reader's own link: hard bounces, complaints, what operators know, closed lists.

The same clock as for everybody who leaves: `left_at` is set, so that the promise to delete finds them. Evidence says by which
way it came, and each ending is numbered among the withdrawals. Nothing here can be taken back by a click, since nobody clicked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from newsletter.consent import service as consent
from newsletter.consent.rules import Reason
from newsletter.consent.service import Ledger
from newsletter.consent.withdrawal_file import Withdrawal
from newsletter.core.database import Connection, Database
from newsletter.subscribing import erasure, store
from newsletter.subscribing.rules import Via
from newsletter.subscribing.store import Ended

EVERY_LIST = 0

VIA: dict[Reason, Via] = {Reason.BOUNCED: Via.BOUNCE, Reason.COMPLAINED: Via.COMPLAINT}
"""How a subscription ended that a suppression ends; all others are an operator's doing."""

_WITHDRAWALS = {
    Reason.LEFT: "unsubscribed",
    Reason.COMPLAINED: "complained",
    Reason.REFUSED: "refused",
    Reason.OBJECTED: "objected",
}
"""What is numbered when somebody is suppressed; a bounce is nobody's will, and only the endings are."""


@dataclass(frozen=True)
class Suppressed:
    """`fresh`: how many this did not stand against before; `ended`: the subscriptions that it ended."""

    fresh: int
    ended: list[Ended]


async def end(
    db: Connection, ledger: Ledger, subscriber_ids: Sequence[UUID], list_id: int, via: Via, *, now: datetime
) -> list[Ended]:
    """What these people have of that list, or of every list (0), as of `now`: what they confirm later stays.

    In the caller's transaction, who holds the lock on each of them and numbers the withdrawals.
    """
    ended = await store.end_subscriptions(db, subscriber_ids=subscriber_ids, list_id=list_id, via=via.value, now=now)
    await store.drop_asked(db, subscriber_ids=subscriber_ids, list_id=list_id, now=now)
    await store.drop_links(db, subscriber_ids=subscriber_ids, list_id=list_id, now=now)
    await store.leave_many(db, subscriber_ids=subscriber_ids, now=now)
    endings = [(row.subscriber_id, row.list_id, row.language) for row in ended]
    await ledger.record_endings(db, endings, via=via.value, now=now)
    await erasure.forget_unconfirmed(db, subscriber_ids)
    await erasure.count(db, [row.list_id for row in ended], now=now, unsubscribed=1)
    return ended


async def suppress(
    db: Connection, ledger: Ledger, subscriber_ids: Sequence[UUID], list_id: int, reason: Reason, *, now: datetime
) -> Suppressed:
    """Nobody mails or imports these people on that list, or on every list (0), for that reason; what they have of it ends.

    In the caller's transaction.
    """
    await store.lock_subscribers(db, subscriber_ids=subscriber_ids)
    fresh = await consent.suppress(db, subscriber_ids, list_id, reason, now=now)
    ended = await end(db, ledger, subscriber_ids, list_id, VIA.get(reason, Via.OPERATOR), now=now)
    kind = _WITHDRAWALS.get(reason)
    withdrawn = (
        [Withdrawal(0, kind, who, list_id, now) for who in subscriber_ids] if kind else endings_as_withdrawals(ended, now)
    )
    await consent.record_withdrawals(db, withdrawn)
    return Suppressed(fresh, ended)


def endings_as_withdrawals(ended: Sequence[Ended], now: datetime) -> list[Withdrawal]:
    """Not numbered yet."""
    return [Withdrawal(0, "unsubscribed", row.subscriber_id, row.list_id, now) for row in ended]


class Ending:
    """Use cases of feedback: what comes back from receivers; each owns its transaction."""

    def __init__(self, db: Database, ledger: Ledger) -> None:
        self._db = db
        self._ledger = ledger

    async def bounced(self, subscriber_id: UUID, *, now: datetime) -> int:
        """The address does not take mail, for good. Returns how many subscriptions ended; known or not, it is suppressed."""
        return await self._suppress(subscriber_id, Reason.BOUNCED, now)

    async def complained(self, subscriber_id: UUID, *, now: datetime) -> int:
        """Somebody called our mail junk. Returns how many subscriptions ended; known or not, they are suppressed."""
        return await self._suppress(subscriber_id, Reason.COMPLAINED, now)

    async def _suppress(self, subscriber_id: UUID, reason: Reason, now: datetime) -> int:
        async with self._db.transaction() as db:
            return len((await suppress(db, self._ledger, [subscriber_id], EVERY_LIST, reason, now=now)).ended)
