"""What PostgreSQL says becomes one of our errors, which holds no row; a server that is away is said to be away."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator

import asyncpg
import pytest

from newsletter.core import database
from newsletter.core.database import Database
from newsletter.core.errors import DatabaseError, DatabaseUnavailable, RelayUnreachable, SettingsError, StatementTimeout
from tests.conftest import Server

RARE = "quincunx.zaffre@rare.example"
ADD = """insert into subscriber (subscriber_id, address, domain, language, created_at)
         values (gen_random_uuid(), $1, $2, 'en', now())"""
OTHERS = "from pg_stat_activity where datname = current_database() and usename = current_user and pid <> pg_backend_pid()"
KILL = f"select pg_terminate_backend(pid) {OTHERS}"
LISTENING = f"select count(*) {OTHERS} and state = 'idle' and query like 'LISTEN%'"
SLEEPING = f"select count(*) {OTHERS} and query = 'select pg_sleep(60)' and wait_event = 'PgSleep'"


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """Of each test's own: connections that end under others' hands are no others' matter."""
    database = await Database.connect(database_url)
    yield database
    await database.close()


@pytest.fixture
async def killer(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that ends all others of the database, as a restart of the server would."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def test_an_error_says_what_was_violated_and_holds_no_row(db: Database) -> None:
    provoked = [
        ("23514", ADD, (RARE, "Rare.Example")),
        ("22P02", "select $1::text::integer", (RARE,)),
        ("22000", "select $1::integer", (RARE,)),
        ("42P01", f'select * from "{RARE}"', ()),
        ("P0001", f"do $$ begin raise exception '{RARE}' using detail = '{RARE}'; end $$", ()),
    ]
    for sqlstate, statement, arguments in provoked:
        with pytest.raises(DatabaseError) as refused:
            await db.execute(statement, *arguments)
        assert refused.value.sqlstate == sqlstate
        assert not isinstance(refused.value, DatabaseUnavailable)
        text = "".join(traceback.format_exception(refused.value)) + repr(refused.value) + repr(vars(refused.value))
        assert "rare.example" not in text.lower()


async def test_a_transaction_is_all_or_nothing(db: Database) -> None:
    with pytest.raises(DatabaseError):
        async with db.transaction() as transaction:
            await transaction.execute(ADD, RARE, "rare.example")
            await transaction.execute(ADD, RARE, "Rare.Example")
    assert await db.fetchval("select count(*) from subscriber") == 0
    async with db.transaction() as transaction:
        await transaction.execute(ADD, RARE, "rare.example")
    assert await db.fetchval("select count(*) from subscriber") == 1


async def test_a_snapshot_does_not_see_what_came_later(db: Database) -> None:
    for snapshot, seen in ((True, 0), (False, 1)):
        async with db.transaction(snapshot=snapshot) as transaction:
            await transaction.fetchval("select count(*) from subscriber")
            await db.execute(ADD, RARE, "rare.example")
            assert await transaction.fetchval("select count(*) from subscriber") == seen
        await db.execute("delete from subscriber")


async def test_a_server_that_is_away_is_said_to_be_away(unused_tcp_port: int) -> None:
    """Nothing is connected before the first statement, so that a process can start while PostgreSQL is away."""
    db = await Database.connect(f"postgresql://user:pass@127.0.0.1:{unused_tcp_port}/newsletter")
    with pytest.raises(DatabaseUnavailable, match=r"PostgreSQL cannot be reached \(ConnectionRefusedError\)") as away:
        await db.fetchval("select 1")
    assert isinstance(away.value, ConnectionError)
    with pytest.raises(DatabaseUnavailable, match="ConnectionRefusedError"):
        async with db.transaction():
            pass
    with pytest.raises(DatabaseUnavailable, match="ConnectionRefusedError"):
        await db.listen("channel", print)
    await db.close()


async def test_a_server_that_was_restarted_is_found_again(db: Database, killer: asyncpg.Connection) -> None:
    running = asyncio.create_task(db.fetchval("select pg_sleep(60)"))
    while not await killer.fetchval(SLEEPING):
        pass
    await killer.execute(KILL)
    with pytest.raises(DatabaseUnavailable):
        await running
    assert await db.fetchval("select 2") == 2


async def test_a_server_that_goes_away_in_a_transaction_leaves_nothing_of_it(db: Database, killer: asyncpg.Connection) -> None:
    with pytest.raises(DatabaseUnavailable):
        async with db.transaction() as transaction:
            await transaction.execute(ADD, RARE, "rare.example")
            await killer.execute(KILL)
            await transaction.fetchval("select 1")
    assert await db.fetchval("select count(*) from subscriber") == 0


@pytest.mark.parametrize("error", [FileNotFoundError("a template"), TimeoutError("a relay"), ConnectionResetError("a socket")])
async def test_what_goes_wrong_beside_the_statements_is_not_said_to_be_the_database(db: Database, error: OSError) -> None:
    """A missing template is an OSError too: said to be PostgreSQL's, it would hold up every sign-up behind it."""
    with pytest.raises(type(error)) as passed:
        async with db.transaction() as transaction:
            await transaction.execute(ADD, RARE, "rare.example")
            raise error
    assert passed.value is error
    assert await db.fetchval("select count(*) from subscriber") == 0


async def test_what_went_wrong_is_still_known_when_the_connection_is_gone_too(db: Database, killer: asyncpg.Connection) -> None:
    with pytest.raises(RelayUnreachable, match="the relay"):
        async with db.transaction() as transaction:
            await transaction.execute("select 1")
            await killer.execute(KILL)
            while await killer.fetchval(f"select count(*) {OTHERS}"):
                pass
            raise RelayUnreachable("the relay")
    assert await db.fetchval("select 1") == 1


async def test_a_statement_that_takes_too_long_ends_and_says_so_and_the_next_is_answered(database_url: str) -> None:
    assert database.ANSWER_WITHIN == 60
    db = await Database.connect(database_url, answer_within=0.1)
    try:
        with pytest.raises(StatementTimeout, match="did not finish a statement in its time"):
            await db.execute("select pg_sleep(60)")
        assert await db.fetchval("select 1") == 1
    finally:
        await db.close()


async def test_a_server_that_is_too_old_is_refused(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "OLDEST_SERVER", 1000)
    db = await Database.connect(database_url)
    try:
        with pytest.raises(SettingsError, match=r"PostgreSQL \d+ is too old: use version 1000 or later"):
            await db.fetchval("select 1")
    finally:
        await db.close()


async def test_errors_of_ours_pass_through_a_transaction_as_they_are(db: Database) -> None:
    """A relay that is away is a ConnectionError too, and no reason to believe that PostgreSQL is."""
    with pytest.raises(RelayUnreachable, match="the relay"):
        async with db.transaction():
            raise RelayUnreachable("the relay")


@pytest.mark.parametrize(
    "wrong", ["{user}:wrong@{host}/{name}", "{user}:{password}@{host}/nowhere", "{user}:{password}@{host}/{name}?sslmode=maybe"]
)
async def test_a_refused_connection_is_a_matter_of_the_settings(server: Server, database_url: str, wrong: str) -> None:
    host, _, name = database_url.rpartition("@")[2].partition("/")
    url = wrong.format(user=server.owner, password=server.password, host=host, name=name)
    db = await Database.connect(f"postgresql://{url}")
    try:
        with pytest.raises(
            SettingsError, match="check user, password, database name and options in NEWSLETTER_DATABASE_URL"
        ) as no:
            await db.fetchval("select 1")
        assert server.password not in str(no.value)
    finally:
        await db.close()


async def test_times_are_read_in_utc(db: Database) -> None:
    assert await db.fetchval("show timezone") == "UTC"


async def test_a_listener_hears_what_is_notified_until_it_is_cancelled(db: Database, killer: asyncpg.Connection) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    listening = asyncio.create_task(db.listen("newsletter_work", heard.put_nowait))
    while not await killer.fetchval(LISTENING):
        pass
    await db.execute("select pg_notify('newsletter_work', 'one')")
    assert await asyncio.wait_for(heard.get(), 5) == "one"
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening


async def test_a_listener_says_so_when_its_connection_breaks(db: Database, killer: asyncpg.Connection) -> None:
    listening = asyncio.create_task(db.listen("newsletter_work", print))
    while not await killer.fetchval(LISTENING):
        pass
    await killer.execute(KILL)
    with pytest.raises(DatabaseUnavailable, match="listens for new work broke"):
        await asyncio.wait_for(listening, 5)


async def test_closing_does_not_wait_for_ever(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    db = await Database.connect(database_url)
    running = asyncio.create_task(db.fetchval("select pg_sleep(60)"))
    watcher = await asyncpg.connect(database_url)
    while not await watcher.fetchval(SLEEPING):
        pass
    monkeypatch.setattr("newsletter.core.database.CLOSE_WITHIN", 0.1)
    await asyncio.wait_for(db.close(), 5)
    with pytest.raises(DatabaseUnavailable):
        await running
    await watcher.close()


async def test_each_execution_is_planned_for_the_size_that_tables_have_by_then(database_url: str) -> None:
    """A plan that was kept from when a table was empty made a chunk of a campaign take 6 s instead of 15 ms."""
    db = await Database.connect(database_url, size=1)
    for number in range(10):
        await db.fetchval("select count(*) from suppression where list_id = $1", number)
    planned = await db.fetch(
        "select generic_plans, custom_plans from pg_prepared_statements where statement like 'select count%'"
    )
    assert [tuple(row) for row in planned] == [(0, 10)]
    await db.close()
