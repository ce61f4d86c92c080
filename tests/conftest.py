"""A real PostgreSQL for every test that asks for one, and a clock that the test moves.

Each xdist process starts an embedded PostgreSQL of its own (about a second), migrates a template database once, and gives
every test a copy. With NEWSLETTER_DATABASE_URL set, that server is used instead; its role must be allowed to create databases
and roles.
"""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import hypothesis
import pytest

from newsletter.app import House
from newsletter.core.database import Database
from newsletter.core.keys import open_keyring
from newsletter.core.migrations import migrate
from newsletter.dev.mailbox import Mailbox
from newsletter.dev.postgres import EmbeddedPostgres
from newsletter.settings import Settings, load_settings

# Enough examples to notice, few enough for a suite of two minutes; HYPOTHESIS_PROFILE=deep looks harder.
hypothesis.settings.register_profile("suite", max_examples=30, deadline=None, derandomize=os.environ.get("CI") == "true")
hypothesis.settings.register_profile("deep", max_examples=2000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

START = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)
SECRET = "a secret for tests, 32 characters or more"
POLICY = {
    "NEWSLETTER_CONTROLLER": "Harbour Society, Harbour Street 4, 20457 Hamburg",
    "NEWSLETTER_PRIVACY_CONTACT": "privacy@letters.example",
    "NEWSLETTER_STORAGE_COUNTRY": "Germany",
    "NEWSLETTER_BACKUP_DAYS": "30",
}
"""What the privacy policy cannot do without."""
_numbers = itertools.count(1)
_ACCEPTANCE = Path(__file__).parent / "acceptance"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Coverage doubles what Python takes. Tests that repeat one path hundreds of times, and those that run processes of their
    own, would show little for it."""
    for item in items:
        repeats = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        if repeats or item.path.is_relative_to(_ACCEPTANCE):
            item.add_marker(pytest.mark.no_cover)


class ManualClock:
    """Stands still until a test moves it."""

    def __init__(self, at: datetime = START) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def move(self, **by: float) -> datetime:
        """`clock.move(hours=24)`; returns the new time."""
        self.at += timedelta(**by)
        return self.at


@dataclass(frozen=True)
class Server:
    """Where databases can be made: as whom, and who owns them (not a superuser, so that revoked rights count)."""

    admin_url: str
    owner: str
    password: str
    bin: Path | None
    log_file: Path | None

    def url(self, database: str) -> str:
        parts = urlsplit(self.admin_url)
        netloc = f"{self.owner}:{self.password}@{parts.hostname}:{parts.port or 5432}"
        return urlunsplit(parts._replace(netloc=netloc, path=f"/{database}"))

    async def run(self, *statements: str) -> None:
        connection = await asyncpg.connect(self.admin_url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()


@pytest.fixture(scope="session")
def embedded_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres | None]:
    if os.environ.get("NEWSLETTER_DATABASE_URL"):
        yield None
        return
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), fast=True) as postgres:
        yield postgres


@pytest.fixture(scope="session")
async def server(embedded_postgres: EmbeddedPostgres | None) -> AsyncIterator[Server]:
    """The server with a role for the tests."""
    role, password = f"newsletter_test_{os.getpid()}", secrets.token_hex(8)
    if embedded_postgres is None:
        made = Server(os.environ["NEWSLETTER_DATABASE_URL"], role, password, None, None)
    else:
        made = Server(embedded_postgres.admin_url, role, password, embedded_postgres.bin, embedded_postgres.log_file)
    await made.run(f"create role {role} login password '{password}'")
    yield made
    await made.run(f"drop owned by {role}", f"drop role {role}")


@pytest.fixture(scope="session")
async def template(server: Server) -> AsyncIterator[str]:
    """A migrated database with its keys made, to be copied."""
    name = f"newsletter_template_{os.getpid()}"
    await server.run(f"create database {name} owner {server.owner}")
    db = await Database.connect(server.url(name))
    await migrate(db, now=START)
    await open_keyring(db, SECRET, now=START)
    await db.close()
    yield name
    await server.run(f"drop database {name} with (force)")


class SharedDatabase:
    """One copy of the template that test after test gets, emptied: that takes 10 ms, a copy far longer.

    A test that changed keys or schema gets its successor a new copy.
    """

    def __init__(self, server: Server, template: str) -> None:
        self._server = server
        self._template = template
        self.name: str | None = None
        self._fingerprint = ""
        self._superuser: asyncpg.Connection | None = None
        self._db: Database | None = None

    async def connected(self) -> Database:
        """The same connections for test after test: each new one would begin with nothing known and nothing prepared."""
        if self._db is None:
            self._db = await Database.connect(await self.url())
        return self._db

    async def disconnect(self) -> None:
        if self._db is not None:
            await self._db.close()
            self._db = None

    async def url(self) -> str:
        if self.name is None:
            self.name = f"newsletter_test_{os.getpid()}_{next(_numbers)}"
            await self._server.run(f"create database {self.name} owner {self._server.owner} template {self._template}")
            owner = await asyncpg.connect(self._server.url(self.name))
            self._fingerprint = await owner.fetchval(_FINGERPRINT)
            await owner.close()
        return self._server.url(self.name)

    async def drop(self) -> None:
        await self.disconnect()
        if self._superuser is not None:
            await self._superuser.close()
            self._superuser = None
        if self.name is not None:
            await self._server.run(f"drop database {self.name} with (force)")
            self.name = None

    async def empty(self) -> None:
        """As a superuser, who may leave the order of foreign keys aside."""
        if self._superuser is None or self._superuser.is_closed():
            address = urlunsplit(urlsplit(self._server.admin_url)._replace(path=f"/{self.name}"))
            self._superuser = await asyncpg.connect(address)
            await self._superuser.execute("set session_replication_role = replica")
        if await self._superuser.fetchval(_FINGERPRINT) == self._fingerprint:
            if weeks := await self._superuser.fetchval(_WEEKS):
                await self._superuser.execute(weeks)
            await self._superuser.execute(await self._superuser.fetchval(_EMPTY))
        else:
            await self.drop()


_FINGERPRINT = """
    select concat((select string_agg(k::text, ' ' order by key_id) from key k),
                  (select string_agg(m::text, ' ' order by number) from schema_migration m),
                  (select string_agg(relname, ' ' order by relname) from pg_class
                   where relnamespace = 'public'::regnamespace and not relispartition),
                  (select md5(string_agg(c::text, ' ' order by conrelid, conname)) from (
                     select conrelid, conname, convalidated from pg_constraint
                     where connamespace = 'public'::regnamespace
                       and not exists (select from pg_class where oid = conrelid and relispartition)) c),
                  (select md5(string_agg(a::text, ' ' order by attrelid, attnum)) from (
                     select attrelid, attnum, attname, attnotnull, atthasdef, attisdropped from pg_attribute a
                     join pg_class on pg_class.oid = attrelid
                     where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
                       and attnum > 0) a),
                  (select md5(string_agg(t::text, ' ' order by tgrelid, tgname)) from (
                     select tgrelid, tgname, tgenabled from pg_trigger
                     where not tgisinternal
                       and not exists (select from pg_class where oid = tgrelid and relispartition)) t),
                  (select md5(string_agg(md5(prosrc), ' ' order by oid)) from pg_proc
                   where pronamespace = 'public'::regnamespace))
"""
_EMPTY = """
    select string_agg(case relkind when 'S' then format('alter sequence %I restart', relname)
                                   else format('delete from %I', relname) end, ';')
    from pg_class
    where relkind in ('r', 'p', 'S') and not relispartition and relnamespace = 'public'::regnamespace
      and relname not in ('key', 'key_key_id_seq', 'schema_migration')
"""
_WEEKS = """
    select string_agg(format('drop table %I', relname), ';') from pg_class
    where relispartition and relkind = 'r' and relnamespace = 'public'::regnamespace
"""
"""Of deliveries: a test of what is dropped when finds none of another's."""


@pytest.fixture(scope="session")
async def shared_database(server: Server, template: str) -> AsyncIterator[SharedDatabase]:
    shared = SharedDatabase(server, template)
    yield shared
    await shared.drop()


@pytest.fixture
async def database_url(shared_database: SharedDatabase) -> AsyncIterator[str]:
    """The address of an empty database, migrated, with keys, owned by a role that is no superuser."""
    yield await shared_database.url()
    await shared_database.empty()


@pytest.fixture
async def empty_database_url(server: Server) -> AsyncIterator[str]:
    """The address of a database that was never migrated."""
    name = f"newsletter_empty_{os.getpid()}_{next(_numbers)}"
    await server.run(f"create database {name} owner {server.owner}")
    yield server.url(name)
    await server.run(f"drop database {name} with (force)")


@pytest.fixture
async def db(shared_database: SharedDatabase, database_url: str) -> Database:
    return await shared_database.connected()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def mailbox(tmp_path: Path) -> AsyncIterator[Mailbox]:
    """A real SMTP server that catches every mail."""
    async with Mailbox(tmp_path / "mailbox") as box:
        yield box


@pytest.fixture
def settings(database_url: str, mailbox: Mailbox) -> Settings:
    return load_settings(
        {
            "NEWSLETTER_DATABASE_URL": database_url,
            "NEWSLETTER_SECRET": SECRET,
            "NEWSLETTER_BASE_URL": "https://news.example.org",
            "NEWSLETTER_SMTP_URL": f"smtp://127.0.0.1:{mailbox.smtp_port}?starttls=never",
        }
        | POLICY
    )


@pytest.fixture
async def house(settings: Settings, db: Database, clock: ManualClock) -> House:
    """Every part, wired as in production, on a clock that the test moves."""
    return House(settings, db, await open_keyring(db, SECRET, now=clock.now()), clock)
