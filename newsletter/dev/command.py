"""`newsletter dev`: everything, with nothing to install."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from newsletter.cli.house import open_house
from newsletter.core.clock import DatabaseClock
from newsletter.core.database import Database
from newsletter.core.errors import NewsletterError
from newsletter.core.migrations import migrate
from newsletter.dev.demo import SLUG, prepare_demo
from newsletter.dev.run import DevAddresses, run_dev
from newsletter.settings import DEVELOPMENT_CONFIG, load_settings


@click.command()
@click.option("--host", envvar="NEWSLETTER_HOST", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    envvar="NEWSLETTER_PORT",
    default=8080,
    show_default=True,
    type=click.IntRange(1, 65534),
    help="The mailbox takes the next one.",
)
@click.option(
    "--data",
    default=None,
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Folder for database and mails.  [default: {DEVELOPMENT_CONFIG.parent}]",
)
def dev(host: str, port: int, data: Path | None) -> None:
    """Run everything here: PostgreSQL, a mailbox, web app and worker."""
    folder = data or Path(os.environ.get("NEWSLETTER_DATA") or DEVELOPMENT_CONFIG.parent)
    try:
        code = asyncio.run(
            run_dev(
                host=host,
                port=port,
                data=folder.absolute(),
                prepare=prepare,
                say=click.echo,
                signup_path=f"/subscribe/{SLUG}",
                database_url=os.environ.get("NEWSLETTER_DATABASE_URL"),
            )
        )
    except NewsletterError as error:
        raise click.ClickException(str(error)) from None
    raise SystemExit(code)


async def prepare(addresses: DevAddresses) -> list[str]:
    """Migrate, and make the demo list where there is none."""
    settings = load_settings({"NEWSLETTER_CONFIG": str(addresses.config)})
    db = await Database.connect(settings.database_url.get_secret_value(), size=2, name="newsletter migrate")
    try:
        clock = DatabaseClock()
        await clock.refresh(db)
        await migrate(db, now=clock.now())
    finally:
        await db.close()
    async with open_house(settings, name="dev") as house:
        return await prepare_demo(house)
