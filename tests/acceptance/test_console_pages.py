"""Every page of the console as people see it: nothing that axe-core finds, on a telephone and a screen, light and dark.

SCREENS=docs/screens pytest tests/acceptance/test_console_pages.py       makes the pictures of the documentation anew
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from argon2 import PasswordHasher
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Page, expect

from newsletter.app import House
from newsletter.core.keys import open_keyring
from newsletter.operators.passwords import Passwords
from newsletter.settings import Settings
from tests.acceptance.full_house import FullHouse, full_house, serving
from tests.conftest import SECRET, ManualClock
from tests.integration.web.console.places import all_pages
from tests.ports import free_port

LARGEST_PAGE, LARGEST_SCRIPT = 60_000, 20_000
WIDTHS = (1280, 320)
SCHEMES = ("light", "dark")
EMAIL, PASSWORD = "ada@house.example", "tide lamp slip boots"


@pytest.fixture
async def served(settings: Settings, db: object, clock: ManualClock) -> AsyncIterator[FullHouse]:
    """On a loopback port, under the address that its links have."""
    port = free_port()
    here = settings.model_copy(update={"base_url": f"http://127.0.0.1:{port}", "development": True})
    house = House(here, db, await open_keyring(db, SECRET, now=clock.now()), clock)  # type: ignore[arg-type]
    house.__dict__["passwords"] = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    async with serving(house, port):
        yield await full_house(house)
    await house.close()


async def sign_in(context: BrowserContext, served: FullHouse) -> Page:
    page = await context.new_page()
    await page.goto(f"{served.house.settings.base_url}/console/")
    await page.get_by_label("Email address").fill(EMAIL)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("navigation")).to_be_visible()
    return page


def name_of(path: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", urlsplit(path).path.removeprefix("/console")).strip("-") or "home"


@pytest.mark.browser
@pytest.mark.timeout(300)
async def test_axe_finds_nothing_on_any_page_light_and_dark_wide_and_narrow(chromium: Browser, served: FullHouse) -> None:
    screens = os.environ.get("SCREENS")
    found: list[str] = []
    seen: set[str] = set()
    for width in WIDTHS:
        context = await chromium.new_context(locale="en-GB", viewport={"width": width, "height": 900})
        page = await sign_in(context, served)
        for path in served.pages(all_pages()):
            answer = await page.goto(f"{served.house.settings.base_url}{path}")
            assert answer is not None
            assert answer.status in (200, *served.expected(path)), (path, answer.status)
            if "text/html" not in answer.headers.get("content-type", ""):
                continue
            seen.add(path)
            size = len(await answer.body())
            assert size < LARGEST_PAGE, (path, size)
            wide = await page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{path} is {wide} wide on a page of {width}"
            for scheme in SCHEMES:
                await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                results = await Axe().run(page)
                found += [
                    f"{path} {width} {scheme}: {each['id']} {[node['html'][:120] for node in each['nodes']][:3]}"
                    for each in results.response["violations"]
                ]
                if screens and (width, scheme) == (1280, "light"):
                    await page.screenshot(path=Path(screens) / f"console-{name_of(path)}.png", full_page=True)
        await context.close()
    assert found == []
    assert len(seen) > 3


def test_the_script_is_small() -> None:
    script = Path(__file__).parents[2] / "templates" / "static" / "console.js"
    assert script.stat().st_size < LARGEST_SCRIPT
