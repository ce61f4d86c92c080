"""What a worker adds to the run of a batch: which batch, and whether now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from pydantic import SecretStr

from newsletter.app import House
from newsletter.campaigns.content import Draft, Format
from newsletter.campaigns.service import NewCampaign
from newsletter.core.database import Database
from newsletter.core.keys import open_keyring
from newsletter.jobs.worker import Worker
from newsletter.settings import Settings
from tests.conftest import SECRET, ManualClock
from tests.integration.delivery.sending import Sending
from tests.relay import Stage, eventually

DRAFT = Draft("en", "The long tide", "", Format.MARKDOWN, "Hello.")


@pytest.fixture
async def worker(settings: Settings, db: Database, clock: ManualClock, sending: Sending) -> AsyncIterator[Worker]:
    """With a campaign in two batches before it."""
    target = SecretStr(f"smtp://127.0.0.1:{sending.relay.port}?starttls=never")
    keyring = await open_keyring(db, SECRET, now=clock.now())
    house = House(settings.model_copy(update={"smtp_url": target, "lease_seconds": 7}), db, keyring, clock)
    await db.execute(
        "insert into list_text (list_id, language, name, description) select list_id, 'en', 'Letter', '' from list"
    )
    await sending.many_readers(1001)
    sending.campaign_id = await house.campaigns.create(NewCampaign("letter", "Tide", (DRAFT,)), by="test", now=clock.now())
    await house.campaigns.send(sending.campaign_id, by="test", now=clock.now())
    yield house.worker()
    await house.close()


async def test_a_relay_that_cannot_be_reached_puts_off_one_batch_and_not_all(sending: Sending, worker: Worker) -> None:
    await sending.relay.close()
    assert await worker.run_campaigns_once()
    assert not await worker.run_campaigns_once()
    put_off = await sending.db.fetchval("select count(*) from batch where not_before > $1", sending.clock.now())
    assert put_off == 1
    assert await sending.rows() == {}


async def test_a_worker_told_to_stop_while_it_prepares_a_batch_begins_nothing(sending: Sending, worker: Worker) -> None:
    async with sending.db.transaction() as other:
        await other.execute("lock table list_text in access exclusive mode")
        work = asyncio.ensure_future(worker.run_campaigns_once())
        await eventually(sending.somebody_waits_for_a_lock)
        worker._stop()
    assert await work
    assert not await worker.run_campaigns_once()
    assert (await sending.rows(), sending.relay.sessions) == ({}, 0)
    assert await sending.db.fetchval("select count(*) from batch where state = 'queued'") == 2


async def test_a_worker_holds_its_batch_for_as_long_as_the_settings_say(sending: Sending, worker: Worker) -> None:
    held = sending.relay.hold(Stage.GREETING)
    work = asyncio.ensure_future(worker.run_campaigns_once())
    await held.reached()
    assert await sending.lease() == timedelta(seconds=7)
    worker._stop()
    await sending.relay.close()
    assert await work
    assert await sending.lease() is None
