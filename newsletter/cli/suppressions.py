"""`newsletter suppress`: people who must not be mailed, as keyed codes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

import click

from newsletter.cli.house import (
    as_json,
    command,
    moment,
    number_of,
    open_house,
    print_json,
    print_table,
    print_wrapped,
    settings,
    wrapped,
)
from newsletter.consent.rules import Reason
from newsletter.core.errors import InvalidInput
from newsletter.operators.service import COMMAND_LINE
from newsletter.subscribing.lists import all_lists

_REASONS = ["left", "complained", "bounced", "refused", "objected"]

reason_option = click.option("--reason", type=click.Choice(_REASONS), required=True)
list_option = click.option("--list", "slug", metavar="SLUG", help="Default: every list.")
EVERY = "every list"


@click.group()
def suppress() -> None:
    """People who must not be mailed. Only codes are kept, no addresses."""


@suppress.command("add")
@click.argument("address")
@reason_option
@list_option
@command
async def add(*, address: str, reason: str, slug: str | None) -> None:
    """Never mail ADDRESS again for that reason. What it reads ends, by the usual clock."""
    async with open_house(settings(), name="suppress") as house:
        ended = await house.suppressing.add(address, Reason(reason), slug=slug, by=COMMAND_LINE, now=house.clock.now())
    click.echo(f"Suppressed on {slug or EVERY}; {number_of(ended, 'subscription')} ended.")


@suppress.command("check")
@click.argument("address")
@as_json
@command
async def check(*, address: str, as_json: bool) -> None:
    """What stands against mailing ADDRESS."""
    async with open_house(settings(), name="suppress") as house:
        found = await house.suppressing.check(address, by=COMMAND_LINE, now=house.clock.now())
        slugs = {each.list_id: each.slug for each in await all_lists(house.db)}
    if as_json:
        print_json(
            [
                {"list": slugs.get(each.list_id), "reason": each.reason, "since": each.since, "until": each.until}
                for each in found
            ]
        )
    elif not found:
        click.echo("Nothing stands against mailing it.")
    else:
        rows = [
            (slugs.get(each.list_id, EVERY), each.reason, moment(each.since), moment(each.until) if each.until else "lifted")
            for each in found
        ]
        print_table(rows, "LIST", "REASON", "SINCE", "UNTIL")


@suppress.command("list")
@click.option("--reason", type=click.Choice([*_REASONS, "restricted"]))
@as_json
@command
async def show(*, reason: str | None, as_json: bool) -> None:
    """How many are suppressed, by reason and list: the codes say nothing to people."""
    async with open_house(settings(), name="suppress") as house:
        found = await house.suppressing.counts(Reason(reason) if reason else None, now=house.clock.now())
        slugs = {each.list_id: each.slug for each in await all_lists(house.db)}
    if as_json:
        print_json([{"reason": each.reason, "list": slugs.get(each.list_id), "count": each.count} for each in found])
        return
    rows = [(each.reason, slugs.get(each.list_id, EVERY), f"{each.count:,}") for each in found]
    print_table(rows, "REASON", "LIST", "PEOPLE")


@suppress.command("import")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@reason_option
@list_option
@as_json
@command
async def take(*, file: Path, reason: str, slug: str | None, as_json: bool) -> None:
    """Addresses from another system: one a line, or a CSV's first column.

    FILE may be - for standard input. Only codes are kept. Run again after an
    interruption, it goes over the whole file and does no harm.
    """
    async with open_house(settings(), name="suppress") as house:
        with _opened(file) as lines:
            done = await house.suppressing.take(lines, Reason(reason), slug=slug, by=COMMAND_LINE, now=house.clock.now())
    if as_json:
        print_json(done)
        return
    for bad in done.bad_lines:
        click.echo(wrapped(f"Line {bad.line}: {bad.why}", more="  "), err=True)
    if done.bad > len(done.bad_lines):
        click.echo(f"… and {done.bad - len(done.bad_lines):,} more lines that hold no address.", err=True)
    print_wrapped(f"Addresses: {done.addresses:,}, of which {done.suppressed:,} newly suppressed on {slug or EVERY}.")
    click.echo(f"{number_of(done.ended, 'subscription')} ended, {number_of(done.bad, 'line')} left out.")


def _opened(file: Path) -> AbstractContextManager[IO[Any]]:
    """What is no UTF-8 becomes a line that holds no address, and not an end of the import."""
    try:
        return click.open_file(str(file), encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read ({error.strerror}): name another file.") from None


COMMANDS = [suppress]
