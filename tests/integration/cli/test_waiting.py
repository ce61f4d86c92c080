"""A process that is started before its database."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr

from newsletter.cli.house import wait_for_database
from newsletter.settings import Settings

REFUSALS = 3


async def test_a_process_that_starts_before_its_database_waits_for_it(settings: Settings) -> None:
    parts = urlsplit(settings.database_url.get_secret_value())
    refused = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal refused
        if refused < REFUSALS:
            refused += 1
            writer.close()
            return
        there_reader, there_writer = await asyncio.open_connection(parts.hostname, parts.port)
        await asyncio.gather(pipe(reader, there_writer), pipe(there_reader, writer))

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as front:
        port = front.sockets[0].getsockname()[1]
        netloc = f"{parts.username}:{parts.password}@127.0.0.1:{port}"
        away = settings.model_copy(update={"database_url": SecretStr(urlunsplit(parts._replace(netloc=netloc)))})
        async with asyncio.timeout(20):
            await wait_for_database(away, pause=0)
    assert refused == REFUSALS


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
