"""`newsletter request`: requests about people's data that somebody has to answer within a month."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from newsletter.cli.house import as_json, command, moment, open_house, print_json, print_table, print_wrapped, settings
from newsletter.operators.service import COMMAND_LINE
from newsletter.privacy.requests import CHANNELS, KINDS
from newsletter.privacy.rules import RightsRequest


@click.group()
def request() -> None:
    """Requests about people's data that somebody has to answer.

    What people do on their own page is done at once and not listed here.
    """


@request.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--channel", type=click.Choice(CHANNELS), default="mail", show_default=True, help="How it came.")
@click.option("--received", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", help="The day it came; default: today.")
@click.option("--note", default="", help="A reference of your own; no name and no address.")
@command
async def add(kind: str, channel: str, received: datetime | None, note: str) -> None:
    """Enter one; it is due within a month (GDPR Article 12(3))."""
    async with open_house(settings(), name="request") as house:
        came = received.replace(tzinfo=UTC) if received else None
        added = await house.register.add(kind, channel, note=note, by=COMMAND_LINE, now=house.clock.now(), received_at=came)
    click.echo(f"Request {added.number} is to be answered by {added.due_at:%Y-%m-%d}.")


@request.command("list")
@as_json
@command
async def list_(*, as_json: bool) -> None:
    """All that wait for an answer, the first to be answered first."""
    async with open_house(settings(), name="request") as house:
        found, now = await house.register.open(), house.clock.now()
    if as_json:
        print_json([vars(each) | {"overdue": each.is_overdue(now)} for each in found])
        return
    if not found:
        click.echo("Nobody waits for an answer.")
        return
    rows = [
        (
            str(each.number),
            each.kind,
            each.channel,
            f"{each.received_at:%Y-%m-%d}",
            f"{each.due_at:%Y-%m-%d}{' OVERDUE' if each.is_overdue(now) else ''}",
            each.note if len(each.note) <= _NOTE else f"{each.note[: _NOTE - 1]}…",
        )
        for each in found
    ]
    print_table(rows, "NUMBER", "ABOUT", "CAME BY", "CAME", "DUE", "NOTE")
    for each in found:
        _tell_mail(each)


def _tell_mail(request: RightsRequest) -> None:
    """Where its text did not reach whoever answers."""
    read = f"Read it with `newsletter request read {request.number}`, until {moment(request.readable_until)}."
    match request.mail:
        case "refused":
            print_wrapped(f"\nRequest {request.number}: the relay refused its mail. {request.reply or ''}".rstrip())
            print_wrapped(f"{read} Then see whether NEWSLETTER_PRIVACY_CONTACT takes mail.", indent="  ")
        case "waiting":
            print_wrapped(f"\nRequest {request.number}: its mail waits for a relay.")
            print_wrapped(read, indent="  ")
        case "lost":
            print_wrapped(f"\nRequest {request.number}: its mail was never handed over, and its text is deleted.")
        case "erased":
            print_wrapped(f"\nRequest {request.number}: its writer was erased before it was mailed, and the text with them.")
            print_wrapped(f"There is nobody to answer: close it with `newsletter request done {request.number}`.", indent="  ")


_NOTE = 12
"""Characters of a note that a line of 80 has room for; --json has all of it."""


@request.command()
@click.argument("number", type=click.IntRange(min=1))
@as_json
@command
async def read(number: int, *, as_json: bool) -> None:
    """What was written on the page, where no relay has taken the mail.

    It is recorded that this was done.
    """
    async with open_house(settings(), name="request") as house:
        message = await house.register.read(number, by=COMMAND_LINE, now=house.clock.now())
    if as_json:
        print_json(message)
        return
    click.echo(f"{moment(message.received_at)}, from {message.address}\n")
    print_wrapped(message.content)


@request.command()
@click.argument("number", type=click.IntRange(min=1))
@command
async def done(number: int) -> None:
    """Answered: it goes from the register, with a text that was refused.

    A mail that still waits for a relay goes out, and its text with it.
    """
    async with open_house(settings(), name="request") as house:
        await house.register.done(number, by=COMMAND_LINE, now=house.clock.now())
    click.echo(f"Request {number} is answered, and deleted from the register.")


COMMANDS = [request]
