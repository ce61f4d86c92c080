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


async def readers(house: House, count: int, *, domain: str = "example.org", slug: str = "letter") -> None:
    """Confirmed ones, reader0 and so on at that domain."""
    addresses = [f"reader{number}@{domain}" for number in range(count)]
    await house.db.execute(
        """with people as (select * from unnest($1::uuid[], $2::text[]) as p(id, address)),
                added as (insert into subscriber (subscriber_id, address, domain, language, created_at)
                          select id, address, split_part(address, '@', 2), 'en', $3 from people)
           insert into subscription (subscriber_id, list_id, state, language, requested_at, confirmed_at)
           select id, (select list_id from list where slug = $4), 'confirmed', 'en', $3, $3 from people""",
        [house.keyring.subscriber_id(address) for address in addresses],
        addresses,
        house.clock.now(),
        slug,
    )


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
