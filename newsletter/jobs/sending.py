"""The campaigns that a worker sends: claims batches and keeps a few runs going, so that one begins while another ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from newsletter.campaigns.letter import Letter
from newsletter.campaigns.service import Campaigns
from newsletter.core.clock import Clock
from newsletter.core.database import Database
from newsletter.delivery.batches import claim
from newsletter.delivery.lanes import Lanes
from newsletter.delivery.presence import Presence
from newsletter.delivery.room import Room
from newsletter.delivery.rules import LEASE
from newsletter.delivery.run import BatchRun
from newsletter.delivery.signing import Signing
from newsletter.delivery.throttle import Throttle

RUNS = 3
"""Batches that one worker has in hand at most. Chunks in flight are two all the same: they share one room."""
CHUNKS_IN_FLIGHT = 2


class CampaignSending:
    """One per worker. `chunk`: readers taken in hand at a time; `lease`: how long the worker may be silent."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        campaigns: Campaigns,
        lanes: Lanes,
        limits: Throttle,
        signing: Signing,
        *,
        worker: str,
        chunk: int,
        lease: timedelta = LEASE,
    ) -> None:
        self._db = db
        self._clock = clock
        self._campaigns = campaigns
        self._lanes = lanes
        self._limits = limits
        self._signing = signing
        self._worker = worker
        self._chunk = chunk
        self._lease = lease
        self._presence = Presence(db, clock, lanes, worker=worker)
        self._room = Room(CHUNKS_IN_FLIGHT * chunk)
        self._runs: set[BatchRun] = set()
        self._letter: Letter | None = None
        self._stopping = False

    async def run_once(self) -> bool:
        """Work on one batch until it is finished, put off or lost; true when there was one. Any number at the same time."""
        # Or every batch would be claimed only to be put off.
        if self._stopping or self._lanes.rest or not any(lane.connections for lane in self._lanes.all):
            return False
        waiting = [run.batch.campaign_id for run in self._runs if run.is_waiting]
        batch = await claim(self._db, worker=self._worker, lease=self._lease, now=self._clock.now(), other_than=waiting)
        if batch is None:
            return False
        letter = await self._letter_of(batch.campaign_id)
        run = BatchRun(
            self._db,
            self._clock,
            self._lanes,
            self._limits,
            letter,
            batch,
            size=self._chunk,
            room=self._room,
            sign=self._signing.put_on if letter.hashed else None,
            lease=self._lease,
        )
        self._runs.add(run)
        if self._stopping:  # Since the batch was claimed.
            run.stop()
        try:
            await run.run()
        finally:
            self._runs.discard(run)
        return True

    async def be_present(self) -> None:
        """Tell the others that this worker is here, and take its share of what the relays allow."""
        await self._presence.show()

    def stop(self) -> None:
        """Finish what has begun, begin nothing more."""
        self._stopping = True
        for run in self._runs:
            run.stop()

    async def close(self) -> None:
        """Say goodbye to relays and to the other workers."""
        await self._lanes.close()
        await self._presence.leave()

    async def _letter_of(self, campaign_id: int) -> Letter:
        """The last one is kept: compiling takes a while, and the next batch is most likely of the same campaign."""
        if self._letter is None or self._letter.campaign_id != campaign_id:
            self._letter = await self._campaigns.letter(campaign_id)
        signs = await self._signing.signs(self._letter.mailing_list.sender.sender_id, at=self._clock.now())
        if signs != self._letter.hashed:
            self._letter = replace(self._letter, hashed=signs)
        return self._letter
