"""Whether a process can do its work: of the database and its schema alone.

Promises that are overdue are not looked at here: they raise an alarm elsewhere, and must not take confirming and unsubscribing
off the air.
"""

from __future__ import annotations

from dataclasses import dataclass

from newsletter.core.database import Database
from newsletter.core.errors import NewsletterError, SchemaMismatch
from newsletter.core.migrations import check_schema


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
        state = await check_schema(db)
    except SchemaMismatch as error:
        return Readiness(database=True, schema=None, reason=str(error))
    except NewsletterError as error:
        return Readiness(database=False, schema=None, reason=str(error))
    return Readiness(database=True, schema=state.version)
