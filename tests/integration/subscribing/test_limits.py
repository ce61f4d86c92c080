"""A form must not be a weapon: how often an address is mailed that has not confirmed, and when it is not mailed at all."""

from __future__ import annotations

from datetime import timedelta

import pytest

from newsletter.consent import store as consent
from newsletter.consent.rules import Reason, until
from tests.people import People

ADA = "ada@example.org"


async def mails(people: People) -> int:
    return await people.count("outbox")


async def test_an_address_that_has_not_confirmed_is_mailed_once_in_ten_minutes(people: People) -> None:
    assert await people.sign_up(ADA) is not None
    for _ in range(9):
        people.clock.move(minutes=1)
        assert await people.sign_up(ADA, "digest") is None
    people.clock.move(seconds=59)
    assert await people.sign_up(ADA) is None
    people.clock.move(seconds=1)
    assert await people.sign_up(ADA) is not None
    assert await mails(people) == 2


async def test_three_times_in_any_24_hours(people: People) -> None:
    for _ in range(3):
        assert await people.sign_up(ADA) is not None
        people.clock.move(hours=4)
    people.clock.move(hours=11, minutes=59, seconds=59)
    assert await people.sign_up(ADA) is None
    people.clock.move(seconds=1)
    assert await people.sign_up(ADA) is not None


async def test_five_times_in_any_thirty_days(people: People) -> None:
    """Also after the request before was deleted: what is counted is a code, which tells nobody who it was."""
    for _ in range(5):
        assert await people.sign_up(ADA) is not None
        people.clock.move(days=5)
        await people.tick()
        assert not await people.is_known(ADA)
    people.clock.move(days=4, hours=23, minutes=59, seconds=59)
    await people.tick()
    assert await people.sign_up(ADA) is None
    people.clock.move(seconds=1)
    await people.tick()
    assert await people.sign_up(ADA) is not None


async def test_plus_tags_are_folded_for_limits_and_for_nothing_else(people: People) -> None:
    assert await people.sign_up("ada+one@example.org") is not None
    for other in ("ada+two@example.org", "ADA@example.org", "Ada++@Example.org"):
        assert await people.sign_up(other) is None
        assert not await people.is_known(other)
    assert await people.sign_up("ada.two@example.org") is not None


async def test_limits_hold_over_all_lists_and_languages(people: People) -> None:
    assert await people.sign_up(ADA, "letter") is not None
    assert await people.sign_up(ADA, "digest", language="de") is None
    assert await people.states(ADA) == {"letter": "pending"}


async def test_limits_end_with_confirming(people: People) -> None:
    """They protect people who did not ask; this one did."""
    await people.reader(ADA, "letter")
    assert await people.sign_up(ADA, "digest") is not None


async def test_saying_that_one_is_subscribed_already_counts_too(people: People) -> None:
    await people.reader(ADA)
    await people.sign_up(ADA)
    await people.sign_up(ADA)
    assert await people.count("outbox", "kind = 'already'") == 1


async def test_a_limited_sign_up_changes_nothing(people: People) -> None:
    token = await people.sign_up(ADA)
    before = await people.house.db.fetch("select * from subscription, subscriber, confirmation")
    people.clock.move(minutes=9)
    assert await people.sign_up(ADA, name="Stranger", language="de") is None
    assert await people.house.db.fetch("select * from subscription, subscriber, confirmation") == before
    assert await people.events(ADA) == ["asked"]
    assert token is not None
    await people.confirm(token)


async def test_whoever_refused_hears_nothing_for_thirty_days_and_may_be_asked_then(people: People) -> None:
    token = await people.sign_up(ADA)
    assert token is not None
    await people.refuse(token)
    people.clock.move(days=29, hours=23, minutes=59, seconds=59)
    await people.tick()
    assert await people.sign_up(ADA) is None
    assert await people.sign_up(ADA, "digest") is None
    assert not await people.is_known(ADA)
    people.clock.move(seconds=1)
    assert await people.sign_up(ADA) is not None


@pytest.mark.parametrize(
    ("reason", "silent_for"),
    [(Reason.LEFT, timedelta(0)), (Reason.COMPLAINED, timedelta(hours=24)), (Reason.BOUNCED, timedelta(days=7))],
)
async def test_other_reasons_have_their_pause_and_are_lifted_by_confirming(
    people: People, reason: Reason, silent_for: timedelta
) -> None:
    """A reason against the list that is confirmed, or against all; not one against another."""
    for address, list_id, lifted in [
        (ADA, 0, True),
        ("ben@example.org", people.letter.list_id, True),
        ("cy@example.org", people.digest.list_id, False),
    ]:
        await _suppress(people, reason, list_id, address)
        if silent_for:
            people.clock.at += silent_for - timedelta(seconds=1)
            assert await people.sign_up(address) is None
            people.clock.move(seconds=1)
        token = await people.sign_up(address)
        assert token is not None
        assert await people.suppressions(address) == {(list_id, reason.value)}
        await people.confirm(token)
        assert await people.suppressions(address) == (set() if lifted else {(list_id, reason.value)})


async def test_whoever_objected_is_never_mailed(people: People) -> None:
    await _suppress(people, Reason.OBJECTED, 0)
    for _ in range(3):
        people.clock.move(days=3650)
        await people.tick()
        assert await people.sign_up(ADA) is None
    assert not await people.is_known(ADA)
    assert await people.suppressions(ADA) == {(0, "objected")}


async def test_an_objection_is_not_lifted_by_confirming(people: People) -> None:
    """It has a way of its own, and confirming can cross it."""
    token = await people.sign_up(ADA)
    await _suppress(people, Reason.OBJECTED, 0)
    assert token is not None
    await people.confirm(token)
    assert await people.suppressions(ADA) == {(0, "objected")}


async def test_the_later_of_two_ends_counts(people: People) -> None:
    await _suppress(people, Reason.BOUNCED, 0)
    until_first = await people.house.db.fetchval("select until from suppression")
    people.clock.move(days=-30)
    await _suppress(people, Reason.BOUNCED, 0)
    assert await people.house.db.fetchval("select until from suppression") == until_first


async def _suppress(people: People, reason: Reason, list_id: int, address: str = ADA) -> None:
    now = people.clock.at
    await consent.suppress(
        people.house.db,
        subscriber_id=people.id_of(address),
        list_ids=[list_id],
        reason=reason.value,
        until=until(reason, now),
        now=now,
    )
