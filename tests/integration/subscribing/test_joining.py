"""Signing up: the form records, a worker decides. Nobody learns from the answer whether an address is known."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from newsletter.consent.service import Origin
from newsletter.core.errors import InvalidAddress, InvalidInput, NotFound, TooMany
from newsletter.privacy.policy import Subprocessor
from newsletter.subscribing import store
from newsletter.subscribing.lists import ListText, NewList, NewSender, create_list
from tests.people import NORTHWIND, WEB, People

ADA, BEN = "Ada@example.org", "ben@example.org"
ABOUT_ADDRESSES = (
    "subscriber, subscription, confirmation, consent_event, consent_origin, suppression, withdrawal, outbox, delivery"
)


async def test_the_form_neither_reads_nor_writes_anything_about_the_address(people: People) -> None:
    """Whatever is locked here would make it wait: so words and time of the answer are the same for every address."""
    await people.reader(ADA)
    async with people.house.db.transaction() as other:
        await other.execute(f"lock table {ABOUT_ADDRESSES} in access exclusive mode")
        async with asyncio.timeout(5):
            for address in (ADA, BEN):
                assert [each.slug for each in await people.request(address)] == ["letter"]
    rows = await people.house.db.fetch("select * from signup_request order by request_id")
    own = ("request_id", "subscriber_id", "address")
    known, unknown = ({key: value for key, value in row.items() if key not in own} for row in rows)
    assert known == unknown


async def test_a_request_is_recorded_as_it_came_with_the_words_that_were_agreed_to(people: People) -> None:
    await people.request(ADA, "letter", "digest", name="Ada L.", language="de")
    row = await people.house.db.fetchrow("select r.*, w.content from signup_request r join wording w using (wording_hash)")
    assert (row["address"], row["name"], row["language"]) == ("Ada@example.org", "Ada L.", "de")
    assert row["list_ids"] == [people.letter.list_id, people.digest.list_id]
    assert (row["form"], str(row["network"]), row["agent"]) == (WEB.form, WEB.network, WEB.agent)
    assert "Northwind Society" in row["content"]
    assert "Der Nordwindbrief" in row["content"]
    assert row["expires_at"] == people.clock.at + timedelta(hours=24)


async def test_a_form_that_has_to_be_corrected_leaves_nothing(people: People) -> None:
    for error, address, slugs, name in [
        (InvalidAddress, "ada", ("letter",), ""),
        (InvalidAddress, "Ada <ada@example.org>", ("letter",), ""),
        (NotFound, ADA, ("nowhere",), ""),
        (NotFound, ADA, ("letter", "nowhere"), ""),
        (InvalidInput, ADA, ("letter",), "Ada\r\nBcc: ben@example.org"),
        (InvalidInput, ADA, ("letter",), "=?utf-8?q?Ada?="),
        (InvalidInput, ADA, ("letter",), "https://casino.example"),
        (InvalidInput, ADA, ("letter",), "WWW.casino.example"),
        (InvalidInput, ADA, ("letter",), "win@casino.example"),
        (InvalidInput, ADA, ("letter",), "A" * 101),
    ]:  # fmt: skip
        with pytest.raises(error):
            await people.request(address, *slugs, name=name)
    assert await people.count("signup_request") == await people.count("limit_hit") == await people.count("wording") == 0


async def test_lists_that_are_private_closed_or_of_several_senders_cannot_be_signed_up_for(people: People) -> None:
    house, now = people.house, people.clock.at
    other = NewSender("Southwind", "letter@southwind.example", "Hill 1", "privacy@southwind.example")
    await create_list(house.db, NewList("other", {"en": ListText("Other", "")}), other, base_host=house.host, now=now)
    await create_list(
        house.db, NewList("inner", {"en": ListText("Inner", "")}, public=False), other.name, base_host=house.host, now=now
    )
    with pytest.raises(InvalidInput, match="come from different senders"):
        await people.request(ADA, "letter", "other")
    await house.db.execute("update list set closed_at = now() where slug = 'other'")
    for slug in ("inner", "other"):
        with pytest.raises(NotFound, match="takes no sign-ups"):
            await people.request(ADA, slug)


async def test_the_evidence_holds_what_was_asked_in_which_words_and_from_where(people: People) -> None:
    token = await people.sign_up(ADA)
    (letter,) = await people.letters()
    assert token is not None
    assert letter.text is not None
    row = await people.house.db.fetchrow(
        """select e.*, o.network, o.agent, o.expires_at, form.content as form_words, mail.content as mail_words
           from consent_event e join consent_origin o using (subscriber_id, event_id)
           join wording form on form.wording_hash = e.wording_hash join wording mail on mail.wording_hash = e.mail_hash"""
    )
    assert row["via"] == "form"
    assert (row["kind"], row["occurred_at"], row["language"], row["form"]) == ("asked", people.clock.at, "en", WEB.form)
    assert (str(row["network"]), row["agent"]) == (WEB.network, WEB.agent)
    assert row["expires_at"] == people.clock.at + timedelta(days=180)
    assert "The Northwind Letter" in row["form_words"]
    filled = row["mail_words"].partition("\n\n")[2]
    for slot, value in [
        ("asked_at", "21 November 2026 at 14:05 (UTC)"),
        ("until", "22 November 2026 at 14:05 (UTC)"),
        ("confirm_url", f"https://news.example.org/confirm/{token}"),
        ("refuse_url", f"https://news.example.org/confirm/{token}/refuse"),
    ]:
        filled = filled.replace(f"{{{slot}}}", value)
    assert filled.split() == letter.text.split()


async def test_words_that_are_the_same_for_many_are_kept_once(people: People) -> None:
    for number in range(5):
        await people.sign_up(f"reader{number}@example.org")
    kinds = await people.house.db.fetch("select kind from wording order by kind")
    assert [row["kind"] for row in kinds] == ["form", "mail", "process"]


async def processes(people: People, address: str) -> list[str]:
    """How consent came about, in words, request by request."""
    rows = await people.house.db.fetch(
        """select content from consent_event e join wording w on w.wording_hash = e.process_hash and w.kind = 'process'
           where subscriber_id = $1 order by event_id""",
        people.id_of(address),
    )
    return [row["content"] for row in rows]


async def test_a_request_is_evidence_of_how_it_was_to_be_confirmed_and_of_the_policy_in_force(people: People) -> None:
    await people.sign_up(ADA)
    await people.house.policy.publish(notify=False, no_notice=None, by="test", now=people.clock.move(hours=1))
    await people.sign_up("ben@example.org", language="de")
    await people.house.subprocessors.add(
        Subprocessor("Post Ltd", "Mail", "Norway", "Contract", []), by="test", now=people.clock.at
    )
    await people.house.policy.publish(notify=False, no_notice="Typo", by="test", now=people.clock.move(hours=1))
    await people.sign_up("cleo@example.org")
    (first,) = await processes(people, ADA)
    assert "link to confirm, which works for 24 hours" in first
    assert first.endswith("The privacy policy has no published version yet.")
    (second,) = await processes(people, "ben@example.org")
    assert "24 Stunden lang" in second
    assert second.endswith("Datenschutzerklärung in der Fassung 1.")
    assert (await processes(people, "cleo@example.org"))[0].endswith("in force is version 2.")


async def test_a_second_sign_up_never_unconfirms(people: People) -> None:
    await people.reader(ADA, name="Ada")
    people.clock.move(days=1)
    before = await people.house.db.fetchrow("select * from subscription")
    assert await people.sign_up(ADA, name="Somebody else", language="de") is None
    assert await people.house.db.fetchrow("select * from subscription") == before


async def test_of_several_lists_only_those_that_are_not_confirmed_are_asked_about(people: People) -> None:
    await people.reader(ADA, "letter")
    assert await people.sign_up(ADA, "letter", "digest") is not None
    (letter,) = await people.letters()
    assert letter.subject == "Please confirm: The Digest"
    assert await people.states(ADA) == {"letter": "confirmed", "digest": "pending"}


async def test_asking_never_touches_what_is_confirmed_whoever_asks(people: People) -> None:
    """The statement itself holds this; the decision before it is a second guard."""
    who = await people.reader(ADA)
    before = await people.house.db.fetch("select * from subscription")
    later = people.clock.move(hours=1)
    await store.put_pending(
        people.house.db,
        subscriber_id=who,
        list_ids=[people.letter.list_id],
        languages=["de"],
        requested_at=later,
        expires_at=later + timedelta(hours=24),
    )
    assert await people.house.db.fetch("select * from subscription") == before


async def test_whoever_has_unsubscribed_confirms_anew(people: People) -> None:
    await people.reader(ADA)
    await people.unsubscribe(ADA)
    token = await people.sign_up(ADA)
    assert token is not None
    assert await people.states(ADA) == {"letter": "pending"}
    await people.confirm(token)
    assert await people.states(ADA) == {"letter": "confirmed"}


async def test_strangers_change_neither_name_nor_language_nor_address_of_a_reader(people: People) -> None:
    async def kept() -> Any:
        return await people.house.db.fetchrow("select address, name, language from subscriber")

    await people.sign_up(ADA, name="First", language="de")
    people.clock.move(minutes=10)
    token = await people.sign_up("ada@example.org", name="Ada")
    assert token is not None
    await people.confirm(token)
    assert tuple(await kept()) == ("Ada@example.org", "Ada", "en")
    people.clock.move(minutes=10)
    more = await people.sign_up("ADA@example.org", "digest", name="Stranger", language="de")
    assert more is not None
    await people.confirm(more)
    assert tuple(await kept()) == ("Ada@example.org", "Ada", "en")
    await people.unsubscribe(ADA)
    await people.unsubscribe(ADA, "digest")
    people.clock.move(minutes=10)
    await people.sign_up("ADA@example.org", name="Stranger", language="de")
    assert tuple(await kept()) == ("Ada@example.org", "Ada", "en")


async def test_whoever_comes_back_is_called_what_they_say_now(people: People) -> None:
    await people.reader(ADA, name="Ada Lovelace")
    await people.unsubscribe(ADA)
    people.clock.move(days=1)
    token = await people.sign_up(ADA, name="A. L.", language="de")
    assert token is not None
    await people.confirm(token)
    assert tuple(await people.house.db.fetchrow("select name, language from subscriber") or ()) == ("A. L.", "de")
    await people.unsubscribe(ADA)
    people.clock.move(days=1)
    nameless = await people.sign_up(ADA)
    assert nameless is not None
    await people.confirm(nameless)
    assert tuple(await people.house.db.fetchrow("select name, language from subscriber") or ()) == ("", "en")


async def test_a_sign_up_for_several_speaks_the_language_of_the_first_and_each_list_its_own(people: People) -> None:
    """Whatever their ids are: `letter` speaks English and German, `digest` English, `brief` German."""
    house = people.house
    text = {"de": ListText("Der Brief", "")}
    await create_list(house.db, NewList("brief", text), NORTHWIND.name, base_host=house.host, now=people.clock.at)
    token = await people.sign_up(ADA, "brief", "letter", "digest", language="de")
    assert token is not None
    (mail,) = await people.letters(ADA)
    assert mail.subject == "Bitte bestätigen Sie: Der Brief, Der Nordwindbrief, The Digest"
    view = await people.house.confirming.look(token, now=people.clock.at)
    assert view.language == "de"
    rows = await house.db.fetch("select l.slug, s.language from subscription s join list l using (list_id)")
    assert {row["slug"]: row["language"] for row in rows} == {"brief": "de", "letter": "de", "digest": "en"}

    token = await people.sign_up(BEN, "digest", "brief", "letter", language="en")
    assert token is not None
    (mail,) = await people.letters(BEN)
    assert mail.subject == "Please confirm: The Digest, Der Brief, The Northwind Letter"
    assert (await people.house.confirming.look(token, now=people.clock.at)).language == "en"
    rows = await house.db.fetch(
        "select l.slug, s.language from subscription s join list l using (list_id) where subscriber_id = $1", people.id_of(BEN)
    )
    assert {row["slug"]: row["language"] for row in rows} == {"digest": "en", "brief": "de", "letter": "en"}


async def test_workers_are_woken_for_every_mail_that_is_queued(people: People) -> None:
    """Else it waits for the next look at the clock."""
    woken = asyncio.Event()
    connection = await asyncpg.connect(people.house.settings.database_url.get_secret_value())
    try:
        await people.request(ADA)
        await connection.add_listener("newsletter_work", lambda *_: woken.set())
        await people.decide()
        await asyncio.wait_for(woken.wait(), 5)
    finally:
        await connection.close()


async def test_requests_are_decided_on_in_the_order_they_came(people: People) -> None:
    for address in (ADA, BEN):
        await people.request(address)
    await people.house.joining.process_once(now=people.clock.at)
    assert await people.is_known(ADA)
    assert not await people.is_known(BEN)


async def test_a_request_that_cannot_be_worked_on_does_not_hold_up_the_others(people: People) -> None:
    await people.request(ADA)
    await people.house.db.execute("update signup_request set list_ids = '{999}'")
    await people.request(BEN)
    assert await people.decide() == 2
    assert await people.states(BEN) == {"letter": "pending"}
    assert await people.count("signup_request", "not_before = $1", people.clock.at + timedelta(minutes=1)) == 1
    people.clock.move(seconds=59)
    assert await people.decide() == 0
    people.clock.move(seconds=1)
    await people.house.db.execute("update signup_request set list_ids = $1", [people.letter.list_id])
    assert await people.decide() == 1
    assert await people.states(ADA) == {"letter": "pending"}


async def test_a_request_that_failed_leaves_nothing_half_done(people: People) -> None:
    await people.request(ADA)
    await people.house.db.execute("update signup_request set list_ids = $1", [people.letter.list_id, 999])
    await people.decide()
    for table in ("subscriber", "subscription", "confirmation", "consent_event", "outbox"):
        assert await people.count(table) == 0
    assert await people.count("limit_hit", "kind = 'mail'") == 0


async def test_a_request_that_nobody_worked_on_in_time_is_not_worked_on_later(people: People) -> None:
    await people.request(ADA)
    people.clock.move(hours=24)
    assert await people.decide() == 0
    await people.tick()
    assert await people.count("signup_request") == 0


async def test_a_request_waits_no_longer_than_its_confirmation_would_live(people: People) -> None:
    """Else a mail would be counted against the address whose link has lapsed before it is sent."""
    joining = people.house.joining
    joining._config = replace(joining._config, confirm_within=timedelta(hours=1))
    await people.request(ADA)
    people.clock.move(hours=1)
    assert await people.decide() == 0
    assert await people.count("limit_hit", "kind = 'mail'") == 0


async def test_a_request_without_network_and_browser_is_taken(people: People) -> None:
    assert await people.sign_up(ADA, origin=Origin("api")) is not None
    assert await people.count("consent_origin") == 0


async def test_two_workers_send_one_mail_to_an_address_that_nobody_knows_yet(people: People) -> None:
    """There is no row to lock before the first is decided on, and plus-tags make other people of one mailbox."""
    await asyncio.gather(*(people.request(f"ada+{number}@example.org") for number in range(4)))
    await asyncio.gather(*(people.house.joining.process_once(now=people.clock.at) for _ in range(4)))
    assert await people.count("signup_request") == 0
    assert await people.count("outbox") == 1


async def test_the_network_limit_refuses_the_next_for_an_hour(people: People) -> None:
    joining = people.house.joining
    joining._config = replace(joining._config, signups_per_network_hour=3)
    for number in range(3):
        await people.request(f"reader{number}@example.org", origin=Origin("form", f"192.0.2.{number}"))
        people.clock.move(minutes=10)
    with pytest.raises(TooMany, match="from your network in the last hour") as refused:
        await people.request(ADA, origin=Origin("form", "192.0.2.200"))
    assert refused.value.retry_after > 0
    assert await people.count("signup_request") == 3
    await people.request(ADA, origin=Origin("form", "192.0.3.1"))
    await people.request(ADA, origin=Origin("form", "2001:db8::1"))
    people.clock.move(minutes=30)
    await people.request(ADA, origin=Origin("form", "192.0.2.200"))
    with pytest.raises(TooMany):
        await people.request(ADA, origin=Origin("form", "192.0.2.200"))


async def test_a_name_server_that_is_slow_holds_up_nobody_for_longer_than_the_setting(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its questions may take that long, and there are up to four."""
    asked, answer = threading.Event(), threading.Event()

    def resolve(*_: object, **__: object) -> None:
        asked.set()
        answer.wait(10)

    monkeypatch.setattr("dns.resolver.Resolver.resolve", resolve)
    joining = people.house.joining
    joining._config = replace(joining._config, dns_check=True, dns_timeout=0.05)
    await people.request(ADA)
    assert asked.is_set()
    assert not answer.is_set()
    answer.set()
    assert await people.count("signup_request") == 1
