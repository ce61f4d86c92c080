"""An operator's whole job in a real browser against the real processes: once with a mouse, once by keyboard alone, once without
JavaScript."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyotp
import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from newsletter.core.addresses import parse_address
from newsletter.core.i18n import long_date
from newsletter.core.keys import open_keyring
from newsletter.settings import load_settings
from tests.acceptance.conftest import Dev, Visit, running_dev
from tests.acceptance.hands import Hands, Keyboard, picture
from tests.acceptance.test_first_ten_minutes import follow, open_newest
from tests.acceptance.test_my_data import database
from tests.ports import free_port

OWNER, PASSWORD = "ada@house.example", "tide lamp slip boots"
READER = "reader@example.org"
WAYS = {"mouse": (Hands, True), "keyboard": (Keyboard, True), "no script": (Hands, False)}


@pytest.mark.browser
@pytest.mark.timeout(240)
@pytest.mark.parametrize("way", WAYS)
async def test_an_operator_does_the_whole_job(chromium: Browser, tmp_path: Path, way: str) -> None:
    make, script = WAYS[way]
    context = await chromium.new_context(locale="en-GB", viewport={"width": 1280, "height": 900}, java_script_enabled=script)
    async with context:
        await tell(context, make, tmp_path, script=script)


async def tell(context: BrowserContext, make: type[Hands], folder: Path, *, script: bool) -> None:
    context.set_default_timeout(15_000)
    visit = Visit(context)
    visit.listen()
    async with running_dev(folder, free_port(neighbours=1)) as dev:
        hands = make(await context.new_page())
        await become_owner(hands, dev)
        await set_up_second_factor(hands)
        await make_list(hands)
        await win_a_reader(await context.new_page(), dev)
        await upload_picture(hands, folder)
        await compose(hands)
        await check_and_test(hands, dev, await context.new_page())
        await schedule_and_think_again(hands)
        await send_and_watch(hands, script=script)
        await report(hands)
        await erase_the_reader(hands, dev)
        assert visit.hosts == {"127.0.0.1"}
        # A browser complains of every form that was refused; this story has one with a wrong number.
        assert [each for each in visit.complaints if "422" not in each] == []
    logs = dev.logs()
    assert [secret for secret in (OWNER, READER, PASSWORD, *visit.tokens) if secret in logs] == []


async def become_owner(hands: Hands, dev: Dev) -> None:
    """By the link that is printed; a password, and in."""
    link = re.search(r"http://\S+/console/welcome/\S+", "\n".join(dev.said))
    assert link, dev.said
    await hands.page.goto(link[0])
    await hands.fill("Your email address", OWNER)
    await hands.fill("Password", PASSWORD)
    await hands.fill("The same again", PASSWORD)
    await hands.press("Set the password")
    await hands.read("Sign in")
    await hands.fill("Password", PASSWORD)
    await hands.press("Sign in")
    await hands.read("Hello, owner")


async def set_up_second_factor(hands: Hands) -> None:
    await hands.follow("Set one up")
    await hands.read("Set up a second factor")
    secret = (await hands.page.locator("code").inner_text()).replace(" ", "")
    totp, now = pyotp.TOTP(secret), int(time.time())
    await hands.fill("Six digits", totp.at(now))
    await hands.fill("Your password", PASSWORD)
    await hands.press("Turn it on")
    await hands.read("Your recovery codes")
    await expect(hands.page.locator(".codes li")).to_have_count(10)
    await hands.press("Sign out")
    await hands.fill("Email address", OWNER)
    await hands.fill("Password", PASSWORD)
    await hands.press("Sign in")
    await hands.read("Your code")
    # The one of the next half minute: a telephone's clock may be that far ahead, and the one before was used.
    await hands.fill("Code of your second factor", totp.at(now + 30))
    await hands.press("Sign in")
    await hands.read("Hello, owner")


async def make_list(hands: Hands) -> None:
    await hands.follow("Lists")
    await hands.read("Lists")
    await hands.follow("Make a list")
    await hands.fill("Short name", "harbour")
    await hands.page.get_by_role("group", name="English").get_by_label("Name", exact=True).wait_for()
    await hands.fill("Name", "Harbour News")
    await hands.choose("Sender", "Northwind Society")
    await hands.press("Make the list")
    await hands.read("Harbour News")
    await expect(hands.page.get_by_text("The list is there")).to_be_visible()


async def win_a_reader(page: Page, dev: Dev) -> None:
    """Somebody signs up on the list's page and confirms by the mail."""
    await page.goto(f"{dev.address('Console').rpartition('/console')[0]}/subscribe/harbour")
    await page.get_by_label("Your email address").fill(READER)
    await page.get_by_role("button", name="Subscribe").click()
    await open_newest(page, dev.address("Mailbox"), "Please confirm")
    beside = await follow(page, "a")
    await beside.get_by_role("button").first.click()
    await expect(beside.get_by_role("heading", level=1)).to_contain_text("subscribed")
    await beside.close()
    await page.close()


async def upload_picture(hands: Hands, folder: Path) -> None:
    await hands.follow("Images")
    await hands.upload("File", picture(folder))
    await hands.fill("What it shows", "The tide at the slip")
    await hands.press("Upload it")
    await expect(hands.page.get_by_text("The image is there")).to_be_visible()


async def compose(hands: Hands) -> None:
    await hands.follow("Campaigns")
    await hands.follow("New campaign")
    await hands.read("New campaign")
    await hands.fill("Name", "November")
    radio = hands.page.get_by_label("Harbour News", exact=True)
    if isinstance(hands, Keyboard):
        while not await radio.is_checked():
            await hands.page.keyboard.press(
                "Tab" if not await hands.page.locator("input[name=list]:focus").count() else "ArrowDown"
            )
    else:
        await radio.check()
    await hands.press("Begin to write")
    await hands.fill("Subject", "The long tide")
    await hands.fill("Text", 'Dear {{ name | default: "reader" }},\n\nthe water stands high.\n\n')
    await hands.page.locator("summary", has_text="Images").evaluate("summary => summary.parentElement.open = true")
    await hands.press("Insert The tide at the slip")
    await expect(hands.page.get_by_role("textbox", name="Text", exact=True)).to_have_value(
        re.compile(r"!\[The tide at the slip\]\(http")
    )
    await hands.press("Save")
    await expect(hands.page.locator("#fault")).to_be_hidden()
    await see_it_as_wide_as_it_is(hands)


async def see_it_as_wide_as_it_is(hands: Hands) -> None:
    """The preview is laid out for its true width, and shown as wide as its column; whole in a page of its own."""
    preview = hands.page.locator("#preview")
    for view, width in (("telephone", 360), ("desktop", 640)):
        await hands.page.locator(f"#view-{view}").check()
        assert await preview.evaluate("frame => frame.offsetWidth") == width
        assert await preview.evaluate("frame => frame.getBoundingClientRect().width - frame.parentElement.clientWidth") < 1
    async with hands.page.expect_popup() as opening:
        await hands.press("Open it in a page of its own")
    beside = await opening.value
    await expect(beside.get_by_text("the water stands high.")).to_be_visible()
    await beside.close()


async def check_and_test(hands: Hands, dev: Dev, beside: Page) -> None:
    await hands.fill("Addresses", "test@example.org")
    await hands.press("Save, and send the test")
    await expect(hands.page.get_by_text("taken by the relay").first).to_be_visible()
    await open_newest(beside, dev.address("Mailbox"), "The long tide")
    await beside.close()
    await hands.press("Save, and check before it is sent")
    await expect(hands.page.get_by_role("heading", level=1)).to_contain_text("Before it is sent")


async def schedule_and_think_again(hands: Hands) -> None:
    await hands.follow("November")
    await hands.read("November")
    day = datetime.now(UTC) + timedelta(days=60)
    await hands.set_time("Date and time", f"{day:%Y-%m-%d}T10:00")
    await hands.press("Schedule")
    await expect(hands.page.get_by_text(long_date(day, "en")).first).to_be_visible()
    await hands.press("Do not start it")
    await expect(hands.page.get_by_role("heading", name="Can it be sent?")).to_be_visible()


async def send_and_watch(hands: Hands, *, script: bool) -> None:
    """A wrong number is refused; the right one sends, and the page follows by itself where a script may run."""
    await hands.fill("Type that number to confirm", "7")
    await hands.press("Send to 1 reader")
    await expect(hands.page.locator("#readers-error")).to_be_visible()
    await hands.fill("Type that number to confirm", "1")
    await hands.press("Send to 1 reader")
    sent = hands.page.get_by_role("heading", name="Sent", exact=True)
    if not script:  # The page asks for itself anew, or somebody looks again.
        for _ in range(50):
            if await sent.count():
                break
            await hands.page.reload()
    await expect(sent).to_be_visible(timeout=30_000)


async def report(hands: Hands) -> None:
    await expect(hands.page.get_by_text("Taken by the relay").first).to_be_visible()
    async with hands.page.expect_download() as loading:
        await hands.follow("Download the report")
    assert (await (await loading.value).path()).read_text().count("\n") > 1


async def erase_the_reader(hands: Hands, dev: Dev) -> None:
    await hands.follow("Subscribers")
    await hands.fill("Address, or how it begins", READER)
    await hands.press("Find")
    await expect(hands.page.get_by_text(READER).first).to_be_visible()
    assert READER not in hands.page.url
    if await hands.page.get_by_role("link", name=READER).count():
        await hands.follow(READER)
    await hands.follow("Delete everything")
    await hands.press("Delete everything now")
    await expect(hands.page.get_by_text("Deleted. What stays is a code").first).to_be_visible()
    settings = load_settings({}, folder=dev.folder)
    async with database(dev) as db:
        keyring = await open_keyring(db, settings.secret.get_secret_value(), now=await db.fetchval("select now()"))
        who = keyring.subscriber_id(parse_address(READER).normal)
        assert not await db.fetchval("select exists (select from subscriber where subscriber_id = $1)", who)
