"""`newsletter list`: newsletters that one can subscribe to."""

from __future__ import annotations

from dataclasses import replace

import click

from newsletter.cli import list_words
from newsletter.cli.house import as_json, command, number_of, open_house, print_json, print_table, settings
from newsletter.core.errors import InvalidInput
from newsletter.delivery.relays import known_relay
from newsletter.operators.service import COMMAND_LINE
from newsletter.settings import Settings
from newsletter.subscribing.editing import digest
from newsletter.subscribing.lists import (
    ListText,
    NewList,
    NewSender,
    all_lists,
    list_by_slug,
    sizes,
)


@click.group("list")
def lists() -> None:
    """Newsletters that one can subscribe to."""


@lists.command("show")
@as_json
@command
async def show(*, as_json: bool) -> None:
    """All lists with their readers."""
    async with open_house(settings(), name="list") as house:
        found = await all_lists(house.db)
        counted = await sizes(house.db)
        page = {each.list_id: house.links.subscribe(each.slug) for each in found if each.public}
    if as_json:
        print_json(
            [
                {
                    "list": each.slug,
                    "name": each.text(each.languages[0]).name,
                    "sender": each.sender.name,
                    "languages": each.languages,
                    "public": each.public,
                    "rate": each.rate,
                    "relay": each.sender.relay,
                    "page": page.get(each.list_id),
                    "readers": counted.get(each.list_id, {}),
                }
                for each in found
            ]
        )
        return
    rows = [
        (
            each.slug,
            each.text(each.languages[0]).name,
            f"{counted.get(each.list_id, {}).get('confirmed', 0):,}",
            f"{counted.get(each.list_id, {}).get('pending', 0):,}",
        )
        for each in found
    ]
    print_table(rows, "LIST", "NAME", "CONFIRMED", "WAITING")


def _texts(names: tuple[str, ...], descriptions: tuple[str, ...]) -> dict[str, ListText]:
    called, told = _by_language("--name", names), _by_language("--description", descriptions)
    for language in told.keys() - called.keys():
        raise InvalidInput(f"--description {language}=… has no --name {language}=…: give both, or neither.")
    return {language: ListText(name, told.get(language, "")) for language, name in called.items()}


def _by_language(option: str, given: tuple[str, ...]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for each in given:
        language, sign, text = each.partition("=")
        if not sign:
            raise InvalidInput(f'Say the language with it: {option} en="{each}".')
        if language.strip() in texts:
            raise InvalidInput(f"There are two of {option} {language.strip()}=…: leave one of them out.")
        texts[language.strip()] = text.strip()
    return texts


def _sender(name: str, from_address: str | None, **more: str | None) -> NewSender | str:
    """A new one, or the name of one that there is."""
    if from_address:
        contact, postal_address = more.pop("contact") or from_address, more.pop("postal_address") or ""
        return NewSender(name, from_address, postal_address, contact, **more)
    for option, value in more.items():
        if value is not None:
            raise InvalidInput(
                f"--{option.replace('_', '-')} is for a new sender: give --from as well, or leave it out to use {name} as it "
                "is."
            )
    return name


NONE = "none"
"""What takes a limit or a choice back."""


def _rate(given: str | None) -> float | None:
    if given in (None, NONE):
        return None
    try:
        return float(str(given))
    except ValueError:
        raise InvalidInput("A rate is a number of mails a second, such as 50 or 0.5, or none.", field="rate") from None


def _relay(given: str | None, configured: Settings) -> str | None:
    return None if given in (None, NONE) else known_relay(str(given), configured.relays)


@lists.command("create")
@click.argument("slug")
@click.option(
    "--name", "names", multiple=True, required=True, metavar="LANG=NAME", help="One for each language; first: default."
)
@click.option("--description", "descriptions", multiple=True, metavar="LANG=TEXT")
@click.option(
    "--sender", "sender_name", required=True, help="Name that mail comes from; an existing sender needs nothing more."
)
@click.option("--from", "from_address", help="Address that mail comes from.")
@click.option("--reply-to")
@click.option("--postal-address", help="Has to stand in every mail.")
@click.option("--contact", help="Address for questions about data; default: --from.")
@click.option("--legal-notice", metavar="URL")
@click.option("--time-zone", default="UTC", show_default=True)
@click.option("--private", is_flag=True, help="No sign-up page, and no form may name it.")
@click.option("--return-url", "return_urls", multiple=True, help="Page that an embedded form may go to after signing up.")
@click.option("--rate", help="Mails a second at most; default: as fast as the relay takes them.")
@click.option("--relay", metavar="NAME", help="The relay that takes this sender's mail; default: whichever there is.")
@command
async def create(
    *,
    slug: str,
    names: tuple[str, ...],
    descriptions: tuple[str, ...],
    sender_name: str,
    from_address: str | None,
    reply_to: str | None,
    postal_address: str | None,
    contact: str | None,
    legal_notice: str | None,
    time_zone: str,
    private: bool,
    return_urls: tuple[str, ...],
    rate: str | None,
    relay: str | None,
) -> None:
    """Create a list; SLUG is its short name in addresses."""
    sender = _sender(
        sender_name,
        from_address,
        postal_address=postal_address,
        contact=contact,
        reply_to=reply_to,
        legal_notice=legal_notice,
    )
    configured = settings()
    texts, by = _texts(names, descriptions), _relay(relay, configured)
    new = NewList(slug, texts, time_zone, not private, return_urls, _rate(rate), by)
    async with open_house(configured, name="list") as house:
        made = await house.list_editing.create(new, sender, by=COMMAND_LINE, now=house.clock.now())
    if made.public:
        click.echo(f"Sign-up page: {house.links.subscribe(made.slug)}")
    else:
        click.echo(f"The list {made.slug} is private: nobody can sign up for it by a form.")


@lists.command("edit")
@click.argument("slug")
@click.option("--rate", metavar="N|none", help="Mails a second at most.")
@click.option("--relay", metavar="NAME|none", help="The relay that takes its sender's mail, for all lists of that sender.")
@command
async def edit(*, slug: str, rate: str | None, relay: str | None) -> None:
    """Change how fast and by which relay a list is sent. Workers follow from their next batch on."""
    if rate is None and relay is None:
        raise InvalidInput("Say what to change: --rate, --relay or both.")
    configured = settings()
    limit, carrier = _rate(rate), _relay(relay, configured)
    async with open_house(configured, name="list") as house:
        found = await list_by_slug(house.db, slug)
        if rate is not None:
            new = replace(NewList.of(found), rate=limit)
            await house.list_editing.edit(
                slug, new, found.sender.name, seen=digest(found), by=COMMAND_LINE, now=house.clock.now()
            )
        if relay is not None:
            await house.list_editing.choose_relay(found.sender.sender_id, carrier, by=COMMAND_LINE, now=house.clock.now())
    if rate is not None:
        click.echo(f"{slug}: " + (f"{limit:g} mails a second at most." if limit else "as fast as its relay takes it."))
    if relay is not None:
        click.echo(f"All mail of {found.sender.name} goes by {carrier or 'whichever relay there is'}.")


@lists.command("close")
@click.argument("slug")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command
async def close(*, slug: str, yes: bool) -> None:
    """Close a list for good: no sign-ups, no campaigns, no readers.

    Workers unsubscribe its readers within the hour; whoever reads nothing else
    is deleted in the same time as after unsubscribing.
    """
    async with open_house(settings(), name="list") as house:
        found = await list_by_slug(house.db, slug)
        readers = (await sizes(house.db)).get(found.list_id, {}).get("confirmed", 0)
        if not yes:
            click.confirm(f"Close {slug} and unsubscribe {number_of(readers, 'reader')}, for good?", abort=True)
        await house.list_editing.close(slug, by=COMMAND_LINE, now=house.clock.now())
    click.echo(f"{slug} is closed. Its readers are unsubscribed within the hour, where a worker runs.")


for each in list_words.COMMANDS:
    lists.add_command(each)

COMMANDS = [lists]
