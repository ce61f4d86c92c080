"""Erased means gone: from every table that the catalogue knows, and from a dump of the whole database; a keyed id stays."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from newsletter.core.addresses import parse_address
from newsletter.core.database import Database
from newsletter.core.errors import DatabaseError
from newsletter.privacy.rights import EVERY_LIST, Actor
from newsletter.settings import Settings
from newsletter.subscribing import erasure
from newsletter.subscribing.rules import Via
from tests.conftest import Server
from tests.dumps import dump, forms
from tests.people import WEB, People

RARE = ("Quincunx.Zaffre+Xylem@Rare-Syzygy.example", "Zäffre.Quokka@wörld-sphinx.example")
OTHER = "ben@example.org"

SUBJECT_TABLES = """
    select c.relname from pg_class c join pg_index i on i.indrelid = c.oid and i.indisprimary
    join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
    where c.relnamespace = 'public'::regnamespace and not c.relispartition and a.attname = 'subscriber_id'
"""
ALL_TABLES = "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'm')"
KEPT = {"suppression", "evidence"}
"""Of the subject tables, what erasing leaves: keyed ids that must not be mailed again, and sealed evidence."""


async def names(db: Database, query: str) -> set[str]:
    return {row["relname"] for row in await db.fetch(query)}


async def leave_traces(people: People, address: str) -> str:
    """By every path there is; returns the token that deletes all of it."""
    db, who = people.house.db, people.id_of(address)
    await people.reader(address, "letter", name="Quincunx Zaffre")
    await people.reader(address, "digest")
    await people.letters()
    campaign = await db.fetchval(
        "insert into campaign (list_id, name, created_at) values ($1, 'November', $2) returning campaign_id",
        people.letter.list_id, people.clock.at)  # fmt: skip
    monday = (people.clock.at - timedelta(days=people.clock.at.weekday())).date()
    await db.execute("select ensure_delivery_week($1)", monday)
    await db.execute(
        """insert into delivery (subscriber_id, campaign_id, week, state, epoch, attempts, first_at, attempted_at)
           values ($1, $2, $3, 'attempting', 1, 1, $4, $4)""",
        who, campaign, monday, people.clock.at)  # fmt: skip
    await people.sign_up(address)  # is mailed that they are subscribed already
    page = Actor(Via.PAGE, WEB)
    for place in ("asked", "undecided"):  # Moves to other addresses: one in a confirmation, one still a request.
        await people.house.rights.move(who, f"{place}-{who.hex}@elsewhere.example", by=page, now=people.clock.at)
        if place == "asked":
            await people.decide()
    await people.house.db.execute("update signup_request set not_before = expires_at where replaces = $1", who)
    await people.house.rights.restrict(who, EVERY_LIST, months=None, by=page, now=people.clock.at)
    await people.house.my_data.held_for_operator(who, "show", operator="Ops", now=people.clock.at)
    await people.unsubscribe(address, "digest")
    answer = await people.unsubscribe(address, "letter")
    people.clock.move(minutes=10)
    assert await people.sign_up(address.swapcase() if address.isascii() else address, "digest")  # and stays pending
    await people.request(address, "digest", name="Quincunx")  # and is never decided on
    await people.ask_for_data(address)
    await people.house.contact.write(address, f"I am Quincunx Zaffre, {address}", "en", None, now=people.clock.at)
    await people.house.db.execute(
        "insert into outbox (kind, request_id, list_ids, language, message_id, created_at, expires_at, not_before) "
        "select 'data', request_id, '{1}', 'en', gen_random_uuid(), received_at, expires_at, received_at from data_request "
        "where subscriber_id = $1", who)  # fmt: skip
    await db.execute("insert into suppression values ($1, $2, 'bounced', $3, $4)", who, people.digest.list_id, people.clock.at,
                     people.clock.at + timedelta(days=365))  # fmt: skip
    assert answer.undo_token is not None
    return answer.undo_token


async def rows_of(people: People, address: str, tables: set[str]) -> dict[str, int]:
    return {table: await people.count(table, "subscriber_id = $1", people.id_of(address)) for table in sorted(tables)}


async def test_every_subject_table_is_swept(people: People) -> None:
    """A table that is added with subscriber_id leading its key, and that nobody thought of, fails here."""
    token = await leave_traces(people, RARE[0])
    await leave_traces(people, OTHER)
    tables = await names(people.house.db, SUBJECT_TABLES)
    others = await rows_of(people, OTHER, tables)
    before = await rows_of(people, RARE[0], tables)
    assert [table for table, count in before.items() if not count] == ["evidence"]
    await people.erase_now(token)
    after = await rows_of(people, RARE[0], tables)
    assert {table for table, count in after.items() if count} == KEPT
    assert await rows_of(people, OTHER, tables) == others


async def test_no_table_has_a_row_that_names_the_person(people: People) -> None:
    token = await leave_traces(people, RARE[0])
    assert await _found_in_tables(people, "zaffre") == {
        "subscriber", "signup_request", "confirmation", "data_request", "contact_message"}  # fmt: skip
    assert await people.count("confirmation", "replaces = $1", people.id_of(RARE[0])) == 2
    assert await people.count("signup_request", "replaces = $1", people.id_of(RARE[0])) == 1
    await people.erase_now(token)
    assert await _found_in_tables(people, "zaffre") == set()
    kept = await _found_in_tables(people, str(people.id_of(RARE[0])))
    assert kept == {"suppression", "withdrawal", "evidence"}
    assert await people.count("outbox", "request_id is not null") == 0


async def _found_in_tables(people: People, text: str) -> set[str]:
    db = people.house.db
    return {
        table
        for table in await names(db, ALL_TABLES)
        if await db.fetchval(f"select count(*) from {table} t where t::text ilike '%' || $1 || '%'", text)
    }


async def test_what_is_kept_of_the_erased_is_a_keyed_id_for_each_list_they_had_confirmed(people: People) -> None:
    token = await leave_traces(people, RARE[0])
    await people.erase_now(token)
    assert await people.suppressions(RARE[0]) == {
        (people.letter.list_id, "left"), (people.digest.list_id, "left"), (people.digest.list_id, "bounced")}  # fmt: skip
    assert await people.count("withdrawal", "kind = 'erased'") == 1


async def test_deliveries_become_sums_that_belong_to_nobody(people: People) -> None:
    await people.erase_now(await leave_traces(people, RARE[0]))
    rows = await people.house.db.fetch("select state, count from delivery_folded")
    assert [tuple(row) for row in rows] == [("attempting", 1)]


@pytest.mark.parametrize("by", ["lapsing", "their page"])
async def test_a_pause_ends_with_somebody_who_never_confirmed(people: People, by: str) -> None:
    await people.sign_up(RARE[0])
    who, page, now = people.id_of(RARE[0]), Actor(Via.PAGE, WEB), people.clock.at
    await people.house.rights.restrict(who, EVERY_LIST, months=None, by=page, now=now)
    if by == "lapsing":
        people.clock.move(hours=24)
        await people.tick()
    else:
        await people.house.rights.erase(who, by=page, now=now)
    assert await people.count("suppression") == 0


async def test_whoever_never_confirmed_leaves_nothing_behind(people: People) -> None:
    await people.sign_up(RARE[0])
    await people.letters()
    people.clock.move(hours=24)
    await people.tick()
    assert await _found_in_tables(people, "zaffre") == set()
    assert await _found_in_tables(people, str(people.id_of(RARE[0]))) == set()


@pytest.mark.parametrize("by", ["the button", "the clock"])
async def test_a_dump_holds_the_address_nowhere(people: People, server: Server, database_url: str, by: str) -> None:
    for address in RARE:
        token = await leave_traces(people, address)
        if by == "the button":
            await people.erase_now(token)
    if by == "the clock":
        before = await dump(server, database_url)
        assert [address for address in RARE if parse_address(address).typed.encode() not in before] == []
        people.clock.move(days=14)
        await people.tick()
    after = await dump(server, database_url)
    for address in RARE:
        assert [form for form in _forms(address) if form.lower() in after.lower()] == []
        assert str(people.id_of(address)).encode() in after


def _forms(address: str) -> Iterator[bytes]:
    """All that would give the person away: in plain, in hex (as bytea is dumped) and in base64, however it is aligned there."""
    parsed = parse_address(address)
    local, _, domain = address.rpartition("@")
    for text in {address, parsed.typed, parsed.normal, parsed.folded, parsed.domain, local, local.lower(), domain, "Quincunx"}:
        yield from forms(text)


def test_the_search_finds_what_is_hidden() -> None:
    hidden = f"x{RARE[0]}y".encode()
    for text in (hidden, hidden.hex().encode(), base64.b64encode(hidden), base64.b64encode(b"x" + hidden)):
        assert any(form.lower() in text.lower() for form in _forms(RARE[0]))


async def test_what_postgresql_logs_of_a_refused_row_names_nobody(people: People, server: Server) -> None:
    if server.log_file is None:
        pytest.skip("the log of a server that is not ours cannot be read")
    token = await leave_traces(people, RARE[0])
    db, who = people.house.db, people.id_of(RARE[0])
    add = "insert into subscriber (subscriber_id, address, domain, language, created_at) values ($1, $2, $3, 'en', now())"
    refused: list[tuple[str, tuple[Any, ...]]] = [
        (add, (who, RARE[0], "rare-syzygy.example")),
        (add, (people.id_of(OTHER), RARE[0], "Rare-Syzygy.example")),
        (add, (people.id_of(OTHER), RARE[0] + "\n", "rare-syzygy.example")),
        (add, (people.id_of(OTHER), RARE[0], None)),
        ("update subscriber set name = repeat($1, 50)", (RARE[0],)),
        ("insert into wording values (sha256('x'), $1, 'en', $1, now())", (RARE[0],)),
    ]
    before = server.log_file.stat().st_size
    for statement, arguments in refused:
        with pytest.raises(DatabaseError, match=r"(Unique|Check|NotNull)Violation") as error:
            await db.execute(statement, *arguments)
        assert "zaffre" not in str(error.value).lower()
    await people.erase_now(token)
    log = server.log_file.read_bytes()[before:].decode().lower()
    assert log.count("error:") >= len(refused)
    for part in ("zaffre", "quincunx", "syzygy"):
        assert part not in log


async def test_what_lets_evidence_of_an_ended_life_be_deleted_ends_with_its_transaction(
    people: People, settings: Settings
) -> None:
    """Connections are lent again as they are."""
    who = await people.reader(OTHER)
    await people.unsubscribe(OTHER)
    await people.sign_up(OTHER)
    alone = await Database.connect(settings.database_url.get_secret_value(), size=1)
    async with alone.transaction() as db:
        await erasure.end_life(db, people.house.ledger, [who], now=people.clock.at)
    with pytest.raises(DatabaseError, match="InsufficientPrivilege"):
        await alone.execute("delete from consent_event")
    await alone.close()
