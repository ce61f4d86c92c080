"""Every page of the console as people see it: nothing that axe-core finds, on a telephone and a screen, light and dark.

SCREENS=docs/screens pytest tests/acceptance/test_console_pages.py       makes the pictures of the documentation anew
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest
from argon2 import PasswordHasher
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Page, expect

from newsletter.app import House
from newsletter.core.database import Database
from newsletter.core.keys import open_keyring
from newsletter.dev.mailbox import Mailbox
from newsletter.operators.passwords import Passwords
from newsletter.settings import Settings
from tests.conftest import SECRET, ManualClock
from tests.console_walk import addresses
from tests.full_house import furnish, serving
from tests.ports import free_port

LARGEST_PAGE, LARGEST_SCRIPT = 60_000, 20_000
WIDTHS = (1280, 320)
SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")
NOT_PAGES = ("/events", "/report.csv", "/record.json", "/record.md", "/preview")
"""How the addresses of what is no page end; a preview is the mail itself."""
EMAIL, PASSWORD = "ada@house.example", "tide lamp slip boots"


@pytest.fixture
async def served(settings: Settings, db: Database, clock: ManualClock, mailbox: Mailbox) -> AsyncIterator[House]:
    """On a loopback port, under the address that its links have; with an owner who can sign in."""
    port = free_port()
    here = settings.model_copy(update={"base_url": f"http://127.0.0.1:{port}", "development": True})
    house = House(here, db, await open_keyring(db, SECRET, now=clock.now()), clock)
    house.__dict__["passwords"] = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    await furnish(house)
    link = await house.accounts.first_owner(now=clock.now())
    assert link
    await house.accounts.welcome(link.rpartition("/")[2], PASSWORD, EMAIL, now=clock.now())
    async with serving(house, port):
        yield house
    await house.close()


async def sign_in(context: BrowserContext, house: House) -> Page:
    page = await context.new_page()
    await page.goto(f"{house.settings.base_url}/console/")
    await page.get_by_label("Email address").fill(EMAIL)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("navigation", name="Console")).to_be_visible()
    return page


def name_of(route: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"/\{[^/]*", "/one", route).removeprefix("/console")).strip("-") or "home"


@pytest.mark.browser
@pytest.mark.timeout(400)
@pytest.mark.parametrize("width", WIDTHS)
async def test_axe_finds_nothing_on_any_page_light_and_dark(chromium: Browser, served: House, width: int) -> None:
    screens = os.environ.get("SCREENS")
    context = await chromium.new_context(locale="en-GB", viewport={"width": width, "height": 900})
    page = await context.new_page()
    link = (await served.accounts.invite("Ben", "editor", None, now=served.clock.now())).link
    found, seen = [], 0
    for path in ("/console/sign-in", "/console/forgot", link.removeprefix(served.settings.base_url)):
        found += await look(page, served, path, width)
    await page.close()
    page = await sign_in(context, served)
    for address in await addresses(served):
        if address.route.endswith(NOT_PAGES) or "(further)" in address.route:
            continue
        found += await look(page, served, address.path, width)
        seen += 1
        if screens and width == WIDTHS[0]:
            await page.emulate_media(color_scheme="light")
            await page.screenshot(path=Path(screens) / f"console-{name_of(address.route)}.png", full_page=True)
    await context.close()
    assert found == []
    assert seen > 30


async def look(page: Page, house: House, path: str, width: int) -> list[str]:
    """What is wrong with a page, at this width in both schemes."""
    answer = await page.goto(f"{house.settings.base_url}{path}")
    assert answer is not None
    assert answer.status == 200, (path, answer.status)
    found = []
    if (size := len(await answer.body())) >= LARGEST_PAGE:
        found.append(f"{path} has {size:,} octets")
    if (wide := await page.evaluate("document.documentElement.scrollWidth")) > width:
        found.append(f"{path} is {wide} wide on a page of {width}")
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        results = await Axe().run(page)
        found += [
            f"{path} {width} {scheme}: {each['id']} {[node['html'][:120] for node in each['nodes']][:3]}"
            for each in results.response["violations"]
        ]
    return found


def test_the_script_is_small() -> None:
    script = Path(__file__).parents[2] / "templates" / "static" / "console.js"
    assert script.stat().st_size < LARGEST_SCRIPT
