"""A campaign to readers that do not exist: the real database, real workers, a relay that takes everything."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from newsletter.app import House
from newsletter.bench import store
from newsletter.bench.limit import limit
from newsletter.bench.sink import Sink, running_sink
from newsletter.campaigns.content import Draft, Format
from newsletter.campaigns.service import NewCampaign
from newsletter.core.clock import DatabaseClock
from newsletter.core.database import Database
from newsletter.core.errors import DatabaseError, SettingsError
from newsletter.core.keys import open_keyring
from newsletter.core.migrations import migrate
from newsletter.dev.postgres import EmbeddedPostgres
from newsletter.settings import Settings, load_settings
from newsletter.subscribing.lists import ListText, NewList, NewSender, create_list

NAME = "newsletter_bench"
BODY = "\n\n".join(
    (
        "Dear {{ name }},",
        *(
            f"{number}. The tide comes in, and the tide goes out; in between there is time for a letter."
            for number in range(26)
        ),
        "Until the next tide, {{ name }}!",
    )
)
"""About 10 KB as a mail in two parts."""
BY = "bench"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Measured:
    """Of one run. CPU is that of all workers together, memory that of the largest."""

    messages: int
    messages_per_second: float
    limit_messages_per_second: float
    ratio: float
    worker_cpu_us_per_message: float
    worker_peak_rss_mb: float
    workers: int
    message_bytes: int
    planned_in_s: float
    first_after_s: float
    sink: str


async def measure(
    *, readers: int, workers: int, database_url: str | None, given: Sink | None, say: Callable[[str], None]
) -> Measured:
    """`database_url`: a server on which we may make a database, or None for an embedded one; `given`: a sink that runs.

    Raises `SettingsError` where no database can be made, and when a worker ends before the campaign does.
    """
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(_database(database_url))
        sink: Sink = await stack.enter_async_context(running_sink() if given is None else nullcontext(given))
        settings = _settings(url, sink)
        house = await stack.enter_async_context(_house(settings))
        say(f"Making {readers:,} readers")
        await _populate(house, readers)
        draft = Draft("en", "The long tide", "", Format.MARKDOWN, BODY)
        number = await house.campaigns.create(NewCampaign("letter", BY, (draft,)), by=BY, now=house.clock.now())
        mail = (await house.campaigns.preview(number, now=house.clock.now(), name="Ada Lovelace")).message
        connections = workers * settings.smtp_connections
        some = min(readers, 30_000)
        say("Measuring the limit")
        before = await limit(sink, mail, messages=some, connections=connections)
        processes = [await stack.enter_async_context(_worker(settings)) for _ in range(workers)]
        await _are_up(house, workers)
        say("Sending")
        used_before = sum(map(_cpu, processes))
        began = time.perf_counter()
        await house.campaigns.send(number, by=BY, now=house.clock.now())
        planned_in = time.perf_counter() - began
        while (status := await house.campaigns.status(number)).state == "sending":
            if ended := [process for process in processes if process.returncode is not None]:
                raise SettingsError(f"A worker ended with code {ended[0].returncode}: run `newsletter work` to see why.")
            await asyncio.sleep(0.1)
        used = sum(map(_cpu, processes)) - used_before
        peak = max(map(_peak_memory, processes))
        say("Measuring the limit again")
        after = await limit(sink, mail, messages=some, connections=connections)
        first = await store.first_handed_over(house.db, campaign_id=number)
        assert status.started_at and status.finished_at and first
        took = (status.finished_at - status.started_at).total_seconds()
        messages = status.totals.get("accepted", 0)
        most = (before + after) / 2
        return Measured(
            messages=messages,
            messages_per_second=round(messages / took, 1),
            limit_messages_per_second=round(most, 1),
            ratio=round(messages / took / most, 3),
            worker_cpu_us_per_message=round(used / max(messages, 1) * 1e6, 1),
            worker_peak_rss_mb=round(peak, 1),
            workers=workers,
            message_bytes=len(mail),
            planned_in_s=round(planned_in, 3),
            first_after_s=round((first - status.started_at).total_seconds(), 3),
            sink=sink.kind,
        )


@asynccontextmanager
async def _database(server: str | None) -> AsyncIterator[str]:
    """The address of an empty database that goes with the block."""
    if server is None:
        with tempfile.TemporaryDirectory() as folder:
            embedded = EmbeddedPostgres(Path(folder))
            await asyncio.to_thread(embedded.start)
            try:
                yield embedded.url
            finally:
                await asyncio.to_thread(embedded.stop)
        return
    db = await Database.connect(server, size=1, name="newsletter bench")
    try:
        try:
            await store.drop_database(db)
            await store.make_database(db)
        except DatabaseError:
            raise SettingsError(
                "The role in NEWSLETTER_DATABASE_URL may not make a database: run ALTER ROLE … CREATEDB for it, "
                "or unset NEWSLETTER_DATABASE_URL to measure with an embedded PostgreSQL."
            ) from None
        try:
            yield urlunsplit(urlsplit(server)._replace(path=f"/{NAME}"))
        finally:
            await store.drop_database(db)
    finally:
        await db.close()


def _settings(url: str, sink: Sink) -> Settings:
    return load_settings(
        {
            "NEWSLETTER_DATABASE_URL": url,
            "NEWSLETTER_SECRET": secrets.token_urlsafe(32),
            "NEWSLETTER_BASE_URL": "https://news.bench.example",
            "NEWSLETTER_SMTP_URL": f"smtp://{sink.host}:{sink.port}?starttls=never",
            "NEWSLETTER_LOG_LEVEL": "error",
            "NEWSLETTER_DEVELOPMENT": "true",
        }
    )


@asynccontextmanager
async def _house(settings: Settings) -> AsyncIterator[House]:
    db = await Database.connect(settings.database_url.get_secret_value(), size=4, name="newsletter bench")
    try:
        clock = DatabaseClock()
        await migrate(db, now=clock.now())
        await clock.refresh(db)
        house = House(settings, db, await open_keyring(db, settings.secret.get_secret_value(), now=clock.now()), clock)
        try:
            yield house
        finally:
            await house.close()
    finally:
        await db.close()


async def _populate(house: House, readers: int) -> None:
    sender = NewSender("Bench", "letter@bench.example", "Harbour Street 4, Flensburg", "privacy@bench.example")
    lists = NewList("letter", {"en": ListText("The Letter", "Monthly.")})
    await create_list(house.db, lists, sender, base_host=house.host, now=house.clock.now())
    await store.make_people(house.db, readers=readers, now=house.clock.now())
    await store.subscribe_people(house.db, now=house.clock.now())
    await store.tidy_up(house.db)
    await store.tidy_up_subscriptions(house.db)


@asynccontextmanager
async def _worker(settings: Settings) -> AsyncIterator[Process]:
    """A real one, in a process of its own."""
    environment = {
        "NEWSLETTER_DATABASE_URL": settings.database_url.get_secret_value(),
        "NEWSLETTER_SECRET": settings.secret.get_secret_value(),
        "NEWSLETTER_BASE_URL": settings.base_url,
        "NEWSLETTER_SMTP_URL": settings.smtp_url.get_secret_value(),
        "NEWSLETTER_LOG_LEVEL": settings.log_level,
        "NEWSLETTER_DEVELOPMENT": "true",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NEWSLETTER_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "newsletter", "work", env=kept | environment, stdin=DEVNULL, stderr=DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _are_up(house: House, workers: int) -> None:
    async with asyncio.timeout(30):
        while await store.count_workers(house.db) < workers:  # noqa: ASYNC110  they are other processes
            await asyncio.sleep(0.05)


def _cpu(process: Process) -> float:
    """Seconds that it has computed, in its own code and in the kernel's."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _peak_memory(process: Process) -> float:
    """MB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
