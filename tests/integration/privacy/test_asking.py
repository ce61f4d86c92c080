"""Asking for the link to one's data: what is mailed to whom, decided by a worker, and what is left of having asked."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from newsletter.app import House
from newsletter.core.errors import InvalidAddress, TooMany
from newsletter.privacy.rights import Actor
from newsletter.subscribing.rules import Via
from tests.people import WEB, People, links_in

ADA, BEN = "Ada@example.org", "ben@example.org"
SUBJECT, NOTHING = "What we hold about you", "We hold nothing about you"
DAY = timedelta(days=1)


async def answer(people: People, address: str, *, to: str | None = None) -> list[str]:
    """Ask, let a worker work; the subjects of the mails about data that came of it, newest first."""
    await people.ask_for_data(address)
    await people.decide()
    letters = await people.letters(to or address)
    return [letter.subject for letter in letters if letter.subject in (SUBJECT, NOTHING)]


async def test_whoever_is_known_gets_a_link_at_the_address_that_we_hold(people: People) -> None:
    """Not at the one that was typed: another spelling of it may be somebody else's mailbox."""
    await people.reader(ADA)
    people.clock.move(minutes=11)
    assert await answer(people, "aDA@EXAMPLE.org", to=ADA) == [SUBJECT]
    (letter, *_) = await people.letters(ADA)
    (link,) = [link for link in links_in(letter.text) if "/data/" in link]
    assert people.house.my_data.open(link.rpartition("/")[2], now=people.clock.at) == people.id_of(ADA)
    assert letter.header("from") == "Northwind Society <letter@northwind.example>"
    assert not [each for each in await people.letters() if "aDA@EXAMPLE.org" in each.recipients]


async def test_whoever_waits_for_confirmation_is_known_too(people: People) -> None:
    await people.sign_up(ADA)
    people.clock.move(minutes=11)
    assert await answer(people, ADA) == [SUBJECT]


async def test_an_unknown_address_is_told_that_nothing_is_held(people: People) -> None:
    assert await answer(people, BEN) == [NOTHING]
    (letter,) = await people.letters(BEN)
    assert not [link for link in links_in(letter.text) if "/data/" in link]


async def test_of_somebody_erased_the_mail_leads_to_the_codes_that_stay(people: People) -> None:
    await people.reader(ADA)
    await people.house.rights.erase(people.id_of(ADA), by=Actor(Via.PAGE, WEB), now=people.clock.at)
    people.clock.move(minutes=11)
    assert await answer(people, ADA) == [SUBJECT]


async def test_mails_are_limited_as_those_about_sign_ups_are(people: People) -> None:
    for expected in (1, 1):
        assert len(await answer(people, BEN)) == expected
    for expected in (2, 3, 3):
        people.clock.move(minutes=11)
        assert len(await answer(people, BEN)) == expected
    for expected in (4, 5, 5, 5):
        people.clock.at += DAY
        assert len(await answer(people, BEN)) == expected


async def test_no_stranger_can_use_up_a_readers_mails_for_a_month(people: People) -> None:
    await people.reader(ADA)
    for day in range(1, 8):
        people.clock.at += DAY
        assert len(await answer(people, ADA)) == day


async def test_a_plus_tag_is_no_other_mailbox_to_the_limits(people: People) -> None:
    assert len(await answer(people, BEN)) == 1
    assert len(await answer(people, "ben+2@example.org")) == 0


async def test_nothing_is_left_of_asking_once_the_mail_is_handed_over(people: People) -> None:
    await people.reader(ADA)
    await people.letters()
    people.clock.move(minutes=11)
    for address in (ADA, BEN):
        await people.ask_for_data(address)
    await people.decide()
    assert await people.count("data_request") == 1  # The known one is in the outbox by its id.
    assert await people.count("outbox", "kind = 'data'") == 2
    await people.letters()
    assert await people.count("data_request") == await people.count("outbox") == 0


async def test_what_nobody_works_on_is_forgotten_after_a_day(people: People) -> None:
    await people.ask_for_data(ADA)
    people.clock.move(hours=23, minutes=59, seconds=59)
    await people.tick()
    assert await people.count("data_request") == 1
    people.clock.move(seconds=1)
    assert await people.decide() == 0
    people.clock.move(minutes=5)
    await people.tick()
    assert await people.count("data_request") == 0


async def test_of_a_mail_that_cannot_be_delivered_nothing_is_left_after_a_day(people: People) -> None:
    await people.ask_for_data(BEN)
    await people.decide()
    people.clock.move(hours=24)
    await people.tick()
    assert await people.count("data_request") == await people.count("outbox") == 0


async def test_two_workers_decide_once(people: People) -> None:
    await people.ask_for_data(BEN)
    done = await asyncio.gather(*(people.house.asking.process_once(now=people.clock.at) for _ in range(4)))
    assert sum(done) == 1
    assert await people.count("outbox") == 1


async def test_one_that_cannot_be_worked_on_holds_up_nobody(people: People) -> None:
    await people.ask_for_data(ADA)
    await people.ask_for_data(BEN)
    await people.house.db.execute("update data_request set address = 'broken' where subscriber_id = $1", people.id_of(ADA))
    assert await people.decide() == 2
    assert [each.subject for each in await people.letters(BEN)] == [NOTHING]
    assert await people.count("data_request", "not decided") == 1


async def test_without_any_list_there_is_nobody_to_answer(house: House) -> None:
    await house.asking.request(BEN, "en", None, now=house.clock.now())
    assert await house.asking.process_once(now=house.clock.now())
    assert await house.db.fetchval("select (select count(*) from data_request) + (select count(*) from outbox)") == 0


async def test_the_network_is_limited_as_for_sign_ups(people: People) -> None:
    most = people.house.settings.signups_per_network_hour
    await people.house.db.execute(
        "insert into limit_hit (code, kind, occurred_at, expires_at) "
        "select $1, 'network', $2::timestamptz, $2::timestamptz + interval '30 days' from generate_series(1, $3)",
        people.house.keyring.limit_code("192.0.2.0/24"), people.clock.at, most - 1)  # fmt: skip
    await people.ask_for_data(ADA)
    with pytest.raises(TooMany, match="Too many requests"):
        await people.ask_for_data(BEN)
    with pytest.raises(TooMany):
        await people.request(BEN)
    people.clock.move(hours=1)
    await people.ask_for_data(BEN)


@pytest.mark.parametrize("given", ["", "ada", "ada@@example.org", "ada@example.org\r\nBcc: x@example.org", "a, b@example.org"])
async def test_what_is_no_address_is_refused_before_anything_is_stored(people: People, given: str) -> None:
    with pytest.raises(InvalidAddress):
        await people.ask_for_data(given)
    assert await people.count("data_request") == 0
