"""How a room has an operator's action recorded; the log itself belongs to a room further down, which hands this in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from newsletter.core.database import Connection

Audit = Callable[[Connection, str, str, str, datetime], Awaitable[None]]
"""Who, which action, what it was done to, when; in the transaction of the act itself. Names no reader."""
