"""Two lists, whoever signs up for them, and one database, emptied after each test: a fresh one for each takes far longer."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import structlog

from newsletter.app import House
from newsletter.dev.mailbox import Mailbox
from tests.conftest import ManualClock, Server
from tests.people import People

TABLES = """
    select string_agg(format('delete from %I', relname), ';') from pg_class
    where relkind in ('r', 'p') and not relispartition and relnamespace = 'public'::regnamespace
      and relname not in ('key', 'schema_migration')
"""


@pytest.fixture(scope="session")
async def shared_url(server: Server, template: str) -> AsyncIterator[str]:
    name = f"newsletter_subscribing_{os.getpid()}"
    await server.run(f"create database {name} owner {server.owner} template {template}")
    yield server.url(name)
    await server.run(f"drop database {name} with (force)")


@pytest.fixture
async def database_url(server: Server, shared_url: str) -> AsyncIterator[str]:
    yield shared_url
    superuser = await asyncpg.connect(urlunsplit(urlsplit(server.admin_url)._replace(path=urlsplit(shared_url).path)))
    # The order of foreign keys does not matter then.
    await superuser.execute("set session_replication_role = replica")
    await superuser.execute(await superuser.fetchval(TABLES))
    await superuser.close()


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What is logged when a request fails is another test's matter, and formatting it for a terminal takes half a second."""
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()])
    yield
    structlog.reset_defaults()


@pytest.fixture
async def people(house: House, clock: ManualClock, mailbox: Mailbox) -> AsyncIterator[People]:
    async with People(house, clock, mailbox) as made:
        yield made
