"""What operators know about people who must not be mailed: one address, or what another system exported."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from newsletter.consent import service as consent
from newsletter.consent.rules import Reason, Suppression
from newsletter.consent.service import Ledger
from newsletter.consent.store import SuppressionCount
from newsletter.core.addresses import parse_address
from newsletter.core.audit import Audit
from newsletter.core.database import Connection, Database
from newsletter.core.errors import InvalidAddress, InvalidInput
from newsletter.core.keys import Keyring
from newsletter.subscribing import ending
from newsletter.subscribing.ending import EVERY_LIST
from newsletter.subscribing.lists import list_by_slug

BATCH = 500
"""Addresses that one transaction takes."""
SHOWN = 100
"""Lines that could not be read, of which the number and the reason are remembered; more are counted."""
GOOD_FOR = timedelta(minutes=10)
"""For so long counts are remembered, since every code is read for them: 0.1 s for 250,000."""

BY_HAND = tuple(reason for reason in Reason if reason is not Reason.RESTRICTED)
"""What operators may add. A pause is the reader's own."""
_FIELD = re.compile(r"[,;\t]")


@dataclass(frozen=True)
class BadLine:
    """A line that holds no address; what it holds is not repeated."""

    line: int
    why: str


@dataclass
class Imported:
    """What came of a file. `suppressed`: who was not before; `ended`: subscriptions that ended by it."""

    addresses: int = 0
    suppressed: int = 0
    ended: int = 0
    bad: int = 0
    bad_lines: list[BadLine] = field(default_factory=list)
    """The first hundred."""


class Suppressing:
    """What operators do; each owns its transactions. `by` names the operator, for the audit log.

    That holds whom a line is about by their code alone, and only while they are here; an import is about nobody in particular.
    """

    def __init__(self, db: Database, keyring: Keyring, ledger: Ledger, audit: Audit) -> None:
        self._db = db
        self._keyring = keyring
        self._ledger = ledger
        self._audit = audit
        self._lately: tuple[datetime, list[SuppressionCount]] | None = None
        self._counting = asyncio.Lock()

    async def add(self, address: str, reason: Reason, *, slug: str | None, by: str, now: datetime) -> int:
        """Returns how many subscriptions ended by it. Raises `InvalidAddress`, `NotFound` when there is no such list."""
        who = self._keyring.subscriber_id(parse_address(address).normal)
        async with self._db.transaction() as db:
            list_id = await self._list_id(db, slug)
            done = await ending.suppress(db, self._ledger, [who], list_id, _by_hand(reason), now=now)
            await self._audit(db, by, "suppression.add", _target(reason, slug), now, about=who)
        return len(done.ended)

    async def check(self, address: str, *, by: str, now: datetime) -> list[Suppression]:
        """What stands against mailing this address; that somebody looked is on record. Raises `InvalidAddress`."""
        who = self._keyring.subscriber_id(parse_address(address).normal)
        async with self._db.transaction() as db:
            await self._audit(db, by, "suppression.check", "an address", now, about=who)
            return await consent.suppressions(db, who, now=now)

    async def counts(self, reason: Reason | None, *, now: datetime) -> list[SuppressionCount]:
        return await consent.count_suppressions(self._db, reason, now=now)

    async def counts_lately(self, *, now: datetime) -> tuple[datetime, list[SuppressionCount]]:
        """All of them for a page, where a figure of some minutes ago will do; with when they were counted."""
        async with self._counting:
            if self._lately is None or not timedelta(0) <= now - self._lately[0] < GOOD_FOR:
                self._lately = now, await self.counts(None, now=now)
            return self._lately

    async def take(self, lines: Iterable[str], reason: Reason, *, slug: str | None, by: str, now: datetime) -> Imported:
        """One address a line, or in the first column of a CSV; a first line without @ is a heading. Only keys are kept.

        Streamed: memory does not grow with the file. Run again after an interruption, it does no harm.

        Raises `NotFound` when there is no such list.
        """
        result = Imported()
        async with self._db.transaction() as db:
            list_id = await self._list_id(db, slug)
            await self._audit(db, by, "suppression.import", _target(reason, slug), now)
        numbered = enumerate(lines, 1)
        while some := list(islice(numbered, BATCH)):
            # Sorted: rows lie by id, and two imports at once cannot wait for each other.
            people = sorted({self._keyring.subscriber_id(normal) for normal in _normal_forms(some, result)})
            if not people:
                continue
            async with self._db.transaction() as db:
                done = await ending.suppress(db, self._ledger, people, list_id, _by_hand(reason), now=now)
            result.suppressed += done.fresh
            result.ended += len(done.ended)
        return result

    async def _list_id(self, db: Connection, slug: str | None) -> int:
        return EVERY_LIST if slug is None else (await list_by_slug(db, slug)).list_id


def _normal_forms(lines: Iterable[tuple[int, str]], result: Imported) -> Iterable[str]:
    for number, line in lines:
        text = _FIELD.split(line.rstrip("\r\n"), maxsplit=1)[0].strip().strip('"').strip()
        if not text or (number == 1 and "@" not in text):
            continue
        try:
            normal = parse_address(text).normal
        except InvalidAddress as error:
            result.bad += 1
            if len(result.bad_lines) < SHOWN:
                result.bad_lines.append(BadLine(number, str(error)))
        else:
            result.addresses += 1
            yield normal


def _by_hand(reason: Reason) -> Reason:
    if reason not in BY_HAND:
        raise InvalidInput(f"A reason is one of {', '.join(BY_HAND)}.", field="reason")
    return reason


def _target(reason: Reason, slug: str | None) -> str:
    return f"{reason}, {f'list {slug}' if slug else 'every list'}"
