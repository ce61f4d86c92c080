"""A process that is started before its database."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr
from structlog.testing import capture_logs

from newsletter.cli.house import wait_for_database
from newsletter.core.database import Database
from newsletter.core.migrations import migrate
from newsletter.settings import Settings
from tests.conftest import START

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


async def test_a_process_that_starts_before_its_database_is_migrated_waits_for_that(
    settings: Settings, empty_database_url: str
) -> None:
    """Exit code 78 would leave it down for good: a supervisor takes it for a configuration that cannot work."""
    behind = settings.model_copy(update={"database_url": SecretStr(empty_database_url)})
    with capture_logs() as events:
        waiting = asyncio.create_task(wait_for_database(behind, pause=0.01))
        async with asyncio.timeout(20):
            while not events:  # noqa: ASYNC110  the log is a list
                await asyncio.sleep(0)
        assert not waiting.done()
        assert "newsletter migrate" in events[0]["reason"]
        db = await Database.connect(empty_database_url)
        await migrate(db, now=START)
        await db.close()
        async with asyncio.timeout(20):
            await waiting


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
