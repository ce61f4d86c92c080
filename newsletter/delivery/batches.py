"""A campaign's audience in batches: planned by id range, claimed under a lease.

Nothing here reads an audience: ids are uniform, so a slice of the id space is a share of the readers.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from newsletter.core.database import Connection
from newsletter.core.errors import Conflict
from newsletter.core.keys import id_parts
from newsletter.delivery import store
from newsletter.delivery.rules import batch_count
from newsletter.delivery.store import Batch


def slices(readers: int) -> list[tuple[UUID, UUID]]:
    """The id space in equal parts for about that many readers: first and last id of each."""
    return id_parts(batch_count(readers))


async def plan_campaign(db: Connection, *, campaign_id: int, list_id: int, message_domain: str, now: datetime) -> int:
    """From draft to sending, in the caller's transaction; returns how many readers the list has now.

    Raises `Conflict` when the campaign is not waiting to be sent (any more).
    """
    await store.hold_campaign(db, campaign_id=campaign_id)
    planned = await store.count_audience(db, list_id=list_id)
    week = (now - timedelta(days=now.weekday())).date()
    started = await store.start_campaign(
        db,
        campaign_id=campaign_id,
        now=now,
        week=week,
        message_key=secrets.token_bytes(32),
        message_domain=message_domain,
        planned=planned,
    )
    if not started:
        raise Conflict("This campaign was sent already, it was cancelled, or something in it cannot become a mail yet.")
    await store.make_week(db, week=week)
    parts = slices(planned)
    await store.make_batches(
        db,
        campaign_id=campaign_id,
        numbers=list(range(len(parts))),
        froms=[first for first, _ in parts],
        tos=[last for _, last in parts],
        now=now,
    )
    await store.wake_workers(db)
    return planned


async def claim(
    db: Connection, *, worker: str, lease: timedelta, now: datetime, other_than: Sequence[int] = ()
) -> Batch | None:
    """A batch that is due, for that worker and that long; None when there is nothing to do but for campaigns `other_than`."""
    return await store.claim_batch(db, worker=worker, other_than=other_than, now=now, lease_until=now + lease)
