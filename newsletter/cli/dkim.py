"""`newsletter dkim`: keys that mails are signed with."""

from __future__ import annotations

from pathlib import Path

import click

from newsletter.app import House
from newsletter.cli.house import as_json, command, moment, open_house, print_json, print_table, settings
from newsletter.delivery.dkim import KINDS
from newsletter.delivery.signing import DkimKeys, KeyShown
from newsletter.operators.service import COMMAND_LINE
from newsletter.subscribing.lists import list_by_slug


@click.group()
def dkim() -> None:
    """Keys that mails are signed with (DKIM), where the relay does not sign.

    Keys belong to the sender of a list, so they serve all lists of that sender.
    """


def _keys(house: House) -> DkimKeys:
    return house.dkim_keys


def _content(file: Path) -> bytes:
    return file.read_bytes()


def _print_record(key: KeyShown) -> None:
    """On one line each, to be copied."""
    click.echo(f"Name:  {key.record_name}\nValue: {key.record}")


@dkim.command("add")
@click.argument("slug", metavar="LIST")
@click.option("--selector", required=True, help="Names the key in DNS; a new name for each new key.")
@click.option("--domain", help="Default: the domain of the sender's From address.")
@click.option("--kind", type=click.Choice(KINDS), help="Default: rsa, which all receivers verify.")
@click.option(
    "--key",
    "key_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Private key in PEM; default: a fresh one.",
)
@command
async def add(*, slug: str, selector: str, domain: str | None, kind: str | None, key_file: Path | None) -> None:
    """Add a key for the sender of LIST; it signs nothing yet."""
    async with open_house(settings(), name="dkim") as house:
        sender = (await list_by_slug(house.db, slug)).sender
        key = await _keys(house).add(
            sender.sender_id,
            selector=selector,
            domain=domain or sender.domain,
            kind=kind,
            pem=_content(key_file) if key_file else None,
            by=COMMAND_LINE,
            now=house.clock.now(),
        )
    click.echo("Publish this TXT record:\n")
    _print_record(key)
    click.echo(
        "\nMails are signed when the record can be seen in DNS and you have run\n"
        f"newsletter dkim activate {slug} {key.selector}"
    )
    if not _same_owner(key.domain, sender.domain):
        click.echo(
            f"\nThe From address is at {sender.domain}: for DMARC a signature counts only\n"
            "when its domain and that one belong together."
        )


def _same_owner(domain: str, other: str) -> bool:
    """For certain: one is the other, or below it (RFC 9989 calls it relaxed alignment)."""
    return f".{domain}".endswith(f".{other}") or f".{other}".endswith(f".{domain}")


@dkim.command("show")
@click.argument("slug", metavar="LIST")
@as_json
@command
async def show(*, slug: str, as_json: bool) -> None:
    """The keys of the sender of LIST, and their records for DNS."""
    async with open_house(settings(), name="dkim") as house:
        found = await _keys(house).shown((await list_by_slug(house.db, slug)).sender.sender_id)
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo("There are no keys: mails go out as they are, and the relay may sign them.")
        return
    rows = [(key.selector, key.kind, key.domain, moment(key.active_at) if key.active_at else "not active") for key in found]
    print_table(rows, "SELECTOR", "KIND", "DOMAIN", "SIGNS SINCE")
    for key in found:
        click.echo()
        _print_record(key)


@dkim.command("activate")
@click.argument("slug", metavar="LIST")
@click.argument("selector")
@click.option("--force", is_flag=True, help="Do not ask DNS for the record first.")
@command
async def activate(*, slug: str, selector: str, force: bool) -> None:
    """Sign the mails of LIST's sender with the key SELECTOR.

    DNS must show its record. A key of the same kind that was active signs no
    longer.
    """
    async with open_house(settings(), name="dkim") as house:
        sender = (await list_by_slug(house.db, slug)).sender
        replaced = await _keys(house).activate(sender.sender_id, selector, force=force, by=COMMAND_LINE, now=house.clock.now())
    click.echo("Mails are signed with it in a minute, when every process has learnt of it.")
    if replaced:
        click.echo(f"{replaced.selector} signs no longer: leave its record in DNS for a week.")


@dkim.command("remove")
@click.argument("slug", metavar="LIST")
@click.argument("selector")
@command
async def remove(*, slug: str, selector: str) -> None:
    """Delete the key SELECTOR of LIST's sender."""
    async with open_house(settings(), name="dkim") as house:
        sender = (await list_by_slug(house.db, slug)).sender
        await _keys(house).remove(sender.sender_id, selector, by=COMMAND_LINE, now=house.clock.now())
    click.echo(f"The key {selector} is deleted. Leave its record in DNS for a week, for mails that are\nstill on their way.")


COMMANDS = [dkim]
