"""How a room has an operator's action recorded; the log itself belongs to a room further down, which hands this in."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

from newsletter.core.database import Connection


class Audit(Protocol):
    """Who, which action, what it was done to, when; in the transaction of the act itself. `target` names no reader.

    `about`: the code of the reader whom it is about, which the log holds as long as they are here and no longer.
    """

    async def __call__(
        self, db: Connection, by: str, action: str, target: str, now: datetime, /, *, about: UUID | None = None
    ) -> None: ...
