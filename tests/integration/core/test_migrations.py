"""Migrations are applied once, in order, whole or not at all, and a database that does not fit is refused with the remedy."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from newsletter.core import migrations
from newsletter.core.database import Database
from newsletter.core.errors import DatabaseError, SchemaMismatch
from newsletter.core.migrations import Migration, check_schema, migrate
from tests.conftest import START

KNOWN = migrations.migrations()
NEWEST = KNOWN[-1].number
FIRST = Migration(1, "first", "create table one (id integer);")
SECOND = Migration(2, "second", "create table two (id integer);\ncreate table three (id integer);")
INDEX = Migration(2, "index", "-- outside-transaction\ncreate index concurrently if not exists one_id on one (id);")
AFTER_FIRST_READERS = 8
"""Migrations after these find tables that are large."""
BEFORE_SUBJECTS = 20
"""Migrations before those that let the log say whom a line is about."""
WAITS_FOR_READERS = "select count(*) from pg_locks where relation = 'subscriber'::regclass and not granted"
REPEATABLE = re.compile(
    r"^(?:create (?:unique )?index concurrently if not exists|drop index concurrently if exists) ", re.MULTILINE
)
TURNED_AWAY = "select count(*) from pg_stat_activity where query like '%pg_try_advisory_lock%' and state = 'idle'"
VALID = "select indisvalid from pg_index where indexrelid = 'one_id'::regclass"


@pytest.fixture
async def empty(empty_database_url: str) -> AsyncIterator[Database]:
    database = await Database.connect(empty_database_url)
    yield database
    await database.close()


async def tables(db: Database) -> set[str]:
    rows = await db.fetch("select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace")
    return {row["relname"] for row in rows}


async def ledger(db: Database) -> list[int]:
    return [row["number"] for row in await db.fetch("select number from schema_migration order by number")]


async def turned_away(db: Database) -> None:
    """Until somebody has found another at it."""
    while not await db.fetchval(TURNED_AWAY):
        pass


async def test_a_fresh_database_gets_all_of_them_once(empty: Database) -> None:
    assert [done.number for done in await migrate(empty, now=START)] == [migration.number for migration in KNOWN]
    assert (await check_schema(empty)).version == NEWEST
    assert await migrate(empty, now=START + timedelta(days=1)) == []
    assert {row["applied_at"] for row in await empty.fetch("select applied_at from schema_migration")} == {START}


async def test_several_at_once_apply_each_migration_once(empty: Database) -> None:
    """As when all hosts are upgraded together."""
    done = await asyncio.gather(*(migrate(empty, now=START, known=[FIRST, SECOND]) for _ in range(5)))
    assert sorted(map(len, done)) == [0, 0, 0, 0, 2]
    assert await ledger(empty) == [1, 2]


async def test_several_at_once_build_an_index_concurrently(empty: Database) -> None:
    """Which waits for every statement that began before: for one that waits for the others it would wait for ever."""
    done = await asyncio.gather(*(migrate(empty, now=START, known=[FIRST, INDEX]) for _ in range(5)))
    assert sorted(map(len, done)) == [0, 0, 0, 0, 2]
    assert await empty.fetchval(VALID)


async def test_an_index_that_was_not_finished_is_built_anew(
    empty: Database, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "PATIENT_MS", "50")
    await migrate(empty, now=START, known=[FIRST])
    writer = await asyncpg.connect(empty_database_url)
    try:
        await writer.execute("begin; insert into one values (1)")
        with pytest.raises(DatabaseError, match=r"could not lock its tables within 0\.05 s\. Part of it may have been applied"):
            await migrate(empty, now=START, known=[FIRST, INDEX])
        assert await empty.fetchval(VALID) is False
        assert await ledger(empty) == [1]
    finally:
        await writer.close()
    assert await migrate(empty, now=START, known=[FIRST, INDEX]) == [INDEX]
    assert await empty.fetchval(VALID)


def test_evidence_and_readers_are_written_while_their_indexes_are_built() -> None:
    """They are the tables of which a million people have rows: whoever unsubscribes does not wait for an index."""
    busy = ("consent_event", "subscriber", "subscription", "suppression")
    for migration in KNOWN[AFTER_FIRST_READERS:]:
        made = re.findall(r"create (?:unique )?index (?!concurrently).*? on (\w+)", migration.text)
        assert not set(made) & set(busy), migration.name
        assert migration.in_transaction or REPEATABLE.search(migration.text)


async def test_what_is_done_to_a_reader_is_noted_while_the_log_is_migrated(empty: Database, empty_database_url: str) -> None:
    """Whoever does it has the reader first and the log then: a migration that took them the other way round failed."""
    await migrate(empty, now=START, known=KNOWN[:BEFORE_SUBJECTS])
    operator = await asyncpg.connect(empty_database_url)
    try:
        await operator.execute("begin; update subscriber set name = ''")
        migrating = asyncio.create_task(migrate(empty, now=START))
        while not await empty.fetchval(WAITS_FOR_READERS) and not migrating.done():
            pass
        noting = "insert into audit_log (occurred_at, operator, action, target) values ($1, 'ada', 'subscriber.correct', 'one')"
        await operator.execute(noting, START)
        await operator.execute("commit")
    finally:
        await operator.close()
    assert (await migrating)[-1].number == NEWEST
    assert await empty.fetchval("select count(*) from audit_log") == 1


async def test_a_migration_that_meets_a_deadlock_says_to_try_again(empty: Database) -> None:
    crossing = replace(SECOND, text="create table two (id integer);\ndo $$ begin raise deadlock_detected; end $$;")
    with pytest.raises(DatabaseError, match=r"Migration 0002 \(second\) and other work .* Nothing of it .* Try again") as met:
        await migrate(empty, now=START, known=[FIRST, crossing])
    assert met.value.sqlstate == "40P01"
    assert await migrate(empty, now=START, known=[FIRST, SECOND]) == [SECOND]


async def test_a_second_one_waits_for_as_long_as_the_first_takes(
    empty: Database, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT_MS", "10")
    first = await asyncpg.connect(empty_database_url)
    try:
        await first.execute("select pg_advisory_lock(hashtext('newsletter migrations'))")
        second = asyncio.create_task(migrate(empty, now=START, known=[FIRST]))
        await turned_away(empty)
        assert not second.done()
    finally:
        await first.close()
    assert await second == [FIRST]


async def test_a_changed_migration_is_refused(empty: Database) -> None:
    await migrate(empty, now=START, known=[FIRST])
    changed = replace(FIRST, text=FIRST.text + "\n")
    with pytest.raises(
        SchemaMismatch, match=r"Migration 0001 \(first\) is not the one that this database was made with: install"
    ):
        await migrate(empty, now=START, known=[changed, SECOND])
    assert "two" not in await tables(empty)


async def test_a_newer_schema_that_still_takes_this_program_is_accepted(empty: Database) -> None:
    """A rolling upgrade: the schema moves first, the programs follow one by one."""
    newer = Migration(NEWEST + 1, "newer", f"-- oldest-program: {NEWEST}\ncreate table newer (id integer);")
    await migrate(empty, now=START)
    await migrate(empty, now=START, known=[*KNOWN, newer])
    assert (await check_schema(empty)).version == NEWEST + 1
    assert await migrate(empty, now=START) == []


async def test_a_newer_schema_that_this_program_does_not_know_is_refused(empty: Database) -> None:
    newer = Migration(NEWEST + 1, "newer", f"-- oldest-program: {NEWEST + 1}\ncreate table newer (id integer);")
    await migrate(empty, now=START, known=[*KNOWN, newer])
    for refusing in (check_schema(empty), migrate(empty, now=START)):
        with pytest.raises(SchemaMismatch, match=f"needs a program that knows at least {NEWEST + 1}.* Install a newer version"):
            await refusing


async def test_a_program_that_would_leave_a_new_life_the_lines_of_the_old_one_is_refused(empty: Database) -> None:
    await migrate(empty, now=START)
    with pytest.raises(SchemaMismatch, match="Install a newer version"):
        await migrate(empty, now=START, known=KNOWN[:BEFORE_SUBJECTS])


async def test_the_oldest_program_stays_when_a_later_migration_says_nothing_of_it(empty: Database) -> None:
    newer = Migration(NEWEST + 1, "newer", f"-- oldest-program: {NEWEST + 1}\ncreate table newer (id integer);")
    newest = Migration(NEWEST + 2, "newest", "create table newest (id integer);")
    await migrate(empty, now=START, known=[*KNOWN, newer, newest])
    with pytest.raises(SchemaMismatch, match="Install a newer version"):
        await check_schema(empty)


async def test_an_older_schema_is_told_to_migrate(empty: Database) -> None:
    with pytest.raises(SchemaMismatch, match=f"has schema 0, this program needs {NEWEST}: run `newsletter migrate` first"):
        await check_schema(empty)
    assert await tables(empty) == set()
    await migrate(empty, now=START, known=[])
    with pytest.raises(SchemaMismatch, match="run `newsletter migrate` first"):
        await check_schema(empty)


async def test_a_migration_that_fails_leaves_nothing_half_done(empty: Database) -> None:
    broken = replace(SECOND, text="create table two (id integer);\ninsert into nowhere values ('ada@example.org');")
    with pytest.raises(DatabaseError, match=r"Migration 0002 \(second\) failed\. Nothing of it was applied\.") as failed:
        await migrate(empty, now=START, known=[FIRST, broken, Migration(3, "third", "create table three (id integer);")])
    assert failed.value.sqlstate == "42P01"
    assert "ada" not in str(failed.value)
    assert await tables(empty) == {"schema_migration", "one"}
    assert await ledger(empty) == [1]
    assert await migrate(empty, now=START, known=[FIRST, SECOND]) == [SECOND]


async def test_a_migration_gives_up_when_it_cannot_have_its_lock(
    empty: Database, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would hold up everybody behind it."""
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT_MS", "10")
    altering = Migration(2, "altering", "create table two (id integer);\nalter table one add column name text;")
    await migrate(empty, now=START, known=[FIRST])
    reader = await asyncpg.connect(empty_database_url)
    try:
        await reader.execute("begin; select * from one")
        with pytest.raises(
            DatabaseError, match=r"could not lock its tables within 0\.01 s\. Nothing of it was applied\. Try again"
        ) as busy:
            await migrate(empty, now=START, known=[FIRST, altering])
        assert busy.value.sqlstate == "55P03"
    finally:
        await reader.close()
    assert "two" not in await tables(empty)
    assert await migrate(empty, now=START, known=[FIRST, altering]) == [altering]


async def test_a_migration_may_run_outside_a_transaction(empty: Database) -> None:
    text = "-- outside-transaction\ncreate index concurrently one_id on one (id);"
    with pytest.raises(DatabaseError, match="Nothing of it was applied"):
        await migrate(empty, now=START, known=[FIRST, Migration(2, "index", text.removeprefix("-- outside-transaction\n"))])
    await migrate(empty, now=START, known=[FIRST, Migration(2, "index", text)])
    assert await empty.fetchval("select indisvalid from pg_index where indexrelid = 'one_id'::regclass")
    assert await ledger(empty) == [1, 2]


def test_directives_count_only_as_whole_lines() -> None:
    assert Migration(1, "a", "-- oldest-program: 7\nselect 1").oldest_program == 7
    assert Migration(1, "a", "select 1 -- oldest-program: 7").oldest_program == 0
    assert Migration(1, "a", "-- never outside-transaction\nselect 1").in_transaction


def test_numbers_are_unique_and_without_a_gap() -> None:
    assert [migration.number for migration in KNOWN] == list(range(1, NEWEST + 1))
