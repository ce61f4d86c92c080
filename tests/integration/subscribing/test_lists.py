"""Lists and their senders: what operators say of them is checked before it can reach a header."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from newsletter.core.database import Database
from newsletter.core.errors import Conflict, InvalidAddress, InvalidInput, NotFound
from newsletter.core.migrations import migrate, migrations
from newsletter.subscribing.lists import (
    ListText,
    MailingList,
    NewList,
    NewSender,
    all_lists,
    create_list,
    list_by_id,
    list_by_slug,
    lists_by_id,
    open_lists,
    sizes,
)
from tests.conftest import START
from tests.people import People

NO_PAGES = (
    "https://example.org:99999/x",
    "https://exa mple.org/",
    "https://*/",
    "https://user:pw@example.org/",
    "https://example.org/a\nb",
    "https://example.org/a\x1b[31m",
    "https://example..org/",
)
TEXTS = {"de": ListText("Der Brief", "Monatlich."), "en": ListText("The Letter", "Monthly.")}
LIST = NewList("news", TEXTS, time_zone="Europe/Berlin", return_urls=("https://example.org/thanks",))
SENDER = NewSender("Society", "letter@Bücher.example", "Harbour Street 4,\n  Flensburg", "privacy@example.org",
                   reply_to="office@example.org", legal_notice="https://example.org/imprint")  # fmt: skip


async def create(
    people: People, new: NewList = LIST, sender: NewSender | str = SENDER, host: str = "News.Example.org"
) -> MailingList:
    return await create_list(people.house.db, new, sender, base_host=host, now=people.clock.at)


async def test_a_list_is_found_as_it_was_made(people: People) -> None:
    made = await create(people)
    db = people.house.db
    assert made == await list_by_slug(db, "news") == await list_by_id(db, made.list_id) == (await open_lists(db, ["news"]))[0]
    assert made in await all_lists(db)
    assert made.list_id_header == "news.news.example.org"
    assert made.sender.domain == "xn--bcher-kva.example"
    assert made.sender.postal_address == "Harbour Street 4, Flensburg"
    assert (made.public, made.closed, str(made.zone)) == (True, False, "Europe/Berlin")


async def test_a_list_speaks_the_wanted_language_or_its_first(people: People) -> None:
    made = await create(people)
    assert [made.text(language).name for language in ("en", "de", "fr")] == ["The Letter", "Der Brief", "Der Brief"]


async def test_two_lists_can_have_one_sender(people: People) -> None:
    first = await create(people)
    second = await create(people, replace(LIST, slug="other"), "Society")
    assert first.sender == second.sender


async def test_a_development_machine_may_be_an_ipv6_address(people: People) -> None:
    assert (await create(people, host="::1")).list_id_header == "news.--1"


async def test_what_is_there_twice_or_not_at_all_is_said(people: People) -> None:
    await create(people)
    with pytest.raises(Conflict, match='"news" exists already: choose another short name'):
        await create(people)
    with pytest.raises(Conflict, match='is a sender "Society" already: give its name alone'):
        await create(people, replace(LIST, slug="other"))
    with pytest.raises(NotFound, match='no sender "Nobody"'):
        await create(people, replace(LIST, slug="other"), "Nobody")
    with pytest.raises(NotFound):
        await list_by_slug(people.house.db, "nowhere")
    with pytest.raises(NotFound):
        await list_by_id(people.house.db, 4711)


async def test_a_list_that_cannot_be_is_refused_and_leaves_nothing(people: People) -> None:
    changes: list[dict[str, Any]] = [
        {"slug": ""},
        {"slug": "News"},
        {"slug": "-news"},
        {"slug": "news\n"},
        {"slug": "n" * 64},
        {"texts": {}},
        {"texts": {"tlh": ListText("Letter", "")}},
        {"texts": {"en": ListText(" ", "")}},
        {"texts": {"en": ListText("x" * 101, "")}},
        {"texts": {"en": ListText("Letter\r\nBcc: ada@example.org", "")}},
        {"texts": {"en": ListText("=?utf-8?q?Letter?=", "")}},
        {"texts": {"en": ListText("Letter", "x" * 501)}},
        {"time_zone": "Mars/Olympus"},
        {"return_urls": ("/thanks",)},
        {"return_urls": ("javascript:alert(1)",)},
        {"return_urls": ("http://[",)},
        {"texts": {"en": ListText("Letter", "a\x1b[31mb")}},
        *({"return_urls": (url,)} for url in NO_PAGES),
    ]
    for change in changes:
        with pytest.raises(InvalidInput):
            await create(people, replace(LIST, **change))
    assert await people.count("sender", "name = 'Society'") == 0


async def test_a_sender_that_cannot_be_is_refused(people: People) -> None:
    changes: list[dict[str, Any]] = [
        {"name": ""},
        {"name": "x" * 101},
        {"name": "Society\r\nBcc: ada@example.org"},
        {"name": "=?utf-8?q?Society?="},
        {"postal_address": " \n"},
        {"postal_address": "x" * 301},
        {"legal_notice": "example.org/imprint"},
        {"legal_notice": "javascript:alert(1)"},
        {"postal_address": "Harbour Street 4\x1b[31m"},
        *({"legal_notice": url} for url in NO_PAGES),
    ]
    for change in changes:
        with pytest.raises(InvalidInput):
            await create(people, sender=replace(SENDER, **change))


async def test_a_senders_addresses_are_bare_addresses(people: People) -> None:
    for field in ("from_address", "reply_to", "contact"):
        for address in ("letter", "Society <letter@example.org>", "letter@example.org\r\nBcc: ada@example.org"):
            change: dict[str, Any] = {field: address}
            with pytest.raises(InvalidAddress):
                await create(people, sender=replace(SENDER, **change))


async def test_lists_come_in_the_order_in_which_they_are_named(people: People) -> None:
    db, (first, second) = people.house.db, (people.letter, people.digest)
    for names in (("letter", "digest"), ("digest", "letter")):
        assert [each.slug for each in await open_lists(db, names)] == list(names)
    assert await open_lists(db, ["digest", "letter", "digest"]) == [second, first]
    assert await lists_by_id(db, [second.list_id, 4711, first.list_id]) == [second, first]


async def test_senders_who_had_one_name_before_that_was_refused_are_told_apart(empty_database_url: str) -> None:
    """The first keeps it: it is the one that the command line meant."""
    db = await Database.connect(empty_database_url)
    try:
        await migrate(db, now=START, known=[each for each in migrations() if each.number < 4])
        for _ in range(2):
            await db.execute(
                "insert into sender (name, from_address, postal_address, contact, created_at) "
                "values ('Society', 'a@example.org', 'Street 1', 'a@example.org', $1)",
                START,
            )
        await migrate(db, now=START)
        assert [row["name"] for row in await db.fetch("select name from sender order by sender_id")] == ["Society", "Society 2"]
    finally:
        await db.close()


async def test_readers_are_counted_by_list_and_state(people: People) -> None:
    await people.reader("ada@example.org", "letter", "digest")
    await people.reader("ben@example.org", "letter")
    await people.sign_up("cy@example.org", "digest")
    await people.unsubscribe("ada@example.org", "letter")
    assert await sizes(people.house.db) == {
        people.letter.list_id: {"confirmed": 1, "unsubscribed": 1},
        people.digest.list_id: {"confirmed": 1, "pending": 1},
    }
