"""Campaigns and their readers, for tests of the pages that send, watch and report."""

from __future__ import annotations

import asyncio
import html
import re
from dataclasses import replace

from newsletter.app import House
from newsletter.campaigns.content import Draft, Format
from newsletter.campaigns.service import NewCampaign
from tests.integration.web.console.conftest import Operator

CAMPAIGNS = "/console/campaigns"
BY = "test"


def one(number: int) -> str:
    return f"{CAMPAIGNS}/{number}"


async def draft(
    house: House, name: str = "The long tide", *, body: str = "Dear {{ name }}, see you.", slug: str = "letter"
) -> int:
    words = Draft("en", "The long tide", "", Format.MARKDOWN, body)
    new = NewCampaign(slug, name, (words,))
    return await house.campaigns.create(new, by=BY, now=house.clock.now())


async def begun(house: House, name: str = "The long tide") -> int:
    number = await draft(house, name)
    await house.campaigns.send(number, by=BY, now=house.clock.now())
    return number


async def sent_out(house: House, *, smtp_url: str | None = None) -> None:
    """One worker sends all that is due."""
    if smtp_url is not None:
        house = replace(house, settings=house.settings.model_copy(update={"smtp_url": type(house.settings.smtp_url)(smtp_url)}))
    sending = house.sending(worker="test")
    while await sending.run_once():
        pass
    await sending.close()


async def said(who: Operator, path: str) -> str:
    """The words of a page, each cell apart from the next."""
    answer = await who.get(path)
    assert answer.status == 200, (path, answer.status)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", await answer.text())).split())


async def state(house: House, number: int) -> str:
    return (await house.campaigns.status(number)).state


async def waiting_for_a_lock(house: House) -> None:
    async with asyncio.timeout(5):
        while not await house.db.fetchval("select count(*) from pg_locks where not granted"):
            pass
