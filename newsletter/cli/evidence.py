"""`newsletter evidence`: proof of consent of people who were erased."""

from __future__ import annotations

from collections.abc import Sequence

import click

from newsletter.cli.house import (
    as_json,
    command,
    moment,
    number_of,
    open_house,
    print_fields,
    print_json,
    print_wrapped,
    settings,
)
from newsletter.consent.rules import SealedEvent
from newsletter.operators.service import COMMAND_LINE

BY = COMMAND_LINE

_reason = click.option("--reason", required=True, help="Why, such as a case number; recorded. No address.")


@click.group()
def evidence() -> None:
    """Proof of consent that outlives an address."""


@evidence.command("open")
@click.argument("address")
@_reason
@as_json
@command
async def open_evidence(address: str, reason: str, *, as_json: bool) -> None:
    """Show what is kept about ADDRESS, which somebody who was erased names.

    It is recorded that this was done, and why.
    """
    async with open_house(settings(), name="evidence") as house:
        found = await house.evidence.open(address, reason=reason, by=BY, now=house.clock.now())
    if as_json:
        print_json(found)
    elif found:
        _show(found)
    else:
        click.echo("Nothing is kept: never subscribed and deleted here, or its time is over.")
        click.echo("Of somebody who is still here: newsletter subscriber receipt ADDRESS")


@evidence.command("hold")
@click.argument("address")
@_reason
@command
async def hold(address: str, reason: str) -> None:
    """Keep it from expiring while it is disputed; for three years at most."""
    async with open_house(settings(), name="evidence") as house:
        held = await house.evidence.hold(address, reason=reason, by=BY, now=house.clock.now())
    click.echo(f"Held: {number_of(held, 'event')}.")


@evidence.command("release")
@click.argument("address")
@command
async def release(address: str) -> None:
    """The dispute is over."""
    async with open_house(settings(), name="evidence") as house:
        released = await house.evidence.release(address, by=BY, now=house.clock.now())
    click.echo(f"Released: {number_of(released, 'event')}.")


def _show(found: Sequence[SealedEvent]) -> None:
    first = found[0]
    click.echo(f"Erased {moment(first.erased_at)}, kept until {moment(first.expires_at)}")
    if first.held_at:
        print_wrapped(f"Held since {moment(first.held_at)}: {first.hold_reason}", more="  ")
    for event in found:
        click.echo(f"\n{moment(event.occurred_at)}  {event.kind}  {event.list or 'every list'}")
        print_fields(
            {
                "by": event.via,
                "from": event.form,
                "address": event.address,
                "network": event.network,
                "browser": event.agent,
                "agreed to": event.wording,
                "process": event.process,
                "mail": event.mail,
            }
        )


COMMANDS = [evidence]
