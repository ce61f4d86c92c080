"""`newsletter migrate` and `newsletter key`: the schema, and the keys in it."""

from __future__ import annotations

from pathlib import Path

import click

from newsletter.cli.house import command, open_house, settings
from newsletter.core.clock import DatabaseClock
from newsletter.core.database import Database
from newsletter.core.errors import SettingsError
from newsletter.core.keys import change_secret, open_keyring, rotate_token_key
from newsletter.core.migrations import migrate as migrate_database
from newsletter.delivery.signing import rewrap_keys
from newsletter.operators.second_factor import rewrap_second_factors
from newsletter.operators.service import COMMAND_LINE, audit
from newsletter.settings import SHORTEST_SECRET, read_secret


@click.command()
@command
async def migrate() -> None:
    """Bring the database up to date; safe to run again."""
    chosen = settings()
    db = await Database.connect(chosen.database_url.get_secret_value(), size=2, name="newsletter migrate")
    try:
        clock = DatabaseClock()
        await clock.refresh(db)
        done = await migrate_database(db, now=clock.now())
        await open_keyring(db, chosen.secret.get_secret_value(), now=clock.now())
    finally:
        await db.close()
    for migration in done:
        click.echo(f"applied {migration.number:04} {migration.name}")
    click.echo("The schema is up to date.")


@click.group()
def key() -> None:
    """The keys that links and ids are made with."""


@key.command("rotate")
@command
async def rotate() -> None:
    """Make new links with a fresh key; links that were sent go on working."""
    chosen = settings()
    async with open_house(chosen, name="key") as house, house.db.transaction() as db:
        await rotate_token_key(db, chosen.secret.get_secret_value(), now=house.clock.now())
        await audit(db, COMMAND_LINE, "key.rotate", "links", house.clock.now())
    click.echo("New links are made with the fresh key in five minutes, when every process has learnt of it.")


@key.command("rewrap")
@click.option("--new-secret-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@command
async def rewrap(new_secret_file: Path) -> None:
    """Change the secret: wrap all keys with the new one. Then put it into NEWSLETTER_SECRET."""
    new = read_secret("--new-secret-file", str(new_secret_file))
    if len(new) < SHORTEST_SECRET:
        raise SettingsError(f"The new secret is too short: use {SHORTEST_SECRET} characters or more (openssl rand -base64 32).")
    chosen = settings()
    async with open_house(chosen, name="key") as house, house.db.transaction() as db:
        old = chosen.secret.get_secret_value()
        count = await change_secret(db, old, new) + await rewrap_keys(db, old, new)
        count += await rewrap_second_factors(db, old, new)
        await audit(db, COMMAND_LINE, "key.rewrap", f"{count} keys", house.clock.now())
    click.echo(
        f"{count} keys are wrapped with the new secret. Put it where NEWSLETTER_SECRET or NEWSLETTER_SECRET_FILE has the old\n"
        "one, and restart the processes. Keep the old one for as long as you keep older backups."
    )


COMMANDS = [migrate, key]
