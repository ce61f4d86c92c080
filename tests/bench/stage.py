"""What benches share: a house as in production, readers, workers that are processes, a campaign under way."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from newsletter.app import House
from newsletter.campaigns.content import Draft, Format
from newsletter.campaigns.service import NewCampaign
from newsletter.core.clock import DatabaseClock
from newsletter.core.database import Database
from newsletter.core.keys import open_keyring
from newsletter.core.migrations import migrate
from newsletter.dev.postgres import EmbeddedPostgres
from newsletter.settings import Settings, load_settings
from newsletter.subscribing.lists import ListText, NewList, NewSender, create_list

LETTER = "Dear {{ name }},\n\n" + ("The tide comes in, and the tide goes out. " * 13 + "\n\n") * 5 + "{{ name }}, see you."


def known(number: int, domain: str = "example.org") -> str:
    return f"reader{number}@{domain}"


@asynccontextmanager
async def workers(house: House, count: int, smtp_url: str, **settings: str) -> AsyncIterator[Sequence[Process]]:
    """Real ones, each a process."""
    environment = {**os.environ, **settings_of(house), "NEWSLETTER_SMTP_URL": smtp_url, **settings}
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-m", "newsletter", "work", env=environment, stderr=DEVNULL)
        for _ in range(count)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.terminate()
        await asyncio.gather(*(process.wait() for process in processes))


async def begun(house: House) -> int:
    """The number of a campaign that is being sent."""
    draft = Draft("en", "The long tide", "", Format.MARKDOWN, LETTER)
    number = await house.campaigns.create(NewCampaign("letter", "bench", (draft,)), by="bench", now=house.clock.now())
    await house.campaigns.send(number, by="bench", now=house.clock.now())
    return number


async def populate(house: House, readers: int, *, domains: Sequence[str] = ("example.org",)) -> None:
    """Confirmed readers by COPY."""
    now = datetime.now(UTC)
    list_id = await house.db.fetchval("select list_id from list")
    people = [(known(number, domains[number % len(domains)]), domains[number % len(domains)]) for number in range(readers)]
    ids = [(house.keyring.subscriber_id(address), address, domain) for address, domain in people]
    connection = await asyncpg.connect(house.settings.database_url.get_secret_value())
    await connection.copy_records_to_table(
        "subscriber",
        records=[(id_, address, domain, "Ada", "en", now) for id_, address, domain in ids],
        columns=["subscriber_id", "address", "domain", "name", "language", "created_at"],
    )
    await connection.copy_records_to_table(
        "subscription",
        records=[(id_, list_id, "confirmed", "en", now, now) for id_, _, _ in ids],
        columns=["subscriber_id", "list_id", "state", "language", "requested_at", "confirmed_at"],
    )
    await connection.close()


def settings_of(house: House) -> dict[str, str]:
    """As environment variables."""
    return {
        "NEWSLETTER_DATABASE_URL": house.settings.database_url.get_secret_value(),
        "NEWSLETTER_SECRET": house.settings.secret.get_secret_value(),
        "NEWSLETTER_BASE_URL": house.settings.base_url,
        "NEWSLETTER_SMTP_URL": house.settings.smtp_url.get_secret_value(),
        "NEWSLETTER_DEVELOPMENT": "true",
    }


def bench_settings(database_url: str) -> Settings:
    return load_settings(
        {
            "NEWSLETTER_DATABASE_URL": database_url,
            "NEWSLETTER_SECRET": "a secret for benches, 32 characters or more",
            "NEWSLETTER_BASE_URL": "https://news.example.org",
            "NEWSLETTER_SMTP_URL": "smtp://127.0.0.1:1?starttls=never",
            "NEWSLETTER_SIGNUPS_PER_NETWORK_HOUR": "1000000",
            "NEWSLETTER_DEVELOPMENT": "true",
        }
    )


@asynccontextmanager
async def bench_house() -> AsyncIterator[House]:
    """A database as it is in production, with one list."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder)) as postgres:
        settings = bench_settings(postgres.url)
        db = await Database.connect(postgres.url)
        clock = DatabaseClock()
        await migrate(db, now=clock.now())
        house = House(settings, db, await open_keyring(db, settings.secret.get_secret_value(), now=clock.now()), clock)
        sender = NewSender("Society", "letter@society.example", "Harbour Street 4, Flensburg", "privacy@society.example")
        texts = {"en": ListText("The Letter", "Monthly.")}
        await create_list(db, NewList("letter", texts), sender, base_host=house.host, now=clock.now() - timedelta(days=1))
        try:
            yield house
        finally:
            await house.close()
            await db.close()
