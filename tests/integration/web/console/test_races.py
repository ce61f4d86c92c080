"""Signing in when two things happen at once: no more tries than one after the other, and no way around an end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from asyncpg import Connection
from asyncpg.connection import LoggedQuery

from newsletter.core.database import Database
from newsletter.core.errors import NewsletterError, NotFound, TooMany
from newsletter.operators.passwords import Passwords
from newsletter.operators.sessions import From, Session, WrongCredentials
from tests.conftest import ManualClock
from tests.integration.web.console.conftest import HERE, PASSWORD, Operator
from tests.integration.web.console.sending import draft
from tests.integration.web.console.test_signing_in import code_at, second_secret

OTHER = "boots slip lamp tide"


class Meanwhile(Passwords):
    """Compares passwords as ever, and lets something happen before the answer is there."""

    def __init__(self, hasher: PasswordHasher, then: Callable[[], Awaitable[object]]) -> None:
        super().__init__(hasher)
        self._then = then

    async def matches(self, stored: str | None, password: str) -> bool:
        right = await super().matches(stored, password)
        await self._then()
        return right


def meanwhile(who: Operator, then: Callable[[], Awaitable[object]], *, time_cost: int = 1) -> None:
    who.house.sessions._passwords = Meanwhile(PasswordHasher(time_cost=time_cost, memory_cost=64, parallelism=1), then)


async def kinds(*attempts: Awaitable[object]) -> list[str]:
    return [type(each).__name__ for each in await asyncio.gather(*attempts, return_exceptions=True)]


async def with_factor(who: Operator, clock: ManualClock) -> tuple[str, list[str]]:
    """The secret, and the recovery codes."""
    secret = await second_secret(who)
    answer = await who.post("/console/account/second-factor", {"current": PASSWORD, "code": code_at(secret, clock)})
    clock.move(seconds=30)
    return secret, re.findall(r"<code>([a-z2-7-]{19})</code>", await answer.text())


async def session_of(who: Operator, clock: ManualClock, cookie: str) -> Session:
    found = await who.house.sessions.session(cookie, now=clock.at)
    assert found
    return found


async def test_of_many_guesses_at_once_no_more_are_tried_than_one_after_the_other(editor: Operator, clock: ManualClock) -> None:
    sessions = editor.house.sessions
    guesses = [sessions.sign_in(editor.address, f"guess {number}", HERE, now=clock.at) for number in range(30)]
    found = await kinds(*guesses)
    assert (found.count("WrongCredentials"), found.count("TooMany")) == (5, 25)


async def test_nor_are_codes_however_many_networks_they_come_from(editor: Operator, clock: ManualClock) -> None:
    sessions = editor.house.sessions
    await with_factor(editor, clock)
    half = (await sessions.sign_in(editor.address, PASSWORD, HERE, now=clock.at)).cookie
    networks = [From(f"198.51.{number}.1", "") for number in range(30)]
    await kinds(*(sessions.give_code(half, f"{number:06}", network, now=clock.at) for number, network in enumerate(networks)))
    assert len([each for each in await editor.done() if each == ("session.refuse", "wrong code")]) == 5
    with pytest.raises(NotFound):
        await sessions.give_code(half, "000000", HERE, now=clock.at)


async def test_nor_are_links_asked_for(editor: Operator, clock: ManualClock) -> None:
    found = await kinds(*(editor.house.accounts.forgot(editor.address, HERE, now=clock.at) for _ in range(20)))
    assert (found.count("NoneType"), found.count("TooMany")) == (5, 15)


async def test_what_was_right_counts_as_no_failure(editor: Operator, clock: ManualClock) -> None:
    sessions = editor.house.sessions
    for _ in range(8):
        assert (await sessions.sign_in(editor.address, PASSWORD, HERE, now=clock.at)).cookie
        await sessions.confirm(await session_of(editor, clock, editor.cookie), PASSWORD, HERE, now=clock.at)
    assert await editor.house.db.fetchval("select count(*) from limit_hit where kind = 'sign_in'") == 0


async def test_who_was_turned_away_for_want_of_room_has_not_failed(editor: Operator, clock: ManualClock) -> None:
    async def full() -> None:
        raise TooMany("full", retry_after=5)

    meanwhile(editor, full)
    for _ in range(8):
        with pytest.raises(TooMany, match="full"):
            await editor.house.sessions.sign_in(editor.address, PASSWORD, HERE, now=clock.at)


async def test_two_right_codes_for_one_first_step_make_one_session(editor: Operator, clock: ManualClock) -> None:
    sessions = editor.house.sessions
    secret, recovery = await with_factor(editor, clock)
    half = (await sessions.sign_in(editor.address, PASSWORD, HERE, now=clock.at)).cookie
    codes = [code_at(secret, clock), *recovery[:3]]
    found = await kinds(*(sessions.give_code(half, code, HERE, now=clock.at) for code in codes))
    assert sorted(found) == ["NotFound", "NotFound", "NotFound", "SignedIn"]


async def test_a_password_that_is_changed_while_the_old_one_is_compared_lets_nobody_in(
    editor: Operator, clock: ManualClock
) -> None:
    accounts, own = editor.house.accounts, await session_of(editor, clock, editor.cookie)

    async def change() -> None:
        await accounts.change_password(editor.operator_id, OTHER, keep_session=own.session_id, now=clock.at)

    meanwhile(editor, change, time_cost=2)  # Which makes the old hash outdated, to be made anew from what was typed.
    with pytest.raises(WrongCredentials):
        await editor.house.sessions.sign_in(editor.address, PASSWORD, HERE, now=clock.at)
    left = await editor.house.sessions.open_sessions(editor.operator_id, now=clock.at)
    assert [each.session_id for each in left] == [own.session_id]
    stored = (await accounts.own(editor.operator_id)).password
    assert await editor.house.passwords.matches(stored, OTHER)


async def test_a_second_factor_that_is_set_up_while_the_password_is_compared_is_asked_for(
    editor: Operator, clock: ManualClock
) -> None:
    async def set_up() -> None:
        secret = await second_secret(editor)
        own = await session_of(editor, clock, editor.cookie)
        await editor.house.accounts.begin_second_factor(
            editor.operator_id, code_at(secret, clock), keep_session=own.session_id, now=clock.at
        )

    meanwhile(editor, set_up)
    assert (await editor.house.sessions.sign_in(editor.address, PASSWORD, HERE, now=clock.at)).needs_code


async def test_links_from_before_a_password_was_changed_set_none(editor: Operator, clock: ManualClock) -> None:
    accounts = editor.house.accounts
    link = (await accounts.invite_again(editor.operator_id, now=clock.at)).link
    await accounts.change_password(editor.operator_id, OTHER, keep_session=0, now=clock.at)
    with pytest.raises(NewsletterError):
        await accounts.welcome(link.rpartition("/")[2], PASSWORD, now=clock.at)


async def test_asking_for_a_link_takes_the_same_statements_whoever_it_is(
    editor: Operator, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    lent = Database._lent

    @asynccontextmanager
    async def listening(self: Database) -> AsyncIterator[Connection]:
        async with lent(self) as connection:
            connection.add_query_logger(note)
            yield connection
            connection.remove_query_logger(note)

    def note(record: LoggedQuery) -> None:
        said.append(record.query)

    monkeypatch.setattr(Database, "_lent", listening)
    found = []
    for address in (editor.address, "who@house.example"):
        said.clear()
        await editor.house.accounts.forgot(address, HERE, now=clock.at)
        await asyncio.sleep(0)  # What is noted is noted a turn later.
        found.append(list(said))
    assert found[0] == found[1]
    assert any("operator_link" in each for each in found[0])
    assert await editor.house.db.fetchval("select count(*) from operator_link where used_at is null") == 1


async def test_a_cookie_that_has_ended_is_on_record_once_an_hour(editor: Operator, clock: ManualClock) -> None:
    clock.move(hours=3)
    for expected in (1, 2):
        for _ in range(4):
            assert (await editor.get("/console/account")).status == 303
        lines = await editor.house.db.fetchval("select count(*) from audit_log where action = 'session.refuse'")
        assert lines == expected
        clock.move(hours=1)


async def test_who_is_let_go_leaves_no_mark_at_the_campaigns_they_had_open(
    editor: Operator, owner: Operator, clock: ManualClock
) -> None:
    campaign = await draft(editor.house)
    await editor.house.db.execute("insert into campaign_open values ($1, $2, $3)", campaign, editor.operator_id, clock.at)
    await editor.house.accounts.let_go(editor.operator_id, by=owner.name, now=clock.at + timedelta(seconds=1))
    assert await editor.house.db.fetchval("select count(*) from campaign_open") == 0
