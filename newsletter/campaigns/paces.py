"""How fast receivers take mail at the moment, as the throttles of all workers have it in the database.

A domain is slowed down for all campaigns at once. By name only those are told that the campaign's report names: a domain with
few readers might be somebody in particular.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from newsletter.campaigns import reporting_store
from newsletter.campaigns.reporting_store import PaceRow
from newsletter.core.database import Database
from newsletter.delivery.rules import PACED_WITHIN, RECOVER_EVERY, allowed_rate
from newsletter.delivery.throttle import DOMAIN

MOST = 200
"""Domains that are looked at, the named ones first."""


@dataclass(frozen=True)
class Pace:
    """Of one domain. `rate`: mails a second at most, all workers together; `waits`: mails stand in line for it."""

    domain: str
    rate: float
    is_slowed: bool
    waits: bool


@dataclass(frozen=True)
class Paces:
    """Domains that take less than they might, or have mails in line. `others`: how many there are beside the named ones."""

    named: tuple[Pace, ...] = ()
    others: int = 0


NONE = Paces()


async def paces_of(db: Database, campaign_id: int, *, limits: Mapping[str, float], now: datetime) -> Paces:
    """At this moment. `limits`: mails a second by the throttle's names, of what has a limit in the settings."""
    rows = await reporting_store.paces(
        db,
        campaign_id=campaign_id,
        kind=DOMAIN,
        slowed_since=now - 10 * RECOVER_EVERY,
        free_after=now + PACED_WITHIN,
        most=MOST,
    )
    found = [(row.domain, pace) for row in rows if (pace := _pace(row, limits.get(row.name), now)) is not None]
    return Paces(tuple(pace for domain, pace in found if domain), sum(not domain for domain, _ in found))


def _pace(row: PaceRow, limit: float | None, now: datetime) -> Pace | None:
    """None where it takes all that there is, or as much as its limit and nothing waits."""
    rate = limit
    if row.slow_rate is not None and row.slowed_at is not None:
        rate = allowed_rate(limit, row.slow_rate, row.slowed_at, now)
    is_slowed, waits = rate is not None and rate != limit, row.free_at > now + PACED_WITHIN
    return Pace(row.domain, rate, is_slowed, waits) if rate is not None and (is_slowed or waits) else None
