"""A statement that takes too long is the matter of one request, and no reason to keep all others waiting."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from newsletter.core.database import Database
from tests.people import People

ADA, BEN = "ada@example.org", "ben@example.org"


async def test_a_request_that_waits_too_long_for_a_lock_does_not_hold_up_the_others(people: People, database_url: str) -> None:
    await people.sign_up(ADA)
    people.clock.move(minutes=10)
    await people.request(ADA, "digest")
    await people.request(BEN)
    db = await Database.connect(database_url, answer_within=0.2)
    joining = replace(people.house, db=db).joining
    async with people.house.db.transaction() as other:
        await other.execute("select from subscriber for update")
        while await joining.process_once(now=people.clock.at):
            pass
    await db.close()
    assert await people.states(BEN) == {"letter": "pending"}
    assert await people.count("signup_request", "not_before = $1", people.clock.at + timedelta(minutes=1)) == 1
    people.clock.move(minutes=1)
    await people.decide()
    assert await people.states(ADA) == {"letter": "pending", "digest": "pending"}
