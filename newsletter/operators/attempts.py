"""How often somebody may try: each attempt is counted before it is made, and taken back when it was right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from newsletter.core.database import Connection, Database
from newsletter.core.errors import TooMany
from newsletter.core.keys import Keyring
from newsletter.operators import store
from newsletter.operators.rules import FAILURES_FROM


class Attempts:
    """Counted under codes that only this installation can make."""

    def __init__(self, db: Database, keyring: Keyring) -> None:
        self._db = db
        self._keyring = keyring

    async def begin(self, limits: Mapping[str, int], sentence: str, *, now: datetime) -> Sequence[bytes]:
        """The codes that it is counted under. Raises `TooMany`, with that sentence, when there were as many as a limit says."""
        most = {self._keyring.limit_code(thing): number for thing, number in limits.items()}
        codes = sorted(most)
        async with self._db.transaction() as db:
            for code in codes:
                await store.lock_limit(db, code=code)
                if await store.count_attempts(db, code=code, since=now - FAILURES_FROM) >= most[code]:
                    raise TooMany(sentence, retry_after=int(FAILURES_FROM.total_seconds()))
            await store.add_attempt(db, codes=codes, now=now, expires_at=now + FAILURES_FROM)
        return codes

    async def take_back(self, db: Connection, codes: Sequence[bytes], *, now: datetime) -> None:
        """It was right, or was never made."""
        for code in codes:
            await store.lock_limit(db, code=code)
        await store.take_back(db, codes=codes, now=now)

    async def made(self, thing: str, *, now: datetime) -> int:
        return await store.count_attempts(self._db, code=self._keyring.limit_code(thing), since=now - FAILURES_FROM)
