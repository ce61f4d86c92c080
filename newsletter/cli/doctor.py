"""`newsletter doctor`: whether this installation is as it should be, and what to do where it is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import click

from newsletter.app import make_doctor
from newsletter.cli.house import as_json, command, open_house, print_json, print_wrapped, settings, wrapped
from newsletter.core.database import Database
from newsletter.core.errors import NewsletterError, SettingsError
from newsletter.core.findings import Finding, Result, bad
from newsletter.operators.doctor import Doctor, Examination, tally
from newsletter.settings import Settings

_SAID = {Result.GOOD: "ok", Result.WARN: "LOOK", Result.BAD: "BAD", Result.UNKNOWN: "?"}
_COLOURS = {Result.GOOD: "green", Result.WARN: "yellow", Result.BAD: "red", Result.UNKNOWN: "blue"}
_INDENT = " " * 6


@click.command("doctor")
@as_json
@command
async def doctor(*, as_json: bool) -> None:
    """Look at settings, database, clock, relays, DNS, and whether promises are
    kept; say what to do.

    Changes nothing and mails nobody. Takes 20 seconds at most. Exits with 1
    when something is bad. What could not be asked, such as DNS where there is
    none, is marked with a question mark.
    """
    examination = await _examined()
    if as_json:
        print_json(examination)
    else:
        _show(examination)
    if examination.is_bad:
        raise SystemExit(1)


async def _examined() -> Examination:
    now = datetime.now(UTC)
    try:
        chosen = settings()
    except SettingsError as error:
        return Examination([bad("Settings", line, "") for line in str(error).splitlines()], now)
    async with _called(chosen) as its:
        return await its.examine(now=now)


@asynccontextmanager
async def _called(chosen: Settings) -> AsyncIterator[Doctor]:
    """With all rooms; where these cannot be opened, with what can be looked at without them."""
    try:
        opened = open_house(chosen, name="doctor")
        house = await opened.__aenter__()
    except NewsletterError:
        db = await Database.connect(chosen.database_url.get_secret_value(), size=4, name="newsletter doctor")
        try:
            yield make_doctor(chosen, db, None)
        finally:
            await db.close()
        return
    try:
        yield house.doctor
    finally:
        await opened.__aexit__(None, None, None)


def _show(examination: Examination) -> None:
    for each in examination.findings:
        _show_one(each)
    click.echo(f"\n{tally(examination)}")


def _show_one(finding: Finding) -> None:
    said = click.style(f"{_SAID[finding.result]:<6}", fg=_COLOURS[finding.result], bold=finding.result is Result.BAD)
    click.echo(said + wrapped(f"{finding.looked_at}: {finding.found}", indent=_INDENT).removeprefix(_INDENT))
    if finding.advice:
        print_wrapped(f"-> {finding.advice}", indent=_INDENT)


COMMANDS = [doctor]
