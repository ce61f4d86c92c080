"""After a restore: whoever came back with the backup withdraws again, as of the time that they did.

The files of withdrawals are read twice: once to see that all of them are ours and whole, so that damage changes nothing; then
to do again what the database knows nothing of. What it knows was done in it already, and what came after that stays as it is
(somebody took an unsubscribe back, or signed up anew). Who confirmed anew after the time of a withdrawal that it does not know
has come back after the restore, and stays too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from pathlib import Path
from uuid import UUID

from newsletter.consent import service as consent
from newsletter.consent import withdrawal_file
from newsletter.consent.rules import Reason
from newsletter.consent.service import Ledger
from newsletter.consent.withdrawal_file import Torn, Withdrawal, WithdrawalFile
from newsletter.consent.withdrawal_log import WithdrawalLog, is_over, lines_of, next_of
from newsletter.core.audit import Audit
from newsletter.core.database import Connection, Database
from newsletter.core.errors import NotFound
from newsletter.subscribing import ending, erasure, store
from newsletter.subscribing.rules import Via

CHUNK = 200
"""Withdrawals that one transaction does again, so that nobody waits long for a lock."""


SUPPRESSES = {"refused": Reason.REFUSED, "objected": Reason.OBJECTED, "complained": Reason.COMPLAINED}


@dataclass
class Replayed:
    """What a replay found and did. Counts people and subscriptions, names nobody."""

    files: list[str] = field(default_factory=list)
    withdrawals: int = 0
    """Read from the files."""
    unknown: int = 0
    """Of these, those that the database knew nothing of."""
    unsubscribed: int = 0
    """Subscriptions that were ended again, for whatever reason."""
    suppressed: int = 0
    """Codes that stand again, of people who are here or not."""
    restricted: int = 0
    erased: int = 0
    returned: int = 0
    """Withdrawals of people who have confirmed anew since: left as they are."""
    torn: list[str] = field(default_factory=list)
    """Files whose last line is not whole."""
    missing: list[str] = field(default_factory=list)
    """Files before which something is missing."""


class Replay:
    """`log` is the file of the settings; None: there is none."""

    def __init__(self, db: Database, ledger: Ledger, installation: str, log: WithdrawalLog | None, audit: Audit) -> None:
        self._db = db
        self._ledger = ledger
        self._installation = installation
        self._log = log
        self._audit = audit

    async def run(self, more: Sequence[Path], *, by: str, now: datetime, without_file: bool = False) -> Replayed:
        """Do again what the files know and the database does not; then campaigns go on. Run again, it changes nothing.

        `more`: copies from elsewhere, read besides the file of the settings and those that it continues. `without_file`: it is
        lost, go on without. Raises `NotFound` when there is none, `NotOurs`, `InvalidInput` with the line of what is damaged;
        then nothing was changed.
        """
        try:
            files = await asyncio.to_thread(self._files, more)
        except OSError as error:
            raise NotFound(f"{error.filename} cannot be read ({error.strerror}): name the file with --file.") from None
        if not files and not without_file:
            raise NotFound(self._none())
        result = Replayed([str(file.path) for file in files])
        highest = await asyncio.to_thread(_check, files, result)
        lines = lines_of(files)
        while batch := await asyncio.to_thread(next_of, lines):
            for first in range(0, len(batch), CHUNK):
                async with self._db.transaction() as db:
                    await self._again(db, batch[first : first + CHUNK], result, now)
        async with self._db.transaction() as db:
            if self._log is not None:
                await self._log.settle(db, highest=highest, read_to=max((file.end for file in files), default=0), now=now)
            else:
                await consent.end_standstill(db, highest=highest)
            await self._audit(db, by, "privacy.replay", f"{result.unknown} of {result.withdrawals} withdrawals", now)
        return result

    def _files(self, more: Sequence[Path]) -> list[WithdrawalFile]:
        """In the order that they were written; each once."""
        paths = [each.path for each in self._log.files()] if self._log else []
        for path in more:
            paths += [*withdrawal_file.closed_files(path), path]
        opened: dict[Path, WithdrawalFile] = {}
        for path in paths:
            opened.setdefault(path.resolve(), withdrawal_file.open_file(path, self._installation))
        return sorted(opened.values(), key=lambda file: (file.begins, file.end))

    def _none(self) -> str:
        lost = "If it is lost, `newsletter privacy replay --without-file` goes on without it."
        if self._log is None:
            return f"No file of withdrawals is set up: set NEWSLETTER_WITHDRAWAL_LOG, or name one with --file. {lost}"
        return f"There is no file {self._log.path}: bring it back, or name a copy with --file. {lost}"

    async def _again(self, db: Connection, chunk: Sequence[Withdrawal], result: Replayed, now: datetime) -> None:
        """Neighbours of one kind, list and time together: a closed list or a sweep has hundreds of these."""
        await consent.lock_withdrawals(db)  # Of two who replay at once, the second finds everything known.
        standing = [each for each in chunk if not is_over(each, now)]
        # A crash, a copy and an earlier restore each leave lines that stand there twice.
        once = {(each.kind, each.subscriber_id, each.list_id, each.occurred_at): each for each in standing}
        unknown = await consent.unknown_among(db, list(once.values()))
        result.unknown += len(unknown)
        here = set(await store.lock_subscribers(db, subscriber_ids=[each.subscriber_id for each in unknown]))
        for (kind, list_id, at, end), alike in groupby(
            unknown, lambda each: (each.kind, each.list_id, each.occurred_at, each.until)
        ):
            people = [each.subscriber_id for each in alike]
            if kind == "restricted":
                paused = [who for who in people if who in here and (end is None or end > now)]
                await consent.pause_again(db, paused, list_id, end=end, now=at)
                await self._ledger.record_pauses(db, paused, list_id, via=Via.OPERATOR.value, now=at)
                result.restricted += len(paused)
                continue
            returned = set(await store.confirmed_since(db, subscriber_ids=people, list_id=list_id, since=at))
            result.returned += len(returned)
            await self._withdraw(db, kind, list_id, at, people, returned, here, result, now)
        # Those that erasing has recorded by now, as of the same time, are known.
        await consent.record_withdrawals(db, await consent.unknown_among(db, unknown))

    async def _withdraw(
        self,
        db: Connection,
        kind: str,
        list_id: int,
        at: datetime,
        people: Sequence[UUID],
        returned: set[UUID],
        here: set[UUID],
        result: Replayed,
        now: datetime,
    ) -> None:
        known = [who for who in people if who in here]
        away = [who for who in people if who not in here and who not in returned]
        staying = [who for who in people if who not in returned]
        reason = SUPPRESSES.get(kind)
        # Who is not here at all came and went since the backup: the code that stays of them is all that there is to bring back.
        result.suppressed += await consent.suppress(db, staying if reason else away, list_id, reason or Reason.LEFT, now=at)
        via = Via.COMPLAINT if kind == "complained" else Via.OPERATOR
        result.unsubscribed += len(await ending.end(db, self._ledger, known, list_id, via, now=at))
        if kind == "erased":
            gone = {who for who in known if who not in returned}
            if gone:
                await erasure.end_life(db, self._ledger, sorted(gone), ended_at=at, now=now)
                await consent.suppress_erased(db, sorted(gone), now=at)
            result.erased += len(gone)
            here -= gone


def _check(files: Sequence[WithdrawalFile], result: Replayed) -> int:
    """Read all of it, and change nothing; the highest number that was given out. Raises `InvalidInput`."""
    highest, end = 0, None
    for file in files:
        if end is not None and file.begins > end:
            result.missing.append(str(file.path))
        end = max(end or 0, file.end)
        for line in withdrawal_file.withdrawals_in(file):
            if isinstance(line, Torn):
                result.torn.append(str(line.path))
            else:
                result.withdrawals += 1
                highest = max(highest, line.number)
    return highest
