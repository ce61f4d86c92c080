"""`newsletter list`: newsletters that one can subscribe to."""

from __future__ import annotations

import click

from newsletter.cli.house import as_json, command, open_house, print_json, print_table, settings
from newsletter.core.errors import InvalidInput
from newsletter.subscribing.lists import ListText, NewList, NewSender, all_lists, create_list, sizes


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
        page = {each.list_id: house.links.subscribe(each.slug) for each in found}
    if as_json:
        print_json(
            [
                {
                    "list": each.slug,
                    "name": each.text(each.languages[0]).name,
                    "sender": each.sender.name,
                    "languages": each.languages,
                    "public": each.public,
                    "page": page[each.list_id],
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
    told = dict(_by_language(each) for each in descriptions)
    return {language: ListText(name, told.get(language, "")) for language, name in map(_by_language, names)}


def _by_language(option: str) -> tuple[str, str]:
    language, sign, text = option.partition("=")
    if not sign:
        raise InvalidInput(f'Say the language with it: en="{option}".')
    return language.strip(), text.strip()


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
@click.option("--private", is_flag=True, help="No public sign-up page.")
@click.option("--return-url", "return_urls", multiple=True, help="Page that an embedded form may go to after signing up.")
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
) -> None:
    """Create a list; SLUG is its short name in addresses."""
    sender: NewSender | str = sender_name
    if from_address:
        sender = NewSender(sender_name, from_address, postal_address or "", contact or from_address, reply_to, legal_notice)
    new = NewList(slug, _texts(names, descriptions), time_zone, not private, return_urls)
    async with open_house(settings(), name="list") as house:
        made = await create_list(house.db, new, sender, base_host=house.host, now=house.clock.now())
        click.echo(f"Sign-up page: {house.links.subscribe(made.slug)}")


COMMANDS = [lists]
