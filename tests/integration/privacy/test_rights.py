"""What people may do about their data, each followed into the database, and through deliveries where it is about mail."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from newsletter.campaigns.content import Draft, Format
from newsletter.campaigns.service import NewCampaign
from newsletter.core.errors import Conflict, ExpiredToken, InvalidInput
from newsletter.core.queries import REGISTRY
from newsletter.delivery import store as delivery
from newsletter.delivery.batches import claim
from newsletter.delivery.rules import LEASE
from newsletter.delivery.store import Batch, Outcomes
from newsletter.privacy.rights import EVERY_LIST, Actor, NothingHeld
from newsletter.privacy.rules import Why, months_later
from newsletter.subscribing.rules import Via
from tests.people import WEB, People, links_in, token_in

ADA, BEN, NEW = "Ada@example.org", "ben@example.org", "ada@elsewhere.example"
PAGE = Actor(Via.PAGE, WEB)
DRAFT = Draft("en", "The long tide", "", Format.MARKDOWN, "See you at the slip.")


async def campaign(people: People, slug: str = "letter") -> int:
    """Begun, and not a mail handed over."""
    number = await people.house.campaigns.create(NewCampaign(slug, "Tide", (DRAFT,)), by="test", now=people.clock.at)
    await people.house.campaigns.send(number, by="test", now=people.clock.at)
    return number


async def send(people: People, slug: str = "letter") -> list[str]:
    """Who gets a campaign now."""
    before = len(await people.mailbox.messages())
    await campaign(people, slug)
    worker = people.house.worker()
    while await worker.run_campaigns_once():
        pass
    return sorted(mail.recipients[0] for mail in (await people.mailbox.messages())[: -before or None])


async def asked_of(people: People, address: str) -> str:
    """The token of the confirmation that was mailed there."""
    await people.decide()
    (letter, *_) = await people.letters(address)
    return token_in(next(link for link in links_in(letter.text) if "/confirm/" in link))


async def last_events(people: People, address: str) -> list[tuple[Any, ...]]:
    rows = await people.house.db.fetch(
        "select kind, list_id, via from consent_event where subscriber_id = $1 and kind not in ('asked', 'confirmed') "
        "order by event_id", people.id_of(address))  # fmt: skip
    return [tuple(row) for row in rows]


async def withdrawals(people: People, who: UUID) -> list[tuple[Any, ...]]:
    rows = await people.house.db.fetch(
        "select kind, list_id from withdrawal where subscriber_id = $1 order by withdrawal_id", who
    )
    return [tuple(row) for row in rows]


# Pausing.


async def test_a_paused_reader_gets_nothing_and_gets_the_next_after_resuming(people: People) -> None:
    who = await people.reader(ADA, "letter", "digest")
    await people.reader(BEN)
    await people.letters()
    await people.house.rights.restrict(who, EVERY_LIST, months=None, by=PAGE, now=people.clock.at)
    assert await send(people) == [BEN]
    assert await send(people, "digest") == []
    people.clock.move(days=400)
    await people.tick()
    assert await send(people) == [BEN]
    await people.house.rights.resume(who, EVERY_LIST, by=PAGE, now=people.clock.at)
    assert await send(people) == [ADA, BEN]
    assert await last_events(people, ADA) == [("restricted", None, "page"), ("resumed", None, "page")]
    assert await withdrawals(people, who) == [("restricted", 0)]


async def test_a_pause_of_one_letter_stops_that_one(people: People) -> None:
    who = await people.reader(ADA, "letter", "digest")
    await people.letters()
    await people.house.rights.restrict(who, people.letter.list_id, months=1, by=PAGE, now=people.clock.at)
    assert await send(people) == []
    assert await send(people, "digest") == [ADA]
    assert await last_events(people, ADA) == [("restricted", people.letter.list_id, "page")]


async def test_a_pause_ends_by_itself_to_the_second(people: People) -> None:
    who = await people.reader(ADA)
    await people.letters()
    await people.house.rights.restrict(who, EVERY_LIST, months=3, by=PAGE, now=people.clock.at)
    people.clock.at = datetime.fromisoformat("2027-02-21T14:04:59Z")
    assert await send(people) == []
    people.clock.move(seconds=1)
    assert await send(people) == [ADA]
    await people.tick()
    assert await people.suppressions(ADA) == set()


async def test_what_was_said_last_of_a_pause_counts(people: People) -> None:
    who = await people.reader(ADA)
    for months in (6, 1, None, 3):
        await people.house.rights.restrict(who, EVERY_LIST, months=months, by=PAGE, now=people.clock.at)
        until = await people.house.db.fetchval("select until from suppression")
        assert (until is None) == (months is None)
    assert until == datetime.fromisoformat("2027-02-21T14:05:00Z")


async def test_one_who_is_paused_may_be_asked_to_confirm_and_is_not_unpaused_by_signing_up(people: People) -> None:
    """A stranger can hand in a form for them; only their page ends what they asked for."""
    who = await people.reader(ADA)
    await people.house.rights.restrict(who, EVERY_LIST, months=1, by=PAGE, now=people.clock.at)
    people.clock.move(minutes=11)
    token = await people.sign_up(ADA, "digest")
    assert token
    await people.confirm(token)
    assert await people.suppressions(ADA) == {(0, "restricted")}
    await people.letters()
    assert await send(people, "digest") == []


async def test_a_pause_of_a_letter_that_one_does_not_have_is_refused(people: People) -> None:
    who = await people.reader(ADA)
    with pytest.raises(InvalidInput):
        await people.house.rights.restrict(who, people.digest.list_id, months=1, by=PAGE, now=people.clock.at)
    with pytest.raises(InvalidInput):
        await people.house.rights.restrict(who, EVERY_LIST, months=2, by=PAGE, now=people.clock.at)
    assert await people.count("suppression") == 0


async def test_resuming_what_is_not_paused_is_no_event(people: People) -> None:
    who = await people.reader(ADA)
    await people.house.rights.resume(who, EVERY_LIST, by=PAGE, now=people.clock.at)
    assert await last_events(people, ADA) == []


# Objecting.


async def test_never_again_outlives_everything_but_a_data_link(people: People) -> None:
    who = await people.reader(ADA, "letter", "digest")
    await people.letters()
    await people.house.rights.object_to_mail(who, why=Why.NONE, by=PAGE, now=people.clock.at)
    assert await people.states(ADA) == {"letter": "unsubscribed", "digest": "unsubscribed"}
    assert await send(people) == []
    people.clock.at += timedelta(days=14, minutes=1)
    await people.tick()
    assert not await people.is_known(ADA)
    people.clock.at += timedelta(days=4 * 365)
    await people.tick()
    assert await people.sign_up(ADA) is None
    assert await people.suppressions(ADA) == {(0, "objected")}
    await people.ask_for_data(ADA)
    await people.decide()
    (letter, *_) = await people.letters(ADA)
    link = token_in(next(each for each in links_in(letter.text) if "/data/" in each))
    await people.house.rights.lift_objection(people.house.my_data.open(link, now=people.clock.at), by=PAGE, now=people.clock.at)
    people.clock.move(minutes=11)
    assert await people.sign_up(ADA) is not None


async def test_an_objection_is_on_record_with_its_words_and_numbered(people: People) -> None:
    who = await people.reader(ADA)
    await people.house.rights.object_to_mail(who, why=Why.NEVER_ASKED, by=PAGE, now=people.clock.at)
    assert await last_events(people, ADA) == [("objected", None, "page"), ("unsubscribed", people.letter.list_id, "page")]
    assert await withdrawals(people, who) == [("objected", 0), ("unsubscribed", people.letter.list_id)]
    assert await people.left_at(ADA) == people.clock.at


async def test_an_objection_of_somebody_unconfirmed_deletes_the_request_and_stays(people: People) -> None:
    await people.sign_up(ADA)
    await people.house.rights.object_to_mail(people.id_of(ADA), by=PAGE, now=people.clock.at)
    assert not await people.is_known(ADA)
    assert await people.suppressions(ADA) == {(0, "objected")}


# Unsubscribing.


async def test_unsubscribing_from_all_starts_the_usual_clock(people: People) -> None:
    who = await people.reader(ADA, "letter", "digest")
    await people.house.rights.unsubscribe(who, by=PAGE, now=people.clock.at)
    assert set((await people.states(ADA)).values()) == {"unsubscribed"}
    via = await people.house.db.fetchval("select distinct unsubscribed_via from subscription")
    assert via == "page"
    people.clock.at += timedelta(days=14)
    await people.tick()
    assert not await people.is_known(ADA)


async def test_unsubscribing_kills_a_confirmation_that_still_waits(people: People) -> None:
    who = await people.reader(ADA)
    people.clock.move(minutes=11)
    token = await people.sign_up(ADA, "digest")
    assert token
    await people.house.rights.unsubscribe(who, [people.digest.list_id], by=PAGE, now=people.clock.at)
    with pytest.raises(ExpiredToken):
        await people.confirm(token)
    assert await people.states(ADA) == {"letter": "confirmed"}


# Moving.


async def test_the_old_address_goes_on_until_the_new_one_confirms(people: People) -> None:
    who = await people.reader(ADA, "letter", "digest", name="Ada")
    await people.letters()
    await people.house.rights.move(who, NEW, by=PAGE, now=people.clock.at)
    token = await asked_of(people, NEW)
    assert await send(people) == [ADA]
    await people.confirm(token)
    assert await send(people) == [NEW]
    assert not await people.is_known(ADA)
    assert await people.states(NEW) == {"letter": "confirmed", "digest": "confirmed"}
    assert await people.house.db.fetchval("select name from subscriber") == "Ada"
    assert await last_events(people, NEW) == [("moved", None, "link")]
    sealed = await people.house.db.fetch("select kind from evidence where subscriber_id = $1 order by evidence_id", who)
    assert [row["kind"] for row in sealed] == ["asked", "asked", "confirmed", "confirmed", "moved"]
    assert (0, "erased") in {(row[1], row[0]) for row in await withdrawals(people, who)}


async def test_one_who_never_confirms_the_new_address_keeps_the_old(people: People) -> None:
    who = await people.reader(ADA)
    await people.house.rights.move(who, NEW, by=PAGE, now=people.clock.at)
    await people.decide()
    people.clock.move(hours=24)
    await people.tick()
    assert not await people.is_known(NEW)
    assert await people.states(ADA) == {"letter": "confirmed"}


async def test_a_pause_moves_along(people: People) -> None:
    who = await people.reader(ADA)
    await people.house.rights.restrict(who, EVERY_LIST, months=6, by=PAGE, now=people.clock.at)
    await people.house.rights.move(who, NEW, by=PAGE, now=people.clock.at)
    await people.confirm(await asked_of(people, NEW))
    assert await people.suppressions(NEW) == {(0, "restricted")}
    assert (0, "restricted") not in await people.suppressions(ADA)
    assert await people.events(NEW) == ["asked", "confirmed", "restricted", "moved"]
    rows = await people.house.db.fetch(
        "select list_id, occurred_at, until from withdrawal where subscriber_id = $1", people.id_of(NEW)
    )
    assert [tuple(row) for row in rows] == [(0, people.clock.at, months_later(people.clock.at, 6))]


@pytest.mark.parametrize(("old", "new", "stands"), [(6, 1, 6), (1, 6, 6), (None, 1, None), (1, None, None), (6, None, None)])
async def test_where_both_addresses_are_paused_the_longer_pause_stands(
    people: People, old: int | None, new: int | None, stands: int | None
) -> None:
    who, other = await people.reader(ADA), await people.reader(NEW)
    at = people.clock.at
    await people.house.rights.restrict(who, EVERY_LIST, months=old, by=PAGE, now=at)
    await people.house.rights.restrict(other, EVERY_LIST, months=new, by=PAGE, now=at)
    await people.letters()
    people.clock.move(minutes=11)
    await people.house.rights.move(who, NEW, by=PAGE, now=people.clock.at)
    await people.confirm(await asked_of(people, NEW))
    until = await people.house.db.fetchval(
        "select until from suppression where (subscriber_id, reason) = ($1, 'restricted')", other
    )
    assert until == (None if stands is None else months_later(at, stands))


@pytest.mark.parametrize("first", ["old", "new"])
async def test_where_both_are_paused_what_was_said_last_counts_as_the_time_of_it(people: People, first: str) -> None:
    """Else a replay of the earlier one would take back the later."""
    who, other = await people.reader(ADA), await people.reader(NEW)
    for each in (who, other) if first == "old" else (other, who):
        last = people.clock.move(hours=1)
        await people.house.rights.restrict(each, EVERY_LIST, months=None, by=PAGE, now=last)
    await people.letters()
    people.clock.move(minutes=11)
    await people.house.rights.move(who, NEW, by=PAGE, now=people.clock.at)
    await people.confirm(await asked_of(people, NEW))
    stands = "select since from suppression where (subscriber_id, reason) = ($1, 'restricted')"
    assert await people.house.db.fetchval(stands, other) == last


async def test_an_address_that_reads_the_same_letters_is_asked_all_the_same(people: People) -> None:
    """Else nobody would have shown that it is theirs, and the old one would stay for ever."""
    who = await people.reader(ADA)
    await people.reader(NEW)
    await people.letters()
    people.clock.move(minutes=11)
    await people.house.rights.move(who, NEW, by=PAGE, now=people.clock.at)
    await people.confirm(await asked_of(people, NEW))
    assert not await people.is_known(ADA)
    assert await people.states(NEW) == {"letter": "confirmed"}


async def test_who_refuses_that_a_stranger_moves_to_their_address_keeps_what_they_read(people: People) -> None:
    who = await people.reader(ADA, "letter", "digest")
    await people.reader(NEW)
    await people.letters()
    people.clock.move(minutes=11)
    await people.house.rights.move(who, NEW, by=PAGE, now=people.clock.at)
    await people.refuse(await asked_of(people, NEW))
    assert await people.states(NEW) == {"letter": "confirmed"}
    assert await people.suppressions(NEW) == {(people.digest.list_id, "refused")}
    assert await people.states(ADA) == {"letter": "confirmed", "digest": "confirmed"}


async def test_an_erased_address_is_replaced_by_nobody(people: People) -> None:
    who = await people.reader(ADA, name="Ada")
    await people.house.rights.move(who, NEW, by=PAGE, now=people.clock.at)
    token = await asked_of(people, NEW)
    await people.house.rights.move(who, BEN, by=PAGE, now=people.clock.at)
    await people.house.rights.erase(who, by=PAGE, now=people.clock.at)
    with pytest.raises(ExpiredToken):
        await people.confirm(token)
    await people.decide()
    assert not await people.is_known(BEN)
    people.clock.move(hours=24)
    await people.tick()
    assert await people.count("subscriber") == 0


async def test_two_who_take_each_others_address_do_not_wait_for_each_other(people: People) -> None:
    ids = {ADA: await people.reader(ADA), NEW: await people.reader(NEW)}
    await people.letters()
    people.clock.move(minutes=11)
    tokens = []
    for old, new in ((ADA, NEW), (NEW, ADA)):
        await people.house.rights.move(ids[old], new, by=PAGE, now=people.clock.at)
        tokens.append(await asked_of(people, new))
    done = await asyncio.gather(*map(people.confirm, tokens), return_exceptions=True)
    assert all(isinstance(each, ExpiredToken) or not isinstance(each, Exception) for each in done), done
    assert await people.count("subscriber") == 1


async def test_a_correction_of_one_leaves_the_other_as_it_is(people: People) -> None:
    who = await people.reader(ADA, name="Ada", language="de")
    await people.house.rights.correct(who, name=None, language="en", by=PAGE, now=people.clock.at)
    await people.house.rights.correct(who, name="Countess", language=None, by=PAGE, now=people.clock.at)
    row = await people.house.db.fetchrow("select name, language from subscriber")
    assert tuple(row) == ("Countess", "en")
    assert (await people.events(ADA))[2:] == ["preferences", "corrected"]


async def test_who_is_subscribed_to_nothing_has_nothing_to_move(people: People) -> None:
    who = await people.reader(ADA)
    await people.unsubscribe(ADA)
    with pytest.raises(Conflict):
        await people.house.rights.move(who, NEW, by=PAGE, now=people.clock.at)


# Erasing, and races.


async def attempt(people: People, number: int) -> tuple[Batch, list[UUID]]:
    """A worker has the batch in hand, and written its intents."""
    batch = await claim(people.house.db, worker="w", lease=LEASE, now=people.clock.at)
    assert batch is not None
    readers = await delivery.take_fresh(people.house.db, batch, first=batch.id_from, size=9, now=people.clock.at)
    return batch, [reader.subscriber_id for reader in readers]


async def test_erasing_while_a_campaign_is_sent_to_the_reader_brings_nobody_back(people: People) -> None:
    who = await people.reader(ADA)
    number = await campaign(people)
    batch, readers = await attempt(people, number)
    assert readers == [who]
    await people.house.rights.erase(who, by=PAGE, now=people.clock.at)
    outcome = Outcomes(["accepted"], [None], [False], [False], [250], [None], ["ok"])
    await delivery.record_outcomes(people.house.db, batch, outcome, subscriber_ids=readers, numbers=[1])
    assert await people.count("delivery") == 0
    assert not await people.is_known(ADA)
    assert await people.house.db.fetchval("select state || count from delivery_folded") == "attempting1"


async def test_erasing_waits_for_intents_that_are_being_written_and_takes_them_along(people: People) -> None:
    who = await people.reader(ADA)
    await campaign(people)
    batch = await claim(people.house.db, worker="w", lease=LEASE, now=people.clock.at)
    assert batch is not None
    async with people.house.db.transaction() as worker:
        assert await delivery.take_fresh(worker, batch, first=batch.id_from, size=9, now=people.clock.at)
        erasing = asyncio.create_task(people.house.rights.erase(who, by=PAGE, now=people.clock.at))
        waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        while not await people.house.db.fetchval(waiting):
            assert not erasing.done()
    await erasing
    assert await people.count("delivery") == await people.count("subscriber") == 0


async def test_two_tabs_on_one_link_follow_one_another(people: People) -> None:
    who = await people.reader(ADA, "letter", "digest")
    rights, now = people.house.rights, people.clock.at
    done = await asyncio.gather(
        rights.erase(who, by=PAGE, now=now),
        rights.erase(who, by=PAGE, now=now),
        rights.object_to_mail(who, by=PAGE, now=now),
        rights.correct(who, name="Countess", language="en", by=PAGE, now=now),
        rights.unsubscribe(who, by=PAGE, now=now),
        return_exceptions=True,
    )
    failed = [each for each in done if each is not None]
    assert all(isinstance(each, NothingHeld) for each in failed), failed
    assert len([each for each in done[:2] if each is None]) == 1
    assert not await people.is_known(ADA)
    assert await people.count("withdrawal", "kind = 'erased'") == 1


async def test_the_copy_reads_every_table_that_knows_people(people: People) -> None:
    """A table that is added with a subscriber_id, and that nobody thought of here, fails."""
    rows = await people.house.db.fetch(
        "select distinct c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid "
        "where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition "
        "and a.attname in ('subscriber_id', 'replaces')")  # fmt: skip
    read = [*(name for name in REGISTRY if name.startswith("privacy.held_")), "consent.sealed_evidence"]
    texts = " ".join(REGISTRY[name][0].text for name in read)
    assert [row["relname"] for row in rows if not re.search(rf"\b{row['relname']}\b", texts)] == []
