"""What the two links of a confirmation mail do: confirm, and "I did not ask for this"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from newsletter.consent import service as consent
from newsletter.consent.rules import Event
from newsletter.consent.service import Ledger, Origin
from newsletter.core.addresses import parse_address
from newsletter.core.database import Connection, Database
from newsletter.core.errors import ExpiredToken
from newsletter.core.keys import Keyring
from newsletter.delivery import store as delivery
from newsletter.subscribing import erasure, store
from newsletter.subscribing.links import ConfirmToken, Links
from newsletter.subscribing.lists import MailingList, lists_by_id
from newsletter.subscribing.rules import WELCOME_WITHIN, State
from newsletter.subscribing.store import Asked


@dataclass(frozen=True)
class Confirmable:
    """What a confirm link is about; `language` is the one that was asked in."""

    lists: list[MailingList]
    language: str
    already: bool
    """It was confirmed before, by this link."""
    confirmed: bool
    """Something that it is about is confirmed, by whichever link: refusing ends that."""


class Confirming:
    """Use cases of the confirmation mail's links; each owns its transaction."""

    def __init__(self, db: Database, keyring: Keyring, ledger: Ledger, links: Links) -> None:
        self._db = db
        self._keyring = keyring
        self._ledger = ledger
        self._links = links

    async def look(self, token: str, *, now: datetime) -> Confirmable:
        """What the page behind the link has to say. Changes nothing.

        Raises `ExpiredToken` from 24 h on, to the second, whether or not a job has run, and when the link's purpose is gone;
        `InvalidToken` for what is not ours.
        """
        link = self._links.read_confirm(token)
        return await self._view(self._db, await self._rows(self._db, link, now))

    async def confirm(self, token: str, origin: Origin, *, now: datetime) -> Confirmable:
        """The button. A second time it says that it was confirmed already. Raises like `look`."""
        link = self._links.read_confirm(token)
        async with self._db.transaction() as db:
            await self._lock(db, link, now)
            person = await store.lock_subscriber(db, subscriber_id=link.subscriber_id)
            rows = await self._rows(db, link, now)
            view = await self._view(db, rows)
            if view.already or person is None:
                return view
            await store.clear_mail_hits(db, code=self._keyring.limit_code(parse_address(person.address).folded))
            confirmed = await self._confirm_rows(db, link, rows, origin, view.language, now)
            if (replaced := rows[0].replaces) is not None:
                await self._replace(db, replaced, link.subscriber_id, origin, view.language, now)
            else:  # Whoever only changes the address was greeted at the old one.
                await self._greet(db, link.subscriber_id, confirmed, now)
            await erasure.count(db, confirmed, now=now, confirmed=1)
        return view

    async def _lock(self, db: Connection, link: ConfirmToken, now: datetime) -> None:
        """Whoever it replaces too, all in one order: two people may change their addresses for each other's."""
        replaced = {row.replaces for row in await self._rows(db, link, now) if row.replaces}
        await store.lock_subscribers(db, subscriber_ids=[link.subscriber_id, *replaced])

    async def _replace(self, db: Connection, old: UUID, new: UUID, origin: Origin, language: str, now: datetime) -> None:
        """The change of address is confirmed: the old one goes, its pauses stay, and so does what waits for an answer."""
        if await store.lock_subscriber(db, subscriber_id=old) is None:
            return
        await store.carry_messages(db, subscriber_id=new, replaces=old)
        paused = [list_id or None for list_id in await consent.carry_pauses(db, new, replaces=old, now=now)]
        await self._ledger.record(db, Event.RESTRICTED, new, paused, origin, language=language, now=now, via="link")
        for who in (old, new):
            await self._ledger.record(db, Event.MOVED, who, [None], origin, language=language, now=now, via="link")
        await erasure.erase(db, self._ledger, [old], now=now)

    async def _confirm_rows(
        self, db: Connection, link: ConfirmToken, rows: Sequence[Asked], origin: Origin, language: str, now: datetime
    ) -> list[int]:
        """The lists that this confirmed."""
        who = link.subscriber_id
        await store.take_name(db, subscriber_id=who, confirmation_id=link.confirmation_id)
        confirmed = await store.confirm_pending(
            db, subscriber_id=who, list_ids=[row.list_id for row in rows if row.state == State.PENDING], now=now
        )
        await store.use_confirmation(db, subscriber_id=who, confirmation_id=link.confirmation_id, now=now)
        await store.stay(db, subscriber_id=who)
        await consent.welcome_back(db, who, confirmed)
        await self._ledger.record(
            db,
            Event.CONFIRMED,
            who,
            confirmed,
            origin,
            language=language,
            now=now,
            via="link",
            confirmation_id=link.confirmation_id,
        )
        return confirmed

    async def _greet(self, db: Connection, who: UUID, confirmed: Sequence[int], now: datetime) -> None:
        """Queue the welcome mails of the lists that have one."""
        greetings = await store.greeted_by(db, subscriber_id=who, list_ids=confirmed)
        for each in greetings:
            await delivery.queue_mail(
                db,
                kind="welcome",
                subscriber_id=who,
                about=None,
                list_ids=[each.list_id],
                language=each.language,
                message_id=uuid4(),
                created_at=now,
                expires_at=now + WELCOME_WITHIN,
                now=now,
            )
        if greetings:
            await delivery.wake_workers(db)

    async def refuse(self, token: str, origin: Origin, *, now: datetime) -> Confirmable:
        """ "I did not ask for this": the request goes at once, and new ones are refused for 30 days. Raises like `look`.

        Where what it asks about is confirmed already, by this link or another, that subscription ends too; but not where one
        wanted to move to this address, whose own subscriptions have nothing to do with that.
        """
        link = self._links.read_confirm(token)
        async with self._db.transaction() as db:
            who = link.subscriber_id
            await store.lock_subscriber(db, subscriber_id=who)
            rows = await self._rows(db, link, now)
            view = await self._view(db, rows)
            list_ids = [row.list_id for row in rows]
            refused = [row.list_id for row in rows if not row.replaces or row.used_at or row.state != State.CONFIRMED]
            await consent.refuse(db, who, refused, now=now)
            await self._ledger.record(
                db,
                Event.REFUSED,
                who,
                list_ids,
                origin,
                language=view.language,
                now=now,
                via="link",
                confirmation_id=link.confirmation_id,
            )
            await store.drop_refused(db, subscriber_id=who, list_ids=refused)
            await store.drop_confirmations(db, subscriber_id=who, list_ids=list_ids)
            await store.leave(db, subscriber_id=who, now=now)
            await erasure.forget_unconfirmed(db, [who])
            await erasure.count(db, refused, now=now, refused=1)
        return view

    async def _rows(self, db: Connection, link: ConfirmToken, now: datetime) -> list[Asked]:
        """Used links have the same time as others: who finds the mail in a year must not end a subscription by it."""
        rows = await store.confirmation(db, subscriber_id=link.subscriber_id, confirmation_id=link.confirmation_id, now=now)
        if all(row.state is None for row in rows):
            raise ExpiredToken("This link has lapsed.")
        return rows

    async def _view(self, db: Connection, rows: Sequence[Asked]) -> Confirmable:
        lists = await lists_by_id(db, [row.list_id for row in rows])
        language = next(row.language for row in rows if row.language)
        return Confirmable(
            lists,
            language,
            already=all(row.used_at is not None for row in rows),
            confirmed=any(row.state == State.CONFIRMED for row in rows),
        )
