"""The privacy policy in a real browser: it fits narrow and wide windows, in both languages, and complains about nothing."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import TestClient, TestServer

from newsletter.app import House
from newsletter.privacy.policy import Subprocessor
from newsletter.web.server import make_app
from tests.acceptance.conftest import Visit

LONG = Subprocessor("Donaudampfschifffahrtspost", "Delivers our letters", "Norway", "Contract under Art. 28 GDPR", [])


@pytest.mark.browser
async def test_the_policy_can_be_read_in_a_window_of_320_and_of_1280_pixels(house: House, visit: Visit) -> None:
    now = house.clock.now()
    await house.subprocessors.add(LONG, by="test", now=now)
    await house.policy.publish(notify=False, no_notice=None, by="test", now=now)
    page = await visit.context.new_page()
    async with TestClient(TestServer(make_app(house.services()))) as client:
        for width in (320, 1280):
            await page.set_viewport_size({"width": width, "height": 900})
            for path in ("/privacy?lang=en", "/privacy?lang=de", "/privacy/versions/1?lang=de"):
                await page.goto(str(client.make_url(path)))
                assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
        await page.goto(str(client.make_url("/privacy?lang=en")))
        await page.get_by_role("link", name="Your rights, and how to use them").click()
        assert await page.evaluate("document.getElementById('rights').getBoundingClientRect().top < innerHeight")
        assert await page.get_by_role("heading", name="Your rights, and how to use them").is_visible()
    assert visit.complaints == []
    assert visit.hosts == {"127.0.0.1"}
