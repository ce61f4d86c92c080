"""A database makes its keys once; they open with its secret alone, rotate, and move to another secret whole or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from datetime import timedelta

import pytest

from newsletter.core.database import Database
from newsletter.core.errors import Conflict, WrongSecret
from newsletter.core.keys import KNOWN_AFTER, Keyring, change_secret, open_keyring, reload, rotate_token_key, wrap
from newsletter.core.migrations import migrate
from newsletter.core.tokens import Purpose, Tokens
from tests.conftest import SECRET, START

OTHER = "another secret for tests, 32 characters or more"
WAITING = "select count(*) from pg_locks where not granted"


@pytest.fixture
async def new(empty_database_url: str) -> AsyncIterator[Database]:
    """Migrated, and never started."""
    database = await Database.connect(empty_database_url)
    await migrate(database, now=START)
    yield database
    await database.close()


@pytest.fixture
async def db(new: Database) -> Database:
    """With its keys; one of its own, since they are changed."""
    await open_keyring(new, SECRET, now=START)
    return new


async def test_the_first_start_makes_the_keys_and_the_next_finds_them(new: Database) -> None:
    first = await open_keyring(new, SECRET, now=START)
    assert await open_keyring(new, SECRET, now=START + timedelta(days=1)) == first
    assert len({first.address_key, *first.token_keys.values()}) == 2


async def test_processes_that_start_at_once_agree_on_the_keys(new: Database) -> None:
    opened = await asyncio.gather(*(open_keyring(new, SECRET, now=START) for _ in range(5)))
    assert all(keyring == opened[0] for keyring in opened)
    assert await new.fetchval("select count(*) from key") == 2


async def test_two_databases_have_nothing_in_common(new: Database, database_url: str) -> None:
    second = await Database.connect(database_url)
    one, other = await open_keyring(new, SECRET, now=START), await open_keyring(second, SECRET, now=START)
    await second.close()
    assert one.address_key != other.address_key
    assert one.subscriber_id("ada@example.org") != other.subscriber_id("ada@example.org")


async def test_no_key_lies_open_in_the_database(db: Database) -> None:
    keyring = await open_keyring(db, SECRET, now=START)
    rows = await db.fetch("select wrapped from key")
    for key in (keyring.address_key, *keyring.token_keys.values()):
        assert all(key not in row["wrapped"] for row in rows)


async def test_a_wrong_secret_is_refused_and_makes_nothing(db: Database) -> None:
    await db.execute("delete from key where purpose = 'token'")
    with pytest.raises(WrongSecret, match="set NEWSLETTER_SECRET"):
        await open_keyring(db, OTHER, now=START)
    assert await db.fetchval("select count(*) from key") == 1


async def test_a_first_start_that_was_cut_short_is_completed(db: Database) -> None:
    before = await open_keyring(db, SECRET, now=START)
    await db.execute("delete from key where purpose = 'token'")
    after = await open_keyring(db, SECRET, now=START)
    assert after.address_key == before.address_key
    assert Tokens(after).read(Purpose.UNDO, Tokens(after).mint(Purpose.UNDO, b"x")) == b"x"


async def test_a_rotation_that_was_cut_short_is_completed(db: Database) -> None:
    before = await open_keyring(db, SECRET, now=START)
    link = Tokens(before).mint(Purpose.UNSUBSCRIBE, b"ada")
    await db.execute("update key set retired_at = now() where purpose = 'token'")
    await open_keyring(db, SECRET, now=START)
    after = await open_keyring(db, SECRET, now=START + KNOWN_AFTER)
    assert after.current_token_key not in before.token_keys
    assert Tokens(after).read(Purpose.UNSUBSCRIBE, link) == b"ada"


async def test_links_that_were_sent_go_on_working_after_token_keys_rotated(db: Database) -> None:
    before = await open_keyring(db, SECRET, now=START)
    link = Tokens(before).mint(Purpose.UNSUBSCRIBE, b"ada")
    for day in range(1, 4):
        async with db.transaction() as transaction:
            await rotate_token_key(transaction, SECRET, now=START + timedelta(days=day))
    after = await open_keyring(db, SECRET, now=START + timedelta(days=4))
    assert Tokens(after).read(Purpose.UNSUBSCRIBE, link) == b"ada"
    assert after.current_token_key not in before.token_keys
    assert len(after.token_keys) == 4
    assert after.subscriber_id("ada@example.org") == before.subscriber_id("ada@example.org")


async def test_a_link_opens_in_every_process_while_a_new_key_becomes_known(db: Database) -> None:
    """A web process that has not reloaded yet, and a command that starts right after the rotation and makes links."""
    running = await open_keyring(db, SECRET, now=START)
    rotated_at = START + timedelta(days=1)
    async with db.transaction() as transaction:
        await rotate_token_key(transaction, SECRET, now=rotated_at)
    command = await open_keyring(db, SECRET, now=rotated_at)
    assert Tokens(running).read(Purpose.UNSUBSCRIBE, Tokens(command).mint(Purpose.UNSUBSCRIBE, b"ada")) == b"ada"
    await reload(running, db, SECRET, now=rotated_at)
    later = await open_keyring(db, SECRET, now=rotated_at + KNOWN_AFTER)
    assert later.current_token_key != command.current_token_key
    assert Tokens(running).read(Purpose.UNSUBSCRIBE, Tokens(later).mint(Purpose.UNSUBSCRIBE, b"ada")) == b"ada"


async def test_another_secret_opens_the_same_keys_after_the_change(db: Database) -> None:
    before = await _with_rotated_key(db)
    async with db.transaction() as transaction:
        assert await change_secret(transaction, SECRET, OTHER) == 3
    assert await open_keyring(db, OTHER, now=START) == before
    with pytest.raises(WrongSecret):
        await open_keyring(db, SECRET, now=START)


async def test_a_change_of_secret_changes_all_keys_or_none(db: Database) -> None:
    """A database half of whose keys open with each secret opens with neither."""
    await _with_rotated_key(db)
    await db.execute("update key set wrapped = $1 where key_id = 3", wrap(b"k" * 32, OTHER, "token"))
    before = await db.fetch("select * from key order by key_id")
    with pytest.raises(WrongSecret):
        async with db.transaction() as transaction:
            await change_secret(transaction, SECRET, OTHER)
    assert await db.fetch("select * from key order by key_id") == before


async def _rotate(db: Database) -> None:
    async with db.transaction() as transaction:
        await rotate_token_key(transaction, SECRET, now=START)


async def _start(db: Database) -> None:
    await open_keyring(db, SECRET, now=START)


@pytest.mark.parametrize("makes_a_key", [_rotate, _start])
async def test_a_key_that_is_made_while_the_secret_changes_is_not_left_under_the_old_one(
    db: Database, makes_a_key: Callable[[Database], Coroutine[None, None, None]]
) -> None:
    """It would open with neither secret alone, and lock everybody out."""
    await db.execute("update key set retired_at = created_at where purpose = 'token'")
    async with db.transaction() as transaction:
        await change_secret(transaction, SECRET, OTHER)
        making = asyncio.create_task(makes_a_key(db))
        while not await transaction.fetchval(WAITING):
            assert not making.done()
    with pytest.raises(WrongSecret):
        await making
    await open_keyring(db, OTHER, now=START)


async def test_a_change_of_secret_waits_for_a_key_that_is_being_made(db: Database) -> None:
    async with db.transaction() as transaction:
        await rotate_token_key(transaction, SECRET, now=START)

        async def change() -> int:
            async with db.transaction() as other:
                return await change_secret(other, SECRET, OTHER)

        changing = asyncio.create_task(change())
        while not await transaction.fetchval(WAITING):
            assert not changing.done()
    assert await changing == 3
    assert len((await open_keyring(db, OTHER, now=START)).token_keys) == 2


KNOWN = """
insert into subscriber (subscriber_id, address, domain, language, created_at)
values (gen_random_uuid(), 'ada@example.org', 'example.org', 'en', now())"""
SUPPRESSED = """
insert into suppression (subscriber_id, reason, since, until)
values (gen_random_uuid(), 'left', now(), now() + interval '1 day')"""
WITHDRAWN = "insert into withdrawal (kind, subscriber_id, occurred_at) values ('erased', gen_random_uuid(), now())"


@pytest.mark.parametrize("known", [KNOWN, SUPPRESSED, WITHDRAWN], ids=["subscriber", "suppression", "withdrawal"])
async def test_an_address_key_that_was_lost_is_not_replaced_where_ids_were_made_with_it(db: Database, known: str) -> None:
    """Under another key nobody who was erased would be known again, and everybody could be signed up twice."""
    await db.execute("delete from key where purpose = 'address'")
    await db.execute(known)
    with pytest.raises(WrongSecret, match="restore table key"):
        await open_keyring(db, SECRET, now=START)
    assert await db.fetchval("select count(*) from key where purpose = 'address'") == 0


async def test_where_nobody_is_known_a_lost_address_key_is_made_anew(db: Database) -> None:
    await db.execute("delete from key where purpose = 'address'")
    await open_keyring(db, SECRET, now=START)
    assert await db.fetchval("select count(*) from key where purpose = 'address'") == 1


@pytest.mark.parametrize("exchange", [True, False])
async def test_a_process_refuses_an_address_key_that_is_not_its_own_any_more(db: Database, exchange: bool) -> None:
    running = await open_keyring(db, SECRET, now=START)
    before = replace(running)
    await db.execute("delete from key where purpose = 'address'")
    if exchange:
        await open_keyring(db, SECRET, now=START)
    count = await db.fetchval("select count(*) from key")
    with pytest.raises(WrongSecret, match="was exchanged: restore table key"):
        await reload(running, db, SECRET, now=START)
    assert running == before
    assert await db.fetchval("select count(*) from key") == count


async def test_a_process_that_runs_on_makes_its_links_with_the_new_key(db: Database) -> None:
    running = await open_keyring(db, SECRET, now=START)
    old = running.current_token_key
    async with db.transaction() as transaction:
        await rotate_token_key(transaction, SECRET, now=START)
    await reload(running, db, SECRET, now=START)
    assert running.current_token_key == old
    await reload(running, db, SECRET, now=START + KNOWN_AFTER)
    assert running.current_token_key != old


async def test_a_key_whose_number_a_link_cannot_hold_is_refused_and_the_old_one_goes_on(db: Database) -> None:
    await db.execute("alter table key alter column key_id restart with 255")
    async with db.transaction() as transaction:
        await rotate_token_key(transaction, SECRET, now=START)
    last = await open_keyring(db, SECRET, now=START + KNOWN_AFTER)
    assert last.current_token_key == 255
    assert Tokens(last).read(Purpose.UNDO, Tokens(last).mint(Purpose.UNDO, b"x")) == b"x"
    with pytest.raises(Conflict, match="room for 255 numbers"):
        async with db.transaction() as transaction:
            await rotate_token_key(transaction, SECRET, now=START)
    assert await open_keyring(db, SECRET, now=START + KNOWN_AFTER) == last


async def _with_rotated_key(db: Database) -> Keyring:
    async with db.transaction() as transaction:
        await rotate_token_key(transaction, SECRET, now=START)
    return await open_keyring(db, SECRET, now=START)
