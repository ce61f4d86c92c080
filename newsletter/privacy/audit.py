"""How this room writes down what operators did; the log itself belongs to another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from newsletter.core.database import Connection

Audit = Callable[[Connection, str, str, str, datetime], Awaitable[None]]
"""Who did what to what, in the transaction of the act itself; names no reader."""
