"""The process that serves: it listens, says clearly why it cannot, and ends without cutting anybody off."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import socket
from typing import cast

import aiohttp
import pytest

from newsletter.app import House
from newsletter.core.errors import SettingsError
from newsletter.subscribing.leaving import Leaving
from newsletter.subscribing.lists import MailingList
from newsletter.web.server import serve
from tests.integration.web.site import Site
from tests.ports import free_port


async def until_listening(port: int, *, no_more: bool = False) -> None:
    """Each try waits for an answer from the kernel, and lets the server go on meanwhile."""
    async with asyncio.timeout(5):
        while await is_listening(port) is no_more:
            pass


async def is_listening(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


class SlowLeaving:
    """Looks as long as the test wants."""

    def __init__(self, mailing_list: MailingList) -> None:
        self._list = mailing_list
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

    async def look(self, token: str) -> MailingList:
        self.begun.set()
        await self.go_on.wait()
        return self._list


async def test_told_to_stop_it_takes_no_more_and_finishes_what_runs(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    port, stop, slow = free_port(), asyncio.Event(), SlowLeaving(site.letter)
    services = dataclasses.replace(site.house.services(), leaving=cast("Leaving", slow))
    serving = asyncio.create_task(serve(services, host="127.0.0.1", port=port, stop=stop))
    await until_listening(port)
    async with aiohttp.ClientSession() as session:
        running = asyncio.create_task(session.get(f"http://127.0.0.1:{port}/unsubscribe/x"))
        await slow.begun.wait()
        stop.set()
        await until_listening(port, no_more=True)
        await asyncio.wait({serving}, timeout=0.3)
        assert not serving.done()
        slow.go_on.set()
        answer = await running
        assert answer.status == 200
        assert "Unsubscribe from The Northwind Letter" in await answer.text()
    await asyncio.wait_for(serving, 5)
    assert "aiohttp.access" not in {record.name for record in caplog.records}  # it would write paths, and tokens with them


async def test_a_port_in_use_is_one_clear_line(house: House) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError) as raised:
            await serve(house.services(), host="127.0.0.1", port=port, stop=asyncio.Event())
    assert str(raised.value) == (
        f"Port {port} on 127.0.0.1 is taken by another program: choose another with NEWSLETTER_PORT or --port."
    )


async def test_an_address_that_this_machine_does_not_have_is_one_clear_line(house: House) -> None:
    with pytest.raises(SettingsError, match=r"^Port \d+ on 192\.0\.2\.1 cannot be listened on: correct NEWSLETTER_HOST"):
        await serve(house.services(), host="192.0.2.1", port=free_port(), stop=asyncio.Event())
