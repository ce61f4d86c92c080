"""The web app on a loopback port around a whole house, and what tests do with it again and again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient

from newsletter.app import House
from newsletter.core.addresses import parse_address
from newsletter.dev.letters import Letter
from newsletter.dev.mailbox import Mailbox
from newsletter.subscribing.lists import MailingList

Client = TestClient[web.Request, web.Application]
READER = "reader@example.org"
THANKS = "https://northwind.example/thanks?from=letter"


@dataclass
class Site:
    client: Client
    house: House
    mailbox: Mailbox
    letter: MailingList
    """Its languages are English and German."""
    alerts: MailingList
    """Of the same sender."""

    async def get(self, path: str, **options: Any) -> ClientResponse:
        return await self.client.get(path, allow_redirects=False, **options)

    async def post(self, path: str, data: Any = None, **options: Any) -> ClientResponse:
        return await self.client.post(path, data=data, allow_redirects=False, **options)

    async def sign_up(self, address: str = READER, **fields: str) -> ClientResponse:
        return await self.post("/subscribe/letter", {"email": address, **fields})

    async def work(self) -> None:
        """What the worker does: decide on every request, send every mail."""
        while await self.house.joining.process_once(now=self.house.clock.now()):
            pass
        while await self.house.asking.process_once(now=self.house.clock.now()):
            pass
        outbox = self.house.outbox()
        await outbox.run_once()
        await outbox.finish()
        await outbox.close()

    async def confirm_path(self, address: str = READER) -> str:
        """Sign up, and the path of the link in the mail that comes."""
        assert (await self.sign_up(address)).status == 200
        await self.work()
        newest = next(mail for mail in await self.mailbox.messages() if mail.recipients == (address,))
        link = re.search(r"https://news\.example\.org/confirm/\S+", newest.text or "")
        assert link
        return urlsplit(link[0]).path

    async def subscribe(self, address: str = READER) -> str:
        """Sign up and confirm; the path of the unsubscribe link that is in every letter."""
        answer = await self.post(await self.confirm_path(address), {"do": "confirm"})
        assert answer.status == 200
        return self.unsubscribe_path(address)

    def unsubscribe_path(self, address: str = READER, mailing_list: MailingList | None = None) -> str:
        return urlsplit(self.house.links.unsubscribe(self.id_of(address), (mailing_list or self.letter).list_id)).path

    async def data_path(self, address: str = READER) -> str:
        """Ask for the link to somebody's data, and the path of the link in the mail that comes."""
        assert (await self.post("/data", {"email": address})).status == 200
        await self.work()
        link = re.search(r"https://news\.example\.org/data/\S+", (await self.mail_to(address)).text or "")
        assert link
        return urlsplit(link[0]).path

    async def mail_to(self, address: str) -> Letter:
        """The newest."""
        return next(mail for mail in await self.mailbox.messages() if mail.recipients == (address,))

    def id_of(self, address: str = READER) -> UUID:
        return self.house.keyring.subscriber_id(parse_address(address).normal)

    async def state(self, address: str = READER, mailing_list: MailingList | None = None) -> str | None:
        value = await self.house.db.fetchval(
            "select state from subscription where subscriber_id = $1 and list_id = $2",
            self.id_of(address),
            (mailing_list or self.letter).list_id,
        )
        return None if value is None else str(value)

    async def requests(self) -> list[dict[str, Any]]:
        """Sign-ups that wait for a worker."""
        return [dict(row) for row in await self.house.db.fetch("select * from signup_request order by request_id")]

    async def database(self) -> dict[str, list[str]]:
        """Every row of every table."""
        tables = await self.house.db.fetch("select tablename from pg_tables where schemaname = 'public' order by 1")
        rows = {}
        for (table,) in tables:
            found = await self.house.db.fetch(f'select t::text from "{table}" t')
            rows[str(table)] = sorted(str(row[0]) for row in found)
        return rows


class Page(HTMLParser):
    """What a page is made of, as far as tests ask."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self._heading = False
        self.heading = ""
        self.feed(markup)
        self.words = " ".join(self.words.split())
        self.heading = " ".join(self.heading.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._heading = tag == "h1"

    def handle_endtag(self, tag: str) -> None:
        self._heading = False if tag == "h1" else self._heading

    def handle_data(self, data: str) -> None:
        self.words += data
        if self._heading:
            self.heading += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def field(self, name: str) -> dict[str, str | None]:
        return next(each for each in self.all("input") if each.get("name") == name)

    @property
    def addresses(self) -> list[tuple[str, str]]:
        """Whatever a browser loads, follows or sends to, with the tag that says so."""
        named = ("href", "src", "action", "srcset", "data", "poster", "formaction", "background", "content")
        return [(tag, value) for tag, attributes in self.tags for name in named if (value := attributes.get(name))]


async def page(response: ClientResponse) -> Page:
    return Page(await response.text())
