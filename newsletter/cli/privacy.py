"""`newsletter privacy`: what keeps promises after a restore."""

from __future__ import annotations

from pathlib import Path

import click

from newsletter.cli.house import as_json, command, number_of, open_house, print_json, settings
from newsletter.operators.service import COMMAND_LINE
from newsletter.privacy.replay import Replayed


@click.group()
def privacy() -> None:
    """After a restore: whoever left since the backup leaves again."""


@privacy.command("replay")
@click.option(
    "--file",
    "files",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="A copy of the file, with those beside it that it continues; default: NEWSLETTER_WITHDRAWAL_LOG.",
)
@click.option("--without-file", is_flag=True, help="The file is lost: let campaigns go on all the same.")
@as_json
@command
async def replay(*, files: tuple[Path, ...], without_file: bool, as_json: bool) -> None:
    """Do again what the file of withdrawals knows and the database does not.

    Unsubscribes, refuses, restricts, suppresses and deletes whoever came back
    with the backup, then lets campaigns go on. Run twice, it changes nothing.
    """
    async with open_house(settings(), name="privacy") as house:
        done = await house.replay.run(files, by=COMMAND_LINE, now=house.clock.now(), without_file=without_file)
    if as_json:
        print_json(done)
    else:
        _print(done)


def _print(done: Replayed) -> None:
    for file in done.files:
        click.echo(f"Read {file}")
    for file in done.missing:
        click.echo(f"Something is missing before {file}:")
        click.echo("  if you have the file in between, name it with --file.")
    for file in done.torn:
        click.echo(f"The last line is torn, as by a crash, of {file}:")
        click.echo("  what it said is unknown. All others were read.")
    click.echo(f"{number_of(done.withdrawals, 'withdrawal')}, of which the database did not know {done.unknown:,}.")
    for count, words in (
        (done.unsubscribed, "subscriptions ended"),
        (done.suppressed, "codes suppressed"),
        (done.restricted, "paused"),
        (done.erased, "people deleted"),
        (done.returned, "left as they are: confirmed anew since"),
    ):
        if count:
            click.echo(f"{count:>12,}  {words}")
    click.echo("Campaigns may be sent.")


COMMANDS = [privacy]
