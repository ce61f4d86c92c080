"""A served house with two lists of one sender."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from newsletter.app import House
from newsletter.dev.mailbox import Mailbox
from newsletter.subscribing.lists import ListText, NewList, NewSender, create_list
from newsletter.web.server import make_app
from tests.integration.web.site import THANKS, Client, Site

SENDER = NewSender(
    "Northwind Society",
    "letter@northwind.example",
    "Harbour Street 4, 24937 Flensburg",
    "privacy@northwind.example",
    legal_notice="https://northwind.example/imprint",
)
LETTER = NewList(
    "letter",
    {"en": ListText("The Northwind Letter", "Once a month."), "de": ListText("Der Nordwind-Brief", "Einmal im Monat.")},
    time_zone="Europe/Berlin",
    return_urls=(THANKS,),
)
ALERTS = NewList("alerts", {"en": ListText("Excursion alerts", "When a place becomes free.")})


class Served(TestServer):
    """With the runner's settings of production, where those of aiohttp's test server differ."""

    async def _make_runner(self, **kwargs: Any) -> web.AppRunner:
        return web.AppRunner(self.app, **{**kwargs, "access_log": None, "handler_cancellation": False})


@pytest.fixture
async def client(house: House) -> AsyncIterator[Client]:
    async with TestClient(Served(make_app(house.services()))) as client:
        yield client


@pytest.fixture
async def site(house: House, mailbox: Mailbox, client: Client) -> Site:
    now = house.clock.now()
    letter = await create_list(house.db, LETTER, SENDER, base_host=house.host, now=now)
    alerts = await create_list(house.db, ALERTS, SENDER.name, base_host=house.host, now=now)
    return Site(client, house, mailbox, letter, alerts)
