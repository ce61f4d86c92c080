"""Unsubscribing, taking that back, and deleting at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from newsletter.consent import service as consent
from newsletter.consent.rules import Event
from newsletter.consent.service import Ledger, Origin
from newsletter.core.database import Connection, Database
from newsletter.core.errors import Conflict, ExpiredToken
from newsletter.core.i18n import N_
from newsletter.subscribing import erasure, store
from newsletter.subscribing.links import Links, UndoToken, UnsubscribeToken
from newsletter.subscribing.lists import MailingList, list_by_id
from newsletter.subscribing.rules import UNDO_WITHIN, State, Via
from newsletter.subscribing.store import Person, Subscription


class TooLate(ExpiredToken):
    """A button of the page after unsubscribing, whose hour is over or which was used."""


@dataclass(frozen=True)
class Unsubscribed:
    """What is so after an unsubscribe."""

    list: MailingList
    known: bool
    """Whether we hold a subscription for the link at all; after an erasure we do not, and no mail is sent either way."""
    erase_at: datetime | None
    """When the address is deleted; None while the person has another list."""
    undo_token: str | None
    """For the page's buttons: take it back, delete now."""


async def part(
    db: Connection,
    ledger: Ledger,
    person: Person,
    list_ids: Sequence[int],
    *,
    ended: Sequence[int],
    via: Via,
    origin: Origin,
    campaign_id: int | None = None,
    now: datetime,
) -> None:
    """What follows when somebody says that they want no more of these lists, of which `ended` were confirmed until just now.

    Whoever has only asked so far (also by the link of an earlier life) leaves nothing behind that could be taken back. Nothing
    happens where there was nothing to end. In the caller's transaction, who holds the lock on the person.
    """
    who, asked = person.subscriber_id, sorted(set(list_ids) - set(ended))
    dropped = await store.drop_refused(db, subscriber_id=who, list_ids=asked) if asked else []
    if not ended and not dropped:
        return
    await store.drop_confirmations(db, subscriber_id=who, list_ids=list_ids)
    await store.leave(db, subscriber_id=who, now=now)
    for event, lists in ((Event.UNSUBSCRIBED, ended), (Event.REFUSED, dropped)):
        if lists:
            await ledger.record(
                db,
                event,
                who,
                lists,
                origin,
                language=person.language,
                now=now,
                via=via.value,
                campaign_id=campaign_id,
            )
    await consent.withdraw(db, who, [*ended, *dropped], now=now)
    await erasure.forget_unconfirmed(db, [who])
    await erasure.count(db, ended, now=now, unsubscribed=1)
    await erasure.count(db, dropped, now=now, refused=1)


class Leaving:
    """Use cases of the unsubscribe link; each owns its transaction."""

    def __init__(self, db: Database, ledger: Ledger, links: Links, *, erase_after: timedelta) -> None:
        self._db = db
        self._ledger = ledger
        self._links = links
        self._erase_after = erase_after

    async def look(self, token: str) -> MailingList:
        """Which list the link is about. Changes nothing and shows nothing about the reader: newsletters get forwarded.

        Raises `InvalidToken` for what is not ours.
        """
        return await list_by_id(self._db, self._links.read_unsubscribe(token).list_id)

    async def unsubscribe(self, token: str, via: Via, origin: Origin, *, now: datetime) -> Unsubscribed:
        """At once; again and again with the same answer. Raises `InvalidToken` for what is not ours."""
        link = self._links.read_unsubscribe(token)
        async with self._db.transaction() as db:
            mailing_list = await list_by_id(db, link.list_id)
            person = await store.lock_subscriber(db, subscriber_id=link.subscriber_id)
            if person is not None:
                await self._end(db, link, person, via, origin, now)
            return await self._after(db, mailing_list, link, now)

    async def _end(
        self, db: Connection, link: UnsubscribeToken, person: Person, via: Via, origin: Origin, now: datetime
    ) -> None:
        who, list_id = link.subscriber_id, link.list_id
        ended = await store.unsubscribe(
            db,
            subscriber_id=who,
            list_id=list_id,
            via=via.value,
            undo_id=uuid4(),
            undo_until=now + UNDO_WITHIN,
            now=now,
        )
        await part(
            db,
            self._ledger,
            person,
            [list_id],
            ended=[list_id] if ended else [],
            via=via,
            origin=origin,
            campaign_id=link.campaign_id,
            now=now,
        )

    async def _after(
        self, db: Connection, mailing_list: MailingList, link: UnsubscribeToken | UndoToken, now: datetime
    ) -> Unsubscribed:
        person = await store.lock_subscriber(db, subscriber_id=link.subscriber_id)
        rows = await store.subscriptions_of(db, subscriber_id=link.subscriber_id)
        this = next((row for row in rows if row.list_id == mailing_list.list_id), None)
        if person is None or this is None:
            return Unsubscribed(mailing_list, known=False, erase_at=None, undo_token=None)
        erase_at = person.left_at + self._erase_after if person.left_at else None
        return Unsubscribed(mailing_list, known=True, erase_at=erase_at, undo_token=self._undo_token(link, this, now))

    def _undo_token(self, link: UnsubscribeToken | UndoToken, this: Subscription, now: datetime) -> str | None:
        if this.undo_id is None or this.undo_until is None or this.undo_until <= now:
            return None
        return self._links.undo_token(link.subscriber_id, this.list_id, this.undo_id)

    async def undo(self, token: str, origin: Origin, *, now: datetime) -> MailingList:
        """Keep the subscription after all: within the hour, once. Raises `TooLate` afterwards."""
        link = self._links.read_undo(token)
        async with self._db.transaction() as db:
            mailing_list = await list_by_id(db, link.list_id)
            person = await store.lock_subscriber(db, subscriber_id=link.subscriber_id)
            undone = await store.undo_unsubscribe(
                db, subscriber_id=link.subscriber_id, list_id=link.list_id, undo_id=link.undo_id, now=now
            )
            if person is None or not undone:
                raise TooLate(
                    N_("Unsubscribing can be taken back once, within one hour. To get the letter again, please sign up again.")
                )
            await store.stay(db, subscriber_id=link.subscriber_id)
            await self._ledger.record(
                db,
                Event.RESUBSCRIBED,
                link.subscriber_id,
                [link.list_id],
                origin,
                language=person.language,
                now=now,
                via="page",
            )
            await erasure.count(db, [link.list_id], now=now, unsubscribed=-1)
            return mailing_list

    async def erase_now(self, token: str, *, now: datetime) -> MailingList:
        """Delete everything about the person; gone when this returns.

        Raises `TooLate` when the hour after unsubscribing is over or it was taken back, `Conflict` when the person
        still gets something from us, since this link speaks of one list alone.
        """
        link = self._links.read_undo(token)
        async with self._db.transaction() as db:
            mailing_list = await list_by_id(db, link.list_id)
            await store.lock_subscriber(db, subscriber_id=link.subscriber_id)
            rows = await store.subscriptions_of(db, subscriber_id=link.subscriber_id)
            this = next((row for row in rows if row.list_id == link.list_id and row.undo_id == link.undo_id), None)
            if this is None or self._undo_token(link, this, now) is None:
                raise TooLate(
                    N_(
                        "It works for one hour after unsubscribing. If you did not take that back, your address is deleted by "
                        "itself, on the date that the page said."
                    )
                )
            if any(row.state == State.CONFIRMED for row in rows):
                raise Conflict(N_("There is another subscription for this address: please unsubscribe from it first."))
            await erasure.erase(db, self._ledger, [link.subscriber_id], now=now)
            return mailing_list
