"""Whether a process can do its work: of the database and its schema alone.

Promises that are overdue are not looked at here: they raise an alarm elsewhere, and must not take confirming and unsubscribing
off the air.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from newsletter.core.database import Database
from newsletter.core.errors import NewsletterError, SchemaMismatch
from newsletter.core.migrations import check_schema

ANSWER_WITHIN = 3.0
"""Seconds that the database may take: who asks wants to know now."""


@dataclass(frozen=True)
class Readiness:
    """`reason` says what to do when something is missing."""

    database: bool
    schema: int | None
    reason: str = ""

    @property
    def ready(self) -> bool:
        return self.schema is not None


async def readiness(db: Database) -> Readiness:
    """Ask once. Raises nothing that we foresaw."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            state = await check_schema(db)
    except TimeoutError:
        return Readiness(database=False, schema=None, reason=f"PostgreSQL did not answer within {ANSWER_WITHIN:.0f} s.")
    except SchemaMismatch as error:
        return Readiness(database=True, schema=None, reason=str(error))
    except NewsletterError as error:
        return Readiness(database=False, schema=None, reason=str(error))
    return Readiness(database=True, schema=state.version)
