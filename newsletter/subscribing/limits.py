"""Limits against abuse that hold for a network, whatever form of ours it fills in."""

from __future__ import annotations

from datetime import datetime, timedelta

from newsletter.core.database import Connection
from newsletter.core.errors import TooMany
from newsletter.subscribing import store

NETWORK_WINDOW = timedelta(hours=1)


async def check_network(db: Connection, code: bytes, *, most: int, sentence: str, now: datetime) -> None:
    """Raises `TooMany`, saying `sentence`, when so many came from the network of that code within the last hour."""
    if await store.count_hits(db, code=code, kind="network", since=now - NETWORK_WINDOW) >= most:
        raise TooMany(sentence, retry_after=900)
