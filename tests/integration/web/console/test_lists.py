"""Lists in the console: made, changed and closed, by whoever may; what was agreed to stays known."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape

import pytest

from newsletter.app import House
from newsletter.core.keys import id_parts
from newsletter.subscribing.lists import all_lists, list_by_slug
from newsletter.subscribing.reporting import EXACT, PARTS
from tests.conftest import ManualClock
from tests.integration.web.console.conftest import Operator, location
from tests.integration.web.site import Page, Site

LISTS = "/console/lists"
HOSTILE = "\"><script>alert(1)</script>{ 7 * 7 }'"
NEW = {
    "slug": "harbour",
    "name.en": "The Harbour Letter",
    "description.en": "Every spring.",
    "default": "en",
    "sender": "Northwind Society",
    "time_zone": "Europe/Berlin",
    "public": "yes",
}
SENDER = {
    "sender_name": "Harbour Office",
    "from_address": "office@harbour.example",
    "postal_address": "Quay 1, Flensburg",
    "contact": "",
    "reply_to": "",
    "legal_notice": "",
}


def fields_of(markup: str) -> dict[str, str]:
    """What a browser would send of the page's form."""
    page = Page(markup)
    fields = {
        each["name"]: each.get("value") or "" for each in page.all("input") if each.get("name") and each["name"] != "seal"
    }
    for name, content in re.findall(r'<textarea id="[^"]*" name="([^"]*)"[^>]*>\n?(.*?)</textarea>', markup, re.DOTALL):
        fields[name] = unescape(content)
    for name, options in re.findall(r'<select id="[^"]*" name="([^"]*)"[^>]*>(.*?)</select>', markup, re.DOTALL):
        chosen = re.search(r'value="([^"]*)" selected', options) or re.search(r'value="([^"]*)"', options)
        fields[name] = unescape(chosen[1]) if chosen else ""
    return {name: value for name, value in fields.items() if name is not None}


async def seen(who: Operator, path: str) -> str:
    """What a form of this moment says it began from."""
    return fields_of(await (await who.get(path)).text())["seen"]


async def test_a_list_is_made_shown_and_in_the_log(editor: Operator, house: House) -> None:
    answer = await editor.post(f"{LISTS}/new", NEW)
    assert (answer.status, location(answer)) == (303, f"{LISTS}/harbour?done=list_made")
    page = await editor.page(f"{LISTS}/harbour")
    assert page.heading == "The Harbour Letter"
    assert f'action="{house.links.subscribe("harbour")}"' in page.words
    assert ("list.create", "list harbour") in await editor.done()
    assert "The Harbour Letter" in (await editor.page(LISTS)).words


async def test_a_list_can_be_made_with_a_sender_of_its_own(editor: Operator, house: House) -> None:
    assert (await editor.post(f"{LISTS}/new", NEW | SENDER | {"sender": ""})).status == 303
    made = await list_by_slug(house.db, "harbour")
    assert (made.sender.name, made.sender.contact) == ("Harbour Office", "office@harbour.example")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"slug": "Harbour!"}, "slug"),
        ({"slug": "letter"}, "slug"),
        ({"slug": "new"}, "slug"),
        ({"name.en": ""}, "name.en"),
        ({"name.en": "=?utf-8?q?x?="}, "name.en"),
        ({"name.de": "x" * 101}, "name.de"),
        ({"description.de": "x" * 501, "name.de": "Brief"}, "description.de"),
        ({"wording.en": "x" * 401}, "wording.en"),
        ({"wording.de": "a\x07b", "wording.en": "x" * 400, "name.de": "Brief"}, "wording.de"),
        ({"welcome_subject.en": "Hello"}, "welcome_text.en"),
        ({"welcome_text.de": "Guten Tag", "name.de": "Brief"}, "welcome_subject.de"),
        ({"welcome_subject.en": "=?utf-8?q?x?=", "welcome_text.en": "Hello"}, "welcome_subject.en"),
        ({"welcome_subject.en": "Hello", "welcome_text.en": "x" * 5001}, "welcome_text.en"),
        ({"default": "de"}, "default"),
        ({"time_zone": "Europe/Atlantis"}, "time_zone"),
        ({"return_urls": "javascript:alert(1)"}, "return_urls"),
        ({"rate": "fast"}, "rate"),
        ({"rate": "-1"}, "rate"),
        ({"rate": "nan"}, "rate"),
        ({"sender": "Nobody"}, "sender"),
        (SENDER | {"sender": "", "sender_name": ""}, "sender_name"),
        (SENDER | {"sender": "", "from_address": "office"}, "from_address"),
        (SENDER | {"sender": "", "legal_notice": "imprint"}, "legal_notice"),
        (SENDER | {"sender": "", "sender_name": "Northwind Society"}, "sender_name"),
    ],
)
async def test_what_does_not_fit_is_said_beside_its_field_and_nothing_typed_is_lost(
    editor: Operator, house: House, change: dict[str, str], field: str
) -> None:
    given = NEW | {"description.en": "A line that took long."} | change
    answer = await editor.post(f"{LISTS}/new", given)
    markup = await answer.text()
    assert answer.status == 422
    assert f'id="{field}-error"' in markup
    typed = {name: value for name, value in given.items() if name not in ("sender", "time_zone")}  # The others are chosen.
    assert fields_of(markup) | typed == fields_of(markup)
    assert len(await all_lists(house.db)) == 2


async def test_what_is_saved_unchanged_stays_as_it_was(editor: Operator, house: House) -> None:
    before = await list_by_slug(house.db, "letter")
    form = await (await editor.get(f"{LISTS}/letter/edit")).text()
    assert (await editor.post(f"{LISTS}/letter/edit", fields_of(form))).status == 303
    assert await list_by_slug(house.db, "letter") == before
    assert ("list.edit", "list letter: nothing") in await editor.done()


async def test_a_list_is_changed(editor: Operator, house: House) -> None:
    form = fields_of(await (await editor.get(f"{LISTS}/letter/edit")).text())
    form |= {"name.en": "The New Letter", "default": "de", "public": "no", "rate": "2.5", "return_urls": "https://a.example/b"}
    assert (await editor.post(f"{LISTS}/letter/edit", form)).status == 303
    after = await list_by_slug(house.db, "letter")
    assert (after.text("en").name, after.languages, after.public, after.rate) == ("The New Letter", ("de", "en"), False, 2.5)
    assert after.return_urls == ("https://a.example/b",)
    assert ("list.edit", "list letter: words, languages, visibility, sites, rate") in await editor.done()


async def test_a_welcome_is_off_written_shown_to_everybody_and_taken_back(
    editor: Operator, viewer: Operator, house: House
) -> None:
    path = f"{LISTS}/letter"
    assert "<dt>Welcome mail</dt><dd>none</dd>" in await (await viewer.get(path)).text()
    form = fields_of(await (await editor.get(f"{path}/edit")).text())
    typed = "Hello <b>you</b>.  \r\n\r\n\r\n\tSee https://northwind.example/\r\n"
    assert (await editor.post(f"{path}/edit", form | {"welcome_subject.en": " Hi ", "welcome_text.en": typed})).status == 303
    text = (await list_by_slug(house.db, "letter")).text("en")
    assert (text.welcome_subject, text.welcome_text) == ("Hi", "Hello <b>you</b>.\n\n See https://northwind.example/")
    assert ("list.edit", "list letter: words") in await editor.done()
    markup = await (await viewer.get(path)).text()
    assert "Hello &lt;b&gt;you&lt;/b&gt;." in markup
    assert "<dt>Welcome mail</dt><dd>English</dd>" in markup
    assert "How readers are welcomed" in markup
    assert (await editor.post(f"{path}/edit", form | {"seen": await seen(editor, f"{path}/edit")})).status == 303
    assert "How readers are welcomed" not in await (await viewer.get(path)).text()
    assert (await list_by_slug(house.db, "letter")).text("en").welcome_text == ""


async def test_of_two_who_edit_a_list_the_second_is_told_and_loses_nothing(editor: Operator, house: House) -> None:
    path = f"{LISTS}/letter/edit"
    first = second = fields_of(await (await editor.get(path)).text())
    assert (await editor.post(path, first | {"description.en": "Theirs, <b>new</b>"})).status == 303
    answer = await editor.post(path, second | {"name.en": "Mine"})
    text = await answer.text()
    assert answer.status == 409
    assert "somebody else has changed this meanwhile" in text
    assert "Theirs, &lt;b&gt;new&lt;/b&gt;" in text
    assert fields_of(text)["name.en"] == "Mine"
    assert (await list_by_slug(house.db, "letter")).texts["en"].name == "The Northwind Letter"
    assert (await editor.post(path, fields_of(text))).status == 303, "having read that, it is meant"
    assert (await list_by_slug(house.db, "letter")).texts["en"].name == "Mine"


async def test_of_two_who_edit_a_sender_the_second_is_told(editor: Operator, house: House) -> None:
    path = f"/console/senders/{(await list_by_slug(house.db, 'letter')).sender.sender_id}/edit"
    first = second = fields_of(await (await editor.get(path)).text())
    assert (await editor.post(path, first | {"contact": "data@northwind.example"})).status == 303
    answer = await editor.post(path, second | {"postal_address": "Quay 1"})
    assert answer.status == 409
    assert "data@northwind.example" in await answer.text()
    assert (await list_by_slug(house.db, "letter")).sender.postal_address != "Quay 1"


async def test_a_language_goes_only_where_nobody_reads_in_it(editor: Operator, house: House, site: Site) -> None:
    form = fields_of(await (await editor.get(f"{LISTS}/letter/edit")).text()) | {"name.de": ""}
    await site.sign_up("ada@example.org", lang="de")
    await site.work()
    refused = await editor.post(f"{LISTS}/letter/edit", form)
    assert refused.status == 422
    assert 'id="name.de-error"' in await refused.text()
    await house.db.execute("update subscription set language = 'en'")
    assert (await editor.post(f"{LISTS}/letter/edit", form)).status == 303
    assert (await list_by_slug(house.db, "letter")).languages == ("en",)


async def test_a_sender_changes_for_all_of_its_lists_and_says_so(editor: Operator, house: House) -> None:
    path = f"/console/senders/{(await list_by_slug(house.db, 'letter')).sender.sender_id}/edit"
    page = await editor.get(path)
    markup = await page.text()
    assert "This sender has 2 lists: alerts, letter." in markup
    form = fields_of(markup) | {"sender_name": "Northwind", "relay": "127.0.0.1"}
    relay = house.settings.relays[0].name
    assert (await editor.post(path, form | {"relay": relay})).status == 303
    assert {(each.sender.name, each.sender.relay) for each in await all_lists(house.db)} == {("Northwind", relay)}
    wrong = await editor.post(path, form | {"relay": "elsewhere"})
    assert (wrong.status, 'id="relay-error"' in await wrong.text()) == (422, True)
    assert any(action == "sender.edit" for action, _ in await editor.done())


async def test_closing_says_first_what_happens_and_asks_for_the_name(editor: Operator, house: House) -> None:
    assert "cannot be taken back" in (await editor.page(f"{LISTS}/letter/close")).words
    assert (await editor.post(f"{LISTS}/letter/close", {"slug": "alerts"})).status == 422
    assert not (await list_by_slug(house.db, "letter")).closed
    assert (await editor.post(f"{LISTS}/letter/close", {"slug": "letter"})).status == 303
    assert (await list_by_slug(house.db, "letter")).closed
    assert "This list is closed." in (await editor.page(f"{LISTS}/letter")).words
    for path in ("edit", "close", "add"):
        assert (await editor.get(f"{LISTS}/letter/{path}")).status == 409


async def test_evidence_holds_the_words_that_were_shown_even_when_they_have_changed_since(
    editor: Operator, house: House, site: Site, clock: ManualClock
) -> None:
    before = Page(await (await site.get("/subscribe/letter")).text())
    shown = str(before.field("wording")["value"])
    clock.move(hours=1)
    form = fields_of(await (await editor.get(f"{LISTS}/letter/edit")).text())
    assert (await editor.post(f"{LISTS}/letter/edit", form | {"wording.en": "Tide news by mail, gladly."})).status == 303
    after = Page(await (await site.get("/subscribe/letter")).text())
    assert "Tide news by mail, gladly. You can unsubscribe at any time." in after.words
    # Known by being decided on, though nobody has seen them.
    await editor.post(f"{LISTS}/letter/edit", form | {"seen": await seen(editor, f"{LISTS}/letter/edit")})
    for address, code in (("old@example.org", shown), ("new@example.org", str(after.field("wording")["value"]))):
        await site.sign_up(address, wording=code)
    await site.sign_up("forged@example.org", wording="0" * 64)
    await site.sign_up("silent@example.org")
    await site.work()
    rows = await house.db.fetch(
        """select p.address, w.content from consent_event e join subscriber p using (subscriber_id)
           join wording w using (wording_hash)"""
    )
    ours = "By subscribing you agree that Northwind Society mails you The Northwind Letter. You can unsubscribe at any time."
    assert dict(map(tuple, rows)) == {
        "old@example.org": ours,
        "new@example.org": "Tide news by mail, gladly. You can unsubscribe at any time.",
        "forged@example.org": ours,
        "silent@example.org": ours,
    }
    page = await editor.page(f"{LISTS}/letter")
    assert page.words.count("Tide news by mail, gladly. You can unsubscribe at any time.") == 1  # Among the versions.


async def test_the_form_to_copy_works_and_records_what_it_shows(editor: Operator, house: House, site: Site) -> None:
    markup = await (await editor.get(f"{LISTS}/letter")).text()
    form = re.search(r"data-copy>(.*?)</pre>", markup, re.DOTALL)
    assert form
    embedded = Page(unescape(form[1]))
    fields = {str(each["name"]): str(each["value"]) for each in embedded.all("input") if each.get("type") == "hidden"}
    answer = await site.post("/subscribe/letter", {"email": "ada@example.org"} | fields)
    assert answer.status == 303  # On to the site's own page.
    (request,) = await site.requests()
    shown = await house.db.fetchval("select content from wording where wording_hash = $1", request["wording_hash"])
    assert shown in " ".join(embedded.words.split())


async def test_small_lists_are_counted_at_each_look_and_large_ones_as_they_were(
    editor: Operator, house: House, clock: ManualClock
) -> None:
    await house.db.execute(
        """with people as (
             insert into subscriber (subscriber_id, address, domain, language, created_at)
             select gen_random_uuid(), n || '@example.org', 'example.org', 'en', $1 from generate_series(1, $2::integer) n
             returning subscriber_id)
           insert into subscription (subscriber_id, list_id, state, language, requested_at, confirmed_at)
           select subscriber_id, 1, 'confirmed', 'en', $1, $1 from people""",
        clock.at,
        EXACT + 1,
    )
    size = await house.list_reports.size(1)
    assert (size.confirmed, size.is_least) == (EXACT, True)
    await house.list_reports.count(now=clock.at)
    clock.move(minutes=3)
    size = await house.list_reports.size(1)
    assert (size.confirmed, size.is_least, size.counted_at) == (EXACT + 1, False, clock.at - timedelta(minutes=3))
    assert "1,001" in (await editor.page(LISTS)).words
    await house.db.execute("delete from subscription where subscriber_id in (select subscriber_id from subscription limit 2)")
    size = await house.list_reports.size(1)
    assert (size.confirmed, size.counted_at) == (EXACT - 1, None)


async def test_a_count_in_parts_counts_everybody_once(site: Site, house: House, clock: ManualClock) -> None:
    """Also who stands at the edges of a part."""
    edges = [edge for part in id_parts(PARTS) for edge in part]
    await house.db.execute(
        """with people as (
             insert into subscriber (subscriber_id, address, domain, language, created_at)
             select id, id || '@example.org', 'example.org', 'en', $2 from unnest($1::uuid[]) id returning subscriber_id)
           insert into subscription (subscriber_id, list_id, state, language, requested_at, confirmed_at, expires_at,
                                     unsubscribed_at, unsubscribed_via)
           select subscriber_id, list_id, state, 'en', $2, case when state <> 'pending' then $2::timestamptz end,
                  case when state = 'pending' then $2::timestamptz end,
                  case when state = 'unsubscribed' then $2::timestamptz end, case when state = 'unsubscribed' then 'link' end
           from people, unnest('{1,2}'::integer[]) list_id,
                lateral (select case when list_id = 1 then 'confirmed' when subscriber_id < $3 then 'pending'
                                else 'unsubscribed' end) which (state)""",
        edges,
        clock.at,
        edges[10],
    )
    await house.list_reports.count(now=clock.at)
    rows = await house.db.fetch("select list_id, confirmed, pending, unsubscribed from list_size order by list_id")
    assert [tuple(row) for row in rows] == [(1, 2 * PARTS, 0, 0), (2, 0, 10, 2 * PARTS - 10)]


async def test_growth_and_churn_are_a_chart_with_its_table(editor: Operator, house: House, clock: ManualClock) -> None:
    day = clock.at.date()
    for back, confirmed, unsubscribed in ((0, 30, 4), (40, 20, 10), (500, 99, 99)):
        await house.db.execute(
            "insert into list_day (list_id, day, confirmed, unsubscribed) values (1, $1, $2, $3)",
            day - timedelta(days=back),
            confirmed,
            unsubscribed,
        )
    page = await editor.page(f"{LISTS}/letter")
    assert "In twelve months 50 came and 14 left: 36 more" in page.words
    assert "October 2026" in page.words
    assert len([each for each in page.all("rect") if each["class"] == "came" and each["height"] != "0"]) >= 2


@pytest.mark.parametrize("path", [f"{LISTS}/new", f"{LISTS}/letter/edit", f"{LISTS}/letter/close", "/console/senders/1/edit"])
async def test_who_may_only_look_changes_nothing(viewer: Operator, path: str) -> None:
    assert (await viewer.get(path)).status == 403
    assert (await viewer.post(path, NEW)).status == 403
    seen = Page(await (await viewer.get(f"{LISTS}/letter")).text())
    assert not [value for _, value in seen.addresses if value.endswith(("/edit", "/close", "/add"))]
    assert not [value for _, value in seen.addresses if "/subscribers" in value]


async def test_what_operators_type_is_text_and_nothing_else(editor: Operator) -> None:
    words = {f"{field}.{language}": HOSTILE for field in ("name", "description", "wording") for language in ("en", "de")}
    assert (await editor.post(f"{LISTS}/new", NEW | words | SENDER | {"sender": "", "sender_name": HOSTILE})).status == 303
    paths = [LISTS, f"{LISTS}/harbour", f"{LISTS}/harbour/edit", f"{LISTS}/harbour/close", "/console/senders/2/edit"]
    for path in [*paths, f"{LISTS}/harbour/add", "/console/subscribers"]:
        markup = await (await editor.get(path)).text()
        assert "<script>alert" not in markup
