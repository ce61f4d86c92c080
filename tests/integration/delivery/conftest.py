"""A relay that does what it is told, and a campaign to send through it.

These tests share one database, emptied before each: copying a database takes longer than most of them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from newsletter.core.database import Database
from tests.conftest import ManualClock, Server
from tests.integration.delivery.sending import Sending
from tests.relay import ScriptedRelay

EMPTY = """
do $$ begin
  execute (select 'truncate ' || string_agg(format('%I', relname), ', ') from pg_class
           where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
             and relname not in ('key', 'schema_migration'));
end $$
"""


@pytest.fixture(scope="session")
async def shared_url(server: Server, template: str) -> AsyncIterator[str]:
    name = f"newsletter_delivery_{os.getpid()}"
    await server.run(f"create database {name} owner {server.owner} template {template}")
    yield server.url(name)
    await server.run(f"drop database {name} with (force)")


@pytest.fixture
async def database_url(shared_url: str) -> str:
    return shared_url


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = await Database.connect(database_url)
    await database.execute(EMPTY)
    yield database
    await database.close()


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
    await asyncio.gather(*(courier.close() for courier in made.couriers))
