"""A house in which something of everything is there, served in this process, for tests that look at every page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web

from newsletter.app import House
from newsletter.dev.demo import prepare_demo
from newsletter.web.server import make_app


@dataclass(frozen=True)
class FullHouse:
    house: House

    def pages(self, paths: Sequence[str]) -> list[str]:
        """Those of the console, and those of the way in."""
        return [path for path in paths if not path.endswith("/welcome/nonsense")]

    def expected(self, path: str) -> tuple[int, ...]:
        """Besides 200: what a page that is shown here may answer all the same."""
        return ()


@asynccontextmanager
async def serving(house: House, port: int) -> AsyncIterator[None]:
    runner = web.AppRunner(make_app(house.services()), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def full_house(house: House) -> FullHouse:
    """With an owner who can sign in."""
    now = house.clock.now()
    await prepare_demo(house)
    link = await house.accounts.first_owner(now=now)
    assert link
    await house.accounts.welcome(urlsplit(link).path.rpartition("/")[2], "tide lamp slip boots", "ada@house.example", now=now)
    return FullHouse(house)
