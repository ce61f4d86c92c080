"""A relay that does what it is told, and a campaign to send through it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from newsletter.core.database import Database
from tests.conftest import ManualClock
from tests.integration.delivery.sending import Sending
from tests.relay import ScriptedRelay


@pytest.fixture
async def relay() -> AsyncIterator[ScriptedRelay]:
    async with ScriptedRelay() as opened:
        yield opened


@pytest.fixture
async def sending(db: Database, clock: ManualClock, relay: ScriptedRelay) -> AsyncIterator[Sending]:
    made = Sending(db, clock, relay)
    await made.prepare()
    yield made
    relay.behave()
    await asyncio.gather(*(lanes.close() for lanes in made.opened))
