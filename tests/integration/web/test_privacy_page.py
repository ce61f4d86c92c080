"""The page that says how we treat addresses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from newsletter.app import House
from newsletter.core.i18n import languages, translations
from newsletter.dev.mailbox import Mailbox
from newsletter.privacy.policy import Subprocessor
from newsletter.subscribing.lists import ListText, NewList, NewSender, create_list
from newsletter.web.server import make_app
from tests.conftest import ManualClock
from tests.integration.web.site import Client, Site, page
from tests.people import People

HOSTILE = "<script>alert(1)</script> [x](https://evil.example) & Sons"


@asynccontextmanager
async def served(house: House, **settings: Any) -> AsyncIterator[tuple[House, Client]]:
    """The same installation, started again with other settings."""
    other = House(house.settings.model_copy(update=settings), house.db, house.keyring, house.clock)
    async with TestClient(TestServer(make_app(other.services()))) as client:
        yield other, client


async def test_every_promise_stands_on_the_page_with_its_deadline(site: Site) -> None:
    for language in ("en", "de"):
        shown = await page(await site.get(f"/privacy?lang={language}"))
        sentences = site.house.retention.sentences(translations(language))
        assert len(sentences) >= 5
        for sentence in sentences:
            assert sentence in shown.words


async def test_deadlines_are_those_of_this_installation(site: Site, house: House) -> None:
    changed = house.settings.model_copy(update={"confirm_hours": 6, "erase_left_days": 3})
    other = House(changed, house.db, house.keyring, house.clock)
    async with TestClient(TestServer(make_app(other.services()))) as client:
        for path in ("/privacy", "/subscribe/letter"):
            words = (await page(await client.get(path))).words
            assert "within 6 hours" in words, path
            assert "within 3 days" in words, path


async def test_every_sender_is_named_with_post_mail_and_legal_notice(site: Site) -> None:
    other = NewSender("Ödland <b>& Co", "o@other.example", "Street 1", "a+b?c@other.example")
    new = NewList("other", {"en": ListText("Other", "")}, public=False)
    await create_list(site.house.db, new, other, base_host="x.example.org", now=site.house.clock.now())
    answer = await site.get("/privacy")
    shown = await page(answer)
    assert "<b>" not in await answer.text()
    for words in (
        "Northwind Society",
        "Harbour Street 4, 24937 Flensburg",
        "privacy@northwind.example",
        "Ödland <b>& Co",
        "Street 1",
    ):
        assert shown.words.count(words) == 1, words
    links = [address for tag, address in shown.addresses if tag == "a"]
    assert "https://northwind.example/imprint" in links
    assert "mailto:privacy@northwind.example" in links
    assert "mailto:a%2Bb%3Fc@other.example" in links


async def test_page_link_and_deletion_obey_one_figure_in_every_language(
    house: House, clock: ManualClock, mailbox: Mailbox
) -> None:
    async with served(house, confirm_hours=12) as (other, client), People(other, clock, mailbox) as people:
        for language, said in (("en", "within 12 hours"), ("de", "innerhalb von 12 Stunden")):
            words = (await page(await client.get(f"/privacy?lang={language}"))).words
            assert said in words
            assert "24 " not in words.partition("Flensburg")[2]
        token = await people.sign_up("ada@example.org")
        late = await people.sign_up("ben@example.org")
        (letter, _) = await people.letters()
        assert "22 November 2026 at 02:05" in (letter.text or "")
        clock.move(hours=12, seconds=-1)
        assert (await client.post(f"/confirm/{token}", data={"do": "confirm"})).status == 200
        await people.tick()
        assert await people.is_known("ben@example.org")
        clock.move(seconds=1)
        assert (await client.post(f"/confirm/{late}", data={"do": "confirm"})).status == 410
        clock.move(minutes=5)
        await people.tick()
        assert not await people.is_known("ben@example.org")
        assert await people.is_known("ada@example.org")


async def test_the_page_has_each_section_with_its_address_in_the_contents(site: Site) -> None:
    for language in languages():
        shown = await page(await site.get(f"/privacy?lang={language}"))
        ids = [attributes["id"] for tag, attributes in shown.tags if tag == "h2"]
        assert ids == [
            "responsible",
            "purposes",
            "data",
            "letters",
            "unsubscribing",
            "deletion",
            "afterwards",
            "helpers",
            "rights",
            "changes",
        ]
        links = [address for tag, address in shown.addresses if tag == "a"]
        assert [each.removeprefix("#") for each in links if each.startswith("#")] == ids
        assert f"/data?lang={language}" in links
        assert f"/privacy/contact?lang={language}" in links
        assert not shown.all("script")


@pytest.mark.parametrize("said", ["Harbour Society, Harbour Street 4, 20457 Hamburg", "privacy@letters.example", "Germany"])
async def test_whoever_is_responsible_is_named_with_contact_and_country(site: Site, said: str) -> None:
    assert said in (await page(await site.get("/privacy"))).words


async def test_what_a_person_typed_is_shown_as_it_was_typed_now_and_in_a_version(site: Site) -> None:
    async with served(site.house, controller=HOSTILE, authority=HOSTILE) as (house, client):
        now = house.clock.now()
        await house.subprocessors.add(Subprocessor("Post " + HOSTILE, HOSTILE, HOSTILE, HOSTILE, []), by="ops", now=now)
        await house.policy.publish(notify=False, no_notice=None, by="ops", now=now)
        for path in ("/privacy", "/privacy/versions/1"):
            answer = await client.get(path)
            text, shown = await answer.text(), await page(answer)
            assert "<script" not in text
            assert not [each for each in shown.addresses if "evil" in each[1]]
            assert shown.words.count(HOSTILE) == 6, path


async def test_a_page_that_has_changed_since_it_was_published_says_so_and_shows_what_is_true(site: Site) -> None:
    today = (await page(await site.get("/privacy"))).words
    assert "As of 21 November 2026." in today
    now = site.house.clock.now()
    await site.house.policy.publish(notify=False, no_notice=None, by="ops", now=now)
    shown = (await page(await site.get("/privacy"))).words
    assert "Version 1 of 21 November 2026." in shown
    assert "It has changed since" not in shown
    async with served(site.house, confirm_hours=12) as (house, client):
        changed = (await page(await client.get("/privacy"))).words
        assert "It has changed since version 1 of 21 November 2026" in changed
        assert "within 12 hours" in changed
        german = (await page(await client.get("/privacy?lang=de"))).words
        assert "Seit der Fassung 1 vom 21. November 2026 hat sich etwas geändert" in german
        await house.policy.publish(notify=False, no_notice="why not", by="ops", now=now)
        both = await page(await client.get("/privacy?lang=de"))
        links = [address for tag, address in both.addresses if tag == "a"]
        assert [each for each in links if "/versions/" in each] == [
            "/privacy/versions/2?lang=de",
            "/privacy/versions/1?lang=de",
        ]


async def test_an_earlier_version_is_shown_as_it_was_in_the_readers_language(site: Site) -> None:
    await site.house.policy.publish(notify=False, no_notice=None, by="ops", now=site.house.clock.now())
    async with served(site.house, confirm_hours=12) as (_, client):
        for language, said, heading in (
            ("en", "within 24 hours", "How we treat your address: version 1"),
            ("de", "innerhalb von 24 Stunden", "Wie wir mit Ihrer Adresse umgehen: Fassung 1"),
        ):
            shown = await page(await client.get(f"/privacy/versions/1?lang={language}"))
            assert shown.heading == heading
            assert said in shown.words
            assert shown.all("html")[0]["lang"] == language
            assert len(shown.all("h2")) == 10
        for wrong in ("2", "0", "-1", "x", "1e3", "99999999999999999999", "\u0661"):
            assert (await client.get(f"/privacy/versions/{wrong}")).status == 404, wrong


async def test_what_a_policy_cannot_do_without_is_asked_for_on_the_page_in_development(site: Site) -> None:
    async with served(site.house, development=True, controller=None, backup_days=None) as (_, client):
        for language in languages():
            shown = await page(await client.get(f"/privacy?lang={language}"))
            assert [each for each in shown.all("div") if each.get("class") == "notice warn"]
            for name in ("NEWSLETTER_CONTROLLER", "NEWSLETTER_BACKUP_DAYS"):
                assert name in shown.words
            assert "NEWSLETTER_PRIVACY_CONTACT" not in shown.words
            assert "None" not in shown.words
    assert "NEWSLETTER_" not in (await page(await site.get("/privacy"))).words
