"""`newsletter policy`: the privacy policy, its versions, telling readers, and the record of processing."""

from __future__ import annotations

import click

from newsletter.app import House
from newsletter.cli.house import as_json, command, moment, number_of, open_house, print_json, print_table, settings, warn
from newsletter.core.errors import InvalidInput
from newsletter.core.i18n import SOURCE_LANGUAGE, languages, translations
from newsletter.operators.service import COMMAND_LINE
from newsletter.privacy.document import wrapped
from newsletter.privacy.publishing import Audience, Publication
from newsletter.privacy.record import record_markdown

BY = COMMAND_LINE

language = click.option(
    "--language", default=SOURCE_LANGUAGE, show_default=True, type=click.Choice(languages()), metavar="LANG"
)
yes = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group()
def policy() -> None:
    """The privacy policy: as it is now, as it was published, and telling readers."""


@policy.command("show")
@language
@click.option("--version", "number", type=click.IntRange(min=1), help="As it was published; default: as it is now.")
@as_json
@command
async def show(language: str, number: int | None, *, as_json: bool) -> None:
    """Print it as Markdown."""
    async with open_house(settings(), name="policy") as house:
        published = None
        if number is None:
            text = await house.policy.text(language)
            await _warn(house)
        else:
            published, texts = await house.policy.version(number)
            if language not in texts:
                raise InvalidInput(f"Version {number} was not published in {language}, but in {', '.join(texts)}.")
            text = texts[language]
    if as_json:
        at = published.published_at if published else None
        print_json({"version": number, "published_at": at, "language": language, "text": text})
        return
    click.echo("# " + translations(language).gettext("How we treat your address") + "\n")
    click.echo(wrapped(text), nl=False)


@policy.command("diff")
@as_json
@command
async def diff(*, as_json: bool) -> None:
    """What has changed since the last version, in each language."""
    async with open_house(settings(), name="policy") as house:
        since, changed = await house.policy.diff()
    if as_json:
        print_json({"since": since, "languages": changed})
        return
    if not changed:
        click.echo(f"Nothing has changed since version {since}.")
    for spoken, lines in changed.items():
        click.echo(f"{spoken}:")
        click.echo("\n".join(lines))


@policy.command("versions")
@as_json
@command
async def versions(*, as_json: bool) -> None:
    """All that were published, newest first."""
    async with open_house(settings(), name="policy") as house:
        found = await house.policy.versions()
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo("No version was published yet: newsletter policy publish")
        return
    rows = [
        (str(each.version), moment(each.published_at), each.notice, ", ".join(each.languages), each.reason or "")
        for each in found
    ]
    print_table(rows, "VERSION", "PUBLISHED", "NOTICE", "LANGUAGES", "WHY NO NOTICE")


@policy.command("publish")
@click.option("--notify", is_flag=True, help="Tell confirmed readers by mail.")
@click.option("--no-notice", metavar="REASON", help="Tell nobody; the reason is kept.")
@yes
@as_json
@command
async def publish(*, notify: bool, no_notice: str | None, yes: bool, as_json: bool) -> None:
    """Keep the policy as it is now under the next number.

    The first version replaces nothing. Each later one is told to confirmed
    readers (--notify), or it is recorded why not (--no-notice REASON).
    """
    async with open_house(settings(), name="policy") as house:
        await _warn(house)
        if not yes:
            await house.policy.check_publishing(notify=notify, no_notice=no_notice)
            told = _told(await house.policy.audience()) if notify else "tell nobody"
            click.confirm(f"Publish the policy as it is now, and {told}?", abort=True, err=True)
        done = await house.policy.publish(notify=notify, no_notice=no_notice, by=BY, now=house.clock.now())
    _report(done, as_json=as_json)


@policy.command("notify")
@yes
@as_json
@command
async def notify(*, yes: bool, as_json: bool) -> None:
    """Tell readers of the last version after all, if they were not told."""
    async with open_house(settings(), name="policy") as house:
        if not yes:
            await house.policy.check_notifying()
            click.confirm(f"Now {_told(await house.policy.audience())}?", abort=True, err=True)
        done = await house.policy.notify(by=BY, now=house.clock.now())
    _report(done, as_json=as_json)


@policy.command("record")
@language
@as_json
@command
async def record(language: str, *, as_json: bool) -> None:
    """Print the record of processing (GDPR Article 30)."""
    async with open_house(settings(), name="policy") as house:
        made, now = await house.policy.record(language), house.clock.now()
    if as_json:
        print_json(made)
        return
    words = translations(language)
    click.echo(record_markdown(made, words, language, base_url=house.links.base_url, now=now), nl=False)


async def _warn(house: House) -> None:
    for host in await house.policy.unnamed_relays():
        warn(f"mail goes by {host}, which no subprocessor has: newsletter subprocessor add NAME --host {host} …")
    for name in house.settings.missing_in_policy:
        warn(f"NEWSLETTER_{name.upper()} is not set, and the policy is not whole without it.")


def _told(audience: Audience) -> str:
    return f"mail {number_of(audience.readers, 'reader')} of {number_of(len(audience.lists), 'list')}"


def _report(done: Publication, *, as_json: bool) -> None:
    if as_json:
        print_json(done)
        return
    click.echo(f"Version {done.version} is published.")
    for number in done.campaigns:
        click.echo(f"Campaign {number} tells the readers: newsletter campaign status {number}")
    if done.notice == "mailed" and not done.campaigns:
        click.echo("No list has confirmed readers: there was nobody to tell.")


COMMANDS = [policy]
