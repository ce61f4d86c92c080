"""The page that says how we treat addresses."""

from __future__ import annotations

from aiohttp.test_utils import TestClient, TestServer

from newsletter.app import House
from newsletter.core.i18n import translations
from newsletter.subscribing.lists import ListText, NewList, NewSender, create_list
from newsletter.web.server import make_app
from tests.integration.web.site import Site, page


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
