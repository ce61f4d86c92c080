"""`newsletter campaign`: write, look at, send, watch."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from newsletter.campaigns.content import Draft, Format
from newsletter.campaigns.service import Campaigns, NewCampaign, Preview, Status
from newsletter.cli.house import as_json, command, is_terminal, moment, open_house, print_json, print_table, settings
from newsletter.core.errors import InvalidContent, InvalidInput
from newsletter.delivery.rules import DeliveryState
from newsletter.subscribing.lists import MailingList, list_by_slug

BY = "command line"
WATCH_EVERY = 1.0
"""Seconds between two looks at a campaign that is watched."""

number = click.argument("number", type=click.IntRange(min=1))


@click.group()
def campaign() -> None:
    """Write a campaign, look at it, send it, watch it."""


_HEADER = re.compile(r"^(Subject|Preheader):[ \t]*(.*)$", re.IGNORECASE)


def read_draft(path: Path, default_language: str) -> tuple[Draft, int]:
    """A draft from a file, and how many lines stand before its body.

    The file begins with `Subject: …` and perhaps `Preheader: …`, then an empty line, then the body: Markdown in `*.md`, HTML in
    `*.html`. The language is in the name (`november.de.md`) or the list's first.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidContent(f"{path} cannot be read as UTF-8 text ({type(error).__name__}).") from None
    head: dict[str, str] = {}
    used = 0
    for line in lines:
        matched = _HEADER.match(line.removesuffix("\r"))
        if not matched:
            break
        head[matched[1].lower()] = matched[2].strip()
        used += 1
    used += used < len(lines) and not lines[used].strip()
    language = re.search(r"\.([a-z]{2,3}(?:_[A-Z]{2})?)$", path.stem)
    draft = Draft(
        language=language[1] if language else default_language,
        subject=head.get("subject", ""),
        preheader=head.get("preheader", ""),
        format=Format.HTML if path.suffix.lower() in (".html", ".htm") else Format.MARKDOWN,
        body="\n".join(lines[used:]),
    )
    return draft, used


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
        drafts = [_checked_draft(house.campaigns, mailing_list, path) for path in files]
        new = NewCampaign(list_name, name or drafts[0].subject, tuple(drafts), uncertain)
        campaign_id = await house.campaigns.create(new, by=BY, now=house.clock.now())
    click.echo(f"Campaign {campaign_id} is a draft. Look at it: newsletter campaign preview {campaign_id}")


def _checked_draft(campaigns: Campaigns, mailing_list: MailingList, path: Path) -> Draft:
    """Names the file, and counts lines from its top."""
    draft, before = read_draft(path, mailing_list.languages[0])
    try:
        campaigns.check(draft, mailing_list)
    except InvalidContent as error:
        place = f"{path.name}, line {error.line + before}" if error.line else path.name
        raise InvalidContent(f"{place}: {error}") from None
    return draft


@campaign.command("show")
@as_json
@command
async def show(*, as_json: bool) -> None:
    """The latest campaigns."""
    async with open_house(settings(), name="campaign") as house:
        found = await house.campaigns.overview()
    if as_json:
        print_json(found)
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
    """Send the finished mail to one address, now."""
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
        readers = await house.campaigns.audience(number)
        if not yes:
            click.confirm(f"Send campaign {number} to {_readers(readers)} now?", abort=True)
        await house.campaigns.send(number, by=BY, now=house.clock.now())
        click.echo(f"Sending campaign {number} to {_readers(readers)}.")
        if watch:
            await _watch(house.campaigns, number)


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
            await _watch(house.campaigns, number)
        found = await house.campaigns.status(number)
    if as_json:
        print_json(found)
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
    click.echo(f"{found.name}\n{found.state}, {_readers(found.planned)} when it was started")
    click.echo(f"Started {moment(found.started_at)}, finished {moment(found.finished_at)}")
    for state, words in _WORDS.items():
        if count := found.totals.get(state):
            click.echo(f"{count:>12,}  {words}")
    if found.next_due and found.totals.get("deferred"):
        click.echo(f"Next try {moment(found.next_due)}")


async def _watch(campaigns: Campaigns, number: int) -> None:
    """A live bar on a terminal, a line a second elsewhere, until there is nothing more to see."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
        TimeRemainingColumn(),
        console=Console(),
        disable=not is_terminal(),
    )
    with bar:
        task = bar.add_task("sending", total=None)
        while True:
            found = await campaigns.status(number)
            bar.update(task, description=found.state, completed=found.settled, total=max(found.planned, found.settled))
            if not is_terminal():
                click.echo(f"{found.state}: {found.settled:,} of {found.planned:,}")
            if found.state != "sending":
                return
            await asyncio.sleep(WATCH_EVERY)


COMMANDS = [campaign]
