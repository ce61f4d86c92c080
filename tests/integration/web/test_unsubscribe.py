"""The link in every letter: page, one-click (RFC 8058), undo, delete."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from aiohttp import MultipartWriter

from tests.conftest import ManualClock
from tests.integration.web.site import READER, Site, page

URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}
ONE_CLICK = b"List-Unsubscribe=One-Click"


async def undo_token(site: Site, path: str) -> str:
    shown = await page(await site.post(path, {"do": "unsubscribe"}))
    return shown.field("token")["value"] or ""


async def test_opening_the_link_changes_nothing_and_says_nothing_about_the_reader(site: Site) -> None:
    path = await site.subscribe()
    before = await site.database()
    answer = await site.get(path)
    shown = await page(answer)
    assert (answer.status, shown.heading) == (200, "Unsubscribe from The Northwind Letter")
    assert len(shown.all("button")) == len(shown.all("form")) == 1
    assert READER not in await answer.text()
    stranger = site.unsubscribe_path("stranger@example.org")
    assert await (await site.get(stranger)).text() == await answer.text()
    head = await site.client.head(path)
    assert (head.status, await head.read()) == (200, b"")
    assert (await site.client.options(path)).status == 405
    assert await site.database() == before


async def test_any_other_post_shows_the_page_and_changes_nothing(site: Site) -> None:
    path = await site.subscribe()
    before = await site.database()
    others: tuple[Any, ...] = (
        None,
        {},
        {"do": "confirm"},
        {"do": "Unsubscribe "},
        {"List-Unsubscribe": "yes"},
        {"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"},
        b"One-Click",
        b'{"List-Unsubscribe": "One-Click"}',
        b"\x00\xff",
    )
    for data in others:
        answer = await site.post(path, data)
        assert (answer.status, (await page(answer)).heading) == (200, "Unsubscribe from The Northwind Letter"), data
    assert (await site.post(f"{path}?do=unsubscribe&List-Unsubscribe=One-Click")).status == 200
    assert await site.database() == before


async def test_one_click_works_at_once_and_again_and_again_in_either_encoding(site: Site) -> None:
    """RFC 8058 section 3.2: no cookie, no redirect, 200."""
    for number, encoding in enumerate(("urlencoded", "multipart")):
        path = await site.subscribe(f"reader{number}@example.org")
        bodies = []
        for _ in range(3):
            with MultipartWriter("form-data") as parts:
                parts.append("One-Click").set_content_disposition("form-data", name="List-Unsubscribe")
            data: Any = parts if encoding == "multipart" else {"List-Unsubscribe": "One-Click"}
            answer = await site.post(path, data)
            assert answer.status == 200
            assert "Set-Cookie" not in answer.headers
            bodies.append(await answer.read())
            assert await site.state(f"reader{number}@example.org") == "unsubscribed"
        assert len(set(bodies)) == 1
    via = await site.house.db.fetch("select distinct unsubscribed_via from subscription")
    assert [row[0] for row in via] == ["one-click"]
    assert await site.house.db.fetchval("select count(*) from consent_event where kind = 'unsubscribed'") == 2
    assert await site.house.db.fetchval("select count(*) from withdrawal where kind = 'unsubscribed'") == 2
    form = await site.house.db.fetchval("select distinct form from consent_event where kind = 'unsubscribed'")
    assert form == "List-Unsubscribe-Post"


async def test_one_click_is_understood_however_its_sender_spells_it(site: Site) -> None:
    crlf = b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n'
    spellings = [
        ("application/x-www-form-urlencoded; charset=UTF-8", ONE_CLICK),
        ("APPLICATION/X-WWW-FORM-URLENCODED;charset=no-such-charset", ONE_CLICK),
        ("application/x-www-form-urlencoded", ONE_CLICK + b"\r\n"),
        ("application/x-www-form-urlencoded", b"list-unsubscribe=one-click"),
        ("application/x-www-form-urlencoded", b"List%2DUnsubscribe=One%2DClick&x=y"),
        ("", ONE_CLICK),
        ("text/plain", ONE_CLICK),
        ("Multipart/Form-Data; Boundary=b", crlf),
        ('multipart/form-data; charset=latin1; boundary="b"', crlf),
        ("multipart/form-data; boundary=b", crlf.replace(b"\r\n", b"\n")),
        (
            "multipart/form-data; boundary=b",
            b"preamble\r\n" + crlf.replace(b'"List-Unsubscribe"', b"List-Unsubscribe") + b"end",
        ),
    ]
    await site.subscribe()
    path = site.unsubscribe_path()
    for kind, body in spellings:
        await site.house.db.execute(
            "update subscription set state = 'confirmed', unsubscribed_at = null, unsubscribed_via = null, undo_id = null, "
            "undo_until = null"
        )
        answer = await site.post(path, body, headers={"Content-Type": kind})
        assert (answer.status, await site.state()) == (200, "unsubscribed"), (kind, body)


async def test_a_boundary_or_name_in_an_encoding_that_is_none_does_no_harm(site: Site) -> None:
    """RFC 2231 lets a parameter name its encoding, and Python believes it."""
    part = b'--x\r\nContent-Disposition: form-data; name="do"\r\n\r\nunsubscribe\r\n--x--\r\n'
    path = await site.subscribe()
    for kind in (
        "multipart/form-data; boundary*=utf-7''%ff+2AA-",
        "multipart/form-data; boundary*=idna''%ff",
        "multipart/form-data; boundary*=nonsense''x",
        "multipart/form-data; boundary*=utf-8''%c3%bc",
        "multipart/form-data; boundary=x; charset*=idna''%ff",
        "application/x-www-form-urlencoded; charset*=idna''%ff",
        f"application/x-www-form-urlencoded; charset*{'1' * 5000}=x",
        f"multipart/form-data; boundary*{'1' * 5000}=x",
    ):
        answer = await site.post(path, part.replace(b"name", b"nam"), headers={"Content-Type": kind})
        assert (answer.status, (await page(answer)).heading) == (200, "Unsubscribe from The Northwind Letter"), kind
    for name in (
        b"name*=idna''%ff",
        b"name*=utf-7''%ff+2AA-",
        b"filename*=idna''%ff; name=do",
        b"name*" + b"1" * 5000 + b"=do",
    ):
        kind = "multipart/form-data; boundary=x"
        answer = await site.post(path, part.replace(b'name="do"', name), headers={"Content-Type": kind})
        assert answer.status == 200, name
    assert await site.state() == "confirmed"


async def test_one_click_is_not_limited_by_network(site: Site) -> None:
    path = await site.subscribe()
    for _ in range(site.house.settings.signups_per_network_hour + 5):
        assert (await site.post(path, ONE_CLICK, headers=URLENCODED)).status == 200


async def test_one_click_answers_kindly_after_erasure(site: Site) -> None:
    path = await site.subscribe()
    await site.post("/unsubscribe/delete", {"token": await undo_token(site, path)})
    assert (await site.post(path, ONE_CLICK, headers=URLENCODED)).status == 200


async def test_a_body_over_64_kb_is_refused_here_too(site: Site) -> None:
    path = await site.subscribe()
    answer = await site.post(path, ONE_CLICK + b"&x=" + b"a" * 65536, headers=URLENCODED)
    assert (answer.status, await site.state()) == (413, "confirmed")


async def test_after_the_last_list_the_page_says_when_the_address_is_deleted_and_offers_undo_and_delete(site: Site) -> None:
    path = await site.subscribe()
    answer = await site.post(path, {"do": "unsubscribe"})
    shown = await page(answer)
    assert (answer.status, shown.heading) == (200, "You are unsubscribed from The Northwind Letter")
    assert "one already on its way may still arrive" in shown.words
    assert "your address will be deleted on 5 December 2026, and" in shown.words
    assert [each["action"] for each in shown.all("form")] == ["/unsubscribe/undo?lang=en", "/unsubscribe/delete?lang=en"]
    (token,) = {each["value"] for each in shown.all("input") if each.get("name") == "token"}
    assert not [address for _, address in shown.addresses if str(token) in address]
    assert await site.state() == "unsubscribed"
    assert READER not in await answer.text()


async def test_the_date_is_told_in_the_lists_time_zone_and_in_the_readers_language(site: Site, clock: ManualClock) -> None:
    path = await site.subscribe()
    clock.at = clock.at.replace(hour=23, minute=30)  # in Berlin it is tomorrow already
    shown = await page(await site.post(f"{path}?lang=de", {"do": "unsubscribe"}))
    assert "wird Ihre Adresse am 6. Dezember 2026 gelöscht" in shown.words
    assert shown.all("form")[0]["action"] == "/unsubscribe/undo?lang=de"


async def test_with_another_list_left_no_date_is_given_and_no_deletion_offered(site: Site) -> None:
    await site.sign_up(list="alerts")
    await site.work()
    (mail,) = await site.mailbox.messages()
    confirm = next(word for word in (mail.text or "").split() if "/confirm/" in word).removeprefix("https://news.example.org")
    await site.post(confirm, {"do": "confirm"})
    shown = await page(await site.post(site.unsubscribe_path(), {"do": "unsubscribe"}))
    assert "deleted" not in shown.words
    assert [each["action"] for each in shown.all("form")] == ["/unsubscribe/undo?lang=en"]


async def test_undo_works_once_within_the_hour(site: Site, clock: ManualClock) -> None:
    path = await site.subscribe()
    token = await undo_token(site, path)
    clock.move(minutes=59)
    shown = await page(await site.post("/unsubscribe/undo", {"token": token}))
    assert shown.heading == "You are subscribed to The Northwind Letter again"
    assert await site.state() == "confirmed"
    assert (await site.post("/unsubscribe/undo", {"token": token})).status == 410
    assert (await site.post("/unsubscribe/delete", {"token": token})).status == 410

    token = await undo_token(site, path)
    clock.move(hours=1)
    for lang, button, says in (
        ("en", "undo", "Unsubscribing can be taken back once, within one hour. To get the letter again, please sign up again."),
        ("en", "delete", "If you did not take that back, your address is deleted by itself, on the date that the page said."),
        ("de", "undo", "Eine Abmeldung lässt sich einmal zurücknehmen, innerhalb einer Stunde."),
    ):
        late = await site.post(f"/unsubscribe/{button}?lang={lang}", {"token": token})
        shown = await page(late)
        assert late.status == 410
        assert shown.heading == ("This button no longer works" if lang == "en" else "Dieser Knopf funktioniert nicht mehr")
        assert says in shown.words
        assert "copy all of it" not in shown.words
        assert ("a", f"/subscribe/?lang={lang}") in shown.addresses
    assert await site.state() == "unsubscribed"


async def test_undo_and_delete_cannot_be_opened_by_a_link(site: Site) -> None:
    token = await undo_token(site, await site.subscribe())
    before = await site.database()
    for path in ("/unsubscribe/undo", "/unsubscribe/delete"):
        assert (await site.get(path, params={"token": token})).status == 404
        assert (await site.post(path, params={"token": token})).status == 404
    assert await site.database() == before


async def test_delete_now_leaves_a_code_and_the_address_nowhere(site: Site) -> None:
    path = await site.subscribe()
    token = await undo_token(site, path)
    shown = await page(await site.post("/unsubscribe/delete", {"token": token}))
    assert shown.heading == "Your address is deleted"
    assert "What stays for 3 years is a code computed from your address" in shown.words
    database = await site.database()
    assert READER not in json.dumps(database)
    assert len(database["suppression"]) == 1
    assert (await site.post("/unsubscribe/delete", {"token": token})).status == 410


async def test_delete_now_with_another_list_left_says_what_to_do_first(site: Site) -> None:
    path = await site.subscribe()
    token = await undo_token(site, path)
    await site.house.db.execute(
        "insert into subscription (subscriber_id, list_id, state, language, requested_at, confirmed_at) "
        "values ($1, $2, 'confirmed', 'en', $3, $3)",
        site.id_of(),
        site.alerts.list_id,
        site.house.clock.now() - timedelta(days=1),
    )
    answer = await site.post("/unsubscribe/delete", {"token": token})
    assert answer.status == 409
    assert "please unsubscribe from it first" in (await page(answer)).words
    assert await site.state() == "unsubscribed"


async def test_a_link_without_a_subscription_says_so_honestly(site: Site) -> None:
    before = await site.database()
    shown = await page(await site.post(site.unsubscribe_path("stranger@example.org"), {"do": "unsubscribe"}))
    assert shown.heading == "There is no subscription"
    assert "No subscription to The Northwind Letter is held for this link, so no letter will be sent." in shown.words
    assert not shown.all("form")
    assert await site.database() == before
