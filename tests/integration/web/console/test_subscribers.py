"""Readers in the console: found by those who may see addresses, at any depth; and what people may ask for, with evidence."""

from __future__ import annotations

import base64
import html
import json
import re
from datetime import timedelta
from uuid import UUID

import pytest

from newsletter.app import House
from newsletter.subscribing.browsing import PAGE, SEARCH_LIVES, Filter, Standing
from newsletter.subscribing.lists import close_list
from newsletter.web.console.subscribers import ACTS
from tests.conftest import ManualClock
from tests.integration.web.console.conftest import Operator, location
from tests.integration.web.site import Page, Site

HERE = "/console/subscribers"
NOBODY = f"{HERE}/00000000-0000-8000-8000-000000000000"
ADA, BEN = "Ada.Reader@example.org", "ben@example.org"
MAKE = """
    with people as (
      insert into subscriber (subscriber_id, address, domain, language, created_at)
      select gen_random_uuid(), 'person' || lpad(n::text, 4, '0') || '@example.org', 'example.org', 'en', $1
      from generate_series(1, $2::integer) n returning subscriber_id)
    insert into subscription (subscriber_id, list_id, state, language, requested_at, confirmed_at, expires_at)
    select subscriber_id, $3::integer, $4::text, 'en', $1::timestamptz, case when $4 = 'confirmed' then $1::timestamptz end,
           case when $4 = 'pending' then $5::timestamptz end
    from people"""


async def make(house: House, clock: ManualClock, count: int, *, list_id: int = 1, state: str = "confirmed") -> None:
    await house.db.execute(MAKE, clock.at, count, list_id, state, clock.at + timedelta(hours=24))


def links(page: Page, rel: str) -> list[str]:
    return [str(each["href"]) for each in page.all("a") if each.get("rel") == rel]


def shown(page: Page) -> list[str]:
    return [str(each["href"]) for each in page.all("a") if re.fullmatch(rf"{HERE}/[0-9a-f-]{{36}}", str(each["href"]))]


async def test_everybody_is_seen_once_page_by_page_forwards_and_back(
    editor: Operator, house: House, clock: ManualClock
) -> None:
    await make(house, clock, 2 * PAGE + 7)
    page = await editor.page(HERE)
    pages = [shown(page)]
    while following := links(page, "next"):
        page = await editor.page(following[0])
        pages.append(shown(page))
    assert [len(each) for each in pages] == [PAGE, PAGE, 7]
    assert len({each for some in pages for each in some}) == 2 * PAGE + 7
    back = [shown(page)]
    while previous := links(page, "prev"):
        page = await editor.page(previous[0])
        back.append(shown(page))
    assert back[::-1] == pages


@pytest.mark.parametrize(
    "standing", [Standing.CONFIRMED, Standing.PENDING, Standing.UNSUBSCRIBED, Standing.PAUSED, Standing.ANY]
)
async def test_a_page_holds_those_of_the_list_and_state_in_one_order(
    editor: Operator, house: House, clock: ManualClock, standing: Standing
) -> None:
    await make(house, clock, PAGE + 3)
    await make(house, clock, PAGE + 5, state="pending", list_id=2)
    await house.db.execute("update subscriber set address = subscriber_id || '@example.net' where true")
    await house.db.execute(
        """update subscription set state = 'unsubscribed', unsubscribed_at = $1, unsubscribed_via = 'link'
           where subscriber_id in (select subscriber_id from subscription where list_id = 1 order by 1 limit 2)""",
        clock.at,
    )
    await house.db.execute(
        """insert into suppression (subscriber_id, list_id, reason, since)
           select subscriber_id, list_id % 2, 'restricted', $1 from subscription order by subscriber_id limit 40""",
        clock.at,
    )
    for slug, list_id in (("", None), ("letter", 1), ("alerts", 2)):
        rows = await house.db.fetch(
            """select distinct s.subscriber_id from subscription s where ($1::integer is null or s.list_id = $1)
               and ($2 in ('', s.state) or $2 = 'paused') order by 1""",
            list_id,
            standing.value,
        )
        wanted = [row[0] for row in rows]
        if standing is Standing.PAUSED:
            rows = await house.db.fetch(
                """select distinct subscriber_id from suppression where $1::integer is null or list_id in (0, $1) order by 1""",
                list_id,
            )
            wanted = [row[0] for row in rows]
        found: list[UUID] = []
        after: UUID | None = None
        while True:
            page = await house.browsing.page(Filter(slug, standing), after=after, by="test", now=clock.at)
            found += [each.subscriber_id for each in page.people]
            if page.after is None:
                break
            after = page.after
        assert found == wanted
        if len(wanted) > PAGE:
            before = await house.browsing.page(Filter(slug, standing), before=wanted[PAGE], by="test", now=clock.at)
            assert [each.subscriber_id for each in before.people] == wanted[:PAGE]


async def test_a_whole_address_leads_to_its_reader_however_it_is_written(editor: Operator, site: Site) -> None:
    await site.subscribe(ADA)
    for typed in (ADA, ADA.lower(), f"  {ADA.upper()} "):
        answer = await editor.post(HERE, {"address": typed})
        assert (answer.status, location(answer)) == (303, f"{HERE}/{site.id_of(ADA)}")
    assert ("subscriber.find", "a whole address") in await editor.done()


async def test_whether_an_address_is_held_is_asked_on_record_and_known_to_whom_it_belongs(
    editor: Operator, site: Site, house: House
) -> None:
    """The redirect alone tells it, so that the line must not wait for somebody to follow it."""
    await site.subscribe(ADA)
    about = """select s.subscriber_id from audit_log a left join audit_subject s using (audit_id)
               where a.action = 'subscriber.find' order by a.audit_id"""
    for typed, whose in ((BEN, [None]), (ADA, [None, site.id_of(ADA)])):
        assert (await editor.post(HERE, {"address": typed})).status == 303
        assert [row[0] for row in await house.db.fetch(about)] == whose
    copy = json.loads(await (await editor.post(f"{HERE}/{site.id_of(ADA)}/take/json")).text())
    assert "Looked for this address" in [each["what"] for each in copy["done_by_our_staff"]]


async def search(operator: Operator, typed: str) -> str:
    """The address that typing this leads to."""
    answer = await operator.post(HERE, {"address": typed})
    assert answer.status == 303
    return location(answer)


async def test_the_beginning_of_an_address_finds_all_that_begin_so_page_by_page(
    editor: Operator, house: House, clock: ManualClock
) -> None:
    await make(house, clock, PAGE + 2)
    await house.db.execute("update subscriber set address = upper(left(address, 1)) || substr(address, 2) where address ~ '7'")
    first = await editor.page(await search(editor, " PERSON0"))
    assert (len(shown(first)), first.field("address")["value"]) == (PAGE, "PERSON0")
    second = await editor.page(*links(first, "next"))
    assert len({*shown(first), *shown(second)}) == len(shown(first)) + len(shown(second)) == PAGE + 2
    assert not links(second, "next")
    (back,) = (value for _, value in second.addresses if "search=" in value)
    assert shown(await editor.page(back)) == shown(first)
    assert len(shown(await editor.page(await search(editor, "person001")))) == 10
    assert ("subscriber.find", "the beginning of an address") in await editor.done()


async def test_a_search_stands_in_an_address_so_that_nobody_else_reads_it_and_in_no_log(
    editor: Operator, house: House, clock: ManualClock, capsys: pytest.CaptureFixture[str]
) -> None:
    await make(house, clock, PAGE + 2)
    first = await search(editor, "person")
    second = links(await editor.page(first), "next")[0]
    for typed, where in (("person", first), ("person", second), ("person00", second)):
        octets = base64.urlsafe_b64decode(where.partition("search=")[2] + "===")
        assert typed.encode() not in octets
        assert typed not in where
    assert first != await search(editor, "person")
    assert len(first) == len(await search(editor, "person0049@example"))
    logged = capsys.readouterr().out
    assert logged.count("route=/console/subscribers") == 4
    assert not [word for word in ("person", "search=") if word in logged]


@pytest.mark.parametrize("how", ["later", "elsewhere", "changed", "made up"])
async def test_a_search_that_is_not_good_any_more_says_so_and_asks_again(
    editor: Operator, owner: Operator, house: House, clock: ManualClock, how: str
) -> None:
    await make(house, clock, 3)
    where = await search(editor, "person")
    clock.at += SEARCH_LIVES - timedelta(seconds=1)
    assert len(shown(await editor.page(where))) == 3
    if how == "later":
        clock.at += timedelta(seconds=1)
    asked = {"changed": f"{where[:-3]}AAA", "made up": f"{HERE}?search=abc"}.get(how, where)
    answer = await (owner if how == "elsewhere" else editor).get(asked)
    page = Page(await answer.text())
    assert answer.status == 410
    assert "Please type the address again" in page.words
    assert (page.field("address")["value"], shown(page)) == ("", [])


@pytest.mark.parametrize("typed", ["", "pe", "per%", "per_on", "per\\", "per'son", "\x00\x01\x02\x03", "p" * 300, "%%%%"])
async def test_wildcards_and_nonsense_find_nobody(editor: Operator, house: House, clock: ManualClock, typed: str) -> None:
    await make(house, clock, 3)
    answer = await editor.post(HERE, {"address": typed})
    assert answer.status in (303, 422, 400)
    page = await editor.page(location(answer)) if answer.status == 303 else Page(await answer.text())
    assert not shown(page)


async def test_nobody_found_is_said_and_what_is_kept_of_the_deleted_can_be_seen(
    editor: Operator, site: Site, house: House
) -> None:
    unknown = await editor.page(await search(editor, "who@example.org"))
    assert "Nobody here has this address" in unknown.words
    assert (await editor.get(f"{HERE}/{site.id_of('who@example.org')}")).status == 404
    await site.subscribe(ADA)
    assert (await editor.post(f"{HERE}/{site.id_of(ADA)}/erase")).status == 303
    gone = await editor.page(f"{HERE}/{site.id_of(ADA)}")
    assert gone.heading == "A reader who was deleted"
    assert ADA not in gone.words


async def test_one_readers_page_shows_what_is_held(editor: Operator, site: Site, house: House) -> None:
    await site.subscribe(ADA)
    page = await editor.page(f"{HERE}/{site.id_of(ADA)}")
    assert page.heading == ADA
    for words in ("The Northwind Letter", "By subscribing you agree", "Confirmed", "Deliveries", "90 days"):
        assert words in page.words
    assert ("subscriber.show", "a subscriber") in await editor.done()


async def test_no_title_holds_an_address(editor: Operator, site: Site) -> None:
    """Browsers keep titles, and show them to whoever sits there next."""
    await site.subscribe(ADA)
    who = f"{HERE}/{site.id_of(ADA)}"
    for path in (who, *(f"{who}/{act}" for act in ACTS), f"{HERE}?list=letter"):
        text = await (await editor.get(path)).text()
        (title,) = re.findall("<title>(.*?)</title>", text)
        assert "@" not in html.unescape(title), path
        if path.startswith(who):
            assert ADA in html.unescape("".join(re.findall("<h1>(.*?)</h1>", text))), path


async def test_no_address_stands_in_any_url_or_in_the_log(editor: Operator, site: Site, house: House) -> None:
    await site.subscribe(ADA)
    one = f"{HERE}/{site.id_of(ADA)}"
    pages = [await editor.page(path) for path in (HERE, one, f"{one}/erase", f"{one}/correct", f"{one}/pause")]
    pages.append(await editor.page(await search(editor, "ada")))
    assert len(shown(pages[-1])) == 1
    for page in pages:
        assert not [value for _, value in page.addresses if "ada.reader" in value.lower()]
    await editor.post(f"{one}/take/json")
    await editor.post(f"{one}/pause", {"list": "letter"})
    await editor.post(f"{one}/erase")
    lines = await house.db.fetch("select a::text from audit_log a where operator = 'Editor'")
    assert lines
    assert not [row[0] for row in lines if "ada" in row[0].lower() or str(site.id_of(ADA)) in row[0]]


async def test_data_is_exported_and_a_receipt_given(editor: Operator, site: Site) -> None:
    await site.subscribe(ADA)
    one = f"{HERE}/{site.id_of(ADA)}"
    as_json = await editor.post(f"{one}/take/json")
    assert as_json.headers["Content-Disposition"] == 'attachment; filename="subscriber.json"'
    assert json.loads(await as_json.text())["person"]["address"] == ADA
    assert ADA in await (await editor.post(f"{one}/take/csv")).text()
    receipt = Page(await (await editor.post(f"{one}/take/receipt")).text())
    assert "By subscribing you agree that Northwind Society mails you The Northwind Letter." in receipt.words
    done = [action for action, _ in await editor.done()]
    assert (done.count("subscriber.export"), done.count("subscriber.receipt")) == (2, 1)


async def test_each_right_says_first_what_will_happen_and_changes_nothing_by_being_looked_at(
    editor: Operator, site: Site
) -> None:
    await site.subscribe(ADA)
    one = f"{HERE}/{site.id_of(ADA)}"
    before = {
        table: rows for table, rows in (await site.database()).items() if "audit" not in table and "operator" not in table
    }
    for act in ("correct", "pause", "resume", "unsubscribe", "object", "erase"):
        page = await editor.page(f"{one}/{act}")
        assert "What will happen" in page.words
    after = await site.database()
    assert {table: after[table] for table in before} == before


async def test_rights_are_exercised_as_an_operator_and_written_down(
    editor: Operator, site: Site, house: House, clock: ManualClock
) -> None:
    await site.subscribe(ADA)
    one = f"{HERE}/{site.id_of(ADA)}"
    for act, form in (
        ("correct", {"name": "Ada", "language": "de"}),
        ("pause", {"list": "letter", "months": "3"}),
        ("resume", {"list": "letter"}),
        ("pause", {"list": "", "months": ""}),
        ("resume", {"list": ""}),
        ("unsubscribe", {"list": "letter"}),
    ):
        answer = await editor.post(f"{one}/{act}", form)
        assert (answer.status, location(answer).partition("?")[0]) == (303, one), act
    assert await site.state(ADA) == "unsubscribed"
    events = await house.db.fetch("select kind, via, form from consent_event order by event_id")
    ours = [(row["kind"], row["form"]) for row in events if row["via"] == "operator"]
    kinds = ["corrected", "preferences", "restricted", "resumed", "restricted", "resumed", "unsubscribed"]
    assert ours == [(kind, "console") for kind in kinds]
    verbs = [action for action, _ in await editor.done() if action.startswith("subscriber.")]
    assert verbs == [f"subscriber.{verb}" for verb in ("correct", "restrict", "resume", "restrict", "resume", "unsubscribe")]
    assert not await house.db.fetchval(
        "select exists (select from consent_origin o join consent_event e using (subscriber_id, event_id) "
        "where e.via = 'operator' and (o.network is not null or o.agent <> ''))"
    )


async def test_an_objection_ends_everything(editor: Operator, site: Site) -> None:
    await site.subscribe(ADA)
    one = f"{HERE}/{site.id_of(ADA)}"
    assert (await editor.post(f"{one}/object", {"why": "too-much"})).status == 303
    assert "This person objected." in (await editor.page(one)).words
    assert await site.state(ADA) == "unsubscribed"


async def test_what_does_not_fit_is_said_and_kept(editor: Operator, site: Site) -> None:
    await site.subscribe(ADA)
    answer = await editor.post(f"{HERE}/{site.id_of(ADA)}/correct", {"name": "Ada www.evil.example", "language": "en"})
    page = Page(await answer.text())
    assert answer.status == 422
    assert page.field("name")["value"] == "Ada www.evil.example"
    assert page.field("name")["aria-invalid"] == "true"
    assert (await editor.post(f"{HERE}/{site.id_of(ADA)}/unsubscribe", {"list": "alerts"})).status == 422
    for months in ("2", "-1", "²", "1" * 30):
        refused = await editor.post(f"{HERE}/{site.id_of(ADA)}/pause", {"list": "letter", "months": months})
        assert (refused.status, "A pause lasts 1, 3 or 6 months" in await refused.text()) == (422, True), months


@pytest.mark.parametrize("act", ["pause", "unsubscribe", "object", "erase", "take/json"])
async def test_somebody_who_is_gone_meanwhile_is_no_error(editor: Operator, act: str) -> None:
    answer = await editor.post(f"{NOBODY}/{act}")
    assert answer.status in (200, 303)


# Adding by hand.


async def test_who_is_added_by_hand_confirms_like_everybody(editor: Operator, site: Site, house: House) -> None:
    answer = await editor.post("/console/lists/letter/add", {"email": BEN, "name": "Ben", "language": "de"})
    assert (answer.status, location(answer)) == (303, "/console/lists/letter/add?done=asked_by_hand")
    await site.work()
    assert await site.state(BEN) == "pending"
    assert "confirm/" in ((await site.mail_to(BEN)).text or "")
    event = await house.db.fetchrow(
        "select e.via, e.form, e.language, w.content from consent_event e join wording w using (wording_hash)"
    )
    assert (event["via"], event["form"], event["language"]) == ("operator", "entered by an operator", "de")
    assert event["content"].startswith("Es gab kein Formular")
    assert ("subscriber.add", "list letter") in await editor.done()
    assert not await house.db.fetchval("select count(*) from consent_origin where network is not null")


async def test_adding_says_the_same_of_a_known_address_and_keeps_its_limits(editor: Operator, site: Site, house: House) -> None:
    await site.subscribe(ADA)
    answers = [await editor.post("/console/lists/letter/add", {"email": each}) for each in (ADA, BEN, BEN)]
    assert len({(each.status, location(each)) for each in answers}) == 1
    await site.work()
    assert await house.db.fetchval("select count(*) from consent_event where kind = 'asked' and via = 'operator'") == 1
    house.joining._config = type(house.joining._config)(**(vars(house.joining._config) | {"signups_per_network_hour": 1}))
    limited = await editor.post("/console/lists/letter/add", {"email": "eve@example.org"})
    assert (limited.status, "Too many sign-ups" in await limited.text()) == (422, True)


async def test_a_form_of_another_site_cannot_pass_for_an_operator(site: Site, house: House) -> None:
    await site.post("/subscribe/letter", {"email": BEN}, headers={"Referer": "entered by an operator"})
    await site.work()
    assert await house.db.fetchval("select via from consent_event") == "form"


async def test_adding_to_a_private_list_works_and_to_a_closed_one_does_not(
    editor: Operator, site: Site, house: House, clock: ManualClock
) -> None:
    await house.db.execute("update list set visibility = 'private' where slug = 'alerts'")
    assert (await editor.post("/console/lists/alerts/add", {"email": BEN})).status == 303
    wrong = await editor.post("/console/lists/alerts/add", {"email": "ben"})
    assert (wrong.status, Page(await wrong.text()).field("email")["value"]) == (422, "ben")
    await close_list(house.db, "alerts", now=clock.at)
    assert (await editor.post("/console/lists/alerts/add", {"email": BEN})).status == 409


@pytest.mark.parametrize("path", [HERE, NOBODY, f"{NOBODY}/erase", "/console/lists/letter/add"])
async def test_addresses_are_not_for_who_may_only_look(viewer: Operator, path: str) -> None:
    assert (await viewer.get(path)).status == 403
    if path != NOBODY:
        assert (await viewer.post(path)).status == 403


async def test_what_strangers_typed_is_text_on_the_page(editor: Operator, site: Site, house: House) -> None:
    hostile = '"><script>alert(1)</script>'
    await site.subscribe(ADA)
    await house.db.execute("update subscriber set name = $1", hostile)
    paths = [HERE, f"{HERE}/{site.id_of(ADA)}", f"{HERE}/{site.id_of(ADA)}/correct"]
    for path in paths:
        markup = await (await editor.get(path)).text()
        assert "<script>alert" not in markup
        assert "&lt;script&gt;alert" in markup
    found = await (await editor.post(HERE, {"address": hostile})).text()
    assert "<script>alert" not in found
