"""What the README promises for the first ten minutes, done with a real browser against the real processes."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.acceptance.conftest import Dev, Visit, running_dev
from tests.ports import free_port

README = Path(__file__).parents[2] / "README.md"


def readme_send_command() -> str:
    """The one command that the README names for sending the demo campaign."""
    commands = re.findall(r"^ *\.venv/bin/(newsletter campaign send 1 .*)$", README.read_text(), re.MULTILINE)
    assert len(commands) == 1
    return str(commands[0])


async def open_newest(page: Page, mailbox: str, subject: str, *, to: str = "") -> None:
    """Look into the mailbox until the mail is there, as somebody would who does not wait for the page to look by itself."""
    await page.goto(f"{mailbox}?refresh=no")
    mail = page.get_by_role("link", name=subject).filter(has_text=to).first
    async with asyncio.timeout(20):
        while not await mail.count():
            await page.reload()
    await mail.click()
    await expect(page.get_by_role("heading", name=subject)).to_be_visible()


async def follow(page: Page, link: str) -> Page:
    """Click a link in the mail that is open; it opens beside."""
    async with page.expect_popup() as opened:
        await page.frame_locator("iframe").locator(link).first.click()
    beside = await opened.value
    await beside.wait_for_load_state()
    return beside


@pytest.mark.browser
async def test_sign_up_confirm_receive_leave(visit: Visit, tmp_path: Path) -> None:
    folder = tmp_path / "a folder with spaces"
    folder.mkdir()
    async with running_dev(folder, free_port(neighbours=1)) as dev:
        page = await visit.context.new_page()
        await sign_up(page, dev)
        await confirm(page, dev)
        assert "Sending campaign 1 to 1 reader." in await dev.run(readme_send_command())
        await leave(page, dev)
        assert visit.hosts == {"127.0.0.1"}
        assert visit.complaints == []
    logs = dev.logs()
    assert all(sign in logs for sign in ("/confirm/{token}", "mail_handed_over", "database system is ready")), (
        "all logs are there"
    )
    assert visit.tokens, "links were followed"
    assert [secret for secret in ("ada@", "example.org", *visit.tokens) if secret in logs] == []


async def sign_up(page: Page, dev: Dev) -> None:
    await page.goto(dev.address("Sign-up"))
    await page.get_by_label("Your email address").fill("ada@example.org")
    await page.get_by_role("button", name="Subscribe").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Check your mail")


async def confirm(page: Page, dev: Dev) -> None:
    await open_newest(page, dev.address("Mailbox"), "Please confirm: The Northwind Letter")
    beside = await follow(page, "a[href*='/confirm/']:not([href$='/refuse'])")
    await expect(beside.get_by_role("button")).to_have_count(1)
    await beside.get_by_role("button").click()
    await expect(beside.get_by_role("heading", level=1)).to_contain_text("You are subscribed")
    await beside.go_back()
    await beside.reload()
    await expect(beside.get_by_role("heading", level=1)).to_contain_text("confirmed already")
    await beside.close()


async def leave(page: Page, dev: Dev) -> None:
    await open_newest(page, dev.address("Mailbox"), "The long tide")
    letter = page.frame_locator("iframe")
    await expect(letter.get_by_role("heading", name="The long tide")).to_be_visible()
    beside = await follow(page, "a[href*='/unsubscribe/']")
    await expect(beside.get_by_role("button")).to_have_count(1)
    await beside.get_by_role("button").click()
    await expect(beside.get_by_role("heading", level=1)).to_contain_text("unsubscribed")
    await expect(beside.get_by_text("your address will be deleted on")).to_be_visible()
    await beside.get_by_role("button", name=re.compile("Delete my address now")).click()
    await expect(beside.get_by_role("heading", level=1)).to_contain_text("deleted")
