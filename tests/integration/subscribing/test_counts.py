"""Whoever counts holds the list's row of that day, and everybody who confirms on that list waits for it: hence last of all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from newsletter.privacy.rights import Actor
from newsletter.subscribing.rules import Via
from tests.people import WEB, People

ADA = "ada@example.org"
COUNTING = "insert into list_day (list_id, day) select list_id, $1 from list"
WAITING = "select count(*) from pg_locks where not granted"
HAS_DELETED = """
select count(*) = 2 from pg_locks
where relation in ('subscriber'::regclass, 'outbox'::regclass) and mode = 'RowExclusiveLock' and granted
  and pid in (select pid from pg_locks where not granted)
"""
"""What the sweep writes to, and nothing before it to both."""


async def lapse(people: People) -> Coroutine[Any, Any, object]:
    await people.sign_up(ADA)
    people.clock.move(hours=24)
    return keep(people, "unconfirmed")


async def leave(people: People) -> Coroutine[Any, Any, object]:
    await people.reader(ADA)
    await people.unsubscribe(ADA)
    people.clock.at += timedelta(days=14)
    return keep(people, "left")


async def refuse(people: People) -> Coroutine[Any, Any, object]:
    token = await people.sign_up(ADA)
    assert token is not None
    return people.refuse(token)


async def unsubscribe(people: People) -> Coroutine[Any, Any, object]:
    """From what was only asked for."""
    await people.sign_up(ADA)
    return people.house.leaving.unsubscribe(people.unsubscribe_token(ADA), Via.LINK, WEB, now=people.clock.at)


async def erase_now(people: People) -> Coroutine[Any, Any, object]:
    await people.reader(ADA)
    return people.erase_now((await people.unsubscribe(ADA)).undo_token)


def keep(people: People, name: str) -> Coroutine[Any, Any, object]:
    promise = next(each for each in people.house.retention.promises if each.name == name)
    return people.house.retention.keep(promise, now=people.clock.at)


@pytest.mark.parametrize("prepared", [lapse, leave, refuse, unsubscribe, erase_now])
async def test_people_are_deleted_before_they_are_counted(
    people: People, prepared: Callable[[People], Coroutine[Any, Any, Coroutine[Any, Any, object]]]
) -> None:
    act = await prepared(people)
    await people.house.db.execute("delete from list_day")
    async with people.house.db.transaction() as other:
        await other.execute(COUNTING, people.clock.at.date())
        acting = asyncio.create_task(act)
        while not await other.fetchval(WAITING):
            assert not acting.done()
        assert await other.fetchval(HAS_DELETED)
    await acting
    assert not await people.is_known(ADA)


@pytest.mark.parametrize("first", ["reading", "unsubscribed"])
async def test_who_is_erased_has_left_once_however(people: People, first: str) -> None:
    """Or readers gained would be more than there are."""
    await people.reader(ADA)
    if first == "unsubscribed":
        await people.unsubscribe(ADA)
    await people.house.rights.erase(people.id_of(ADA), by=Actor(Via.PAGE, WEB), now=people.clock.at)
    assert tuple(await people.house.db.fetchrow("select sum(confirmed), sum(unsubscribed), sum(erased) from list_day")) == (
        1,
        1,
        1,
    )
