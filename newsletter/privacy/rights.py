"""What people may do about their data: correct it, take it elsewhere, pause, object, unsubscribe, erase (GDPR Art. 16 to 21).

The page behind a data link and the operators' verbs call the same use cases; who acted, and how, is written down with the act.
Each takes the lock on the person first, as everything that changes them does, so that two tabs on one link follow one another;
the second finds what the first has left.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from newsletter.consent import service as consent
from newsletter.consent.rules import Event, Reason
from newsletter.consent.service import Ledger, Origin
from newsletter.core.addresses import parse_address
from newsletter.core.audit import Audit
from newsletter.core.database import Connection, Database
from newsletter.core.errors import Conflict, InvalidInput, NotFound
from newsletter.core.i18n import N_, languages, translations
from newsletter.core.keys import Keyring
from newsletter.privacy import store
from newsletter.privacy.rules import OBJECTIONS, PAUSES, Why, months_later
from newsletter.subscribing import erasure
from newsletter.subscribing import store as subscribing
from newsletter.subscribing.joining import Joining, checked_name
from newsletter.subscribing.leaving import part
from newsletter.subscribing.lists import lists_by_id
from newsletter.subscribing.rules import State, Via
from newsletter.subscribing.store import Person

EVERY_LIST = 0
"""In place of a list's number."""


class NothingHeld(NotFound):
    """We hold nothing about that person, or nothing any more."""


@dataclass(frozen=True)
class Actor:
    """Who acts: the person on their page, or an operator whom they have written to or called."""

    via: Via
    origin: Origin
    operator: str | None = None
    """For the audit log."""


class Rights:
    """Use cases; each owns its transaction, and raises `NothingHeld` for somebody whom we do not know (any more)."""

    def __init__(self, db: Database, keyring: Keyring, ledger: Ledger, joining: Joining, audit: Audit) -> None:
        self._db = db
        self._keyring = keyring
        self._ledger = ledger
        self._joining = joining
        self._audit = audit

    async def correct(self, who: UUID, *, name: str | None, language: str | None, by: Actor, now: datetime) -> None:
        """Name and language; None: as it is. What stays the same is no event. Raises `InvalidInput`."""
        checked = None if name is None else checked_name(name)
        if language is not None and language not in languages():
            raise InvalidInput(N_("Please choose one of the languages that are offered."), field="language")
        async with self._changing(who, "correct", by, now) as (db, person):
            called = person.name if checked is None else checked
            spoken = language or person.language
            await subscribing.correct_person(db, subscriber_id=who, name=called, language=spoken)
            if called != person.name:
                await self._record(db, Event.CORRECTED, person, [None], by, now)
            if spoken != person.language:
                await subscribing.speak(db, subscriber_id=who, language=spoken)
                await self._record(db, Event.PREFERENCES, person, [None], by, now)

    async def restrict(self, who: UUID, list_id: int, *, months: int | None, by: Actor, now: datetime) -> None:
        """Pause one list, or `EVERY_LIST`, for so many months (1, 3 or 6) or until it is resumed. Raises `InvalidInput`."""
        if months is not None and months not in PAUSES:
            raise InvalidInput(N_("A pause lasts 1, 3 or 6 months, or until you end it."), field="months")
        async with self._changing(who, "restrict", by, now) as (db, person):
            if list_id != EVERY_LIST:
                await self._check_theirs(db, who, [list_id])
            end = months_later(now, months) if months is not None else None
            await consent.restrict(db, who, list_id, end=end, now=now)
            await self._record(db, Event.RESTRICTED, person, [list_id or None], by, now)

    async def resume(self, who: UUID, list_id: int, *, by: Actor, now: datetime) -> None:
        """End the pause of one list, or that of `EVERY_LIST`; without one nothing happens."""
        async with self._changing(who, "resume", by, now) as (db, person):
            if await consent.lift_own(db, who, list_id, Reason.RESTRICTED):
                await self._record(db, Event.RESUMED, person, [list_id or None], by, now)

    async def object_to_mail(self, who: UUID, *, why: Why = Why.NONE, by: Actor, now: datetime) -> None:
        """Never again: ends all subscriptions, and refuses mail until the person lifts it by a data link."""
        async with self._changing(who, "object", by, now) as (db, person):
            words = translations(person.language).gettext(OBJECTIONS[why])
            wording_hash = await consent.keep_wording(db, "form", person.language, words, now=now)
            await consent.object_to_all(db, who, now=now)
            await self._record(db, Event.OBJECTED, person, [None], by, now, wording_hash=wording_hash)
            await self._end(db, person, await self._lists_of(db, who), by, now)

    async def lift_objection(self, who: UUID, *, by: Actor, now: datetime) -> None:
        """Also for somebody of whom nothing but the objection is left. Subscribes to nothing."""
        async with self._db.transaction() as db:
            person = await subscribing.lock_subscriber(db, subscriber_id=who)
            if not await consent.lift_own(db, who, EVERY_LIST, Reason.OBJECTED):
                return
            if person is not None:
                await self._record(db, Event.RESUMED, person, [None], by, now)
            await self._write_down(db, "lift-objection", who, by, now)

    async def unsubscribe(self, who: UUID, list_ids: Sequence[int] | None = None, *, by: Actor, now: datetime) -> None:
        """From these lists, or from all; a request that waits for confirmation ends too."""
        async with self._changing(who, "unsubscribe", by, now) as (db, person):
            if list_ids is not None:
                await self._check_theirs(db, who, list_ids)
            await self._end(db, person, list_ids if list_ids is not None else await self._lists_of(db, who), by, now)

    async def move(self, who: UUID, given: str, *, by: Actor, now: datetime) -> None:
        """Change the address: the new one is asked to confirm the same lists, and that ends the old one.

        Does the same whatever is known of the new address. Raises `InvalidInput`, `TooMany`, and `Conflict` for somebody who is
        subscribed to nothing.
        """
        address = parse_address(given)
        if self._keyring.subscriber_id(address.normal) == who:
            raise InvalidInput(N_("This is the address that we write to already."), field="email")
        code = await self._joining.admit(address, by.origin.network, now=now)
        async with self._changing(who, "move", by, now) as (db, person):
            rows = await subscribing.subscriptions_of(db, subscriber_id=who)
            lists = await lists_by_id(db, sorted(row.list_id for row in rows if row.state == State.CONFIRMED))
            if not lists:
                raise Conflict(N_("You are subscribed to nothing at present. Please sign up with the new address instead."))
            await self._joining.hand_in(
                db,
                address,
                lists,
                by.origin,
                name=person.name,
                language=person.language,
                network_code=code,
                now=now,
                replaces=who,
            )

    async def erase(self, who: UUID, *, by: Actor, now: datetime) -> None:
        """All that we hold; gone when this returns. What stays is said in `subscribing.erasure`."""
        async with self._changing(who, "erase", by, now) as (db, _):
            if await store.ever_confirmed(db, subscriber_id=who):
                await erasure.erase(db, self._ledger, [who], now=now)
            else:
                await erasure.forget(db, [who])

    # What they have in common.

    @asynccontextmanager
    async def _changing(self, who: UUID, verb: str, by: Actor, now: datetime) -> AsyncIterator[tuple[Connection, Person]]:
        async with self._db.transaction() as db:
            person = await subscribing.lock_subscriber(db, subscriber_id=who)
            if person is None:
                raise NothingHeld("Nothing is held about this person.")
            yield db, person
            await self._write_down(db, verb, who, by, now)

    async def _write_down(self, db: Connection, verb: str, who: UUID, by: Actor, now: datetime) -> None:
        if by.operator is not None:
            await self._audit(db, by.operator, f"subscriber.{verb}", "a subscriber", now, about=who)

    async def _record(
        self,
        db: Connection,
        event: Event,
        person: Person,
        list_ids: Sequence[int | None],
        by: Actor,
        now: datetime,
        *,
        wording_hash: bytes | None = None,
    ) -> None:
        await self._ledger.record(
            db,
            event,
            person.subscriber_id,
            list_ids,
            by.origin,
            language=person.language,
            now=now,
            via=by.via.value,
            wording_hash=wording_hash,
        )

    async def _lists_of(self, db: Connection, who: UUID) -> list[int]:
        return sorted(row.list_id for row in await subscribing.subscriptions_of(db, subscriber_id=who))

    async def _check_theirs(self, db: Connection, who: UUID, list_ids: Sequence[int]) -> None:
        if not set(list_ids) <= set(await self._lists_of(db, who)):
            raise InvalidInput(N_("There is no such subscription."), field="list")

    async def _end(self, db: Connection, person: Person, list_ids: Sequence[int], by: Actor, now: datetime) -> None:
        """By the usual clock, and without a way back: this was no letter's link."""
        ended = await subscribing.unsubscribe_from(
            db, subscriber_id=person.subscriber_id, list_ids=list_ids, via=by.via.value, now=now
        )
        await part(db, self._ledger, person, list_ids, ended=ended, via=by.via, origin=by.origin, now=now)
