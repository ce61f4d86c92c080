"""The page behind a link to one's data: a stranger sees nothing, the person sees everything and can act on it."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import ClientResponse

from newsletter.core.tokens import Purpose, Tokens
from tests.conftest import ManualClock
from tests.integration.web.site import READER, Page, Site, page

OTHER = "other@example.org"
PERSONAL = (READER, "Ada Lovelace", "The Northwind Letter", "127.0.0.1", "Python")


@pytest.fixture
async def path(site: Site, clock: ManualClock) -> str:
    """A reader of two lists, called Ada Lovelace, and the path of the link to her data."""
    assert (await site.sign_up(name="Ada Lovelace", list="alerts", page="own")).status == 200
    await site.work()
    about = await site.house.db.fetchval("select distinct confirmation_id from confirmation")
    token = site.house.links.confirm(site.id_of(), about).rpartition("/")[2]
    assert (await site.post(f"/confirm/{token}", {"do": "confirm"})).status == 200
    clock.move(minutes=11)
    return await site.data_path()


async def do(site: Site, path: str, do: str, **fields: str) -> ClientResponse:
    return await site.post(path, {"do": do, **fields})


async def value(site: Site, query: str, *arguments: Any) -> Any:
    return await site.house.db.fetchval(query, *arguments)


# Asking.


async def test_the_page_answers_the_same_for_every_address(site: Site, path: str) -> None:
    known = await site.post("/data", {"email": READER})
    unknown = await site.post("/data", {"email": OTHER})
    assert (known.status, await known.read()) == (unknown.status, await unknown.read())
    assert READER not in await known.text()


async def test_the_handler_looks_nothing_up_about_the_address(site: Site, path: str) -> None:
    """One insert, whatever is known: so the answer takes the same time. A table that it read would be missed here."""
    for table in ("subscriber", "subscription", "suppression", "consent_event", "evidence"):
        await site.house.db.execute(f"alter table {table} rename to {table}_away")
    try:
        assert (await site.post("/data", {"email": READER})).status == 200
    finally:
        for table in ("subscriber", "subscription", "suppression", "consent_event", "evidence"):
            await site.house.db.execute(f"alter table {table}_away rename to {table}")
    assert await value(site, "select count(*) from data_request") == 1


async def test_an_address_that_is_none_is_corrected_on_the_page(site: Site) -> None:
    answer = await site.post("/data", {"email": "reader@@example.org"})
    shown = await page(answer)
    assert answer.status == 422
    assert shown.field("email")["aria-invalid"] == "true"
    assert shown.field("email")["value"] == "reader@@example.org"


async def test_the_trap_for_programs_gets_the_same_answer_and_does_nothing(site: Site) -> None:
    answer = await site.post("/data", {"email": READER, "comment": "spam"})
    assert (answer.status, (await page(answer)).heading) == (200, "Check your mail")
    assert await value(site, "select count(*) from data_request") == 0


# The link.


async def test_opening_the_link_shows_nothing_personal_and_changes_nothing(site: Site, path: str) -> None:
    before = await site.database()
    for method in ("GET", "HEAD"):
        answer = await site.client.request(method, path)
        assert answer.status == 200
        text = await answer.text()
        assert not [each for each in PERSONAL if each in text]
    shown = await page(await site.get(path))
    assert len(shown.all("button")) == 1
    assert shown.field("do")["value"] == "open"
    assert await site.database() == before


@pytest.mark.parametrize("fields", [{}, {"do": "Open"}, {"do": ""}, {"List-Unsubscribe": "One-Click"}, {"do": "drop table"}])
async def test_a_post_without_the_pages_own_field_shows_nothing_either(site: Site, path: str, fields: dict[str, str]) -> None:
    text = await (await site.post(path, fields)).text()
    assert not [each for each in PERSONAL if each in text]


async def test_the_link_works_until_its_hour_is_over_to_the_second(site: Site, path: str, clock: ManualClock) -> None:
    for _ in range(2):
        assert READER in await (await do(site, path, "open")).text()
    clock.move(minutes=59, seconds=59)
    assert READER in await (await do(site, path, "open")).text()
    clock.move(seconds=1)
    for answer in (await site.get(path), await do(site, path, "open"), await do(site, path, "erase")):
        assert answer.status == 410
        text = await answer.text()
        assert READER not in text
        assert "/data?lang=en" in text
    assert await site.state() == "confirmed"


async def test_a_tampered_token_opens_nothing(site: Site, path: str, clock: ManualClock) -> None:
    token = path.rpartition("/")[2]
    tokens = Tokens(site.house.keyring)
    later = int((clock.at + timedelta(days=1)).timestamp()).to_bytes(8)
    forged = [
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        token[:20] + ("A" if token[20] != "A" else "B") + token[21:],
        token[:-4],
        tokens.mint(Purpose.UNSUBSCRIBE, site.id_of().bytes + later),
        tokens.mint(Purpose.DATA, site.id_of().bytes),
        site.unsubscribe_path().rpartition("/")[2],
    ]
    for each in forged:
        for answer in (await site.get(f"/data/{each}"), await do(site, f"/data/{each}", "open")):
            assert (answer.status, READER in await answer.text()) == (404, False), each


# Seeing and taking along.


async def test_everything_is_shown_in_plain_words(site: Site, path: str) -> None:
    answer = await do(site, path, "open")
    shown = await page(answer)
    assert answer.status == 200
    for words in (
        READER, "Ada Lovelace", "English", "The Northwind Letter", "Excursion alerts", "Northwind Society",
        "By subscribing you agree that Northwind Society mails you The Northwind Letter, Excursion alerts.",
        "Somebody, probably you, asked on", "127.0.0.1", "Confirmed", "Consent receipt", "kept until",
        "The mail relay that hands our mails over sees your address", "https://news.example.org/subscribe/letter",
    ):  # fmt: skip
        assert words in shown.words, words


async def test_that_our_staff_looked_is_said(site: Site, path: str, clock: ManualClock) -> None:
    assert "Our staff" not in (await page(await do(site, path, "open"))).words
    for times in ("1 time, on 21 November 2026", "2 times, last on 21 November 2026"):
        await site.house.my_data.held_for_operator(site.id_of(READER), "show", operator="Grace", now=clock.at)
        words = (await page(await do(site, path, "open"))).words
        assert f"Our staff looked at this, or changed something, {times}." in words
        assert "Grace" not in words


async def test_a_page_of_german_data_is_german(site: Site, path: str) -> None:
    shown = await page(await site.post(f"{path}?lang=de", {"do": "open"}))
    assert shown.all("html")[0]["lang"] == "de"
    assert shown.heading == "Was wir über Sie gespeichert haben"
    assert "Mit welchen Worten" in shown.words


@pytest.mark.parametrize(
    ("lang", "words"), [("en", "It welcomes you to a letter"), ("de", "Sie begrüßt Sie bei einem Newsletter")]
)
async def test_a_mail_that_waits_is_said_in_words_to_read_and_to_take_along(
    site: Site, path: str, lang: str, words: str
) -> None:
    await site.house.db.execute(
        "insert into outbox (kind, subscriber_id, list_ids, language, message_id, created_at, expires_at, not_before)"
        " select 'welcome', subscriber_id, '{1}', 'en', gen_random_uuid(), now(), now() + interval '1 day', now()"
        " from subscriber"
    )
    assert f"{words}." in (await page(await site.post(f"{path}?lang={lang}", {"do": "open"}))).words
    taken = json.loads(await (await site.post(f"{path}?lang={lang}", {"do": "json"})).text())
    assert [(row["kind"], row["about"]) for row in taken["mails_waiting"]] == [("welcome", words)]


async def test_a_hostile_name_is_text_and_nothing_else(site: Site, path: str) -> None:
    for name in ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7*7 }}", "Robert'); drop table list;--"):
        answer = await do(site, path, "correct", name=name, language="en")
        text = await answer.text()
        assert answer.status == 200
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "49" not in Page(text).field("name")["value"]  # type: ignore[operator]
        assert Page(text).field("name")["value"] == name
    refused = await do(site, path, "correct", name="Ada\r\nBcc: x@example.org", language="en")
    assert refused.status == 422
    for name in ("=?utf-8?q?x?=", "https://evil.example", "a\u202eb", "x" * 101):
        answer = await do(site, path, "correct", name=name, language="en")
        assert answer.status == 422, name
        assert (await page(answer)).field("name")["aria-invalid"] == "true"


async def test_a_name_is_no_formula_in_the_table(site: Site, path: str) -> None:
    await do(site, path, "correct", name='=HYPERLINK("x")', language="en")
    rows = list(csv.DictReader(io.StringIO((await (await do(site, path, "csv")).text()).removeprefix("\ufeff"))))
    assert [row["value"] for row in rows if (row["about"], row["field"]) == ("person", "name")] == ['\'=HYPERLINK("x")']


async def test_it_can_be_taken_along_as_json_and_as_csv(site: Site, path: str) -> None:
    answer = await do(site, path, "json")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="my-data.json"'
    taken = json.loads(await answer.text())
    assert taken["person"]["address"] == READER
    assert {row["list"]: row["state"] for row in taken["subscriptions"]} == {"letter": "confirmed", "alerts": "confirmed"}
    assert [row["kind"] for row in taken["consent"]] == ["asked", "asked", "confirmed", "confirmed"]
    receipt = taken["receipts"][0]
    assert (receipt["list"], receipt["person"], receipt["withdrawn_at"]) == ("letter", READER, None)
    assert receipt["wording"].startswith("By subscribing you agree")
    assert receipt["asked_at"] == receipt["confirmed_at"] == "2026-11-21T14:05:00+00:00"
    answer = await do(site, path, "csv")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="my-data.csv"'
    rows = list(csv.DictReader(io.StringIO((await answer.text()).removeprefix("\ufeff"))))
    assert {"about": "person", "number": "1", "field": "address", "value": READER} in rows


# Acting.


async def test_what_is_corrected_is_shown_and_on_record(site: Site, path: str) -> None:
    answer = await do(site, path, "correct", name="Countess", language="de")
    shown = await page(answer)
    assert shown.all("html")[0]["lang"] == "de"
    assert "Countess" in await answer.text()
    rows = await site.house.db.fetch(
        "select kind, via, form, list_id from consent_event where kind in ('corrected', 'preferences') order by event_id"
    )
    assert [tuple(row) for row in rows] == [
        ("corrected", "page", "https://news.example.org/data", None),
        ("preferences", "page", "https://news.example.org/data", None),
    ]
    languages = await site.house.db.fetch("select language from subscription order by list_id")
    assert [row[0] for row in languages] == ["de", "en"]  # The second has no German.


async def test_a_language_that_we_do_not_speak_is_refused(site: Site, path: str) -> None:
    assert (await do(site, path, "correct", name="", language="xx")).status == 422
    assert await value(site, "select language from subscriber") == "en"


async def test_one_letter_can_be_ended_and_then_the_other(site: Site, path: str) -> None:
    shown = await page(await do(site, path, "unsubscribe", list="letter"))
    assert "You are unsubscribed" in shown.words
    assert (await site.state(), await site.state(mailing_list=site.alerts)) == ("unsubscribed", "confirmed")
    shown = await page(await do(site, path, "unsubscribe", list="alerts"))
    assert "Will be deleted" in shown.words
    assert await site.state(mailing_list=site.alerts) == "unsubscribed"


async def test_whatever_list_is_named_only_ones_own_can_be_changed(site: Site, path: str) -> None:
    assert (await do(site, path, "unsubscribe", list="nothing")).status == 404
    assert (await do(site, path, "unsubscribe", list="../x")).status == 404
    for months in ("2", "-1", "9999999999", "x", "٣"):
        assert (await do(site, path, "pause", months=months)).status == 422, months
    assert await value(site, "select count(*) from suppression") == 0


async def test_a_pause_is_shown_with_its_end_and_can_be_ended(site: Site, path: str) -> None:
    shown = await page(await do(site, path, "pause", list="letter", months="3"))
    assert "Paused until 21 February 2027." in shown.words
    shown = await page(await do(site, path, "resume", list="letter"))
    assert "Paused until" not in shown.words
    shown = await page(await do(site, path, "pause", months=""))
    assert "All letters are paused until you end it." in shown.words
    await do(site, path, "resume")
    assert await value(site, "select count(*) from suppression") == 0


async def test_an_objection_ends_everything_and_is_lifted_here_alone(site: Site, path: str) -> None:
    shown = await page(await do(site, path, "object", why="too-much"))
    assert "we never write to you again" in shown.words
    assert await site.state() == await site.state(mailing_list=site.alerts) == "unsubscribed"
    words = await value(
        site, "select w.content from consent_event e join wording w using (wording_hash) where e.kind = 'objected'"
    )
    assert words == "I object: never write to me again. There are too many letters."
    await do(site, path, "lift")
    assert await value(site, "select count(*) from suppression") == 0


async def test_the_page_after_erasing_says_what_stays_and_the_link_says_kindly_that_nothing_is_held(
    site: Site, path: str
) -> None:
    shown = await page(await do(site, path, "erase"))
    assert shown.heading == "Everything is deleted"
    assert "A code computed from your address" in shown.words
    assert "The sealed proof that you once subscribed" in shown.words
    assert await value(site, "select count(*) from subscriber") == 0
    for again in ("open", "erase", "unsubscribe", "object"):
        answer = await do(site, path, again)
        shown = await page(answer)
        assert (answer.status, shown.heading) == (200, "We hold no address of yours"), again
        assert READER not in await answer.text()
    assert (await do(site, path, "json")).status == 200


async def test_of_somebody_who_never_confirmed_nothing_stays(site: Site, clock: ManualClock) -> None:
    await site.sign_up()
    await site.work()
    clock.move(minutes=11)
    path = await site.data_path()
    await do(site, path, "erase")
    answer = await do(site, path, "open")
    assert (await page(answer)).heading == "We hold nothing about you"
    for table in ("subscriber", "withdrawal", "suppression", "evidence", "outbox", "confirmation"):
        assert await value(site, f"select count(*) from {table}") == 0, table


async def test_the_address_is_changed_once_the_new_one_confirms(site: Site, path: str, clock: ManualClock) -> None:
    shown = await page(await do(site, path, "move", email=OTHER))
    assert "We wrote to the new address" in shown.words
    await site.work()
    mail = await site.mail_to(OTHER)
    assert "“The Northwind Letter”, “Excursion alerts”" in " ".join((mail.text or "").split())
    assert await site.state() == "confirmed"
    link = next(each for each in (mail.text or "").split() if "/confirm/" in each)
    assert (await site.post(link.removeprefix("https://news.example.org"), {"do": "confirm"})).status == 200
    assert await value(site, "select address from subscriber") == OTHER
    assert await value(site, "select name from subscriber") == "Ada Lovelace"
    assert (await page(await do(site, path, "open"))).heading == "We hold no address of yours"


async def test_changing_to_any_address_answers_the_same(site: Site, path: str) -> None:
    await site.subscribe(OTHER)
    known = await do(site, path, "move", email=OTHER)
    unknown = await do(site, path, "move", email="nobody@example.org")
    assert known.status == unknown.status == 200
    assert "We wrote to the new address" in (await page(known)).words
    assert "We wrote to the new address" in (await page(unknown)).words
    rows = await site.house.db.fetch("select replaces, list_ids from signup_request")
    assert [tuple(row) for row in rows] == [(site.id_of(), [site.letter.list_id, site.alerts.list_id])] * 2


@pytest.mark.parametrize("given", ["", "x", READER, READER.upper(), "a@example.org\r\nBcc: b@example.org", "a,b@example.org"])
async def test_an_address_to_change_to_is_checked_beside_its_field(site: Site, path: str, given: str) -> None:
    answer = await do(site, path, "move", email=given)
    shown = await page(answer)
    assert answer.status == 422
    assert shown.field("email")["aria-invalid"] == "true"
    assert await value(site, "select count(*) from signup_request") == 0


async def test_every_field_of_the_page_has_a_label_and_every_id_is_there_once(site: Site, path: str) -> None:
    for answer in (await do(site, path, "open"), await do(site, path, "move", email="x"), await do(site, path, "erase")):
        shown = await page(answer)
        fields = [*shown.all("input"), *shown.all("select"), *shown.all("textarea")]
        ids = [attributes["id"] for _, attributes in shown.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        assert {each["id"] for each in fields if each.get("type") != "hidden"} == {each["for"] for each in shown.all("label")}
        assert len(shown.all("h1")) == 1
