"""A reader's rights, exercised in a real browser against the real processes, each followed into the database."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from newsletter.core.database import Database
from newsletter.settings import load_settings
from tests.acceptance.conftest import Dev, Visit, running_dev
from tests.acceptance.test_first_ten_minutes import confirm, follow, open_newest, sign_up
from tests.ports import free_port

ADA, NEW, STRANGER = "ada@example.org", "countess@example.org", "stranger@example.org"
LINK = "a[href*='/data/']"


@asynccontextmanager
async def database(dev: Dev) -> AsyncIterator[Database]:
    """The one that the processes use."""
    settings = load_settings({}, folder=dev.folder)
    db = await Database.connect(settings.database_url.get_secret_value(), size=1)
    yield db
    await db.close()


async def ask(page: Page, dev: Dev, address: str, *, subject: str) -> None:
    """From the page that anybody can open, to the mail that comes."""
    await page.goto(dev.address("Sign-up").partition("/subscribe")[0] + "/data")
    await page.get_by_label("Your email address").fill(address)
    await page.get_by_role("button", name="Mail me the link").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Check your mail")
    await open_newest(page, dev.address("Mailbox"), subject, to=address)


async def open_data(page: Page, dev: Dev, address: str) -> Page:
    await ask(page, dev, address, subject="What we hold about you")
    beside = await follow(page, LINK)
    await expect(beside.get_by_role("button")).to_have_count(1)
    assert address not in await beside.content()
    await beside.get_by_role("button").click()
    await expect(beside.get_by_text(address).first).to_be_visible()
    return beside


async def press(page: Page, summary: str, button: str) -> None:
    """Open what is folded, and press the button in it."""
    folded = page.locator("details").filter(has=page.locator("summary", has_text=summary))
    await folded.locator("summary").click()
    await folded.get_by_role("button", name=button).click()


@pytest.mark.browser
async def test_a_reader_sees_takes_along_corrects_pauses_moves_and_deletes(visit: Visit, tmp_path: Path) -> None:
    async with running_dev(tmp_path, free_port(neighbours=1)) as dev, database(dev) as db:
        page = await visit.context.new_page()
        await sign_up(page, dev)
        await confirm(page, dev)
        await send(page, dev)
        await forward(page, dev, db)
        data = await open_data(page, dev, ADA)
        await see_and_take_along(data)
        await correct(data, db)
        await pause(data, db)
        await move(page, data, dev, db)
        await erase(page, dev, db)
        assert visit.hosts == {"127.0.0.1"}
        assert visit.complaints == []


async def send(page: Page, dev: Dev) -> None:
    """The demo campaign, over HTTP: a process of its own for that takes seconds."""
    base, token = dev.address("Sign-up").partition("/subscribe")[0], dev.address("API token")
    sent = await page.request.post(f"{base}/api/v1/campaigns/1/send", headers={"Authorization": f"Bearer {token}"})
    assert sent.ok


async def forward(page: Page, dev: Dev, db: Database) -> None:
    """The link at the end of a letter lets whoever it was forwarded to see nothing, and nothing about whom it was sent to."""
    await open_newest(page, dev.address("Mailbox"), "The long tide")
    beside = await follow(page, "a[href$='/data']")
    assert ADA not in await beside.content()
    await expect(beside.get_by_role("heading", level=1)).to_have_text("What we hold about you")
    await beside.get_by_label("Your email address").fill(STRANGER)
    await beside.get_by_role("button", name="Mail me the link").click()
    await expect(beside.get_by_role("heading", level=1)).to_have_text("Check your mail")
    await beside.close()
    await open_newest(page, dev.address("Mailbox"), "We hold nothing about you")
    assert await page.frame_locator("iframe").locator(LINK).count() == 0
    assert await db.fetchval("select count(*) from data_request") == 0
    assert await db.fetchval("select count(*) from subscriber") == 1


async def see_and_take_along(data: Page) -> None:
    for words in ("The Northwind Letter", "subscribed", "The long tide", "taken by the relay", "The mail relay"):
        await expect(data.get_by_text(words).first).to_be_attached()
    for button, read in (("Download as JSON", taken_as_json), ("Download as CSV", taken_as_csv)):
        async with data.expect_download() as saving:
            await data.get_by_role("button", name=button).click()
        read((await (await saving.value).path()).read_text("utf-8"))


def taken_as_json(text: str) -> None:
    taken: dict[str, Any] = json.loads(text)
    assert taken["person"]["address"] == ADA
    assert [row["kind"] for row in taken["consent"]] == ["asked", "confirmed"]
    assert [row["state"] for row in taken["letters"]] == ["accepted"]


def taken_as_csv(text: str) -> None:
    assert f"person,1,address,{ADA}" in text


async def correct(data: Page, db: Database) -> None:
    await data.locator("summary", has_text="Name and language").click()
    await data.get_by_label("Your name, if you like").fill("Ada <b>Lovelace</b>")
    await data.get_by_role("button", name="Save").click()
    await expect(data.get_by_role("status")).to_have_text("This is corrected.")
    await expect(data.get_by_text("Ada <b>Lovelace</b>")).to_be_visible()
    assert await db.fetchval("select name from subscriber") == "Ada <b>Lovelace</b>"


async def pause(data: Page, db: Database) -> None:
    await press(data, "Pause all letters", "Pause all letters")
    await expect(data.get_by_text("All letters are paused until")).to_be_visible()
    assert await db.fetchval("select reason from suppression") == "restricted"
    await data.get_by_role("button", name="Send me letters again").click()
    await expect(data.get_by_role("status")).to_contain_text("The pause has ended")
    assert await db.fetchval("select count(*) from suppression") == 0


async def move(page: Page, data: Page, dev: Dev, db: Database) -> None:
    await data.locator("summary", has_text="Change the address").click()
    await data.get_by_label("Your new email address").fill(NEW)
    await data.get_by_role("button", name="Change the address").click()
    await expect(data.get_by_role("status")).to_contain_text("We wrote to the new address")
    await open_newest(page, dev.address("Mailbox"), "Please confirm", to=NEW)
    beside = await follow(page, "a[href*='/confirm/']:not([href$='/refuse'])")
    await beside.get_by_role("button").click()
    await expect(beside.get_by_role("heading", level=1)).to_contain_text("You are subscribed")
    await beside.close()
    assert [row["address"] for row in await db.fetch("select address from subscriber")] == [NEW]
    await data.get_by_role("button", name="Download as JSON").evaluate("button => button.form.elements.do.value = 'open'")
    await data.get_by_role("button", name="Download as JSON").click()
    await expect(data.get_by_role("heading", level=1)).to_have_text("We hold no address of yours")
    await data.close()


async def erase(page: Page, dev: Dev, db: Database) -> None:
    data = await open_data(page, dev, NEW)
    await press(data, "Delete everything", "Delete everything now")
    await expect(data.get_by_role("heading", level=1)).to_have_text("Everything is deleted")
    for table in ("subscriber", "subscription", "consent_event", "delivery", "outbox", "data_request"):
        assert await db.fetchval(f"select count(*) from {table}") == 0, table
