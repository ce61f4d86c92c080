"""Unsubscribing works at once, for ever and again and again; it can be taken back once within the hour, or all is deleted."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from newsletter.core.errors import Conflict, ExpiredToken, InvalidToken
from newsletter.privacy.rights import Actor
from newsletter.subscribing.rules import Via
from tests.people import WEB, People, token_in

ADA = "ada@example.org"
HOUR = timedelta(hours=1)


async def test_unsubscribing_ends_the_subscription_and_keeps_the_evidence(people: People) -> None:
    await people.reader(ADA)
    people.clock.move(days=100)
    answer = await people.unsubscribe(ADA)
    assert (answer.list.slug, answer.known) == ("letter", True)
    assert answer.erase_at == people.clock.at + timedelta(days=14)
    row = await people.house.db.fetchrow("select * from subscription")
    assert (row["state"], row["unsubscribed_at"], row["unsubscribed_via"]) == ("unsubscribed", people.clock.at, "link")
    assert await people.events(ADA) == ["asked", "confirmed", "unsubscribed"]
    assert await people.count("withdrawal", "kind = 'unsubscribed' and occurred_at = $1", people.clock.at) == 1


async def test_ending_a_request_that_is_pending_is_numbered_too(people: People) -> None:
    """A backup that was made before would know the request, and its link confirms."""
    await people.reader(ADA, "digest")
    people.clock.move(minutes=11)
    await people.letters()
    assert await people.sign_up(ADA, "letter") is not None
    now = people.clock.move(minutes=1)
    await people.house.rights.unsubscribe(people.id_of(ADA), by=Actor(Via.PAGE, WEB), now=now)
    rows = await people.house.db.fetch("select kind, list_id from withdrawal where occurred_at = $1 order by list_id", now)
    assert [tuple(row) for row in rows] == [("unsubscribed", each.list_id) for each in (people.letter, people.digest)]


async def test_looking_changes_nothing_and_shows_nothing_about_the_reader(people: People) -> None:
    await people.reader(ADA)
    assert await people.house.leaving.look(people.unsubscribe_token(ADA)) == people.letter
    assert await people.house.leaving.look(people.unsubscribe_token("nobody@example.org")) == people.letter
    assert await people.states(ADA) == {"letter": "confirmed"}


async def test_again_and_again_it_gives_the_same_answer_and_counts_once(people: People) -> None:
    await people.reader(ADA)
    first = await people.unsubscribe(ADA)
    people.clock.move(minutes=30)
    second = await people.unsubscribe(ADA, via=Via.ONE_CLICK)
    assert second == first
    people.clock.move(days=3)
    third = await people.unsubscribe(ADA)
    assert (third.known, third.erase_at, third.undo_token) == (True, first.erase_at, None)
    assert await people.events(ADA) == ["asked", "confirmed", "unsubscribed"]
    assert await people.count("withdrawal") == 1
    assert await people.house.db.fetchval("select sum(unsubscribed) from list_day") == 1


async def test_several_at_once_count_once(people: People) -> None:
    """A reader's program may send the one-click request more than once."""
    await people.reader(ADA)
    answers = await asyncio.gather(*(people.unsubscribe(ADA, via=Via.ONE_CLICK) for _ in range(4)))
    assert len({answer.undo_token for answer in answers}) == 1
    assert await people.count("withdrawal") == 1


async def test_how_somebody_unsubscribed_and_by_which_campaign_is_kept(people: People) -> None:
    await people.reader(ADA)
    house, now = people.house, people.clock.at
    campaign = await house.db.fetchval(
        "insert into campaign (list_id, name, created_at) values ($1, 'November', $2) returning campaign_id",
        people.letter.list_id, now)  # fmt: skip
    token = token_in(house.links.unsubscribe(people.id_of(ADA), people.letter.list_id, campaign))
    await house.leaving.unsubscribe(token, Via.ONE_CLICK, WEB, now=now)
    assert await house.db.fetchval("select unsubscribed_via from subscription") == "one-click"
    assert await house.db.fetchval("select campaign_id from consent_event where kind = 'unsubscribed'") == campaign


async def test_a_link_outlives_its_campaign(people: People) -> None:
    """A backup that was restored may know the reader and not the campaign."""
    await people.reader(ADA)
    token = token_in(people.house.links.unsubscribe(people.id_of(ADA), people.letter.list_id, 4711))
    await people.house.leaving.unsubscribe(token, Via.LINK, WEB, now=people.clock.at)
    assert await people.states(ADA) == {"letter": "unsubscribed"}


async def test_leaving_one_of_two_lists_starts_no_clock(people: People) -> None:
    await people.reader(ADA, "letter", "digest")
    answer = await people.unsubscribe(ADA, "letter")
    assert answer.erase_at is None
    assert await people.left_at(ADA) is None
    await people.pass_time(timedelta(days=40), tick=timedelta(days=8))
    assert await people.states(ADA) == {"letter": "unsubscribed", "digest": "confirmed"}
    last = await people.unsubscribe(ADA, "digest")
    assert last.erase_at == people.clock.at + timedelta(days=14)


async def test_a_request_that_is_pending_does_not_keep_the_clock_from_starting(people: People) -> None:
    await people.reader(ADA, "letter")
    await people.sign_up(ADA, "digest")
    assert (await people.unsubscribe(ADA, "letter")).erase_at == people.clock.at + timedelta(days=14)


async def test_it_can_be_taken_back_once(people: People) -> None:
    await people.reader(ADA)
    before = await people.house.db.fetchrow("select * from subscription")
    token = (await people.unsubscribe(ADA)).undo_token
    people.clock.move(minutes=5)
    assert (await people.undo(token)).slug == "letter"
    assert await people.house.db.fetchrow("select * from subscription") == before
    assert await people.left_at(ADA) is None
    assert await people.events(ADA) == ["asked", "confirmed", "unsubscribed", "resubscribed"]
    with pytest.raises(ExpiredToken):
        await people.undo(token)
    await people.unsubscribe(ADA)
    with pytest.raises(ExpiredToken):
        await people.undo(token)
    assert await people.states(ADA) == {"letter": "unsubscribed"}


async def test_what_was_taken_back_is_not_counted(people: People) -> None:
    await people.reader(ADA)
    await people.undo((await people.unsubscribe(ADA)).undo_token)
    assert await people.house.db.fetchval("select sum(confirmed) - sum(unsubscribed) from list_day") == 1


async def test_within_the_hour_to_the_second(people: People) -> None:
    await people.reader(ADA)
    token = (await people.unsubscribe(ADA)).undo_token
    people.clock.at += HOUR
    assert (await people.unsubscribe(ADA)).undo_token is None
    for use in (people.undo(token), people.erase_now(token)):
        with pytest.raises(ExpiredToken):
            await use
    people.clock.move(seconds=-1)
    assert (await people.unsubscribe(ADA)).undo_token == token
    await people.undo(token)
    assert await people.states(ADA) == {"letter": "confirmed"}


async def test_taking_one_of_two_back_stops_the_clock(people: People) -> None:
    await people.reader(ADA, "letter", "digest")
    token = (await people.unsubscribe(ADA, "letter")).undo_token
    await people.unsubscribe(ADA, "digest")
    assert await people.left_at(ADA) is not None
    await people.undo(token)
    assert await people.left_at(ADA) is None
    assert await people.states(ADA) == {"letter": "confirmed", "digest": "unsubscribed"}


async def test_it_cannot_be_taken_back_any_more_after_signing_up_again(people: People) -> None:
    """That is for the new mail to confirm."""
    await people.reader(ADA)
    token = (await people.unsubscribe(ADA)).undo_token
    assert await people.sign_up(ADA) is not None
    for use in (people.undo(token), people.erase_now(token)):
        with pytest.raises(ExpiredToken):
            await use
    assert await people.states(ADA) == {"letter": "pending"}


async def test_a_request_that_is_pending_ends_with_the_link_of_an_earlier_letter(people: People) -> None:
    await people.reader(ADA)
    first = await people.unsubscribe(ADA)
    left_at = people.clock.at
    people.clock.move(minutes=10)
    await people.sign_up(ADA)
    people.clock.move(minutes=10)
    answer = await people.unsubscribe(ADA)
    assert await people.states(ADA) == {"letter": "unsubscribed"}
    assert (answer.known, answer.erase_at) == (True, first.erase_at)
    assert await people.left_at(ADA) == left_at


async def test_taking_back_never_confirms_what_was_only_asked_for(people: People) -> None:
    """One that had unsubscribed confirms anew, on every path."""
    await people.reader(ADA)
    await people.unsubscribe(ADA)
    await people.sign_up(ADA)
    answer = await people.unsubscribe(ADA)
    assert answer.undo_token is None


async def test_whoever_only_asked_is_not_kept_for_unsubscribing(people: People) -> None:
    """The link is of an earlier life; without it, the request would have been gone after 24 hours."""
    await people.reader(ADA)
    await people.erase_now((await people.unsubscribe(ADA)).undo_token)
    token = await people.sign_up(ADA)
    assert token is not None
    answer = await people.unsubscribe(ADA)
    assert (answer.known, answer.undo_token) == (False, None)
    assert not await people.is_known(ADA)
    with pytest.raises(ExpiredToken):
        await people.confirm(token)


async def test_a_lapsed_request_restores_what_was_and_the_clock_goes_on(people: People) -> None:
    await people.reader(ADA)
    await people.unsubscribe(ADA)
    left_at = people.clock.at
    before = await people.house.db.fetchrow("select state, confirmed_at, unsubscribed_at, unsubscribed_via from subscription")
    people.clock.move(days=10)
    await people.sign_up(ADA)
    people.clock.move(days=1)
    await people.tick()
    assert (
        await people.house.db.fetchrow("select state, confirmed_at, unsubscribed_at, unsubscribed_via from subscription")
        == before
    )
    assert await people.left_at(ADA) == left_at
    people.clock.at = left_at + timedelta(days=14)
    await people.tick()
    assert not await people.is_known(ADA)


async def test_delete_now_means_gone_when_the_page_answers(people: People) -> None:
    await people.reader(ADA)
    token = (await people.unsubscribe(ADA)).undo_token
    assert (await people.erase_now(token)).slug == "letter"
    assert not await people.is_known(ADA)
    assert await people.suppressions(ADA) == {(people.letter.list_id, "left")}
    assert await people.house.db.fetchval("select until from suppression") == people.clock.at + timedelta(days=3 * 365)
    for use in (people.erase_now(token), people.undo(token)):
        with pytest.raises(ExpiredToken):
            await use


async def test_delete_now_is_refused_while_another_list_is_confirmed(people: People) -> None:
    """The link speaks of one list alone, and newsletters get forwarded."""
    await people.reader(ADA, "letter", "digest")
    token = (await people.unsubscribe(ADA, "letter")).undo_token
    with pytest.raises(Conflict, match="unsubscribe from it first"):
        await people.erase_now(token)
    assert await people.states(ADA) == {"letter": "unsubscribed", "digest": "confirmed"}
    await people.unsubscribe(ADA, "digest")
    await people.erase_now(token)
    assert not await people.is_known(ADA)
    assert await people.suppressions(ADA) == {(people.letter.list_id, "left"), (people.digest.list_id, "left")}


async def test_delete_now_takes_requests_along_that_are_pending_or_not_yet_decided_on(people: People) -> None:
    await people.reader(ADA)
    token = (await people.unsubscribe(ADA)).undo_token
    await people.sign_up(ADA, "digest")
    await people.request(ADA, "digest")
    await people.request("ben@example.org")
    await people.erase_now(token)
    assert not await people.is_known(ADA)
    assert await people.count("outbox") == 0
    assert [row["address"] for row in await people.house.db.fetch("select address from signup_request")] == ["ben@example.org"]


async def test_old_links_answer_kindly_after_deletion(people: People) -> None:
    await people.reader(ADA)
    await people.erase_now((await people.unsubscribe(ADA)).undo_token)
    people.clock.move(days=1000)
    answer = await people.unsubscribe(ADA)
    assert (answer.list.slug, answer.known, answer.erase_at, answer.undo_token) == ("letter", False, None, None)
    assert not await people.is_known(ADA)


async def test_whoever_was_deleted_can_sign_up_again_and_is_then_mailed_again(people: People) -> None:
    await people.reader(ADA)
    await people.erase_now((await people.unsubscribe(ADA)).undo_token)
    await people.reader(ADA)
    assert await people.states(ADA) == {"letter": "confirmed"}
    assert await people.suppressions(ADA) == set()


async def test_a_link_of_another_purpose_is_none(people: People) -> None:
    confirm = await people.sign_up(ADA)
    assert confirm is not None
    for forged in (confirm, "", people.unsubscribe_token(ADA)[:-2]):
        with pytest.raises(InvalidToken):
            await people.house.leaving.unsubscribe(forged, Via.LINK, WEB, now=people.clock.at)
        with pytest.raises(InvalidToken):
            await people.house.leaving.look(forged)
        with pytest.raises(InvalidToken):
            await people.undo(forged)
