"""The two links of a confirmation mail: each does what that mail said, until its time is over."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from newsletter.core.errors import ExpiredToken, InvalidToken
from tests.people import WEB, People

ADA, BEN = "ada@example.org", "ben@example.org"


async def pending(people: People, *slugs: str, address: str = ADA) -> str:
    token = await people.sign_up(address, *slugs)
    assert token is not None
    return token


async def dead(people: People, token: str) -> None:
    """Neither looked at, nor confirmed, nor refused."""
    for use in (people.house.confirming.look(token, now=people.clock.at), people.confirm(token), people.refuse(token)):
        with pytest.raises(ExpiredToken):
            await use


async def test_looking_changes_nothing(people: People) -> None:
    """Mail scanners follow links."""
    token = await pending(people, "letter", "digest")
    for _ in range(3):
        view = await people.house.confirming.look(token, now=people.clock.at)
        assert [each.slug for each in view.lists] == ["letter", "digest"]
        assert (view.language, view.already) == ("en", False)
    assert await people.states(ADA) == {"letter": "pending", "digest": "pending"}
    assert await people.events(ADA) == ["asked", "asked"]


async def test_confirming_makes_a_reader_and_keeps_the_evidence(people: People) -> None:
    token = await pending(people)
    people.clock.move(hours=1)
    view = await people.confirm(token)
    assert [each.slug for each in view.lists] == ["letter"]
    assert not view.already
    row = await people.house.db.fetchrow("select * from subscription")
    assert (row["state"], row["confirmed_at"], row["expires_at"]) == ("confirmed", people.clock.at, None)
    event = await people.house.db.fetchrow(
        "select * from consent_event join consent_origin using (subscriber_id, event_id) where kind = 'confirmed'"
    )
    asked = await people.house.db.fetchrow("select * from consent_event where kind = 'asked'")
    assert event["occurred_at"] == people.clock.at
    assert event["confirmation_id"] == asked["confirmation_id"]
    assert (event["form"], str(event["network"]), event["agent"]) == (WEB.form, WEB.network, WEB.agent)


async def test_a_second_click_says_that_it_was_confirmed_already(people: People) -> None:
    token = await pending(people)
    await people.confirm(token)
    before = await people.house.db.fetch("select * from confirmation, subscription, subscriber")
    for later in (timedelta(0), timedelta(hours=1), timedelta(hours=22, minutes=59, seconds=59)):
        people.clock.at += later
        assert (await people.house.confirming.look(token, now=people.clock.at)).already
        assert (await people.confirm(token)).already
    assert await people.house.db.fetch("select * from confirmation, subscription, subscriber") == before
    assert await people.events(ADA) == ["asked", "confirmed"]
    assert await people.house.db.fetchval("select sum(confirmed) from list_day") == 1


@pytest.mark.parametrize("job_has_run", [False, True])
async def test_a_link_that_was_used_has_no_longer_a_life_than_others(people: People, job_has_run: bool) -> None:
    """Whoever finds the mail a year later, forwarded or in a mailbox that changed hands, must not end a subscription by it."""
    token = await pending(people)
    await people.confirm(token)
    people.clock.move(hours=24)
    if job_has_run:
        await people.tick()
    await dead(people, token)
    assert await people.states(ADA) == {"letter": "confirmed"}
    assert await people.suppressions(ADA) == set()
    assert await people.count("confirmation") == (0 if job_has_run else 1)


@pytest.mark.parametrize("job_has_run", [False, True])
async def test_a_link_works_until_its_last_second_and_not_in_the_next(people: People, job_has_run: bool) -> None:
    tokens = {address: await pending(people, address=address) for address in (ADA, BEN)}
    people.clock.move(hours=23, minutes=59, seconds=59)
    await people.confirm(tokens[ADA])
    assert await people.states(ADA) == {"letter": "confirmed"}
    people.clock.move(seconds=1)
    if job_has_run:
        await people.tick()
    await dead(people, tokens[BEN])
    assert await people.is_known(BEN) is not job_has_run


async def test_its_time_counts_from_the_request_and_not_from_when_a_worker_came_to_it(people: People) -> None:
    await people.request(ADA)
    people.clock.move(hours=20)
    await people.decide()
    token = await people.confirm_token(ADA)
    assert token is not None
    people.clock.move(hours=3, minutes=59, seconds=59)
    await people.house.confirming.look(token, now=people.clock.at)
    people.clock.move(seconds=1)
    await dead(people, token)


async def test_two_clicks_at_once_confirm_once(people: People) -> None:
    token = await pending(people)
    views = await asyncio.gather(*(people.confirm(token) for _ in range(4)))
    assert sorted(view.already for view in views) == [False, True, True, True]
    assert await people.events(ADA) == ["asked", "confirmed"]
    assert await people.house.db.fetchval("select sum(confirmed) from list_day") == 1


async def test_a_token_confirms_exactly_the_lists_of_its_mail(people: People) -> None:
    first = await pending(people, "letter")
    people.clock.move(minutes=10)
    second = await pending(people, "digest")
    await people.confirm(first)
    assert await people.states(ADA) == {"letter": "confirmed", "digest": "pending"}
    await people.confirm(second)
    assert await people.states(ADA) == {"letter": "confirmed", "digest": "confirmed"}


async def test_an_earlier_mail_confirms_too_while_its_own_time_lasts(people: People) -> None:
    first = await pending(people, "letter")
    people.clock.move(hours=1)
    second = await pending(people, "letter", "digest")
    people.clock.move(hours=23)
    await dead(people, first)
    await people.tick()
    assert not (await people.confirm(second)).already
    assert await people.states(ADA) == {"letter": "confirmed", "digest": "confirmed"}


async def test_whoever_confirms_after_a_reader_did_changes_nothing(people: People) -> None:
    first = await pending(people, "letter")
    people.clock.move(minutes=10)
    second = await pending(people, "letter")
    await people.confirm(first)
    before = await people.house.db.fetch("select * from subscription")
    people.clock.move(minutes=1)
    await people.confirm(second)
    assert await people.house.db.fetch("select * from subscription") == before
    assert await people.events(ADA) == ["asked", "asked", "confirmed"]


async def test_links_die_with_unsubscribing(people: People) -> None:
    """Else somebody who has left would come back by an old mail."""
    await people.reader(ADA, "letter")
    await people.unsubscribe(ADA)
    again = await pending(people, "letter", "digest")
    await people.unsubscribe(ADA)
    await dead(people, again)
    assert await people.states(ADA) == {"letter": "unsubscribed", "digest": "pending"}


async def test_unsubscribing_from_one_list_leaves_the_links_of_another_alive(people: People) -> None:
    await people.reader(ADA, "letter")
    token = await pending(people, "digest")
    await people.unsubscribe(ADA, "letter")
    await people.confirm(token)
    assert await people.states(ADA) == {"letter": "unsubscribed", "digest": "confirmed"}
    assert await people.left_at(ADA) is None


async def test_refusing_deletes_the_request_at_once_and_blocks_for_thirty_days(people: People) -> None:
    token = await pending(people, "letter", "digest")
    view = await people.refuse(token)
    assert [each.slug for each in view.lists] == ["letter", "digest"]
    assert not await people.is_known(ADA)
    rows = await people.house.db.fetch("select list_id, reason, until from suppression")
    assert {tuple(row) for row in rows} == {
        (each.list_id, "refused", people.clock.at + timedelta(days=30)) for each in (people.letter, people.digest)
    }
    assert await people.count("withdrawal", "kind = 'refused'") == 2
    assert await people.count("outbox") == 0
    await dead(people, token)


async def test_refusing_kills_every_link_about_those_lists(people: People) -> None:
    first = await pending(people, "letter")
    people.clock.move(minutes=10)
    second = await pending(people, "letter", "digest")
    await people.refuse(first)
    await dead(people, second)
    assert await people.states(ADA) == {"digest": "pending"}


async def test_refusing_one_request_leaves_another_and_starts_no_clock(people: People) -> None:
    """Whoever never confirmed is on the clock of the request that is left."""
    first = await pending(people, "letter")
    people.clock.move(minutes=10)
    second = await pending(people, "digest")
    await people.refuse(first)
    assert await people.left_at(ADA) is None
    await people.confirm(second)
    assert await people.states(ADA) == {"digest": "confirmed"}


async def test_refusing_what_somebody_else_confirmed_ends_the_subscription(people: People) -> None:
    """A mail scanner that presses buttons, or whoever else reads that mailbox."""
    token = await pending(people)
    await people.confirm(token)
    people.clock.move(hours=3)
    await people.refuse(token)
    assert not await people.is_known(ADA)
    assert await people.suppressions(ADA) == {(people.letter.list_id, "refused")}
    assert await people.sign_up(ADA) is None


async def test_a_link_that_was_not_used_says_too_that_refusing_ends_what_another_confirmed(people: People) -> None:
    first = await pending(people, "letter")
    people.clock.move(minutes=10)
    second = await pending(people, "letter", "digest")
    assert not (await people.house.confirming.look(second, now=people.clock.at)).confirmed
    await people.confirm(first)
    view = await people.house.confirming.look(second, now=people.clock.at)
    assert (view.already, view.confirmed) == (False, True)
    await people.refuse(second)
    assert not await people.is_known(ADA)


async def test_a_refused_subscription_leaves_the_others_and_their_clock(people: People) -> None:
    await people.reader(ADA, "digest")
    await people.unsubscribe(ADA, "digest")
    token = await pending(people, "letter")
    await people.confirm(token)
    assert await people.left_at(ADA) is None
    people.clock.move(hours=1)
    await people.refuse(token)
    assert await people.states(ADA) == {"digest": "unsubscribed"}
    assert await people.left_at(ADA) == people.clock.at


async def test_whoever_had_unsubscribed_before_is_unsubscribed_again_after_refusing(people: People) -> None:
    await people.reader(ADA)
    await people.unsubscribe(ADA)
    left_at = people.clock.at
    people.clock.move(days=3)
    await people.refuse(await pending(people))
    assert await people.states(ADA) == {"letter": "unsubscribed"}
    assert await people.left_at(ADA) == left_at
    people.clock.at = left_at + timedelta(days=14)
    await people.tick()
    assert not await people.is_known(ADA)


async def test_confirming_and_refusing_at_once_ends_in_one_of_both(people: People) -> None:
    token = await pending(people)
    results = await asyncio.gather(people.confirm(token), people.refuse(token), return_exceptions=True)
    assert not [each for each in results if isinstance(each, BaseException) and not isinstance(each, ExpiredToken)]
    assert not await people.is_known(ADA)
    assert await people.suppressions(ADA) == {(people.letter.list_id, "refused")}


async def test_a_link_of_another_purpose_or_person_is_none(people: People) -> None:
    token = await pending(people)
    undo = people.house.links.undo_token(people.id_of(ADA), people.letter.list_id, people.id_of(ADA))
    for forged in (people.unsubscribe_token(ADA), undo, token[:-1], token[::-1], "", "x" * 66):
        with pytest.raises(InvalidToken):
            await people.confirm(forged)
    unknown = people.house.links.confirm(people.id_of(BEN), people.id_of(ADA)).rpartition("/")[2]
    await dead(people, unknown)


async def test_a_link_is_dead_once_the_person_is_erased(people: People) -> None:
    token = await pending(people)
    await people.confirm(token)
    await people.erase_now((await people.unsubscribe(ADA)).undo_token)
    await dead(people, token)
