"""Finding readers, for operators with the right to see addresses: by address, by how it begins, by list and state.

Pages are cut by key, so that the millionth reader is as near as the first; nothing is counted. That somebody looked is in the
audit log: of a page without whom they saw, of a whole address with the code of whose it is. What was typed becomes a search
code: sealed, for an hour, for the session that it was typed in, so that pages of what was found have addresses that can be
gone back to, in which no reader's address stands.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from newsletter.core.addresses import parse_address
from newsletter.core.audit import Audit
from newsletter.core.database import Connection, Database
from newsletter.core.errors import InvalidAddress, InvalidInput
from newsletter.core.keys import Keyring
from newsletter.core.seals import Seals
from newsletter.subscribing import lists_store
from newsletter.subscribing.lists import MailingList, list_by_slug
from newsletter.subscribing.views import PersonRow

PAGE = 50
SHORTEST_BEGINNING = 3
SEARCH_LIVES = timedelta(hours=1)
FIRST, LAST = UUID(int=0), UUID(int=2**128 - 1)
_SEARCH = "search of readers"
_A_WHOLE_ADDRESS = "a whole address"


class Standing(StrEnum):
    """What readers can be filtered by."""

    ANY = ""
    CONFIRMED = "confirmed"
    PENDING = "pending"
    UNSUBSCRIBED = "unsubscribed"
    PAUSED = "paused"


_STATES = [Standing.CONFIRMED.value, Standing.PENDING.value, Standing.UNSUBSCRIBED.value]


@dataclass(frozen=True)
class Filter:
    """Which readers are wanted. `slug` empty: of every list."""

    slug: str = ""
    standing: Standing = Standing.ANY


@dataclass(frozen=True)
class Readers:
    """A page of them. `before` and `after` name the readers that the neighbouring pages end before and begin after."""

    people: Sequence[PersonRow]
    before: UUID | None
    after: UUID | None


@dataclass(frozen=True)
class Search:
    """What was typed, and where a page of what was found begins: after that place in the order of addresses."""

    given: str
    place: str = ""
    after: UUID = FIRST

    @property
    def beginning(self) -> str:
        return self.given.lower()


@dataclass(frozen=True)
class Found:
    """`exact`: the whole address was typed, whoever it belongs to. `following`: the next page, where there is one."""

    people: Sequence[PersonRow]
    exact: UUID | None
    following: Search | None


class Browsing:
    """Use cases that change nothing but the audit log. `by` names the operator."""

    def __init__(self, db: Database, keyring: Keyring, audit: Audit) -> None:
        self._db = db
        self._keyring = keyring
        self._audit = audit
        self._seals = Seals(keyring)

    async def page(
        self, wanted: Filter, *, after: UUID | None = None, before: UUID | None = None, by: str, now: datetime
    ) -> Readers:
        """By id. Raises `NotFound` when there is no such list."""
        async with self._db.transaction() as db:
            mailing_list = await list_by_slug(db, wanted.slug) if wanted.slug else None
            if before is not None:
                ids = await self._ids(db, wanted, mailing_list, before, now, backwards=True)
                has_more, ids = len(ids) > PAGE, ids[:PAGE][::-1]
                is_first, is_last = not has_more, False
            else:
                ids = await self._ids(db, wanted, mailing_list, after or FIRST, now, backwards=False)
                is_first, is_last = after is None, len(ids) <= PAGE
                ids = ids[:PAGE]
            people = await lists_store.people(db, subscriber_ids=ids, now=now)
            await self._audit(db, by, "subscriber.list", _said(wanted), now)
        return Readers(people, None if is_first or not ids else ids[0], None if is_last or not ids else ids[-1])

    async def locate(self, given: str, *, by: str, now: datetime) -> UUID | Search:
        """The reader with the whole address, through its key; else what to look for. Raises `InvalidInput`.

        Whether an address is held is told by this alone, whatever is looked at afterwards: it is in the audit log either way.
        """
        search, exact = Search(given.strip()), self._exact(given)
        if exact is None and len(search.given) < SHORTEST_BEGINNING:
            raise InvalidInput(f"Type {SHORTEST_BEGINNING} characters of the address at least.", field="address")
        if not search.given.isprintable() or len(search.given) > 254:
            raise InvalidInput("No address looks like this: please check it.", field="address")
        if exact is None:
            return search
        async with self._db.transaction() as db:
            await self._audit(db, by, "subscriber.find", _A_WHOLE_ADDRESS, now, about=exact)
            is_held = bool(await lists_store.people(db, subscriber_ids=[exact], now=now))
        return exact if is_held else search

    async def find(self, search: Search, *, by: str, now: datetime) -> Found:
        """A page of those whose address begins so, in the order of addresses."""
        exact = self._exact(search.given)
        async with self._db.transaction() as db:
            said = _A_WHOLE_ADDRESS if exact else "the beginning of an address"
            await self._audit(db, by, "subscriber.find", said, now, about=exact)
            found = await lists_store.beginning_with(
                db, beginning=search.beginning, after=search.place, after_id=search.after, size=PAGE + 1
            )
            shown = found[:PAGE]
            people = await lists_store.people(db, subscriber_ids=[row.subscriber_id for row in shown], now=now)
        last = shown[-1] if len(found) > PAGE else None
        return Found(people, exact, Search(search.given, last.place, last.subscriber_id) if last else None)

    def code_of(self, search: Search, cookie: str, *, now: datetime) -> str:
        """What stands for the search in an address of a page: good for `SEARCH_LIVES`, in the session of that cookie."""
        content = json.dumps([search.given, search.place, search.after.hex], ensure_ascii=False).encode()
        return self._seals.seal(_SEARCH, content, cookie, until=now + SEARCH_LIVES)

    def search_of(self, code: str, cookie: str, *, now: datetime) -> Search:
        """The search behind a code. Raises `InvalidToken`; `ExpiredToken` when its time is over."""
        given, place, after = json.loads(self._seals.open(_SEARCH, code, cookie, now=now))
        return Search(given, place, UUID(after))

    def _exact(self, given: str) -> UUID | None:
        try:
            return self._keyring.subscriber_id(parse_address(given).normal)
        except InvalidAddress:
            return None

    async def _ids(
        self, db: Connection, wanted: Filter, mailing_list: MailingList | None, edge: UUID, now: datetime, *, backwards: bool
    ) -> list[UUID]:
        """One more than a page holds, going away from the edge."""
        list_id, size = mailing_list.list_id if mailing_list else None, PAGE + 1
        if wanted.standing is Standing.PAUSED:
            paused = lists_store.paused_before if backwards else lists_store.paused_after
            return await paused(db, list_id=list_id, edge=edge, size=size, now=now)
        if wanted == Filter():
            people = lists_store.people_before if backwards else lists_store.people_after
            return await people(db, edge=edge, size=size)
        states = [wanted.standing.value] if wanted.standing else _STATES
        subscribed = lists_store.subscribed_before if backwards else lists_store.subscribed_after
        return await subscribed(db, list_id=list_id, states=states, edge=edge, size=size)


def _said(wanted: Filter) -> str:
    return f"{f'list {wanted.slug}' if wanted.slug else 'every list'}, {wanted.standing or 'any state'}"
