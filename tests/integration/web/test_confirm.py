"""The two links of a confirmation mail."""

from __future__ import annotations

import json

from newsletter.core.tokens import Purpose, Tokens
from newsletter.subscribing.lists import ListText, NewList, create_list
from tests.conftest import ManualClock
from tests.integration.web.site import READER, Site, page

OTHER_POSTS: tuple[object, ...] = (
    None,
    {},
    {"do": ""},
    {"do": "unsubscribe"},
    {"confirm": "do"},
    {"List-Unsubscribe": "One-Click"},
    b"do%3Dconfirm",
    b"\xff\xfe\x00",
)


async def test_opening_the_links_changes_nothing(site: Site) -> None:
    path = await site.confirm_path()
    before = await site.database()
    for address in (path, f"{path}?lang=de", f"{path}/refuse"):
        assert (await site.get(address)).status == 200
        head = await site.client.head(address)
        assert (head.status, await head.read()) == (200, b"")
    assert await site.database() == before


async def test_a_post_without_the_pages_own_field_shows_the_page_and_changes_nothing(site: Site) -> None:
    path = await site.confirm_path()
    before = await site.database()
    for data in OTHER_POSTS:
        for address in (path, f"{path}/refuse"):
            answer = await site.post(address, data)
            shown = await page(answer)
            assert answer.status == 200, data
            assert shown.field("do")["value"] == ("refuse" if address.endswith("/refuse") else "confirm")
    assert await site.database() == before


async def test_the_page_has_one_button_no_script_and_says_nothing_about_the_reader(site: Site) -> None:
    path = await site.confirm_path()
    answer = await site.get(path)
    shown = await page(answer)
    assert shown.heading == "Please confirm: The Northwind Letter"
    assert len(shown.all("button")) == len(shown.all("form")) == 1
    assert "Yes, send me The Northwind Letter" in shown.words
    assert not shown.all("script")
    assert READER not in await answer.text()
    assert "Set-Cookie" not in answer.headers
    assert ("a", f"{path}/refuse?lang=en") in shown.addresses


async def test_the_button_confirms_and_says_what_happens_next(site: Site) -> None:
    path = await site.confirm_path()
    shown = await page(await site.post(path, {"do": "confirm"}))
    assert shown.heading == "You are subscribed to The Northwind Letter"
    assert "The next letter comes to your address as soon as it is written." in shown.words
    assert await site.state() == "confirmed"
    row = await site.house.db.fetchrow("select form from consent_event where kind = 'confirmed'")
    assert row["form"] == "https://news.example.org/confirm"


async def test_a_second_click_says_confirmed_already_and_changes_nothing(site: Site) -> None:
    path = await site.confirm_path()
    await site.post(path, {"do": "confirm"})
    before = await site.database()
    for answer in (await site.get(path), await site.post(path, {"do": "confirm"})):
        assert (answer.status, (await page(answer)).heading) == (200, "You confirmed already")
    assert await site.database() == before


async def test_the_page_speaks_the_language_that_was_asked_in(site: Site) -> None:
    await site.sign_up(lang="de")
    await site.work()
    (mail,) = await site.mailbox.messages()
    path = next(word for word in (mail.text or "").split() if "/confirm/" in word).removeprefix("https://news.example.org")
    asked = await page(await site.get(path, headers={"Accept-Language": "en"}))
    assert asked.heading == "Bitte bestätigen Sie: Der Nordwind-Brief"
    assert (await page(await site.get(f"{path}?lang=en"))).heading == "Please confirm: The Northwind Letter"


async def test_the_page_of_a_mail_about_several_lists_speaks_the_language_of_that_mail(site: Site) -> None:
    """The list with the lowest number may be one that does not speak it."""
    now = site.house.clock.now()
    brief = NewList("brief", {"de": ListText("Der Brief", "")})
    await create_list(site.house.db, brief, "Northwind Society", base_host="x.example.org", now=now)
    answer = await site.post("/subscribe/alerts", {"email": READER, "list": "brief"}, headers={"Accept-Language": "de"})
    assert (await page(answer)).heading == "Check your mail"
    await site.post("/subscribe/brief", {"email": "leser@example.org", "list": "alerts"}, headers={"Accept-Language": "en"})
    await site.work()
    headings = {}
    for mail in await site.mailbox.messages():
        path = next(word for word in (mail.text or "").split() if "/confirm/" in word).removeprefix("https://news.example.org")
        headings[mail.recipients[0]] = (mail.subject, (await page(await site.get(path))).heading)
    assert headings == {
        READER: ("Please confirm: Excursion alerts, Der Brief", "Please confirm these letters"),
        "leser@example.org": ("Bitte bestätigen Sie: Der Brief, Excursion alerts", "Bitte bestätigen Sie diese Newsletter"),
    }


async def test_one_mail_about_several_lists_confirms_them_with_one_button(site: Site) -> None:
    await site.sign_up(list="alerts")
    await site.work()
    (mail,) = await site.mailbox.messages()
    path = next(word for word in (mail.text or "").split() if "/confirm/" in word).removeprefix("https://news.example.org")
    shown = await page(await site.get(path))
    assert shown.heading == "Please confirm these letters"
    assert "Yes, send me these letters" in shown.words
    await site.post(path, {"do": "confirm"})
    assert {await site.state(), await site.state(mailing_list=site.alerts)} == {"confirmed"}


async def test_after_24_hours_the_link_has_lapsed_to_the_second_and_offers_to_sign_up_again(
    site: Site, clock: ManualClock
) -> None:
    path = await site.confirm_path()
    clock.move(hours=23, minutes=59, seconds=59)
    assert (await site.get(path)).status == 200
    clock.move(seconds=1)
    before = await site.database()
    for answer in (
        await site.get(path),
        await site.post(path, {"do": "confirm"}),
        await site.post(f"{path}/refuse", {"do": "refuse"}),
    ):
        assert answer.status == 410
        shown = await page(answer)
        assert ("a", "/subscribe/?lang=en") in shown.addresses
        assert "A link to confirm works for 24 hours" in shown.words
    assert await site.database() == before


async def test_refusing_deletes_the_request_and_says_what_stays(site: Site) -> None:
    path = await site.confirm_path()
    asked = await page(await site.get(f"{path}/refuse"))
    assert asked.heading == "You did not ask for this?"
    shown = await page(await site.post(f"{path}/refuse", {"do": "refuse"}))
    assert shown.heading == "The request is deleted"
    assert "For 30 days we refuse new requests for your address." in shown.words
    assert await site.state() is None
    assert READER not in json.dumps(await site.database())
    assert (await site.get(path)).status == 410


async def test_refusing_after_somebody_confirmed_says_that_the_subscription_ends(site: Site, clock: ManualClock) -> None:
    """By that link or by an earlier one: what the button does is the same."""
    first = await site.confirm_path()
    assert "The button ends that too." not in (await page(await site.get(f"{first}/refuse"))).words
    clock.move(minutes=10)
    second = await site.confirm_path()
    await site.post(first, {"do": "confirm"})
    for path in (first, second):
        shown = await page(await site.get(f"{path}/refuse"))
        assert "You are subscribed already, by this mail or another. The button ends that too." in shown.words
        assert "nothing is sent to you either" not in shown.words
    await site.post(f"{second}/refuse", {"do": "refuse"})
    assert await site.state() is None


async def test_every_link_that_does_not_work_gets_one_and_the_same_page(site: Site, clock: ManualClock) -> None:
    confirm = await site.confirm_path()
    unsubscribe = site.unsubscribe_path()
    tokens = Tokens(site.house.keyring)
    forged = confirm[:-2] + ("AA" if confirm[-2:] != "AA" else "BB")
    short = "/confirm/" + tokens.mint(Purpose.CONFIRM, b"too short")
    broken = [
        (forged, 404),
        (confirm[:-1], 404),
        (confirm + "A", 404),
        (confirm + "%00", 404),
        (confirm + "=", 404),
        (short, 404),
        ("/confirm/" + unsubscribe.rpartition("/")[2], 404),
        ("/unsubscribe/" + confirm.rpartition("/")[2], 404),
        ("/confirm/" + "A" * 3000, 404),
        ("/confirm/%ff%fe", 404),
        (f"{forged}/refuse", 404),
        (unsubscribe[:-1], 404),
    ]
    clock.move(hours=25)
    broken += [(confirm, 410), (f"{confirm}/refuse", 410)]
    bodies = set()
    for path, status in broken:
        for do in ("confirm", "refuse", "unsubscribe", None):
            answer = await (site.post(path, {"do": do}) if do else site.get(path))
            assert answer.status == status, path[:80]
            bodies.add(await answer.text())
    for where in ("undo", "delete"):
        for token in ("", "nonsense", confirm.rpartition("/")[2], unsubscribe.rpartition("/")[2]):
            answer = await site.post(f"/unsubscribe/{where}", {"token": token})
            assert answer.status == 404
            bodies.add(await answer.text())
    assert len(bodies) == 1
    assert "Traceback" not in bodies.pop()
