"""What remains as proof of consent after somebody was erased: as much as the settings say, for as long, opened on record."""

from __future__ import annotations

from datetime import timedelta

import pytest

from newsletter.app import House
from newsletter.core.errors import InvalidInput, NotFound
from newsletter.privacy.export import as_record
from tests.people import WEB, People

ADA = "Ada@example.org"
BY = "owner"


def keep(people: People, what: str) -> None:
    """In a house with another setting."""
    house = people.house
    people.house = House(house.settings.model_copy(update={"evidence": what}), house.db, house.keyring, house.clock)


async def erased(people: People) -> None:
    await people.reader(ADA, "letter", name="Ada")
    await people.erase_now((await people.unsubscribe(ADA)).undo_token)


async def test_sealed_evidence_says_what_was_agreed_to_and_names_nobody(people: People) -> None:
    await erased(people)
    events = await people.house.evidence.open(ADA, reason="case 7", by=BY, now=people.clock.at)
    assert [(event.kind, event.list) for event in events] == [
        ("asked", "letter"), ("confirmed", "letter"), ("unsubscribed", "letter")]  # fmt: skip
    asked = events[0]
    assert asked.wording and asked.wording.startswith("By subscribing you agree")
    assert asked.mail and "{confirm_url}" in asked.mail
    assert asked.form == WEB.form
    assert {(event.address, event.network, event.agent) for event in events} == {(None, None, None)}
    row = await people.house.db.fetchval("select string_agg(e::text, ' ') from evidence e")
    assert "ada@" not in row.lower()


async def test_the_persons_own_copy_has_all_that_an_operator_can_open(people: People) -> None:
    await erased(people)
    opened = await people.house.evidence.open(ADA, reason="case 7", by=BY, now=people.clock.at)
    held = await people.house.my_data.held(people.id_of(ADA), now=people.clock.at)
    assert held.evidence == opened
    asked = as_record(held, "en")["sealed_evidence"][0]
    assert asked["process"].startswith("Double opt-in: ")
    assert (asked["list"], asked["list_name"]) == ("letter", "The Northwind Letter")


async def test_in_full_it_keeps_address_and_origin(people: People) -> None:
    keep(people, "full")
    await erased(people)
    events = await people.house.evidence.open(ADA, reason="case 7", by=BY, now=people.clock.at)
    assert {event.address for event in events} == {ADA}
    assert events[0].network == WEB.network


async def test_network_and_browser_go_in_their_own_time_also_where_evidence_is_kept_in_full(people: People) -> None:
    keep(people, "full")
    await people.reader(ADA)
    people.clock.move(days=100)
    await people.erase_now((await people.unsubscribe(ADA)).undo_token)
    people.clock.move(days=80, hours=1)
    await people.tick()
    assert await people.count("evidence", "address is not null") == 3
    assert await people.count("evidence", "network is not null and kind <> 'unsubscribed'") == 0


async def test_none_keeps_nothing(people: People) -> None:
    keep(people, "none")
    await erased(people)
    assert await people.house.evidence.open(ADA, reason="case 7", by=BY, now=people.clock.at) == []


async def test_nothing_is_kept_of_a_request_that_was_never_confirmed(people: People) -> None:
    await people.sign_up(ADA)
    people.clock.move(hours=25)
    await people.tick()
    assert await people.count("evidence") == 0


async def test_every_opening_is_on_record_with_its_reason_and_without_the_address(people: People) -> None:
    await people.house.evidence.open(ADA, reason="case 7", by=BY, now=people.clock.at)
    (row,) = await people.house.db.fetch("select operator, action, target from audit_log where action like 'evidence.%'")
    assert tuple(row) == (BY, "evidence.open", "case 7")
    for reason in ("", " ", "ada@example.org complains", "x" * 301):
        with pytest.raises(InvalidInput, match="--reason"):
            await people.house.evidence.open(ADA, reason=reason, by=BY, now=people.clock.at)


async def test_a_dispute_keeps_it_and_three_years_end_it_all_the_same(people: People) -> None:
    await erased(people)
    service, now = people.house.evidence, people.clock.at
    assert await service.hold(ADA, reason="case 7", by=BY, now=now) == 3
    with pytest.raises(NotFound):
        await service.hold(ADA, reason="case 7", by=BY, now=now)
    people.clock.move(days=181)
    await people.tick()
    assert await people.count("evidence") == 3
    assert await service.release(ADA, by=BY, now=people.clock.at) == 3
    people.clock.move(hours=1)
    await people.tick()
    assert await people.count("evidence") == 0


async def test_held_for_three_years_it_goes(people: People) -> None:
    await erased(people)
    await people.house.evidence.hold(ADA, reason="case 7", by=BY, now=people.clock.at)
    people.clock.at += timedelta(days=3 * 365) - timedelta(seconds=1)
    await people.tick()
    assert await people.count("evidence") == 3
    people.clock.move(hours=1)
    await people.tick()
    assert await people.count("evidence") == 0
