"""`newsletter subprocessor`: who helps us and may see addresses, as the privacy policy names them."""

from __future__ import annotations

import click

from newsletter.cli.house import as_json, command, open_house, print_fields, print_json, print_wrapped, settings
from newsletter.core.errors import InvalidInput
from newsletter.operators.service import COMMAND_LINE
from newsletter.privacy.policy import Subprocessor

BY = COMMAND_LINE

hosts = click.option("--host", "hosts", multiple=True, help="A host name of theirs, such as that of a relay; may be repeated.")


@click.group()
def subprocessor() -> None:
    """Who helps us and may see addresses, as the privacy policy names them."""


@subprocessor.command("add")
@click.argument("name")
@click.option("--purpose", required=True, help="What they do for us.")
@click.option("--country", required=True)
@click.option("--safeguard", required=True, help="The contract; outside the EEA, what protects the data there.")
@hosts
@as_json
@command
async def add(name: str, purpose: str, country: str, safeguard: str, hosts: tuple[str, ...], *, as_json: bool) -> None:
    """Name one in the policy; NAME must be new."""
    new = Subprocessor(name, purpose, country, safeguard, list(hosts))
    async with open_house(settings(), name="subprocessor") as house:
        await house.subprocessors.add(new, by=BY, now=house.clock.now())
        found = await house.subprocessors.all()
    _report(found, f"{name} was added.", as_json=as_json)


@subprocessor.command("edit")
@click.argument("name")
@click.option("--purpose")
@click.option("--country")
@click.option("--safeguard")
@hosts
@as_json
@command
async def edit(
    name: str, purpose: str | None, country: str | None, safeguard: str | None, hosts: tuple[str, ...], *, as_json: bool
) -> None:
    """Change what is said of one; --host replaces all of its hosts."""
    if not (purpose or country or safeguard or hosts):
        raise InvalidInput("Say what to change: --purpose, --country, --safeguard or --host.")
    async with open_house(settings(), name="subprocessor") as house:
        await house.subprocessors.edit(
            name,
            purpose=purpose,
            country=country,
            safeguard=safeguard,
            hosts=hosts or None,
            by=BY,
            now=house.clock.now(),
        )
        found = await house.subprocessors.all()
    _report(found, f"{name} was changed.", as_json=as_json)


@subprocessor.command("remove")
@click.argument("name")
@as_json
@command
async def remove(name: str, *, as_json: bool) -> None:
    """Name it no longer."""
    async with open_house(settings(), name="subprocessor") as house:
        await house.subprocessors.remove(name, by=BY, now=house.clock.now())
        found = await house.subprocessors.all()
    _report(found, f"{name} was removed.", as_json=as_json)


@subprocessor.command("list")
@as_json
@command
async def show(*, as_json: bool) -> None:
    """All of them."""
    async with open_house(settings(), name="subprocessor") as house:
        found = await house.subprocessors.all()
    if as_json:
        print_json(found)
        return
    for each in found:
        print_wrapped(f"{each.name}, {each.country}", more="  ")
        print_fields({"purpose": each.purpose, "safeguard": each.safeguard, "hosts": ", ".join(each.hosts)})
    if not found:
        click.echo("Nobody is named.")


def _report(found: list[Subprocessor], done: str, *, as_json: bool) -> None:
    """With --json, all that are there afterwards."""
    if as_json:
        print_json(found)
        return
    click.echo(f"{done} The policy has changed by it: newsletter policy diff")


COMMANDS = [subprocessor]
