"""The console on a loopback port, with people of each role who are signed in."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientResponse, DummyCookieJar
from aiohttp.test_utils import TestClient
from argon2 import PasswordHasher

from newsletter.app import House
from newsletter.operators.passwords import Passwords
from newsletter.operators.sessions import From, form_token
from newsletter.web.console.guard import HIDDEN_FIELD
from newsletter.web.server import make_app
from tests.integration.web.conftest import Served
from tests.integration.web.site import Client, Page, Site

PASSWORD = "tide lamp slip boots"
HERE = From("203.0.113.7", "Test browser")
SAME_SITE = {"Sec-Fetch-Site": "same-origin"}


@dataclass(frozen=True)
class Operator:
    """Somebody's browser. `cookie` empty: not signed in."""

    client: Client
    house: House
    operator_id: int
    name: str
    address: str
    cookie: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {"Cookie": f"__Host-session={self.cookie}"} if self.cookie else {}

    async def get(self, path: str, **options: Any) -> ClientResponse:
        return await self.client.get(path, allow_redirects=False, headers=self.headers | options.pop("headers", {}), **options)

    async def page(self, path: str) -> Page:
        """One that is there."""
        answer = await self.get(path)
        assert answer.status == 200, (path, answer.status)
        return Page(await answer.text())

    async def post(self, path: str, fields: dict[str, Any] | None = None, **options: Any) -> ClientResponse:
        """A form of this session's own page."""
        data = {HIDDEN_FIELD: form_token(self.cookie)} | (fields or {})
        headers = self.headers | SAME_SITE | options.pop("headers", {})
        return await self.client.post(path, data=data, allow_redirects=False, headers=headers, **options)

    def with_cookie(self, cookie: str) -> Operator:
        return replace(self, cookie=cookie)

    async def done(self) -> list[tuple[str, str]]:
        """Action and target of what the log says of them, oldest first."""
        rows = await self.house.db.fetch(
            "select action, target from audit_log where operator = $1 order by audit_id", self.name
        )
        return [(row["action"], row["target"]) for row in rows]


Hire = Callable[..., Awaitable[Operator]]


@pytest.fixture
async def house(house: House) -> House:
    """With passwords that are hashed quickly: whoever signs in takes a twentieth of a second otherwise."""
    house.__dict__["passwords"] = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    return house


@pytest.fixture
async def client(house: House) -> AsyncIterator[Client]:
    """Remembers no cookies: each operator has their own."""
    async with TestClient(Served(make_app(house.services())), cookie_jar=DummyCookieJar()) as client:
        yield client


@pytest.fixture
def hire(client: Client, house: House) -> Hire:
    """`await hire("editor")`: an operator of that role who is called like it, or by the name given, signed in."""

    async def hire(role: str, name: str = "") -> Operator:
        now, address = house.clock.now(), f"{role}@house.example"
        invited = await house.accounts.invite(name or role.title(), role, address, now=now)
        token = urlsplit(invited.link).path.rpartition("/")[2]
        await house.accounts.welcome(token, PASSWORD, now=now)
        signed_in = await house.sessions.sign_in(address, PASSWORD, HERE, now=now)
        return Operator(client, house, invited.operator_id, name or role.title(), address, signed_in.cookie)

    return hire


@pytest.fixture
async def owner(hire: Hire, site: Site) -> Operator:
    return await hire("owner")


@pytest.fixture
async def editor(hire: Hire, site: Site) -> Operator:
    return await hire("editor")


@pytest.fixture
async def viewer(hire: Hire, site: Site) -> Operator:
    return await hire("viewer")


@pytest.fixture
def stranger(client: Client, house: House, site: Site) -> Operator:
    """Somebody who is not signed in."""
    return Operator(client, house, 0, "nobody", "")


def words_of(markup: str) -> str:
    """What a page says, each cell of a table apart from the next."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def location(answer: ClientResponse) -> str:
    return answer.headers["Location"]
