"""Whoever bounces, complains, is suppressed or reads a closed list goes by the same clock as whoever unsubscribes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from newsletter.campaigns.content import Draft, Format
from newsletter.campaigns.service import NewCampaign
from newsletter.consent.rules import Reason
from newsletter.core.errors import Conflict, ExpiredToken, NotFound
from newsletter.operators.service import audit
from newsletter.subscribing import store
from newsletter.subscribing.lists import close_list
from newsletter.subscribing.suppressing import Suppressing
from tests.people import People

ADA, BEN, CLEO = "ada@example.org", "ben@example.org", "cleo@example.org"
DRAFT = Draft("en", "The long tide", "", Format.MARKDOWN, "Dear {{ name }},\n\nsee you at the slip.")
DAYS = timedelta(days=14)


async def end(people: People, address: str, reason: Reason) -> int:
    who, now = people.id_of(address), people.clock.at
    if reason is Reason.BOUNCED:
        return await people.house.ending.bounced(who, now=now)
    return await people.house.ending.complained(who, now=now)


async def row_of(people: People, query: str, address: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in await people.house.db.fetch(query, people.id_of(address))]


async def close(people: People, slug: str = "letter") -> None:
    async with people.house.db.transaction() as db:
        await close_list(db, slug, now=people.clock.at)


async def campaign(people: People) -> int:
    return await people.house.campaigns.create(NewCampaign("letter", "Tide", (DRAFT,)), by="test", now=people.clock.at)


# Bounces and complaints.


@pytest.mark.parametrize(
    ("reason", "via", "withdrawn"),
    [
        (Reason.BOUNCED, "bounce", [("unsubscribed", 1), ("unsubscribed", 2)]),
        (Reason.COMPLAINED, "complaint", [("complained", 0)]),
    ],
)
async def test_a_hard_bounce_or_a_complaint_ends_every_subscription(
    people: People, reason: Reason, via: str, withdrawn: list[tuple[str, int]]
) -> None:
    await people.reader(ADA, "letter", "digest")
    await people.reader(BEN)
    assert await end(people, ADA, reason) == 2
    assert await people.states(ADA) == {"letter": "unsubscribed", "digest": "unsubscribed"}
    assert await people.suppressions(ADA) == {(0, reason.value)}
    assert await people.left_at(ADA) == people.clock.at
    vias = "select distinct unsubscribed_via from subscription where subscriber_id = $1"
    assert await row_of(people, vias, ADA) == [(via,)]
    events = "select kind, via from consent_event where subscriber_id = $1 and kind = 'unsubscribed'"
    assert await row_of(people, events, ADA) == [("unsubscribed", via)] * 2
    numbered = "select kind, list_id from withdrawal where subscriber_id = $1 order by list_id"
    assert await row_of(people, numbered, ADA) == withdrawn
    assert await people.states(BEN) == {"letter": "confirmed"}


@pytest.mark.parametrize("reason", [Reason.BOUNCED, Reason.COMPLAINED])
async def test_they_are_deleted_by_the_same_clock(people: People, reason: Reason) -> None:
    await people.reader(ADA)
    await end(people, ADA, reason)
    people.clock.at += DAYS - timedelta(seconds=1)
    await people.tick()
    assert await people.is_known(ADA)
    people.clock.move(seconds=1, minutes=5)
    await people.tick()
    assert not await people.is_known(ADA)
    assert (0, reason.value) in await people.suppressions(ADA)


async def test_a_second_bounce_changes_nothing_but_how_long_it_is_remembered(people: People) -> None:
    await people.reader(ADA)
    await end(people, ADA, Reason.BOUNCED)
    left = await people.left_at(ADA)
    people.clock.move(days=1)
    assert await end(people, ADA, Reason.BOUNCED) == 0
    assert await people.left_at(ADA) == left
    assert (await people.events(ADA)).count("unsubscribed") == 1


async def test_a_bounced_confirmation_mail_leaves_nobody_behind(people: People) -> None:
    await people.sign_up(ADA)
    await end(people, ADA, Reason.BOUNCED)
    assert not await people.is_known(ADA)
    assert await people.suppressions(ADA) == {(0, "bounced")}


async def test_an_ending_cannot_be_taken_back_by_a_link_of_an_earlier_one(people: People) -> None:
    await people.reader(ADA)
    answer = await people.unsubscribe(ADA)
    await people.undo(answer.undo_token)
    await end(people, ADA, Reason.COMPLAINED)
    again = await people.unsubscribe(ADA)
    assert again.undo_token is None


async def test_their_own_sign_up_brings_them_back_when_its_time_has_come(people: People) -> None:
    await people.reader(ADA)
    await end(people, ADA, Reason.BOUNCED)
    people.clock.move(days=1)
    assert await people.sign_up(ADA) is None
    people.clock.move(days=7)
    token = await people.sign_up(ADA)
    assert token is not None
    await people.confirm(token)
    assert (await people.states(ADA), await people.suppressions(ADA)) == ({"letter": "confirmed"}, set())


# Closed lists.


async def test_readers_of_a_closed_list_are_unsubscribed_and_deleted_by_the_same_clock(people: People) -> None:
    await people.reader(ADA)
    await people.reader(BEN, "letter", "digest")
    await people.sign_up(CLEO)
    await people.tick()
    await close(people)
    people.clock.move(minutes=5)
    await people.tick()
    assert await people.states(ADA) == {"letter": "unsubscribed"}
    assert await people.states(BEN) == {"letter": "unsubscribed", "digest": "confirmed"}
    assert not await people.is_known(CLEO)
    vias = "select via from consent_event where subscriber_id = $1 and kind = 'unsubscribed'"
    assert await row_of(people, vias, ADA) == [("closing",)]
    assert await people.count("withdrawal", "kind = 'unsubscribed'") == 2
    assert await people.left_at(BEN) is None
    people.clock.at += DAYS
    await people.tick()
    assert not await people.is_known(ADA)
    assert await people.is_known(BEN)


async def test_a_large_list_ends_in_short_batches_that_another_worker_may_go_on_with(people: People) -> None:
    await people.house.db.execute(
        """with people as (
             insert into subscriber (subscriber_id, address, domain, language, created_at)
             select gen_random_uuid(), 'reader' || n || '@example.org', 'example.org', 'en', $2
             from generate_series(1, 1100) as n returning subscriber_id)
           insert into subscription (subscriber_id, list_id, state, language, requested_at, confirmed_at)
           select subscriber_id, $1, 'confirmed', 'en', $2, $2 from people""",
        people.letter.list_id,
        people.clock.at,
    )
    await close(people)
    promise = next(each for each in people.house.retention.promises if each.name == "closed")
    seen: list[int] = []

    async def stopped_after_the_first() -> None:
        seen.append(await people.count("subscription", "state = 'confirmed'"))
        if len(seen) == 2:
            raise Conflict("another worker runs this job by now")

    with pytest.raises(Conflict):
        await people.house.retention.keep(promise, now=people.clock.at, before_each=stopped_after_the_first)
    assert seen == [1100, 600]
    assert (await people.house.retention.keep(promise, now=people.clock.at)).removed == 600
    assert await people.count("subscriber", "left_at = $1", people.clock.at) == 1100
    counted = await people.house.db.fetchval("select unsubscribed from list_day where list_id = $1", people.letter.list_id)
    assert counted == 1100


async def test_overdue_is_who_is_still_there_an_hour_after_closing(people: People) -> None:
    await people.reader(ADA)
    await close(people)
    promise = next(each for each in people.house.retention.promises if each.name == "closed")
    assert (await promise.due(people.house.db, people.clock.at + timedelta(minutes=59))).due == 0
    due = await promise.due(people.house.db, people.clock.at + timedelta(minutes=60))
    assert (due.due, due.oldest) == (1, people.clock.at + timedelta(hours=1))


async def test_a_closed_list_takes_no_sign_up_not_one_that_was_under_way_either(people: People) -> None:
    token = await people.sign_up(ADA)
    assert token is not None
    await people.request(BEN)
    await people.request(CLEO, "letter", "digest")
    await close(people)
    with pytest.raises(ExpiredToken):
        await people.confirm(token)
    await people.decide()
    assert not await people.is_known(BEN)
    assert await people.states(CLEO) == {"digest": "pending"}
    with pytest.raises(NotFound):
        await people.request(BEN)


async def test_campaigns_of_a_closed_list_are_not_sent(people: People) -> None:
    await people.reader(ADA)
    under_way, draft = await campaign(people), await campaign(people)
    await people.house.campaigns.send(under_way, by="test", now=people.clock.at)
    await close(people)
    assert not await people.house.worker().run_campaigns_once()
    status = await people.house.campaigns.status(under_way)
    assert (status.state, status.pause_reason) == ("paused", "The list was closed.")
    with pytest.raises(Conflict, match="was closed"):
        await people.house.campaigns.resume(under_way, by="test", now=people.clock.at)
    for refused in (people.house.campaigns.send(draft, by="test", now=people.clock.at), people.house.campaigns.audience(draft)):
        with pytest.raises(Conflict, match="was closed"):
            await refused


# What operators know.


def suppressing(people: People) -> Suppressing:
    return Suppressing(people.house.db, people.house.keyring, people.house.ledger, audit)


@pytest.mark.parametrize(
    ("reason", "withdrawn"),
    [
        (Reason.LEFT, "unsubscribed"),
        (Reason.COMPLAINED, "complained"),
        (Reason.REFUSED, "refused"),
        (Reason.OBJECTED, "objected"),
        (Reason.BOUNCED, "unsubscribed"),
    ],
)
async def test_suppressing_a_reader_ends_what_they_read_by_the_same_clock(
    people: People, reason: Reason, withdrawn: str
) -> None:
    await people.reader(ADA, "letter", "digest")
    ended = await suppressing(people).add(" ADA@Example.org", reason, slug="letter", by="ops", now=people.clock.at)
    assert ended == 1
    assert await people.states(ADA) == {"letter": "unsubscribed", "digest": "confirmed"}
    assert await people.suppressions(ADA) == {(people.letter.list_id, reason.value)}
    assert await people.left_at(ADA) is None
    assert await people.count("withdrawal", "kind = $1 and list_id = $2", withdrawn, people.letter.list_id) == 1
    await suppressing(people).add(ADA, reason, slug=None, by="ops", now=people.clock.at)
    assert await people.left_at(ADA) == people.clock.at


async def test_a_suppressed_stranger_is_known_by_a_code_alone(people: People) -> None:
    await suppressing(people).add(ADA, Reason.OBJECTED, slug=None, by="ops", now=people.clock.at)
    (found,) = await suppressing(people).check("Ada@example.org", by="ops", now=people.clock.at)
    assert (found.list_id, found.reason, found.until) == (0, "objected", None)
    assert not await people.is_known(ADA)
    rows = await people.house.db.fetch("select operator, action, target from audit_log order by audit_id")
    assert [tuple(row) for row in rows] == [
        ("ops", "suppression.add", "objected, every list"), ("ops", "suppression.check", "an address")]  # fmt: skip
    assert await people.count("audit_subject") == 0, "nobody is here whom they could be about"


async def test_an_import_keeps_codes_and_tells_bad_lines_by_their_number(people: People) -> None:
    await people.reader(ADA)
    lines = ["Email;Name\n", f"{ADA};Ada\n", "\n", '"ben@example.org",Ben\n', "nobody\n", "BEN@example.org\r\n", "x@\n"]
    done = await suppressing(people).take(iter(lines), Reason.LEFT, slug=None, by="ops", now=people.clock.at)
    assert (done.addresses, done.suppressed, done.ended, done.bad) == (3, 2, 1, 2)
    assert [each.line for each in done.bad_lines] == [5, 7]
    assert not [each for each in done.bad_lines if "nobody" in each.why or "x@" in each.why]
    assert await people.suppressions(BEN) == {(0, "left")}
    assert not await people.is_known(BEN)
    assert await people.states(ADA) == {"letter": "unsubscribed"}
    again = await suppressing(people).take(iter(lines), Reason.LEFT, slug=None, by="ops", now=people.clock.at)
    assert (again.addresses, again.suppressed, again.ended) == (3, 0, 0)


async def test_an_import_takes_many_in_batches(people: People) -> None:
    lines = (f"reader{number}@example.org" for number in range(1201))
    done = await suppressing(people).take(lines, Reason.BOUNCED, slug="letter", by="ops", now=people.clock.at)
    assert (done.addresses, done.suppressed) == (1201, 1201)
    (counted,) = await suppressing(people).counts(None, now=people.clock.at)
    assert (counted.reason, counted.list_id, counted.count) == ("bounced", people.letter.list_id, 1201)
    assert await suppressing(people).counts(Reason.LEFT, now=people.clock.at) == []
    assert await people.count("audit_log") == 1


async def test_whoever_confirms_later_than_what_ended_is_about_stays(people: People) -> None:
    """As when a withdrawal of the past is done again."""
    await people.reader(ADA)
    async with people.house.db.transaction() as db:
        before = people.clock.at - timedelta(seconds=1)
        assert await store.end_subscriptions(
            db, subscriber_ids=[people.id_of(ADA)], list_id=0, via="operator", now=before
        ) == []  # fmt: skip
