"""`newsletter campaign`: write, look at, send, watch."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from newsletter.campaigns.files import read_draft
from newsletter.campaigns.service import Campaigns, DraftRefused, NewCampaign, Preview, Status
from newsletter.cli.house import as_json, command, is_terminal, moment, open_house, print_json, print_table, settings, tell
from newsletter.core.errors import InvalidInput
from newsletter.delivery.rules import DeliveryState
from newsletter.operators.service import COMMAND_LINE
from newsletter.subscribing.lists import list_by_slug

BY = COMMAND_LINE
WATCH_EVERY = 1.0
"""Seconds between two looks at a campaign that is watched."""

number = click.argument("number", type=click.IntRange(min=1))


@click.group()
def campaign() -> None:
    """Write a campaign, look at it, send it, watch it."""


@campaign.command("create")
@click.argument("list_name", metavar="LIST")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="For yourself; default: the subject.")
@click.option(
    "--uncertain",
    type=click.Choice(["resend", "leave"]),
    default="resend",
    show_default=True,
    help="When a relay's last answer is missing.",
)
@command
async def create(list_name: str, files: tuple[Path, ...], name: str | None, uncertain: str) -> None:
    """Make a draft for LIST from FILES, one for each language.

    A file begins with a line "Subject: ...", then an empty line, then the
    body: Markdown in *.md, HTML in *.html, with {{ name }} and the like.
    The language is in the file's name: november.de.md.
    """
    async with open_house(settings(), name="campaign") as house:
        mailing_list = await list_by_slug(house.db, list_name)
        read = [read_draft(path, mailing_list.languages) for path in files]
        drafts = tuple(each.draft for each in read)
        new = NewCampaign(list_name, name or drafts[0].subject or read[0].name, drafts, uncertain)
        try:
            campaign_id = await house.campaigns.create(new, by=BY, now=house.clock.now())
        except DraftRefused as error:
            raise next(each for each in read if each.draft.language == error.language).explain(error) from None
    click.echo(f"Campaign {campaign_id} is a draft. Look at it: newsletter campaign preview {campaign_id}")


@campaign.command("show")
@as_json
@command
async def show(*, as_json: bool) -> None:
    """The latest campaigns."""
    async with open_house(settings(), name="campaign") as house:
        found = await house.campaigns.overview()
    if as_json:
        print_json([each.told() for each in found])
        return
    rows = [
        (str(each.campaign_id), each.list, each.state, f"{each.totals.get('accepted', 0):,}", f"{each.planned:,}", each.name)
        for each in found
    ]
    print_table(rows, "NUMBER", "LIST", "STATE", "TAKEN", "READERS", "NAME")


@campaign.command("preview")
@number
@click.option("--language")
@click.option("--name", default="", help="The reader's name.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Default: here.")
@command
async def preview(number: int, language: str | None, name: str, folder: Path) -> None:
    """Write the finished mail as .eml and .html."""
    async with open_house(settings(), name="campaign") as house:
        finished = await house.campaigns.preview(number, now=house.clock.now(), language=language, name=name)
    click.echo(f"Subject: {finished.words.subject}")
    for note in finished.notes:
        tell(note, sys.stdout)
    for path in write_preview(folder, number, finished):
        click.echo(path)


def write_preview(folder: Path, number: int, finished: Preview) -> list[Path]:
    """The mail and its HTML part, as files to open."""
    mail, page = folder / f"campaign-{number}.eml", folder / f"campaign-{number}.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        mail.write_bytes(finished.message)
        page.write_text(finished.words.html, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be written ({error.strerror}): name another with --folder.") from None
    return [mail, page]


@campaign.command("test")
@number
@click.option("--to", "address", required=True, help="One address.")
@click.option("--language")
@click.option("--name", default="", help="The reader's name.")
@command
async def test(number: int, address: str, language: str | None, name: str) -> None:
    """Send the finished mail to one address, now, with [Test] before its subject."""
    async with open_house(settings(), name="campaign") as house:
        outcome = await house.campaigns.test(number, address, by=BY, now=house.clock.now(), language=language, name=name)
    if outcome.state is not DeliveryState.ACCEPTED:
        raise click.ClickException(f"The relay did not take it: {outcome.code or ''} {outcome.reply}".strip())
    click.echo("Taken by the relay.")


@campaign.command("send")
@number
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--watch", is_flag=True, help="Show how it goes until it is sent.")
@command
async def send(number: int, *, yes: bool, watch: bool) -> None:
    """Send it to every confirmed reader of its list."""
    async with open_house(settings(), name="campaign") as house:
        await house.look_at_withdrawals()
        readers = await house.campaigns.audience(number)
        if readers and not yes:
            click.confirm(f"Send campaign {number} to {_readers(readers)} now?", abort=True)
        confirmed = None if yes and readers else readers  # To nobody it is refused, whatever was said beforehand.
        await house.campaigns.send(number, by=BY, now=house.clock.now(), readers=confirmed)
        click.echo(f"Sending campaign {number} to {_readers(readers)}.")
        if watch:
            await _watch(house.campaigns, number)


@campaign.command("schedule")
@number
@click.argument("at", metavar="TIME")
@command
async def schedule(number: int, at: str) -> None:
    """Start it by itself at TIME, in the time zone of its list.

    TIME is such as "2026-12-05 09:30". Give another to put it off.
    """
    async with open_house(settings(), name="campaign") as house:
        meant = await house.scheduling.schedule(number, at, by=BY, now=house.clock.now())
        zone = (await house.campaigns.status(number)).time_zone
    click.echo(f"Campaign {number} starts by itself at {at.replace('T', ' ')} in {zone}, that is {moment(meant.at)}.")
    if meant.comes_twice:
        click.echo("Clocks go back then and show that time twice: it starts at the first.")


@campaign.command("unschedule")
@number
@command
async def unschedule(number: int) -> None:
    """Make it a draft again that does not start by itself."""
    async with open_house(settings(), name="campaign") as house:
        await house.scheduling.unschedule(number, by=BY, now=house.clock.now())
    click.echo(f"Campaign {number} is a draft again.")


@campaign.command("copy")
@number
@command
async def copy(number: int) -> None:
    """Make a new draft with the same words."""
    async with open_house(settings(), name="campaign") as house:
        made = await house.campaigns.copy(number, by=BY, now=house.clock.now())
    click.echo(f"Campaign {made} is a draft with the words of campaign {number}.")


@campaign.command("pause")
@number
@command
async def pause(number: int) -> None:
    """Begin nothing more, within seconds."""
    async with open_house(settings(), name="campaign") as house:
        await house.campaigns.pause(number, by=BY, now=house.clock.now())
    click.echo(f"Campaign {number} is paused. Go on: newsletter campaign resume {number}")


@campaign.command("resume")
@number
@command
async def resume(number: int) -> None:
    """Go on where it was paused."""
    async with open_house(settings(), name="campaign") as house:
        await house.look_at_withdrawals()
        await house.campaigns.resume(number, by=BY, now=house.clock.now())
    click.echo(f"Campaign {number} is sending again.")


@campaign.command("cancel")
@number
@command
async def cancel(number: int) -> None:
    """Stop it for good; who has it has it."""
    async with open_house(settings(), name="campaign") as house:
        await house.campaigns.cancel(number, by=BY, now=house.clock.now())
    click.echo(f"Campaign {number} is cancelled.")


@campaign.command("status")
@number
@click.option("--watch", is_flag=True, help="Show how it goes until it is sent.")
@as_json
@command
async def status(number: int, *, watch: bool, as_json: bool) -> None:
    """Where a campaign stands."""
    async with open_house(settings(), name="campaign") as house:
        if watch:
            await _watch(house.campaigns, number, beside_json=as_json)
        found = await house.campaigns.status(number)
    if as_json:
        print_json(found.told())
    else:
        _print_status(found)


_WORDS = {
    "accepted": "Taken by the relay",
    "deferred": "Deferred, tried again",
    "failed": "Failed",
    "uncertain": "Uncertain: no answer after the last dot",
    "skipped": "Unsubscribed meanwhile, not mailed",
    "attempting": "In hand",
}


def _readers(count: int) -> str:
    return f"{count:,} reader" if count == 1 else f"{count:,} readers"


def _print_status(found: Status) -> None:
    click.echo(found.name)
    if found.started_at is None:
        click.echo(f"{found.state}, never started")
        if found.state == "scheduled":
            click.echo(f"It starts by itself at {moment(found.scheduled_at)}")
        if found.returned_reason:
            click.echo(f"It was to start by itself, and could not: {found.returned_reason}")
        return
    click.echo(f"{found.state}, {_readers(found.planned)} when it was started")
    if found.pause_reason:
        click.echo(f"It paused by itself: {found.pause_reason}")
        click.echo(f"When that is put right, go on: newsletter campaign resume {found.campaign_id}")
    click.echo(f"Started {moment(found.started_at)}, finished {moment(found.finished_at)}")
    for state, words in _WORDS.items():
        if count := found.totals.get(state):
            click.echo(f"{count:>12,}  {words}")
    if found.next_due and found.totals.get("deferred"):
        click.echo(f"Next try {moment(found.next_due)}")


async def _watch(campaigns: Campaigns, number: int, *, beside_json: bool = False) -> None:
    """A live bar on a terminal, a line a second elsewhere, until there is nothing more to see.

    Beside JSON it goes to stderr, so that a program can read stdout.
    """
    is_live = is_terminal() and not beside_json
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
        TimeRemainingColumn(),
        console=Console(),
        disable=not is_live,
    )
    with bar:
        task = bar.add_task("sending", total=None)
        while True:
            found = await campaigns.status(number)
            bar.update(task, description=found.state, completed=found.settled, total=max(found.planned, found.settled))
            if not is_live:
                click.echo(f"{found.state}: {found.settled:,} of {found.planned:,}", err=beside_json)
            if found.state != "sending":
                return
            await asyncio.sleep(WATCH_EVERY)


COMMANDS = [campaign]
