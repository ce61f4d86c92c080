"""Every page of the console as people see it: nothing that axe-core finds, on a telephone and a screen, light and dark.

SCREENS=docs/screens pytest tests/acceptance/test_console_pages.py       makes the pictures of the documentation anew
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest
from argon2 import PasswordHasher
from axe_playwright_python.base import AXE_SCRIPT
from PIL import Image
from playwright.async_api import Browser, BrowserContext, Page, expect

from newsletter.app import House
from newsletter.core.database import Database
from newsletter.core.keys import open_keyring
from newsletter.dev.mailbox import Mailbox
from newsletter.operators.passwords import Passwords
from newsletter.settings import Settings
from newsletter.web.console.shell import NAVIGATION
from tests.conftest import SECRET, ManualClock
from tests.console_walk import Address, addresses
from tests.full_house import furnish, serving
from tests.ports import free_port

LARGEST_PAGE, LARGEST_SCRIPT = 60_000, 20_000
WIDTHS = (1280, 320)
HEIGHT = 900
FINGER = 44
SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")
NOT_PAGES = ("/events", "/report.csv", "/record.json", "/record.md", "/preview")
"""How the addresses of what is no page end; a preview is the mail itself."""
STATES = {"": ("draft", "scheduled", "paused", "sent"), "/edit": ("draft", "sent"), "/cancel": ("paused",)}
"""In which a campaign's page, and those below it, are looked at."""
CUT_OFF = """[...document.querySelectorAll(".scroll:has(.stacked)")]
    .filter(table => table.scrollWidth > table.clientWidth).map(table => table.getAttribute("aria-label"))"""
"""Tables that are wider than there is room for."""
LETTERS = """[...document.querySelectorAll(".chart text")]
    .map(text => parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a)"""
"""How large those of charts are drawn, in CSS pixels."""
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
async def test_axe_finds_nothing_on_the_ways_in(chromium: Browser, served: House) -> None:
    page = await chromium.new_page(locale="en-GB")
    link = (await served.accounts.invite("Ben", "editor", None, now=served.clock.now())).link
    paths = ("/console/sign-in", "/console/forgot", link.removeprefix(served.settings.base_url))
    found = [each for path in paths for each in await look(page, served, path)]
    await page.close()
    assert found == []


@pytest.mark.browser
@pytest.mark.timeout(400)
@pytest.mark.parametrize("half", [0, 1])
async def test_axe_finds_nothing_on_any_page_narrow_and_wide_light_and_dark(
    chromium: Browser, served: House, half: int
) -> None:
    context = await chromium.new_context(locale="en-GB")
    page = await sign_in(context, served)
    found, seen = [], 0
    for address in (await pages(served))[half::2]:
        found += await look(page, served, address.path)
        seen += 1
        if screens := os.environ.get("SCREENS"):
            await take(page, Path(screens) / f"console-{address.route}.png")
    await context.close()
    assert found == []
    assert seen > 15


async def pages(house: House) -> list[Address]:
    """What is a page, once, named for its picture; a campaign's own in each state, what lies below it where it says most."""
    numbers = dict(await house.db.fetch("select state, max(campaign_id) from campaign group by state"))
    found = []
    for each in await addresses(house):
        if each.route.endswith(NOT_PAGES) or "(further)" in each.route:
            continue
        own = re.fullmatch(r"/console/campaigns/\d+(/\w+)?", each.path)
        if own is None:
            found.append(Address(name_of(each.route), each.path))
            continue
        below = own[1] or ""
        found += [
            Address(f"campaigns-{state}{below.replace('/', '-')}", f"/console/campaigns/{numbers[state]}{below}")
            for state in STATES.get(below, ("draft",))
        ]
    return found


async def take(page: Page, picture: Path) -> None:
    await page.set_viewport_size({"width": max(WIDTHS), "height": HEIGHT})
    await page.emulate_media(color_scheme="light")
    await page.reload(wait_until="networkidle")  # Or frames would still be drawn for what was looked at before.
    drawn = Image.open(io.BytesIO(await page.screenshot(full_page=True))).convert("RGB")
    drawn.quantize(256, dither=Image.Dither.NONE).save(picture, optimize=True)  # A third of the size, and it looks the same.


async def look(page: Page, house: House, path: str) -> list[str]:
    """What is wrong with a page, at each width in both schemes; loaded once, since each load has axe-core read anew."""
    answer = await page.goto(f"{house.settings.base_url}{path}")
    assert answer is not None
    assert answer.status == 200, (path, answer.status)
    found = []
    if (size := len(await answer.body())) >= LARGEST_PAGE:
        found.append(f"{path} has {size:,} octets")
    await page.evaluate(AXE_SCRIPT)
    for width, scheme in [(width, scheme) for width in WIDTHS for scheme in SCHEMES]:
        await page.set_viewport_size({"width": width, "height": HEIGHT})
        await page.emulate_media(color_scheme=scheme)
        if (wide := await page.evaluate("document.documentElement.scrollWidth")) > width:
            found.append(f"{path} is {wide} wide on a page of {width}")
        violations = await page.evaluate("axe.run({resultTypes: ['violations']}).then(results => results.violations)")
        found += [
            f"{path} {width} {scheme}: {each['id']} {[node['html'][:120] for node in each['nodes']][:3]}" for each in violations
        ]
    return found


@pytest.mark.browser
async def test_on_a_telephone_the_menu_opens_by_keyboard_without_a_script_and_is_large_enough_for_fingers(
    chromium: Browser, served: House
) -> None:
    context = await chromium.new_context(locale="en-GB", viewport={"width": 320, "height": HEIGHT}, java_script_enabled=False)
    page = await sign_in(context, served)
    await page.goto(f"{served.settings.base_url}/console/promises")
    menu = page.get_by_role("navigation", name="Console")
    assert (await menu.inner_text()).split() == ["Menu", "Promises"]
    for key in ("Tab", "Tab", "Enter"):  # The first is the way past the menu.
        await page.keyboard.press(key)
    ways, everywhere = menu.get_by_role("link"), sum(len(places) for _, places in NAVIGATION) + 1  # One is the account.
    await expect(ways).to_have_count(everywhere)
    boxes = [await way.bounding_box() for way in [*await ways.all(), menu.get_by_role("button"), menu.locator("summary")]]
    assert [box for box in boxes if box is None or box["height"] < FINGER or box["x"] + box["width"] > 320] == []
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Hello, owner")
    await page.set_viewport_size({"width": 1280, "height": HEIGHT})
    await expect(ways).to_have_count(everywhere)
    await context.close()


@pytest.mark.browser
async def test_long_names_leave_room_for_the_rest_and_charts_and_buttons_can_be_read(chromium: Browser, served: House) -> None:
    await served.db.execute("update campaign set name = repeat('N', 200) where state in ('paused', 'draft')")
    sent = await served.db.fetchval("select campaign_id from campaign where state = 'sent'")
    page = await sign_in(await chromium.new_context(locale="en-GB"), served)
    for path in ("/", "/campaigns", f"/campaigns/{sent}", "/promises", "/lists/letter"):
        await page.goto(f"{served.settings.base_url}/console{path}")
        for width in WIDTHS:
            await page.set_viewport_size({"width": width, "height": HEIGHT})
            assert await page.evaluate(CUT_OFF) == [], (path, width)
            sizes = await page.evaluate(LETTERS)
            assert [size for size in sizes if not 11 <= size <= 17] == [], (path, width)
            assert sizes or path == "/campaigns"
    draft = await served.db.fetchval("select max(campaign_id) from campaign where state = 'draft'")
    for below in ("", "/versions", "/preflight", "/delete", "/edit"):
        await page.goto(f"{served.settings.base_url}/console/campaigns/{draft}{below}")
        for width in WIDTHS:
            await page.set_viewport_size({"width": width, "height": HEIGHT})
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, (below, width)
    box = await page.get_by_role("button", name="Save, and check").bounding_box()
    assert box is not None
    assert box["height"] < 2 * FINGER, "a button of more than two lines is no button any more"
    await page.context.close()


@pytest.mark.browser
async def test_axe_finds_nothing_on_the_open_menu(chromium: Browser, served: House) -> None:
    page = await sign_in(await chromium.new_context(locale="en-GB", viewport={"width": 320, "height": HEIGHT}), served)
    await page.locator(".menu summary").click()
    await page.evaluate(AXE_SCRIPT)
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        assert await page.evaluate("axe.run().then(results => results.violations.map(each => each.id))") == []
    await page.context.close()


@pytest.mark.browser
async def test_a_text_comes_along_that_was_being_written_when_somebody_signed_out_in_another_tab(
    chromium: Browser, served: House
) -> None:
    context = await chromium.new_context()
    page = await sign_in(context, served)
    number = await served.db.fetchval("select min(campaign_id) from campaign where state = 'draft'")
    await page.goto(f"{served.settings.base_url}/console/campaigns/{number}/edit")
    text, saving = page.get_by_role("textbox", name="Text", exact=True), page.locator("#saving")
    await text.fill("x" * 1_100_000)
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(saving).to_contain_text("more than 1,024 KB, as it is sent. Your text stays here.")
    other = await context.new_page()
    await other.goto(f"{served.settings.base_url}/console/account")
    await other.get_by_role("button", name="Sign out").click()
    await expect(other.get_by_role("heading", level=1, name="Sign in")).to_be_visible()
    assert await context.cookies() == []
    await text.fill("Typed after that")
    await expect(saving).to_contain_text("Press Save: you sign in, and it comes along.")
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_text("What you wrote is not lost")).to_be_visible()
    await page.get_by_label("Email address").fill(EMAIL)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("button", name="Send it on, to be saved").click()
    await expect(page.get_by_role("textbox", name="Text", exact=True)).to_have_value("Typed after that")
    await context.close()


def test_the_script_is_small() -> None:
    script = Path(__file__).parents[2] / "templates" / "static" / "console.js"
    assert script.stat().st_size < LARGEST_SCRIPT
