"""Withdrawals outlive a backup: what writes them to the file, and what notices that the file knows more than the database.

How far the file is written stands in the database, so that a database which went back in time (a backup was restored, a replica
that lagged was promoted) finds more in the file than it wrote. Two things look the same at first: a crash between the file's
fsync and the commit. Then the database knows the withdrawals that the file has beyond the mark, since only committed ones are
written. Where it does not know one, no campaign is sent until a replay has run, and nothing is written that could hide it.

A file that is gone, or shorter than what was written to it, tells nothing any more: a standstill too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from newsletter.consent import service, store, withdrawal_file
from newsletter.consent.rules import KEPT_FOR, LEFT_FOR, Reason
from newsletter.consent.withdrawal_file import Torn, Withdrawal, WithdrawalFile
from newsletter.core.database import Connection, Database
from newsletter.core.errors import InvalidInput
from newsletter.core.keys import Keyring
from newsletter.core.logs import get_logger

BATCH = 2000
"""Withdrawals that are written, or read, at a time."""

log = get_logger(__name__)


@dataclass(frozen=True)
class FileShown:
    """The file and those that it continues, as they lie there."""

    path: Path
    files: int
    octets: int
    """Of withdrawals, in all files together."""
    changed_at: datetime | None
    """When something was last written."""

    @property
    def is_there(self) -> bool:
        return self.files > 0


async def _nothing() -> None:
    """What is done before each batch where nothing is to be done."""


class WithdrawalLog:
    """The file at `path`, for the installation that the keys belong to. Any number of workers; one at a time writes."""

    def __init__(self, db: Database, keyring: Keyring, path: Path) -> None:
        self.path = path
        self.installation = keyring.installation
        self._db = db

    async def look(self, *, now: datetime) -> bool:
        """Whether database and file fit; if not, all campaigns stand still from now on.

        Raises `NotOurs` for the file of another installation, `InvalidInput` for one that is no file of withdrawals, `OSError`
        where it cannot be read.
        """
        async with self._db.transaction() as db:
            return await self._fits(db, await self._newest(), await store.lock_export(db), now)

    async def write(self, *, now: datetime, before_each: Callable[[], Awaitable[None]] = _nothing) -> int:
        """Append what is not in the file yet, fsynced; returns how many. Does nothing while all stands still.

        `before_each` is called before each batch; what it raises ends the run there. Raises like `look`.
        """
        written = 0
        while True:
            await before_each()
            async with self._db.transaction() as db:
                batch = await self._write_batch(db, now)
            written += batch
            if batch < BATCH:
                return written

    async def _write_batch(self, db: Connection, now: datetime) -> int:
        """Written, then recorded: a crash in between leaves lines that come a second time, and loses none."""
        exported_to = await store.lock_export(db)
        if await store.standstills(db):
            return 0
        file = await self._newest()
        if not await self._fits(db, file, exported_to, now):
            return 0
        batch = await store.unwritten(db, size=BATCH)
        if file is not None and file.end > exported_to:
            file = await asyncio.to_thread(withdrawal_file.append, file, [])  # Cuts off what is torn.
        end = await asyncio.to_thread(self._appended, file, batch, now)
        if end != exported_to:
            await store.forget_unwritten(db, numbers=[each.number for each in batch])
            await store.set_exported(db, exported_to=end)
        return len(batch)

    def _appended(self, file: WithdrawalFile | None, batch: list[Withdrawal], now: datetime) -> int:
        """Where the file ends then.

        Where one is closed the next is begun at once: it says how far all of them went, when the last of those is deleted.
        """
        end = file.end if file else 0
        if file is not None and file.path == self.path and withdrawal_file.is_full(file, now):
            file = withdrawal_file.close(file, now)
        if file is None and not batch:
            return end
        if file is None or file.path != self.path:
            file = withdrawal_file.begin(self.path, self.installation, begins=end, now=now)
        return withdrawal_file.append(file, batch).end if batch else end

    async def _newest(self) -> WithdrawalFile | None:
        return await asyncio.to_thread(withdrawal_file.newest, self.path, self.installation)

    async def _fits(self, db: Connection, file: WithdrawalFile | None, exported_to: int, now: datetime) -> bool:
        end = file.end if file else 0
        if end == exported_to or (end > exported_to and not await self._is_ahead(db, exported_to, now)):
            return True
        if await store.stand_still(db, reason=service.RESTORED, now=now):
            log.error("withdrawals_unknown", file=str(self.path), written=exported_to, found=end)
        return False

    async def _is_ahead(self, db: Connection, exported_to: int, now: datetime) -> bool:
        """Whether something stands in the file beyond the mark that the database does not know, or that cannot be read."""
        files = await asyncio.to_thread(self.files)
        lines = lines_of([file for file in files if file.end > exported_to], after=exported_to)
        try:
            while batch := await asyncio.to_thread(next_of, lines):
                if await service.unknown_among(db, [each for each in batch if not is_over(each, now)]):
                    return True
        except InvalidInput:
            return True
        return False

    async def shown(self) -> FileShown:
        """How it lies there. Changes nothing, and does not compare it with the database. Raises like `look`."""
        return await asyncio.to_thread(self._shown)

    def _shown(self) -> FileShown:
        files = self.files()
        changed = max((each.path.stat().st_mtime for each in files), default=None)
        octets = sum(each.size - each.header for each in files)
        return FileShown(self.path, len(files), octets, None if changed is None else datetime.fromtimestamp(changed, UTC))

    def files(self) -> list[WithdrawalFile]:
        """All that there are, oldest first. Blocks. Raises like `look`."""
        paths = withdrawal_file.closed_files(self.path)
        if self.path.exists():
            paths.append(self.path)
        return [withdrawal_file.open_file(path, self.installation) for path in paths]

    async def settle(self, db: Connection, *, highest: int, read_to: int, now: datetime) -> None:
        """After a replay, in the caller's transaction: the database knows what the files hold, and all go on.

        `highest`: the highest number in what was read; `read_to`: where what was read ends.
        """
        exported_to = await store.lock_export(db)
        file = await self._newest()
        if file is None or file.end < read_to:
            # It is lost, or another copy of it was read: all that is known is written once more, beyond all that was before.
            begins = max(exported_to, read_to)
            if file is not None and file.path == self.path:
                await asyncio.to_thread(withdrawal_file.close, file, now)
            file = await asyncio.to_thread(withdrawal_file.begin, self.path, self.installation, begins=begins, now=now)
            await store.write_all_anew(db)
        else:
            if file.end < exported_to:
                await store.write_all_anew(db)
            file = await asyncio.to_thread(withdrawal_file.append, file, [])  # Cuts off what is torn.
        await store.set_exported(db, exported_to=file.end)
        await service.end_standstill(db, highest=highest)


def lines_of(files: Iterable[WithdrawalFile], *, after: int = 0) -> Iterator[Withdrawal | Torn]:
    """Of all these files, in their order. Blocks; raises like `withdrawal_file.withdrawals_in`."""
    for file in files:
        yield from withdrawal_file.withdrawals_in(file, after=after)


def next_of(lines: Iterator[Withdrawal | Torn]) -> list[Withdrawal]:
    """A batch of them; empty when there are no more. What is torn is left out."""
    return list(islice((each for each in lines if isinstance(each, Withdrawal)), BATCH))


def is_over(withdrawal: Withdrawal, now: datetime) -> bool:
    """Whether its time is over: the database has forgotten it by its own promise."""
    kept = KEPT_FOR[Reason.REFUSED] if withdrawal.kind == "refused" else LEFT_FOR
    return kept is not None and withdrawal.occurred_at + kept <= now
